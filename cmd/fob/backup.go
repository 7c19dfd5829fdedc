package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// A backup is a file as the program age makes it with a passphrase, of lines of JSON: api.Yield, as the
// daemon hands them out. "age -d" opens it without Fob.

func (a *app) backupCmd() *cobra.Command {
	var g given
	var out, passphrase string
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Write everything that the daemon knows to an encrypted file",
		Long: `Write everything that the daemon knows, seeds included, to a new file that is
encrypted with a passphrase. A registered method has to approve it. The
passphrase is asked for twice; without it the backup is worth nothing.

The file can be opened without Fob: age -d FILE shows what is in it, with the
key of all seeds in the clear. Never keep that in a file.`,
		Example: "  fob vault backup --out fob.age",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := maySeal(out, passphrase, g); err != nil {
				return err
			}
			if _, err := a.client(); err != nil {
				return err
			}
			var head api.BackupHead
			to := sealedFile{out: out, passphrase: passphrase, of: "the backup"}
			err := a.takeSealed(cmd.Context(), api.BeginRequest{Kind: api.KindBackup}, g, to, func(file io.Writer, recipient age.Recipient, lines iter.Seq2[api.Yield, error]) (err error) {
				head, err = writeBackup(file, recipient, lines)
				return err
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"file": out, "made": head.Made, "records": head.Records})
			}
			_, err = fmt.Fprintf(a.out, "Wrote a backup of %s to %s. Without its passphrase it is worth nothing.\n", when(head.Made), client.Show(out))
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the new `file`")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	return cmd
}

// sealedFile is a new file to be encrypted with a passphrase: its path, the flag that says where the passphrase is
// from, and what it is for.
type sealedFile struct{ out, passphrase, of string }

// maySeal refuses flags that make no sense, before anything is begun.
func maySeal(out, passphrase string, g given) error {
	if err := outFile(out); err != nil {
		return err
	}
	if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
		return err
	}
	return g.check()
}

// takeSealed begins a request and has write put what it gives into a new file. There is no file unless all of it is in.
func (a *app) takeSealed(ctx context.Context, request api.BeginRequest, g given, to sealedFile, write func(io.Writer, age.Recipient, iter.Seq2[api.Yield, error]) error) error {
	file, err := createNew(to.out)
	if err != nil {
		return err
	}
	defer file.discard()
	recipient, err := a.newSeal(to.passphrase, to.of)
	if err != nil {
		return err
	}
	return a.take(ctx, request, g, func(lines iter.Seq2[api.Yield, error]) error {
		if err := write(file, recipient, lines); err != nil {
			return err
		}
		return file.commit()
	})
}

// newSeal asks for a new passphrase, and gives what encrypts with it. of says what it is for.
func (a *app) newSeal(flag, of string) (age.Recipient, error) {
	phrase, err := a.newPassphrase(flag, of)
	if err != nil {
		return nil, err
	}
	defer clear(phrase)
	recipient, err := age.NewScryptRecipient(string(phrase)) // age takes a string, which cannot be wiped
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt %s: %w", of, err)
	}
	return recipient, nil
}

// writeBackup encrypts what the daemon hands out, line by line, and gives its head without the key.
func writeBackup(w io.Writer, to age.Recipient, lines iter.Seq2[api.Yield, error]) (api.BackupHead, error) {
	var head api.BackupHead
	sealed, err := age.Encrypt(w, to)
	if err != nil {
		return head, fmt.Errorf("cannot encrypt the backup: %w", err)
	}
	check := backupCheck{}
	write := func(line api.Yield) error {
		data, err := json.Marshal(line)
		if err != nil {
			return fmt.Errorf("cannot write the backup: %w", err)
		}
		defer clear(data)
		if _, err := sealed.Write(append(data, '\n')); err != nil {
			return fmt.Errorf("cannot write the backup: %w", err)
		}
		return nil
	}
	for line, err := range lines {
		if err == nil {
			err = check.next(line)
		}
		if err != nil {
			return head, err
		}
		if line.Backup != nil {
			head = *line.Backup
			head.DataKey = nil
		}
		err = write(line)
		if line.Backup != nil {
			line.Backup.DataKey.Wipe()
		}
		if err != nil {
			return head, err
		}
	}
	end := api.Yield{End: true}
	if err := check.next(end); err != nil {
		return head, err
	}
	if err := write(end); err != nil {
		return head, err
	}
	if err := sealed.Close(); err != nil {
		return head, fmt.Errorf("cannot write the backup: %w", err)
	}
	return head, nil
}

