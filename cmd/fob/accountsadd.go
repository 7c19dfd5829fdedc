package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

// adding is what the command line says of accounts that are to be added.
type adding struct {
	images  []string
	screen  bool
	copied  bool   // it is in the clipboard
	account string // words of the one that is meant, of several
	all     bool
	issuer  string // instead of what it has
	name    string
	touch   bool
	on      []string
}

func (a *app) addAccountCmd() *cobra.Command {
	var w adding
	cmd := &cobra.Command{
		Use:   "add [- | --image FILE ... | --screen | --clipboard]",
		Short: "Add an account, from a site's QR code or secret",
		Long: `Add an account for a site that asks for codes. The site shows a QR code where it
says “authenticator app”: have it read off the screen, out of a picture or out
of the clipboard, or paste what it says (an otpauth:// link), or type the secret
that the site shows beside it. With “-” the link is read from standard input.

The account goes onto the card that is in a reader, or into the vault where
there is none; --on says otherwise, and may stand more than once: with a second
card as a backup, both get it or none. A QR code of Google Authenticator
(“Transfer accounts”) holds several: name the one with --account, or take --all.
Where it shows several such codes, give a picture of each, with --image more
than once.

The first code is shown, to be typed into the site; at a terminal also the
second, where the site asks for two.`,
		Example: "  fob accounts add --screen\n  fob accounts add --image qr.png --on vault\n  fob accounts add --on 'Yubico YubiKey OTP+FIDO+CCID 00 00' --on vault",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return usagef("a link is never given on the command line, where others can read it: use “-” and standard input, or paste it when asked")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.addAccounts(cmd, w, len(args) > 0) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&w.images, "image", nil, "read the QR code out of this picture `file`")
	f.BoolVar(&w.screen, "screen", false, "read the QR code off the screen")
	f.BoolVar(&w.copied, "clipboard", false, "read the QR code, or the link, out of the clipboard")
	f.StringVar(&w.account, "account", "", "of several accounts take the one with these `words`")
	f.BoolVar(&w.all, "all", false, "of several accounts take all")
	f.StringVar(&w.issuer, "issuer", "", "call its `site` so")
	f.StringVar(&w.name, "name", "", "call the account `name`")
	f.BoolVar(&w.touch, "touch", false, "have each code take a touch of the key")
	f.StringArrayVar(&w.on, "on", nil, "where it goes: “vault”, or a `card` by its id or reader")
	return cmd
}

func (a *app) addAccounts(cmd *cobra.Command, w adding, stdin bool) error {
	if count(len(w.images) > 0, w.screen, w.copied, stdin) > 1 {
		return usagef("take one of -, --image, --screen and --clipboard")
	}
	if w.all && (w.account != "" || w.name != "" || w.issuer != "") {
		return usagef("--all takes several accounts as they are: leave out --account, --name and --issuer")
	}
	found, err := a.findAccounts(cmd.Context(), w, stdin)
	if err != nil {
		return err
	}
	defer wipeAccounts(found)
	chosen, err := a.chooseAccounts(found, w)
	if err != nil {
		return err
	}
	c, places, err := a.places(cmd.Context(), w.on)
	if err != nil {
		return err
	}
	for _, one := range chosen {
		if w.issuer != "" {
			one.Issuer = w.issuer
		}
		if w.name != "" {
			one.Name = w.name
		}
		ids, err := c.AddAccount(cmd.Context(), wireAccount(one, w.touch, places))
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "Added: %s, on %s.\n", title(api.Account{Issuer: one.Issuer, Name: one.Name}), strings.Join(placeNames(places), " and "))
		if len(chosen) > 1 {
			continue
		}
		if err := a.firstCodes(cmd, c, ids[0]); err != nil {
			return err
		}
	}
	return nil
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

func wipeAccounts(all []account.Account) {
	for i := range all {
		all[i].Wipe()
	}
}

// findAccounts reads the accounts from where the command line says.
func (a *app) findAccounts(ctx context.Context, w adding, stdin bool) ([]account.Account, error) {
	switch {
	case len(w.images) > 0:
		var all [][]byte
		for _, path := range w.images {
			texts, err := readPicture(ctx, path)
			if err != nil {
				return nil, err
			}
			all = append(all, texts...)
		}
		return a.readLinks(all, "in the picture")
	case w.screen:
		texts, err := readScreen(ctx)
		if err != nil {
			return nil, err
		}
		return a.readLinks(texts, "on the screen")
	case w.copied:
		texts, err := readClipboard(ctx)
		if err != nil {
			return nil, err
		}
		return a.readLinks(texts, "in the clipboard")
	case stdin:
		text, err := io.ReadAll(io.LimitReader(a.stdin, maxLinks))
		defer clear(text)
		if err != nil {
			return nil, fmt.Errorf("cannot read standard input: %w", err)
		}
		return a.readLinks(bytes.Fields(text), "on standard input")
	}
	return a.typedAccount()
}

// maxLinks bounds in bytes what is read of links.
const maxLinks = 1 << 20

