package codes_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/store"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
	"github.com/fobproject/fob/internal/ykoath"
)

// Only what is here can be pinned; what is pinned can be unpinned from afar.
func TestPins(t *testing.T) {
	d := open(t)
	c, err := soft.New(soft.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pull, err := reader.Insert(c, reader.FirstPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pull)
	all, err := d.CardList(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	on := string(all[0].ID)
	mine, other := d.add(totp("me"), on)[0], d.add(totp("you"), on)[0]
	vaults := d.add(totp("me"), codes.Vault)[0]
	for id, want := range map[string]error{
		on + "-bm9uZQ": ykoath.ErrNoAccount, "0123456789abcdef-bm9uZQ": codes.ErrNoCard, "nosuchone0": account.ErrNotFound, mine: nil, vaults: nil,
	} {
		for _, first := range []bool{false, true} {
			if err := d.Pin(t.Context(), id, first); !errors.Is(err, want) {
				t.Errorf("pin %s %t: %v", id, first, err)
			}
		}
	}
	pull()
	if err := d.Pin(t.Context(), other, true); !errors.Is(err, codes.ErrNoCard) {
		t.Errorf("pinned on a card that is away: %v", err)
	}
	if err := d.Pin(t.Context(), mine, false); err != nil {
		t.Errorf("unpinned on a card that is away: %v", err)
	}
	pins := store.NewBucket[struct{}]("account-pins")
	err = d.store.Update(t.Context(), func(tx *store.Tx) error {
		if has, err := pins.Has(tx, []byte(mine)); has || err != nil {
			t.Errorf("it is pinned: %t, %v", has, err)
		}
		for i := range 2*account.Max - 1 {
			if err := pins.Put(tx, fmt.Appendf(nil, "0123456789abcdef-%04d", i), struct{}{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id := d.add(totp("more"), codes.Vault)[0]
	if err := d.Pin(t.Context(), id, true); !errors.Is(err, codes.ErrPins) {
		t.Errorf("pinned beyond all bounds: %v", err)
	}
	if err := errors.Join(d.Pin(t.Context(), vaults, false), d.Pin(t.Context(), id, true)); err != nil {
		t.Errorf("when one was unpinned: %v", err)
	}
}

// What is looked for finds what it names best.
func TestSearch(t *testing.T) {
	d := open(t)
	_, one := d.insert(reader.FirstPort, soft.Options{})
	_, two := d.insert(reader.SecondPort, soft.Options{})
	add := func(issuer, name string, on ...string) []string {
		n := totp(name)
		n.Issuer = issuer
		return d.add(n, on...)
	}
	add("Site1", "me", codes.Vault)
	add("Site10", "me", one)
	add("Site2", "me", codes.Vault)
	id := add("Site2", "me too", one)[0]
	add("Co: Ltd", "a:b", codes.Vault)
	add("Acme", "site2", one)
	both := add("Both", "bob", codes.Vault, one, two)
	add("", "alone", codes.Vault)
	for query, want := range map[string]string{
		"Site1":                      "Site1: me",
		"site1 ME":                   "Site1: me",
		"Site1: me":                  "Site1: me",
		"me site1":                   "Site1: me",
		"Site10: me":                 "Site10: me",
		"ite1":                       "Site10: me, Site1: me",
		"Site":                       "Acme: site2, Site10: me, Site1: me, Site2: me, Site2: me too",
		"site2":                      "Site2: me, Site2: me too",
		"Site2: me":                  "Site2: me",
		"Site2: me too":              "Site2: me too",
		"too":                        "Site2: me too",
		id:                           "Site2: me too",
		"co: ltd: a:b":               "Co: Ltd: a:b",
		"alone":                      "alone",
		"nobody":                     "",
		"me nobody":                  "",
		"Both: bob":                  "Both: bob, Both: bob, Both: bob",
		both[2]:                      "Both: bob",
		"bob vault":                  "Both: bob",
		"both: bob " + reader.Second: "Both: bob",
		"bo " + two:                  "Both: bob",
		"site1 vault":                "Site1: me",
		"me " + reader.First:         "Site10: me",
		"vault":                      "",
		reader.First:                 "",
		"nobody " + reader.First:     "",
		"bob vault " + reader.First:  "",
	} {
		l, err := d.Codes(t.Context(), query)
		var got []string
		for _, a := range l.Accounts {
			got = append(got, a.Title())
		}
		if text := strings.Join(got, ", "); err != nil || text != want {
			t.Errorf("%q finds %s, %v", query, text, err)
		}
	}
	if text := strings.Join(d.notes, "\n"); !strings.Contains(text, "showed the code of Site1: me\n") {
		t.Errorf("noted was %s", text)
	}
}