// backupCheck follows the lines of a backup: its head, the records of which that speaks, the end.
type backupCheck struct {
	head    *api.BackupHead
	records int
	ended   bool
}

// next fails where a line is out of place.
func (b *backupCheck) next(line api.Yield) error {
	both := line.Backup != nil && line.Record != nil || line.End && (line.Backup != nil || line.Record != nil)
	switch {
	case b.ended, both, line.Token != nil, line.Account != nil, line.Error != nil:
	case line.Backup != nil && b.head == nil:
		b.head = line.Backup
		return nil
	case line.Record != nil && b.head != nil && b.records < b.head.Records:
		b.records++
		return nil
	case line.End && b.head != nil && b.records == b.head.Records:
		b.ended = true
		return nil
	}
	return fmt.Errorf("%w (it is no whole backup)", client.ErrBadAnswer)
}

// maxWorkFactor bounds what a file may ask for to be opened: 1 GiB of memory. age asks for a quarter.
const maxWorkFactor = 20

func (a *app) restoreCmd() *cobra.Command {
	var passphrase string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup into a daemon that has nothing yet",
		Long: `Restore a backup into a daemon that has no sign-in methods, tokens or accounts:
all of it or nothing. Its passphrase is asked for. Codes of before are not
accepted again: tokens that count presses must be brought back into step with
fob methods resync.`,
		Example: "  fob vault restore fob.age",
		Args:    one("backup's file", "where you keep it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := openRegular(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			name := client.Show(args[0])
			if err := isBackup(f); err != nil {
				return usagef("%s is no backup of Fob: it is not encrypted by age", name)
			}
			lines, err := a.openBackup(f, passphrase, name)
			if err == nil {
				var done api.Restored
				if done, err = restore(cmd.Context(), c, lines); err == nil {
					return a.printRestored(cmd.Context(), c, done)
				}
			}
			if refused, ok := errors.AsType[*backupError](err); ok {
				return api.Errorf(refused.code, "%s: %s: nothing was restored", name, refused.text)
			}
			return err
		},
	}
	passphraseFlag(cmd, &passphrase)
	return cmd
}

func (a *app) printRestored(ctx context.Context, c *client.Client, r api.Restored) error {
	if a.json {
		return a.printJSON(r)
	}
	accounts := ""
	if r.Accounts > 0 {
		accounts = ", " + plural(r.Accounts, "account", "accounts")
	}
	_, err := fmt.Fprintf(a.out, "Restored the backup of %s: %s, %s%s.\n", when(r.Made), plural(r.Methods, "sign-in method", "sign-in methods"), tokensText(r.Tokens), accounts)
	if err == nil && r.Tokens > 0 {
		_, err = fmt.Fprintln(a.out, "Tokens that count presses must be brought back into step: fob methods resync METHOD")
	}
	if err == nil && r.CodesEnded > 0 {
		_, err = fmt.Fprintln(a.out, "Recovery codes that were printed before do not count any more. Make new ones: fob methods add recovery")
	}
	if v, vaultErr := c.Vault(ctx); err == nil && vaultErr == nil && opensByTap(v) {
		for _, s := range automaticSlots(v) {
			if _, err = fmt.Fprintf(a.out, "The vault opens here by a new %s as well, by itself. So that only a tap opens it: fob vault slots remove %s\n", slotCalled(s.Type), s.ID); err != nil {
				return err
			}
		}
	}
	return err
}

// backupError says what is wrong with a backup.
type backupError struct {
	code api.Code
	text string
}

func (e *backupError) Error() string { return e.text }

