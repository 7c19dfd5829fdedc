package token_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func totp(serial string) token.Token {
	return token.Token{Serial: serial, Params: oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30}}
}

// in runs fn in a transaction of its own.
func in(t *testing.T, s *store.Store, want error, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func TestRegistry(t *testing.T) {
	alice, bob := token.Owner{UID: 1000, User: "alice"}, token.Owner{UID: 1001, User: "bob"}
	s := open(t)
	in(t, s, nil, func(tx *store.Tx) error {
		return token.Add(tx, &token.New{Token: totp("GALT-1"), Sealed: []byte("sealed")})
	})

	t.Run("never overwrites a serial number, whatever its case", func(t *testing.T) {
		for _, serial := range []string{"GALT-1", "galt-1"} {
			in(t, s, token.ErrExists, func(tx *store.Tx) error {
				return token.Add(tx, &token.New{Token: totp(serial), Sealed: []byte("other")})
			})
		}
		in(t, s, nil, func(tx *store.Tx) error {
			sealed, err := token.SealedSeed(tx, "Galt-1")
			if string(sealed) != "sealed" {
				t.Errorf("the seed is %q", sealed)
			}
			return err
		})
	})
	t.Run("belongs to one user at a time", func(t *testing.T) {
		in(t, s, nil, func(tx *store.Tx) error { _, err := token.Assign(tx, "GALT-1", alice); return err })
		in(t, s, token.ErrAssigned, func(tx *store.Tx) error {
			_, err := token.Assign(tx, "GALT-1", bob)
			if want := "this token belongs to another user, alice: take it from them first with “fob tokens unassign GALT-1”"; err == nil || err.Error() != want {
				t.Errorf("it says %v", err)
			}
			return err
		})
		in(t, s, nil, func(tx *store.Tx) error { _, err := token.Assign(tx, "GALT-1", alice); return err })
	})
	t.Run("is activated by its own user alone, and once", func(t *testing.T) {
		in(t, s, token.ErrNotFound, func(tx *store.Tx) error { _, err := token.Activate(tx, "GALT-1", bob.UID, "m1"); return err })
		in(t, s, nil, func(tx *store.Tx) error { _, err := token.Activate(tx, "GALT-1", alice.UID, "m1"); return err })
		in(t, s, token.ErrActive, func(tx *store.Tx) error { _, err := token.Activate(tx, "GALT-1", alice.UID, "m2"); return err })
	})
	t.Run("stays its user's while it is a method", func(t *testing.T) {
		in(t, s, token.ErrActive, func(tx *store.Tx) error { _, err := token.Unassign(tx, "GALT-1"); return err })
	})
	t.Run("does not go back", func(t *testing.T) {
		advance := func(next uint64) error {
			return s.Update(t.Context(), func(tx *store.Tx) error {
				k, err := token.Get(tx, "GALT-1")
				if err != nil {
					return err
				}
				return token.Advance(tx, k, oath.State{Next: next})
			})
		}
		if err := advance(7); err != nil {
			t.Fatal(err)
		}
		if err := advance(6); err == nil {
			t.Error("a token was set back")
		}
	})
	t.Run("keeps what was used when it changes hands", func(t *testing.T) {
		in(t, s, nil, func(tx *store.Tx) error {
			if _, err := token.Deactivate(tx, "GALT-1"); err != nil {
				return err
			}
			if _, err := token.Unassign(tx, "GALT-1"); err != nil {
				return err
			}
			if _, err := token.Assign(tx, "GALT-1", bob); err != nil {
				return err
			}
			k, err := token.Get(tx, "GALT-1")
			if k.State.Next != 7 {
				t.Errorf("the state is %+v", k.State)
			}
			return err
		})
	})
	t.Run("is of no use while it is disabled", func(t *testing.T) {
		in(t, s, nil, func(tx *store.Tx) error { _, err := token.SetDisabled(tx, "GALT-1", true); return err })
		in(t, s, token.ErrDisabled, func(tx *store.Tx) error { _, err := token.Activate(tx, "GALT-1", bob.UID, "m3"); return err })
		in(t, s, token.ErrDisabled, func(tx *store.Tx) error { _, err := token.Assign(tx, "GALT-1", bob); return err })
		in(t, s, nil, func(tx *store.Tx) error { _, err := token.SetDisabled(tx, "GALT-1", false); return err })
	})
	t.Run("says that there is none", func(t *testing.T) {
		for _, serial := range []string{"", "GALT-2"} {
			in(t, s, token.ErrNotFound, func(tx *store.Tx) error { _, err := token.Rename(tx, serial, "x"); return err })
		}
	})
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*token.Token){
		"no serial number":              func(k *token.Token) { k.Serial = "" },
		"a serial number of 65 letters": func(k *token.Token) { k.Serial = strings.Repeat("x", 65) },
		"spaces around it":              func(k *token.Token) { k.Serial = " 1" },
		"a control character":           func(k *token.Token) { k.Serial = "a\x1bb" },
		"a bidirectional mark":          func(k *token.Token) { k.Serial = "a\u202eb" },
		"a long name":                   func(k *token.Token) { k.Name = strings.Repeat("x", 65) },
		"a line break in the model":     func(k *token.Token) { k.Model = "a\nb" },
		"99 digits":                     func(k *token.Token) { k.Digits = 99 },
	} {
		k := totp("1")
		change(&k)
		if k.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := totp("№ 1 äöü").Check(); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	s := open(t)
	in(t, s, nil, func(tx *store.Tx) error {
		for n := range 25 {
			k := totp(fmt.Sprintf("T%02d", n))
			if n%2 == 0 {
				k.Owner = &token.Owner{UID: 1000, User: "alice"}
			}
			if err := token.Add(tx, &token.New{Token: k, Sealed: []byte{1}}); err != nil {
				return err
			}
		}
		return nil
	})
	walk := func(q token.Query) (serials []string) {
		for more := true; more; {
			in(t, s, nil, func(tx *store.Tx) (err error) {
				var found []token.Token
				found, more, err = token.List(tx, q)
				for _, k := range found {
					serials = append(serials, k.Serial)
				}
				return err
			})
			q.After = serials[len(serials)-1]
		}
		return serials
	}
	if got := walk(token.Query{Limit: 10}); len(got) != 25 || got[0] != "T00" || got[24] != "T24" {
		t.Errorf("all: %v", got)
	}
	uid := uint32(1000)
	if got := walk(token.Query{Limit: 5, UID: &uid}); len(got) != 13 || got[12] != "T24" {
		t.Errorf("alice's: %v", got)
	}
	in(t, s, nil, func(tx *store.Tx) error {
		n, err := token.Count(tx)
		if n != 25 {
			t.Errorf("there are %d", n)
		}
		return err
	})
}
