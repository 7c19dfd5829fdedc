package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/store/storetest"
)

var params = oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30}

func TestAccounts(t *testing.T) {
	d := storetest.Open(t)
	update := func(do func(tx *store.Tx) error) error { return d.Update(t.Context(), do) }
	add := func(id, issuer, name string) error {
		return update(func(tx *store.Tx) error {
			return account.Add(tx, account.Account{ID: id, Issuer: issuer, Name: name, Params: params}, []byte("sealed "+id))
		})
	}
	for id, names := range map[string][2]string{"1": {"b", "x"}, "2": {"A", "y"}, "3": {"b", "a"}} {
		if err := add(id, names[0], names[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := add("4", "B", "X"); !errors.Is(err, account.ErrExists) {
		t.Errorf("the same name in capitals: %v", err)
	}
	list := func() string {
		var text []string
		err := d.View(func(tx *store.Tx) error {
			all, err := account.List(tx)
			for _, a := range all {
				text = append(text, a.ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(text, " ")
	}
	if got := list(); got != "2 3 1" {
		t.Errorf("listed as %s", got)
	}
	err := update(func(tx *store.Tx) error { _, err := account.Rename(tx, "1", "b", "A"); return err })
	if !errors.Is(err, account.ErrExists) {
		t.Errorf("renamed to another's name: %v", err)
	}
	if err := update(func(tx *store.Tx) error { _, err := account.Rename(tx, "1", "b", "X"); return err }); err != nil {
		t.Errorf("renamed to its own name in capitals: %v", err)
	}
	if err := update(func(tx *store.Tx) error { return account.Delete(tx, "1") }); err != nil {
		t.Fatal(err)
	}
	err = d.View(func(tx *store.Tx) error { _, err := account.Sealed(tx, "1"); return err })
	if !errors.Is(err, account.ErrNotFound) {
		t.Errorf("the seed of a deleted account: %v", err)
	}
	for _, id := range []string{"", "1", "9"} {
		for what, do := range map[string]func(tx *store.Tx) error{
			"get":    func(tx *store.Tx) error { _, err := account.Get(tx, id); return err },
			"rename": func(tx *store.Tx) error { _, err := account.Rename(tx, id, "", "z"); return err },
			"use":    func(tx *store.Tx) error { _, err := account.Use(tx, id); return err },
			"delete": func(tx *store.Tx) error { return account.Delete(tx, id) },
		} {
			if err := update(do); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("%s %q: %v", what, id, err)
			}
		}
	}
	d.Reopen()
	if got := list(); got != "2 3" {
		t.Errorf("after a restart listed as %s", got)
	}
}

func TestRoom(t *testing.T) {
	d := storetest.Open(t)
	err := d.Update(t.Context(), func(tx *store.Tx) error {
		for i := range account.Max + 1 {
			err := account.Add(tx, account.Account{ID: fmt.Sprint(i), Name: fmt.Sprint(i), Params: params}, []byte("x"))
			if i < account.Max && err != nil || i == account.Max && !errors.Is(err, account.ErrFull) {
				t.Fatalf("account %d: %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChecks(t *testing.T) {
	good := account.Account{ID: "1", Issuer: "Site", Name: "me", Params: params}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*account.Account){
		"no name":             func(a *account.Account) { a.Name = "" },
		"a long name":         func(a *account.Account) { a.Name = strings.Repeat("é", 65) },
		"a control character": func(a *account.Account) { a.Name = "a\nb" },
		"a bidi character":    func(a *account.Account) { a.Issuer = "a\u202eb" },
		"a counter of TOTP":   func(a *account.Account) { a.Counter = 1 },
		"no period":           func(a *account.Account) { a.Period = 0 },
		"five digits":         func(a *account.Account) { a.Digits = 5 },
		"another algorithm":   func(a *account.Account) { a.Algorithm = "MD5" },
	} {
		a := good
		edit(&a)
		if err := a.Check(); !errors.Is(err, account.ErrBadName) && !errors.Is(err, oath.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 6238, Appendix B, and RFC 4226, Appendix D.
func TestCodes(t *testing.T) {
	seed := secret.New([]byte("12345678901234567890"))
	a := account.Account{Params: oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 8, Period: 30}}
	for at, want := range map[int64]string{59: "94287082", 1111111109: "07081804", 20000000000: "65353130", -5: "84755224"} {
		if code, err := a.Code(seed, time.Unix(at, 0), 0); err != nil || string(code.Reveal()) != want {
			t.Errorf("at %d: %s, %v", at, code.Reveal(), err)
		}
	}
	a.Kind, a.Period, a.Digits = oath.HOTP, 0, 6
	for counter, want := range []string{"755224", "287082", "359152"} {
		if code, err := a.Code(seed, time.Unix(59, 0), uint64(counter)); err != nil || string(code.Reveal()) != want {
			t.Errorf("counter %d: %s, %v", counter, code.Reveal(), err)
		}
	}
}
