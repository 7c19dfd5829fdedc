package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

// An export of accounts is a file as the program age makes it with a passphrase, of otpauth:// links, one a line.

func (a *app) exportAccountsCmd() *cobra.Command {
	var g given
	var out, passphrase string
	var names []string
	cmd := &cobra.Command{
		Use:   "export --out FILE [QUERY | --account NAME ...]",
		Short: "Write accounts of the vault with their secrets to an encrypted file",
		Long: `Write the accounts of the vault with their secrets to a new file that is
encrypted with a passphrase: all of them, those in whose issuer or name the
words of QUERY stand, or those that are named. A registered method has to
approve it. The passphrase is asked for twice; without it the file is worth
nothing.

Accounts on cards stay there: a card does not give its secrets away. The file is
read again by fob accounts import, and without Fob by age -d FILE, which shows
an otpauth:// link a line, as other authenticator apps take them. Whoever has
such a link can make the account's codes: never keep them in a file.`,
		Example:           "  fob accounts export --out accounts.age\n  fob accounts export --out contoso.age contoso",
		ValidArgsFunction: a.completeAccounts,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := strings.Join(args, " ")
			if query != "" && len(names) > 0 {
				return usagef("take QUERY or --account, not both")
			}
			if err := maySeal(out, passphrase, g); err != nil {
				return err
			}
			ids, onCards, err := a.toExport(cmd.Context(), query, names)
			if err != nil {
				return err
			}
			to := sealedFile{out: out, passphrase: passphrase, of: "the export"}
			request := api.BeginRequest{Kind: api.KindExportAccounts, Accounts: ids}
			err = a.takeSealed(cmd.Context(), request, g, to, func(file io.Writer, recipient age.Recipient, lines iter.Seq2[api.Yield, error]) error {
				return writeAccounts(file, recipient, lines, len(ids))
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"file": out, "accounts": len(ids), "on_cards": onCards})
			}
			_, err = fmt.Fprintf(a.out, "Wrote %s to %s, encrypted with the passphrase. To read it again: fob accounts import %[2]s\n",
				plural(len(ids), "account", "accounts"), client.Show(out))
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the new `file`")
	cmd.Flags().StringArrayVar(&names, "account", nil, "export the account with this `name`, words of it or id; more than once for several")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	completeFunc(cmd, "account", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeAccounts(cmd, nil, typed)
	})
	return cmd
}