// readLinks reads what QR codes say. where says, for people, where they were.
func (a *app) readLinks(texts [][]byte, where string) (all []account.Account, err error) {
	var parts account.Batches
	defer parts.Wipe()
	var last error
	advice := ""
	for _, text := range texts {
		switch kind := account.Recognise(text); kind {
		case account.QRAccount:
			one, err := account.ParseURI(text)
			if err != nil {
				last = err
				continue
			}
			all = append(all, one)
		case account.QRMigration:
			part, err := account.ParseMigration(text)
			if err == nil {
				err = parts.Add(part)
			}
			if err != nil {
				last = err
			}
		default:
			advice = kind.Advice()
		}
	}
	if !parts.Empty() {
		more, skipped, err := parts.Take()
		if err != nil {
			wipeAccounts(all)
			return nil, asUsage(err)
		}
		all = append(all, more...)
		a.printSkipped(skipped)
	}
	switch {
	case len(all) > 0:
		return all, nil
	case last != nil:
		return nil, asUsage(last)
	case advice != "" && len(texts) > 0:
		return nil, usagef("%s", advice)
	}
	return nil, api.Errorf(api.CodeNotFound, "there is no QR code %s: show it whole and large, and try again, or paste its link or type the secret with fob accounts add", where)
}

// asUsage makes of a refusal of what was read one of what was given.
func asUsage(err error) error { return usagef("%s", err.Error()) }

func (a *app) printSkipped(skipped []account.Skipped) {
	for _, s := range skipped {
		fmt.Fprintf(a.stderr, "Left out: %s: %s\n", title(api.Account{Issuer: s.Issuer, Name: s.Name}), client.Show(s.Reason))
	}
}

// typedAccount asks for a link or a secret, and with a secret for the names.
func (a *app) typedAccount() ([]account.Account, error) {
	defer a.askedAll()
	text, err := a.ask("Paste the otpauth:// link, or type the secret that the site shows", false)
	if err != nil {
		return nil, noTerminal(err, "link", "give it on standard input with “-”, or take --image, --screen or --clipboard")
	}
	defer clear(text)
	if account.Recognise(text) != account.QROther || bytes.Contains(text, []byte("://")) {
		return a.readLinks([][]byte{text}, "here")
	}
	seed, err := provision.ParseShortSeed(text, provision.EncodingBase32, 5)
	if err != nil {
		return nil, asUsage(err)
	}
	one := account.Account{Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed}
	for _, q := range []struct {
		question string
		into     *string
	}{{"The site that it is for, as GitHub", &one.Issuer}, {"Your name there", &one.Name}} {
		line, err := a.ask(q.question, true)
		if err != nil {
			one.Wipe()
			return nil, err
		}
		*q.into = strings.TrimSpace(string(line))
	}
	return []account.Account{one}, nil
}

// chooseAccounts is those of several that are meant.
func (a *app) chooseAccounts(found []account.Account, w adding) ([]account.Account, error) {
	if w.all {
		return found, nil
	}
	chosen := found
	if w.account != "" {
		chosen = slices.DeleteFunc(slices.Clone(found), func(one account.Account) bool { return !hasWords(one, w.account) })
	}
	switch len(chosen) {
	case 1:
		return chosen, nil
	case 0:
		return nil, api.Errorf(api.CodeNotFound, "no account there has %q in its issuer or name: there are %s", client.Show(w.account), accountTitles(found))
	}
	return nil, usagef("there are several accounts: %s. Name one with --account, or take --all", accountTitles(chosen))
}

