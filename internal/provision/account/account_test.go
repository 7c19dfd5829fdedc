package account_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
)

const (
	hello = "48656c6c6f21deadbeef"                     // JBSWY3DPEHPK3PXP, the Key URI Format's example
	rfc   = "3132333435363738393031323334353637383930" // GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ, RFC 4226's
)

// plain is an account with its seed in hexadecimal, to be compared and shown.
type plain struct {
	Issuer, Name   string
	Kind           provision.Kind
	Algorithm      provision.Algorithm
	Digits, Period int
	Counter        uint64
	Seed           string
}

func reveal(accounts ...account.Account) (all []plain) {
	for _, a := range accounts {
		all = append(all, plain{a.Issuer, a.Name, a.Kind, a.Algorithm, a.Digits, a.Period, a.Counter, hex.EncodeToString(a.Seed.Reveal())})
	}
	return all
}

func totp(issuer, name, seed string, change ...func(*plain)) plain {
	p := plain{Issuer: issuer, Name: name, Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed}
	for _, f := range change {
		f(&p)
	}
	return p
}

func hotp(issuer, name, seed string, counter uint64, change ...func(*plain)) plain {
	p := totp(issuer, name, seed, change...)
	p.Kind, p.Period, p.Counter = provision.HOTP, 0, counter
	return p
}

func codes(algorithm provision.Algorithm, digits, period int) func(*plain) {
	return func(p *plain) { p.Algorithm, p.Digits, p.Period = algorithm, digits, period }
}

// check fails unless accounts and skipped ones are as a reader promises.
func check(t *testing.T, accounts []account.Account, skipped []account.Skipped) {
	t.Helper()
	isShown := func(text string, most int) bool {
		return utf8.RuneCountInString(text) <= most && caller.Clean(text).String() == text
	}
	for _, a := range accounts {
		totp := a.Kind == provision.TOTP
		if !isShown(a.Issuer, 128) || !isShown(a.Name, 128) || a.Name == "" || strings.EqualFold(a.Issuer, "steam") ||
			!totp && a.Kind != provision.HOTP || a.Algorithm != provision.SHA1 && a.Algorithm != provision.SHA256 && a.Algorithm != provision.SHA512 ||
			a.Digits < 6 || a.Digits > 8 || totp && (a.Period < 1 || a.Period > 3600 || a.Counter != 0) || !totp && (a.Period != 0 || a.Counter > 1<<62) ||
			a.Seed.Len() < 5 || a.Seed.Len() > 128 {
			t.Errorf("took %+v with %d bytes", a, a.Seed.Len())
		}
		uri := a.URI()
		again, err := account.ParseURI(uri.Reveal())
		if err != nil {
			t.Fatalf("cannot read its own link %s: %v", uri.Reveal(), err)
		}
		if diff := cmp.Diff(reveal(a), reveal(again)); diff != "" {
			t.Errorf("the link %s reads as another account: %s", uri.Reveal(), diff)
		}
	}
	for _, s := range skipped {
		if !isShown(s.Issuer, 128) || !isShown(s.Name, 128) {
			t.Errorf("skipped %+v", s)
		}
		checkWords(t, s.Reason)
	}
}

// checkWords fails unless text is made to be read: one line, which says after a colon or a semicolon what to do.
func checkWords(t *testing.T, text string) {
	t.Helper()
	if len(text) > 300 || caller.Clean(text).String() != text && utf8.RuneCountInString(text) < caller.MaxText || !strings.Contains(text, ": ") {
		t.Errorf("says %q", text)
	}
}

func TestAWipedAccountHasNoSeed(t *testing.T) {
	a := parse(t, "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP")
	b := a.Seed.Reveal()
	a.Wipe()
	if a.Seed.Len() != 0 || !allZero(b) {
		t.Errorf("the seed is still there")
	}
}

func allZero(b []byte) bool { return strings.Trim(string(b), "\x00") == "" }

func parse(t *testing.T, uri string) account.Account {
	t.Helper()
	a, err := account.ParseURI([]byte(uri))
	if err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	return a
}
