package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
)

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
		return account.Account{}, asUsage(err)
	}
	return account.Account{Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed}, nil
}
