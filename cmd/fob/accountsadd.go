package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
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
that the site shows beside it. With “-” the link is read from standard input, or
the secret, whose names --issuer and --name then say.

The account goes onto the card that is in a reader, or into the vault where
there is none; --on says otherwise, and may stand more than once: with a second
card as a backup, both get it or none. A QR code of Google Authenticator
(“Transfer accounts”) holds several: name the one with --account, or take --all;
at a terminal you are asked which one.
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
	a.onFlag(cmd, &w.on, "it goes")
	return cmd
}

func (a *app) addAccounts(cmd *cobra.Command, w adding, stdin bool) error {
	if count(len(w.images) > 0, w.screen, w.copied, stdin) > 1 {
		return usagef("take one of -, --image, --screen and --clipboard")
	}
	if w.all && (w.account != "" || w.name != "" || w.issuer != "") {
		return usagef("--all takes several accounts as they are: leave out --account, --name and --issuer")
	}
	c, places, err := a.places(cmd.Context(), w.on)
	if err != nil {
		return err
	}
	if w.touch && slices.Contains(places, vaultPlace) {
		return usagef("a key or card can want a touch at each code, the vault cannot: leave out --touch, or name a card alone with --on")
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
	if len(chosen) > 1 {
		return a.addSeveral(cmd.Context(), c, chosen, nil, places, w.touch)
	}
	one := chosen[0]
	one.Issuer, one.Name = cmp.Or(w.issuer, one.Issuer), cmp.Or(w.name, one.Name)
	if fault := nameFault(one, places); fault != "" {
		return usagef("this account cannot be added so: %s", fault)
	}
	ids, err := c.AddAccount(cmd.Context(), wireAccount(one, w.touch, places))
	if refused, ok := errors.AsType[*api.Error](err); ok && refused.Code == api.CodeAccountExists {
		return api.Errorf(refused.Code, "%s: %s. Give this one another name with --name NAME, or delete the other first: fob accounts delete %q", shortTitle(one), client.Show(refused.Message), words(one.Issuer, one.Name))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Added: %s, on %s.\n", shortTitle(one), strings.Join(placeNames(places), " and "))
	a.warnCounting(chosen, places)
	return a.firstCodes(cmd, c, api.Account{ID: ids[0], Issuer: one.Issuer, Name: one.Name})
}

// shortTitle is what an account is called in a sentence, cut where a link has it say more than a name.
func shortTitle(one account.Account) string {
	return fit(title(api.Account{Issuer: one.Issuer, Name: one.Name}), 2*maxAccountText)
}

// words are an account's issuer and name as commands find it.
func words(issuer, name string) string { return client.Show(issuer + " " + name) }

// What the vault takes of an account's issuer and name each, in characters, and a card of both, in bytes.
const (
	maxAccountText = 64
	maxCardText    = 64
)

// nameFault says why an account cannot be called so there, and what to do, or nothing.
func nameFault(one account.Account, places []place) string {
	id := one.Name
	if one.Issuer != "" {
		id = one.Issuer + ":" + one.Name
	}
	switch issuer, name := utf8.RuneCountInString(one.Issuer), utf8.RuneCountInString(one.Name); {
	case name == 0:
		return "it has no name: give it one with --name NAME"
	case issuer > maxAccountText:
		return fmt.Sprintf("its issuer has %d characters, and %d are the most: give it a shorter one with --issuer SITE", issuer, maxAccountText)
	case name > maxAccountText:
		return fmt.Sprintf("its name has %d characters, and %d are the most: give it a shorter one with --name NAME", name, maxAccountText)
	case len(id) > maxCardText && slices.ContainsFunc(places, func(p place) bool { return p != vaultPlace }):
		return fmt.Sprintf("its issuer and name are too long for a card, by %d: give it shorter ones with --issuer SITE and --name NAME", len(id)-maxCardText)
	}
	return ""
}

// warnCounting says what comes of an account that counts and is in more than one place.
func (a *app) warnCounting(all []account.Account, places []place) {
	if len(places) > 1 && slices.ContainsFunc(all, func(one account.Account) bool { return one.Kind == provision.HOTP }) {
		fmt.Fprintln(a.stderr, "HOTP codes are counted, and each place counts by itself: a site that took a code of one refuses those of the other that come before it. Use one, and keep the other for the day on which that is lost.")
	}
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
		among := "in the picture"
		if len(w.images) > 1 {
			among = "in the pictures"
		}
		for _, path := range w.images {
			texts, err := readPicture(ctx, path)
			if err != nil {
				return nil, err
			}
			all = append(all, texts...)
		}
		return a.readLinks(all, "QR code", among)
	case w.screen:
		texts, err := readScreen(ctx)
		if err != nil {
			return nil, err
		}
		return a.readLinks(texts, "QR code", "on the screen")
	case w.copied:
		texts, err := readClipboard(ctx)
		if err != nil {
			return nil, err
		}
		return a.readLinks(texts, "QR code or link", "in the clipboard")
	case stdin:
		text, err := io.ReadAll(io.LimitReader(a.stdin, maxLinks))
		defer clear(text)
		if err != nil {
			return nil, fmt.Errorf("cannot read standard input: %w", err)
		}
		switch text := bytes.TrimSpace(text); {
		case len(text) == 0:
			return nil, usagef("there is nothing on standard input: give the otpauth:// link there, or the secret that the site shows")
		case bytes.Contains(text, []byte("://")):
			return a.readLinks(bytes.Fields(text), "link", "on standard input")
		default:
			one, err := secretAccount(text)
			if err == nil && w.issuer == "" && w.name == "" {
				one.Wipe()
				err = usagef("there is a secret on standard input, and no link: say whose it is, with --issuer SITE --name NAME")
			}
			return []account.Account{one}, err
		}
	}
	return a.typedAccount()
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
	if haveTerminal() {
		return a.askWhich(chosen)
	}
	return nil, usagef("there are several accounts: %s. Name one with --account, or take --all", accountTitles(chosen))
}

// askWhich asks for one of several accounts.
func (a *app) askWhich(all []account.Account) ([]account.Account, error) {
	defer a.askedAll()
	fmt.Fprintln(a.stderr, "There are several accounts; --all takes all of them:")
	for i, one := range all {
		fmt.Fprintf(a.stderr, "%4d  %s\n", i+1, shortTitle(one))
	}
	for {
		line, err := a.ask("Which one? Type its number, or words of its name", true)
		if err != nil {
			return nil, err
		}
		text := string(bytes.TrimSpace(line))
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(all) {
			return all[n-1 : n], nil
		}
		chosen := slices.DeleteFunc(slices.Clone(all), func(one account.Account) bool { return !hasWords(one, text) })
		switch {
		case len(chosen) == 1:
			return chosen, nil
		case text == "":
			a.tty.say("Nothing was typed. Ctrl-C stops.")
		case len(chosen) == 0:
			a.tty.say("None of them is called so. Ctrl-C stops.")
		default:
			a.tty.say("That can be more than one of them. Ctrl-C stops.")
		}
	}
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
func (a *app) firstCodes(cmd *cobra.Command, c *client.Client, one api.Account) error {
	first, err := a.oneCode(cmd, c, one)
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return api.Errorf(refused.Code, "%s. The account is there all the same: its codes come with fob codes %q", client.Show(refused.Message), words(one.Issuer, one.Name))
	}
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
