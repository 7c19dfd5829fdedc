package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) vaultCmd() *cobra.Command {
	status := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		v, err := c.Vault(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(v)
		}
		return a.printVault(v)
	}
	return group(&cobra.Command{
		Use:   "vault",
		Short: "Open and close the vault that holds the seeds; back up, restore",
		Long: `Show how the vault is, or change it. The vault holds the seeds of tokens and of
accounts for other sites, sealed. It opens by itself where the secret service or
a key file has its key; besides, it has slots for security keys, which open it
by a tap, for a passphrase, and for a recovery key that is kept on paper. While
it is sealed no codes can be checked, and none of those accounts' shown;
security keys go on working.`,
		Example: "  fob vault\n  fob vault slots add recovery\n  fob vault backup --out fob.age",
	}, status,
		&cobra.Command{Use: "status", Short: "Show how the vault is", Args: noArgument, RunE: status},
		a.lockCmd(), a.unlockCmd(), a.slotsCmd(), a.backupCmd(), a.restoreCmd())
}

func (a *app) printVault(v api.Vault) error {
	fmt.Fprintln(a.out, sentence("the vault is "+vaultState(v)))
	if len(v.Slots) > 0 {
		fmt.Fprintln(a.out)
		if err := a.printSlots(v); err != nil {
			return err
		}
	}
	if !v.Recovery && v.State != api.VaultNone {
		fmt.Fprintln(a.out, "\nThere is no recovery key, for the day on which nothing else opens it: make one with fob vault slots add recovery")
	}
	return nil
}

// vaultState says in a few words how the vault is: "open, by the key file /…", "sealed: …".
func vaultState(v api.Vault) string {
	switch v.State {
	case api.VaultOpen:
		switch where := client.Show(v.Where); {
		case !v.Until.IsZero():
			return "open until " + when(v.Until) + ", and then locks by itself"
		case where == "":
			return "open"
		case strings.HasPrefix(where, "/"):
			return "open, by the key file " + where
		default:
			return "open, by " + where
		}
	case api.VaultSealed:
		if v.Problem != "" {
			return "sealed: " + client.Show(v.Problem)
		}
		return "sealed; open it with fob vault unlock"
	case api.VaultNone:
		return "not made yet"
	default:
		return client.Show(v.State)
	}
}

func (a *app) lockCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Seal the vault until it is unlocked",
		Long: `Have the daemon forget the vault's key. Until fob vault unlock no codes can be
checked, and none of the vault's accounts shown; security keys go on working.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.LockVault(cmd.Context()); err != nil {
				return err
			}
			return a.vaultSaid(cmd, c, "The vault is sealed: it checks and shows no codes until fob vault unlock.")
		},
	}
}

// vaultSaid prints what was done, or as JSON how the vault is then.
func (a *app) vaultSaid(cmd *cobra.Command, c *client.Client, said string) error {
	if a.json {
		v, err := c.Vault(cmd.Context())
		if err != nil {
			return err
		}
		return a.printJSON(v)
	}
	_, err := fmt.Fprintln(a.out, said)
	return err
}

// secretTries is how often a passphrase or a key that exists already is asked for.
const secretTries = 3

func (a *app) unlockCmd() *cobra.Command {
	var passphrase string
	var typed bool
	var g given
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Open the vault",
		Long: `Open the vault: by what opens it by itself, if that is back; by a tap on a
security key that is plugged in and has a slot; and otherwise by a passphrase or
the recovery key, which is asked for at the terminal without echo. With --typed
no tap is waited for.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if passphrase == "-" {
				by, err := a.readInput("passphrase")
				if err != nil {
					return err
				}
				defer clear(by)
				if err := c.UnlockVault(cmd.Context(), by); err != nil {
					return err
				}
			} else if err := a.unlock(cmd.Context(), c, typed, g); err != nil {
				return err
			}
			v, err := c.Vault(cmd.Context())
			if err != nil {
				return err
			}
			return a.vaultSaid(cmd, c, sentence("the vault is "+vaultOpen(v)))
		},
	}
	passphraseFlag(cmd, &passphrase)
	pinFlag(cmd, &g.pin)
	cmd.Flags().BoolVar(&typed, "typed", false, "type the passphrase or recovery key, wait for no tap")
	cmd.MarkFlagsMutuallyExclusive("passphrase", "pin")
	return cmd
}

// vaultOpen says of a vault that was opened for how long that lasts.
func vaultOpen(v api.Vault) string {
	if v.Until.IsZero() {
		return "open"
	}
	return vaultState(v)
}

// unlock tries without a person, then by a tap, and then by what is typed.
func (a *app) unlock(ctx context.Context, c *client.Client, typed bool, g given) error {
	err := c.UnlockVault(ctx, nil)
	if isCode(err, api.CodeSealed) && !typed {
		tapped, tapErr := a.unlockByTap(ctx, c, g)
		if tapped || tapErr != nil {
			return tapErr
		}
	}
	for range secretTries {
		if !isCode(err, api.CodeSealed) && !isCode(err, api.CodeWrongSecret) && !isCode(err, api.CodeKeeperAway) {
			return err
		}
		if !haveTerminal() {
			return usagef("%s There is no terminal to ask at: run this in one, or give the passphrase on standard input with --passphrase -", sentence(err.Error()))
		}
		// This is the command that an error of a sealed vault tells one to run.
		fmt.Fprintln(a.stderr, sentence(strings.Replace(err.Error(), ": open it with “fob vault unlock”", "", 1)))
		by, askErr := a.passphrase("", "Passphrase or recovery key")
		if askErr != nil {
			return askErr
		}
		err = c.UnlockVault(ctx, by)
		clear(by)
	}
	return err
}

// unlockByTap waits for a tap where a security key has a slot. Where none that does is plugged in, or none may
// be asked for now, and something can be typed instead, it says so, and tapped is false.
func (a *app) unlockByTap(ctx context.Context, c *client.Client, g given) (tapped bool, err error) {
	v, err := c.Vault(ctx)
	if err != nil {
		return false, err
	}
	if !opensByTap(v) {
		return false, nil
	}
	stream, f, err := a.follow(ctx, api.BeginRequest{Kind: api.KindUnlock}, g)
	if refused, ok := errors.AsType[*api.Error](err); ok && refused.Code != api.CodeForbidden && haveTerminal() {
		fmt.Fprintln(a.stderr, sentence(err.Error()))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer stream.Close()
	defer f.pins.wipe()
	state, err := f.run(ctx, stream.Next)
	switch {
	case err != nil:
		return false, err
	case state.Decision == api.Approved && state.Error == nil:
		return true, nil
	case state.Decision == api.Cancelled && state.Error != nil && haveTerminal():
		fmt.Fprintln(a.stderr, sentence(state.Error.Message))
		return false, nil
	}
	return false, a.ended(state, "", nil)
}