// toExport finds the accounts of the vault that are meant, and says how many that would be meant are on cards.
func (a *app) toExport(ctx context.Context, query string, names []string) (ids []string, onCards int, err error) {
	c, err := a.client()
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		id, err := namedForExport(ctx, c, name)
		if err != nil {
			return nil, 0, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(names) > 0 {
		return ids, 0, nil
	}
	found, err := c.Accounts(ctx, "")
	if err != nil {
		return nil, 0, err
	}
	vault, cards := byPlace(withWords(found.Accounts, query))
	const why = ": a card does not give its secrets away"
	switch {
	case len(vault) == 0 && len(cards) > 0:
		return nil, 0, api.Errorf(api.CodeNotFound, "there is nothing to export: %s on cards%s. Have the site show a new QR code, and add it with fob accounts add --on vault", plural(len(cards), "account is", "accounts are"), why)
	case len(vault) == 0 && query != "":
		return nil, 0, api.Errorf(api.CodeNotFound, "no account has %q in its issuer or name", client.Show(query))
	case len(vault) == 0:
		return nil, 0, api.Errorf(api.CodeNotFound, "there is nothing to export: the vault has no accounts")
	case len(cards) > 0:
		fmt.Fprintf(a.stderr, "%s there%s.\n", plural(len(cards), "account on a card stays", "accounts on cards stay"), why)
	}
	for _, one := range vault {
		ids = append(ids, one.ID)
	}
	return ids, len(cards), nil
}

// namedForExport finds the one account of the vault that name names.
func namedForExport(ctx context.Context, c *client.Client, name string) (string, error) {
	found, err := c.Accounts(ctx, name)
	if err != nil {
		return "", err
	}
	vault, cards := byPlace(found.Accounts)
	if exact := exactly(vault, name); len(exact) == 1 {
		vault = exact
	}
	switch {
	case len(vault) == 1:
		return vault[0].ID, nil
	case len(vault) > 1:
		return "", ambiguous(name, vault)
	case len(cards) > 0:
		return "", api.Errorf(api.CodeNotFound, "the account %q is on a card, which does not give its secrets away", client.Show(name))
	}
	return "", api.Errorf(api.CodeNotFound, "no account has %q in its issuer or name", client.Show(name))
}

func byPlace(all []api.Account) (vault, cards []api.Account) {
	for _, one := range all {
		if one.Where == api.AccountVault {
			vault = append(vault, one)
		} else {
			cards = append(cards, one)
		}
	}
	return vault, cards
}

// withWords gives all accounts in whose issuer or name the words stand, also those that others fit better: an export
// leaves out none that may be meant.
func withWords(all []api.Account, words string) (out []api.Account) {
	for _, one := range all {
		if hasWords(account.Account{Issuer: one.Issuer, Name: one.Name + " " + title(one)}, words) || one.ID == words {
			out = append(out, one)
		}
	}
	return out
}

// writeAccounts encrypts the accounts that the daemon hands out, which must be n.
func writeAccounts(w io.Writer, to age.Recipient, lines iter.Seq2[api.Yield, error], n int) error {
	sealed, err := age.Encrypt(w, to)
	if err != nil {
		return fmt.Errorf("cannot encrypt the export: %w", err)
	}
	for line, err := range lines {
		if err == nil && (line.Account == nil || n == 0) {
			err = fmt.Errorf("%w (it is no whole export of accounts)", client.ErrBadAnswer)
		}
		if err != nil {
			return err
		}
		if err := writeLink(sealed, line.Account); err != nil {
			return err
		}
		n--
	}
	if n > 0 {
		return fmt.Errorf("%w (%s missing)", client.ErrBadAnswer, plural(n, "account is", "accounts are"))
	}
	if err := sealed.Close(); err != nil {
		return fmt.Errorf("cannot write the export: %w", err)
	}
	return nil
}

// writeLink writes an account as a link, and wipes its seed.
func writeLink(w io.Writer, s *api.AccountSeed) error {
	one := account.Account{
		Issuer: s.Issuer, Name: s.Name, Kind: provision.Kind(s.Kind), Algorithm: provision.Algorithm(s.Algorithm),
		Digits: s.Digits, Period: s.Period, Counter: s.Counter, Seed: secret.New(s.Seed),
	}
	defer one.Wipe()
	link := one.URI()
	defer link.Wipe()
	for _, part := range [][]byte{link.Reveal(), []byte("\n")} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("cannot write the export: %w", err)
		}
	}
	return nil
}

// openExport decrypts an export of accounts, for which it asks for the passphrase. What it gives is the caller's to
// wipe.
func (a *app) openExport(data []byte, passphrase, name string) ([]byte, error) {
	if len(data) > maxExport {
		return nil, usagef("%s is longer than %d MiB, which no export is: choose another file", name, maxExport>>20)
	}
	if _, stanza, _ := bytes.Cut(data, []byte("\n")); !bytes.HasPrefix(stanza, []byte("-> scrypt ")) {
		return nil, usagef("%s is encrypted by age, but not with a passphrase: it is no export of Fob", name)
	}
	sealed, err := a.openBackup(bytes.NewReader(data), passphrase, name)
	plain := bytes.NewBuffer(make([]byte, 0, len(data)+bytes.MinRead)) // it has room, and leaves no copies
	if err == nil {
		if _, failed := plain.ReadFrom(sealed); failed != nil {
			err = errBackupDamaged
		}
	}
	if refused, ok := errors.AsType[*backupError](err); ok {
		err = api.Errorf(refused.code, "%s: %s: nothing was added", name, refused.text)
	}
	if err == nil && bytes.HasPrefix(plain.Bytes(), []byte(`{"backup":`)) {
		err = usagef("%s is a backup of everything that Fob knows: fob vault restore takes it", name)
	}
	if err != nil {
		clear(plain.Bytes())
		return nil, err
	}
	return plain.Bytes(), nil
}
