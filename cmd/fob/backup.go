package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) backupCmd() *cobra.Command {
	var g given
	var path, passphrase string
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Write everything that the daemon knows into an encrypted file",
		Long: `Write everything that the daemon knows, the tokens' seeds among it, into a new file that
is encrypted with a passphrase. A registered method has to approve it.

The file is in age's format: age -d opens it too.`,
		Example: "  fob vault backup --out fob.age",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" || path == "-" {
				return usagef("name the file: --out FILE")
			}
			if err := errors.Join(g.check(), fromInput("passphrase", "a passphrase", passphrase)); err != nil {
				return err
			}
			out, err := createNew(path)
			if err != nil {
				return err
			}
			defer out.discard()
			text, err := a.newPassphrase(passphrase, client.Show(path))
			if err != nil {
				return err
			}
			defer clear(text)
			recipient, err := age.NewScryptRecipient(string(text))
			if err != nil {
				return fmt.Errorf("cannot encrypt: %w", err)
			}
			err = a.take(cmd.Context(), api.BeginRequest{Kind: api.KindBackup}, g, func(lines iter.Seq2[api.Yield, error]) error {
				return writeBackup(out, recipient, lines)
			})
			if err == nil {
				err = out.commit()
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "Wrote the backup %s. Its passphrase is the only way to open it.\n", client.Show(path))
			return err
		},
	}
	cmd.Flags().StringVar(&path, "out", "", "the new `file`")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	return cmd
}

// backupLine is a line of a backup: its head, then each record, then the end.
type backupLine struct {
	Backup *api.BackupHead   `json:"backup,omitempty"`
	Record *api.BackupRecord `json:"record,omitempty"`
	End    bool              `json:"end,omitempty"`
}

func writeBackup(w io.Writer, recipient age.Recipient, lines iter.Seq2[api.Yield, error]) error {
	sealed, err := age.Encrypt(w, recipient)
	if err != nil {
		return fmt.Errorf("cannot encrypt: %w", err)
	}
	buffered := bufio.NewWriterSize(sealed, 64<<10)
	enc := json.NewEncoder(buffered)
	for line, err := range lines {
		if err != nil {
			return err
		}
		err := enc.Encode(backupLine{Backup: line.Backup, Record: line.Record})
		if line.Backup != nil {
			line.Backup.DataKey.Wipe()
		}
		if err != nil {
			return fmt.Errorf("cannot write the backup: %w", err)
		}
	}
	err = enc.Encode(backupLine{End: true})
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = sealed.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return nil
}

func (a *app) restoreCmd() *cobra.Command {
	var passphrase string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of an empty state",
		Long: `Put a backup in the place of an empty state: where there are sign-in methods or tokens
already, nothing is done.

No code that was accepted before is accepted again: tokens that count time go on with the
next code, tokens that count presses must be brought back into step.`,
		Args: one("file", "where you keep backups"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				return usagef("cannot read the backup: %v", err)
			}
			defer f.Close()
			if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
				return usagef("%s is no file", client.Show(args[0]))
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			text, err := a.passphrase(passphrase, "Passphrase of "+client.Show(args[0]))
			if err != nil {
				return err
			}
			defer clear(text)
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			done, err := restoreFrom(ctx, c, f, string(text))
			if ctx.Err() != nil {
				return fmt.Errorf("%w: nothing was restored", errStopped)
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(done)
			}
			_, err = fmt.Fprintf(a.out, "Restored the backup of %s: %s, %s.\nTokens that count presses must be brought back into step first: fob methods resync METHOD\n",
				done.Made.Local().Format(time.DateTime), plural(done.Methods, "sign-in method", "sign-in methods"), plural(done.Tokens, "token", "tokens"))
			return err
		},
	}
	passphraseFlag(cmd, &passphrase)
	return cmd
}

// maxBackupLine bounds a line of a backup in bytes.
const maxBackupLine = 512 << 10

// restoreFrom decrypts a backup and passes it on. Nothing is restored before the whole has been read,
// which age authenticates.
func restoreFrom(ctx context.Context, c *client.Client, f io.Reader, passphrase string) (done api.Restored, err error) {
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return done, usagef("a passphrase is missing")
	}
	identity.SetMaxWorkFactor(22)
	opened, err := age.Decrypt(f, identity)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return done, api.Errorf(api.CodeWrongSecret, "the passphrase is wrong, or this backup was made for something else than a passphrase: nothing was restored")
	}
	if err != nil {
		return done, notWhole(err)
	}
	lines := bufio.NewScanner(opened)
	lines.Buffer(make([]byte, 0, 64<<10), maxBackupLine)
	var up *client.Restore
	defer func() {
		if up != nil {
			up.Abort()
		}
	}()
	ended := false
	for lines.Scan() {
		var line backupLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || ended {
			return done, notWhole(errors.New("a line makes no sense"))
		}
		switch {
		case up == nil && line.Backup != nil:
			if up, err = c.Restore(ctx, *line.Backup); err != nil {
				return done, err
			}
		case up != nil && line.Record != nil:
			if err := up.Add(*line.Record); err != nil {
				return done, err
			}
		case up != nil && line.End:
			ended = true
		default:
			return done, notWhole(errors.New("a line makes no sense"))
		}
	}
	if err := lines.Err(); err != nil {
		return done, notWhole(err)
	}
	if !ended {
		return done, notWhole(io.ErrUnexpectedEOF)
	}
	done, err = up.Commit()
	up = nil
	return done, err
}

// notWhole says that a file is no backup, or not any more.
func notWhole(err error) error {
	return usagef("this is no whole backup of Fob's, or it was changed (%v): nothing was restored", err)
}

// interruptible ends with the signals by which a person stops a program.
func interruptible(ctx context.Context) (context.Context, func()) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
}
