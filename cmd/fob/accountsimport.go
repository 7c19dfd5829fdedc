package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

// maxExport bounds an export of another program, in bytes.
const maxExport = 32 << 20

func (a *app) importAccountsCmd() *cobra.Command {
	var on []string
	var password, passphrase string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the accounts of another authenticator app’s export, or of Fob’s own",
		Long: `Add the accounts of an export of Aegis or 2FAS, plain or encrypted, of one of
fob accounts export, or of a text file with an otpauth:// link a line. They go
where fob accounts add has them go. What cannot be taken is left out and named;
an account that is there already stays as it is.`,
		Example: "  fob accounts import aegis-export.json --on vault",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name the file: fob accounts import FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("password", "a password", password); err != nil {
				return err
			}
			if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
				return err
			}
			c, places, err := a.places(cmd.Context(), on)
			if err != nil {
				return err
			}
			all, skipped, err := a.readExport(args[0], cmp.Or(password, passphrase))
			if err != nil {
				return err
			}
			defer wipeAccounts(all)
			return a.addSeveral(cmd.Context(), c, all, skipped, places, false)
		},
	}
	a.onFlag(cmd, &on, "they go")
	cardPasswordFlag(cmd, &password)
	passphraseFlag(cmd, &passphrase)
	return cmd
}

// addSeveral adds accounts, and leaves out those that are there already or cannot be taken.
func (a *app) addSeveral(ctx context.Context, c *client.Client, all []account.Account, skipped []account.Skipped, places []place, touch bool) error {
	a.printSkipped(skipped)
	var added []account.Account
	existing := 0
	var failed error
	s := newScreen(a.stderr)
	for i, one := range all {
		s.progress(fmt.Sprintf("Adding account %d of %d", i+1, len(all)), time.Time{})
		if fault := nameFault(one, places); fault != "" {
			s.say("Left out: %s: %s, in fob accounts add", shortTitle(one), fault)
			continue
		}
		_, err := c.AddAccount(ctx, wireAccount(one, touch, places))
		refused, isRefusal := errors.AsType[*api.Error](err)
		switch {
		case err == nil:
			added = append(added, one)
		case isRefusal && (refused.Code == api.CodeAccountExists || refused.Code == api.CodeBadRequest):
			s.say("Left out: %s: %s", shortTitle(one), refused.Message)
			if refused.Code == api.CodeAccountExists {
				existing++
			}
		default:
			failed = fmt.Errorf("%s: %w", shortTitle(one), err)
		}
		if failed != nil {
			break
		}
	}
	s.clear()
	a.warnCounting(added, places)
	text := fmt.Sprintf("Added: %s, on %s.", plural(len(added), "account", "accounts"), strings.Join(placeNames(places), " and "))
	if err := a.said(text); err != nil {
		return err
	}
	switch {
	case failed != nil || len(added) > 0:
		return failed
	case existing == len(all)+len(skipped):
		return api.Errorf(api.CodeAccountExists, "nothing was added: all of them are there already")
	}
	return api.Errorf(api.CodeImport, "nothing was added: none of them could be taken, for the reasons above")
}

// readExport reads an export, and asks for its password where it is encrypted.
func (a *app) readExport(path, password string) ([]account.Account, []account.Skipped, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxExport+1))
	defer clear(data)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", client.Show(path), err)
	}
	if bytes.HasPrefix(data, []byte(ageIntro)) {
		if data, err = a.openExport(data, password, client.Show(path)); err != nil {
			return nil, nil, err
		}
		defer clear(data)
	}
	ask := func() (*secret.Secret, error) {
		b, err := a.secretLine(password, "password", "Password of the export")
		return secret.New(b), err
	}
	var all []account.Account
	var skipped []account.Skipped
	switch account.Sniff(data) {
	case account.FormatAegis:
		all, skipped, err = account.ParseAegis(data, ask)
	case account.FormatTwoFAS:
		all, skipped, err = account.ParseTwoFAS(data, ask)
	case account.FormatList:
		all, skipped, err = account.ParseList(data)
	default:
		return nil, nil, usagef("%s is no export of Aegis, 2FAS or Fob, and no list of otpauth:// links", client.Show(path))
	}
	switch {
	case errors.Is(err, account.ErrPassword):
		return nil, nil, api.Errorf(api.CodeWrongSecret, "%s", err.Error())
	case errors.Is(err, provision.ErrFile):
		return nil, nil, asUsage(err)
	}
	return all, skipped, err
}
