package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
)

// maxLinks bounds in bytes what is read of links.
const maxLinks = 1 << 20

// readLinks reads what QR codes say. what is what each text was in, a QR code or a link, and where says, for people,
// where they were. What cannot be taken beside what can is said to be left out.
func (a *app) readLinks(texts [][]byte, what, where string) (all []account.Account, err error) {
	var parts account.Batches
	defer parts.Wipe()
	var bad []account.Skipped
	advice := ""
	for i, text := range texts {
		var err error
		switch kind := account.Recognise(text); kind {
		case account.QRAccount:
			var one account.Account
			if one, err = account.ParseURI(text); err == nil {
				all = append(all, one)
			}
		case account.QRMigration:
			var part account.Batch
			if part, err = account.ParseMigration(text); err == nil {
				err = parts.Add(part)
			}
		case account.QROther: // a screen may show anything
			advice = cmp.Or(advice, kind.Advice(what))
		default:
			advice = kind.Advice(what)
			err = errors.New(advice)
		}
		if err != nil {
			bad = append(bad, account.Skipped{Name: fmt.Sprintf("%s %d %s", what, i+1, where), Reason: err.Error()})
		}
	}
	if !parts.Empty() {
		more, skipped, err := parts.Take()
		if errors.Is(err, account.ErrParts) {
			err = fmt.Errorf("%w: %s: give all of its QR codes at once, with --image A --image B", account.ErrParts, parts.Progress())
		}
		if err != nil {
			wipeAccounts(all)
			return nil, asUsage(err)
		}
		all, bad = append(all, more...), append(bad, skipped...)
	}
	switch {
	case len(all) > 0:
		a.printSkipped(bad)
		return all, nil
	case len(bad) == 1:
		return nil, usagef("%s", bad[0].Reason)
	case len(bad) > 1:
		a.printSkipped(bad)
		return nil, usagef("there is no account %s that can be taken, for the reasons above", where)
	case advice != "":
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
		return a.readLinks([][]byte{text}, "link", "here")
	}
	one, err := secretAccount(text)
	if err != nil {
		return nil, err
	}
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

// secretAccount is an account of a secret as sites show it beside the QR code. It has no names yet.
func secretAccount(text []byte) (account.Account, error) {
	seed, err := provision.ParseShortSeed(text, provision.EncodingBase32, 5)
	if err != nil {
		why := strings.TrimPrefix(err.Error(), provision.ErrSeed.Error()+": ")
		return account.Account{}, usagef("this is no otpauth:// link, and no secret that can be read (%s): copy the link whole, or all letters and digits of the secret as the site shows it", why)
	}
	return account.Account{Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed}, nil
}