func hasWords(one account.Account, words string) bool {
	text := strings.ToLower(one.Issuer + " " + one.Name)
	for word := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func accountTitles(all []account.Account) string {
	var titles []string
	for _, one := range all {
		titles = append(titles, "“"+title(api.Account{Issuer: one.Issuer, Name: one.Name})+"”")
	}
	return strings.Join(titles, ", ")
}

// place is where an account goes.
type place struct{ id, name string }

func placeNames(places []place) (names []string) {
	for _, p := range places {
		names = append(names, p.name)
	}
	return names
}

// places finds where accounts go: to what was named, else onto the only card, else into the vault.
func (a *app) places(ctx context.Context, on []string) (*client.Client, []place, error) {
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	cards, err := c.Cards(ctx)
	if err != nil && !isCode(err, api.CodeNoCardService) { // without it there are none
		return nil, nil, err
	}
	vault := place{api.AccountVault, "the vault"}
	var all []named
	readers := map[string]string{}
	for _, card := range cards {
		if card.ID != "" {
			all = append(all, named{card.ID, card.Reader})
			readers[card.ID] = "the card in " + client.Show(card.Reader)
		}
	}
	if len(on) == 0 {
		if len(all) == 0 {
			return c, []place{vault}, nil
		}
		id, err := only("card", nil, all)
		if err != nil {
			return nil, nil, usagef("%s. Name it with --on, or say --on vault", err.Error())
		}
		return c, []place{{id, readers[id]}}, nil
	}
	var places []place
	for _, name := range on {
		if name == api.AccountVault {
			places = append(places, vault)
			continue
		}
		id, err := choose("card", "fob cards", name, all)
		if err != nil {
			return nil, nil, err
		}
		places = append(places, place{id, readers[id]})
	}
	return c, places, nil
}

// wireAccount is an account as it travels.
func wireAccount(one account.Account, touch bool, places []place) api.NewAccount {
	n := api.NewAccount{
		Issuer: one.Issuer, Name: one.Name, Kind: string(one.Kind), Algorithm: string(one.Algorithm), Digits: one.Digits,
		Period: one.Period, Counter: one.Counter, Touch: touch, Seed: one.Seed.Reveal(),
	}
	for _, p := range places {
		n.On = append(n.On, p.id)
	}
	return n
}

// firstCodes shows a new account's code, to be typed into the site, and at a terminal the next one.
func (a *app) firstCodes(cmd *cobra.Command, c *client.Client, id string) error {
	first, err := a.oneCode(cmd, c, api.Account{ID: id})
	if err != nil {
		return err
	}
	defer first.Code.Wipe()
	if a.json {
		return a.printJSON(first)
	}
	if err := a.printCodes(api.Accounts{Accounts: []api.Account{first}}, ""); err != nil {
		return err
	}
	if err := a.out.Flush(); err != nil {
		return err
	}
	if !haveTerminal() {
		return nil
	}
	defer a.askedAll()
	if _, err := a.ask("Type it into the site. Press Enter if the site asks for a second code, Ctrl-C if not", true); err != nil {
		return nil // there is nothing more to do
	}
	if err := a.waitFor(cmd.Context(), first.Until); err != nil {
		return err
	}
	second, err := a.oneCode(cmd, c, first)
	if err != nil {
		return err
	}
	defer second.Code.Wipe()
	return a.printCodes(api.Accounts{Accounts: []api.Account{second}}, "")
}

// waitFor shows that the next code is waited for, until then.
func (a *app) waitFor(ctx context.Context, until *time.Time) error {
	if until == nil {
		return nil
	}
	s := newScreen(a.stderr)
	defer s.clear()
	for time.Now().Before(*until) {
		s.progress("Waiting for the next code", *until)
		select {
		case <-ctx.Done():
			return errStopped
		case <-time.After(min(time.Second, time.Until(*until)+10*time.Millisecond)):
		}
	}
	return nil
}

// maxExport bounds an export of another program, in bytes.
const maxExport = 32 << 20

func (a *app) importAccountsCmd() *cobra.Command {
	var on []string
	var password string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the accounts of another authenticator app’s export",
		Long: `Add the accounts of an export of Aegis or 2FAS, plain or encrypted, or of a text
file with an otpauth:// link a line. They go where fob accounts add has them go.
What cannot be taken is left out and named; an account that is there already
stays as it is.`,
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
			all, skipped, err := a.readExport(args[0], password)
			if err != nil {
				return err
			}
			defer wipeAccounts(all)
			c, places, err := a.places(cmd.Context(), on)
			if err != nil {
				return err
			}
			return a.importAccounts(cmd.Context(), c, all, skipped, places)
		},
	}
	cmd.Flags().StringArrayVar(&on, "on", nil, "where they go: “vault”, or a `card` by its id or reader")
	cardPasswordFlag(cmd, &password)
	return cmd
}

func (a *app) importAccounts(ctx context.Context, c *client.Client, all []account.Account, skipped []account.Skipped, places []place) error {
	a.printSkipped(skipped)
	added := 0
	var failed error
	s := newScreen(a.stderr)
	for i, one := range all {
		s.progress(fmt.Sprintf("Adding account %d of %d", i+1, len(all)), time.Time{})
		_, err := c.AddAccount(ctx, wireAccount(one, false, places))
		refused, isRefusal := errors.AsType[*api.Error](err)
		switch {
		case err == nil:
			added++
		case isRefusal && (refused.Code == api.CodeAccountExists || refused.Code == api.CodeBadRequest):
			s.say("Left out: %s: %s", title(api.Account{Issuer: one.Issuer, Name: one.Name}), refused.Message)
		default:
			failed = fmt.Errorf("%s: %w", title(api.Account{Issuer: one.Issuer, Name: one.Name}), err)
		}
		if failed != nil {
			break
		}
	}
	s.clear()
	text := fmt.Sprintf("Added: %s, on %s.", plural(added, "account", "accounts"), strings.Join(placeNames(places), " and "))
	if err := a.said(text); err != nil {
		return err
	}
	return failed
}

// readExport reads another program's export, and asks for its password where it is encrypted.
func (a *app) readExport(path, password string) ([]account.Account, []account.Skipped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, usagef("cannot read %s: %v", client.Show(path), errors.Unwrap(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxExport+1))
	defer clear(data)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", client.Show(path), err)
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
		return nil, nil, usagef("%s is no export of Aegis or 2FAS, and no list of otpauth:// links", client.Show(path))
	}
	switch {
	case errors.Is(err, account.ErrPassword):
		return nil, nil, api.Errorf(api.CodeWrongSecret, "%s", err.Error())
	case errors.Is(err, provision.ErrFile):
		return nil, nil, asUsage(err)
	}
	return all, skipped, err
}