var (
	errBackupWrongPhrase = &backupError{api.CodeWrongSecret, "the passphrase is wrong"}
	errBackupDamaged     = &backupError{api.CodeWrongSecret, "the file is cut or was changed"}
	errBackupStrange     = &backupError{api.CodeBadRequest, "this is no backup of Fob"}
)

// ageIntro is what every file of age begins with.
const ageIntro = "age-encryption.org/"

// isBackup looks at the beginning of the file, so that nobody types a passphrase for nothing.
func isBackup(f *os.File) error {
	head := make([]byte, len(ageIntro))
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	if string(head) != ageIntro {
		return errBackupStrange
	}
	return nil
}

// openBackup asks for a backup's passphrase until it is right, and opens it.
func (a *app) openBackup(f io.ReadSeeker, flag, name string) (io.Reader, error) {
	for try := 1; ; try++ {
		phrase, err := a.passphrase(flag, "Passphrase of "+name)
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			clear(phrase)
			return nil, usagef("cannot read %s: %v", name, err)
		}
		lines, err := openBackup(f, phrase)
		clear(phrase)
		if !errors.Is(err, errBackupWrongPhrase) || flag != "" || try == secretTries {
			return lines, err
		}
		fmt.Fprintln(a.stderr, sentence(err.Error()))
	}
}

// openBackup decrypts a backup. What it gives is authentic up to where it was read, and whole only if it
// ends with io.EOF.
func openBackup(r io.Reader, phrase []byte) (io.Reader, error) {
	identity, err := age.NewScryptIdentity(string(phrase)) // age takes a string, which cannot be wiped
	if err != nil {
		return nil, errBackupWrongPhrase
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	plain, err := age.Decrypt(bufio.NewReader(r), identity)
	wrong := (*age.NoIdentityMatchError)(nil)
	switch {
	case errors.As(err, &wrong):
		return nil, errBackupWrongPhrase
	case err != nil:
		return nil, errBackupDamaged
	}
	return plain, nil
}

// maxBackupLine is the longest line of a backup, in bytes: what the daemon takes.
const maxBackupLine = 512 << 10

// restore passes a backup on to the daemon, which restores it only when it hears that this was all: after
// the whole of the file has been read, and found to be authentic.
func restore(ctx context.Context, c *client.Client, plain io.Reader) (api.Restored, error) {
	var up *client.Restore
	defer func() {
		if up != nil {
			up.Abort()
		}
	}()
	for line, err := range readBackup(plain) {
		switch {
		case err != nil:
		case line.Backup != nil:
			up, err = c.Restore(ctx, *line.Backup)
		case line.Record != nil:
			err = up.Add(*line.Record)
		}
		if err != nil {
			return api.Restored{}, err
		}
	}
	return up.Commit()
}

// readBackup gives the head and the records of a backup. It ends without an error, a *backupError, only if
// there was the whole of a backup, to the end of the file.
func readBackup(plain io.Reader) iter.Seq2[api.Yield, error] {
	return func(yield func(api.Yield, error) bool) {
		lines := bufio.NewScanner(plain)
		lines.Buffer(nil, maxBackupLine)
		check := backupCheck{}
		for lines.Scan() {
			line, err := parseBackupLine(lines.Bytes())
			clear(lines.Bytes())
			if err == nil && check.next(line) != nil {
				err = errBackupStrange
			}
			if err != nil {
				yield(api.Yield{}, err)
				return
			}
			if !line.End && !yield(line, nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(api.Yield{}, errBackupStrange)
		case err != nil, !check.ended:
			yield(api.Yield{}, errBackupDamaged)
		}
	}
}

func parseBackupLine(text []byte) (api.Yield, error) {
	var line api.Yield
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&line) != nil || decoder.More() {
		return api.Yield{}, errBackupStrange
	}
	if line.Backup != nil && line.Backup.Format != api.BackupFormat {
		return api.Yield{}, &backupError{api.CodeBadRequest, fmt.Sprintf("the backup has format %d, and this fob reads %d: a newer Fob made it", line.Backup.Format, api.BackupFormat)}
	}
	return line, nil
}
