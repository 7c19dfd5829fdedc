package codes_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
	"github.com/fobproject/fob/internal/ykoath"
)

func TestVaultAndTwoCards(t *testing.T) {
	d := open(t)
	_, one := d.insert(reader.FirstPort, soft.Options{})
	_, two := d.insert(reader.SecondPort, soft.Options{Version: [3]byte{1, 0, 0}})
	ids := d.add(totp("me"), one, codes.Vault, two)
	const want = "94287082" // RFC 6238, Appendix B
	all := d.shown()
	for _, where := range []string{one, two, codes.Vault} {
		if all[where+" me"] != want {
			t.Errorf("in %s the code is %q", where, all[where+" me"])
		}
	}
	for _, id := range ids {
		if a, err := d.Code(t.Context(), id, nil); err != nil || string(a.Code.Reveal()) != want || a.Title() != "Site: me" || a.Until.Unix() != 60 {
			t.Errorf("%s gives %+v, %v", id, a, err)
		}
	}
	if err := d.Pin(t.Context(), ids[1], true); err != nil {
		t.Fatal(err)
	}
	if l, err := d.List(t.Context(), "ME site"); err != nil || len(l.Accounts) != 3 || !l.Accounts[0].Pinned || l.Accounts[0].Code != nil {
		t.Errorf("listed are %+v, %v", l, err)
	}
	next, err := d.Rename(t.Context(), ids[0], "Site", "you")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rename(t.Context(), ids[1], "Site", "you"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Rename(t.Context(), ids[2], "Site", "you"); !errors.Is(err, ykoath.ErrTooOld) {
		t.Errorf("renamed on an old card: %v", err)
	}
	for _, id := range []string{next, ids[1], ids[2]} {
		if err := d.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
		if err := d.Delete(t.Context(), id); !errors.Is(err, account.ErrNotFound) && !errors.Is(err, ykoath.ErrNoAccount) {
			t.Errorf("deleted twice: %v", err)
		}
	}
	if all := d.shown(); len(all) != 0 {
		t.Errorf("left are %v", all)
	}
	if text := strings.Join(d.notes, "\n"); strings.Contains(text, want) || !strings.Contains(text, "added Site: me ("+one+", vault, "+two+")") {
		t.Errorf("noted was %s", text)
	}
}

// Everywhere or nowhere, whatever fails and wherever.
func TestAllOrNone(t *testing.T) {
	d := open(t)
	_, one := d.insert(reader.FirstPort, soft.Options{})
	bad, two := d.insert(reader.SecondPort, soft.Options{Slots: 1})
	d.add(totp("first"), two)
	if ids, err := d.Add(t.Context(), totp("me"), []string{one, codes.Vault, two}); !errors.Is(err, ykoath.ErrFull) || !strings.Contains(err.Error(), reader.Second) {
		t.Errorf("with a full card: %v, %v", ids, err)
	}
	d.Delete(t.Context(), d.find(two))
	for step := range 5 { // SELECT, CALCULATE ALL; SELECT, LIST, PUT: the card itself does not tell whether PUT was done
		for _, fault := range []soft.Fault{soft.Fault6F00, soft.FaultReset} {
			bad.SetFault(fault, step)
			ids, err := d.Add(t.Context(), totp("me"), []string{one, codes.Vault, two})
			bad.SetFault(soft.NoFault, 0)
			if fault == soft.FaultReset && err == nil { // SELECT came after it
				for _, id := range ids {
					d.Delete(t.Context(), id)
				}
			} else if err == nil {
				t.Errorf("with a card whose fault is %s at step %d: %v", fault, step, ids)
			}
			if all := d.shown(); len(all) != 0 {
				t.Errorf("after %s at step %d there are %v", fault, step, all)
			}
		}
	}
	d.full = true
	if _, err := d.Add(t.Context(), totp("me"), []string{one, two, codes.Vault}); !errors.Is(err, store.ErrFull) {
		t.Errorf("with a full disk: %v", err)
	}
	d.full = false
	if all := d.shown(); len(all) != 0 {
		t.Errorf("after a full disk there are %v", all)
	}
	d.vault.Lock()
	if _, err := d.Add(t.Context(), totp("me"), []string{one, codes.Vault}); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("with a sealed vault: %v", err)
	}
	if all := d.shown(); len(all) != 0 {
		t.Errorf("then there are %v", all)
	}
	for name, on := range map[string][]string{"nowhere": nil, "twice": {one, one}, "a reader's name": {reader.First}, "a card that is not there": {"0123456789abcdef"}} {
		if _, err := d.Add(t.Context(), totp("me"), on); !errors.Is(err, codes.ErrWhere) && !errors.Is(err, codes.ErrNoCard) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*codes.New){
		"no name":              func(n *codes.New) { n.Name = "" },
		"a control character":  func(n *codes.New) { n.Name = "a\x1b[2J" },
		"a bidi character":     func(n *codes.New) { n.Issuer = "a\u202eb" },
		"4 kB":                 func(n *codes.New) { n.Name = strings.Repeat("x", 4096) },
		"0 digits":             func(n *codes.New) { n.Digits = 0 },
		"99 digits":            func(n *codes.New) { n.Digits = 99 },
		"a bad period":         func(n *codes.New) { n.Period = -1 },
		"no secret":            func(n *codes.New) { n.Seed = nil },
		"a touch in the vault": func(n *codes.New) { n.Touch = true },
	} {
		n := totp("me")
		edit(&n)
		if ids, err := d.Add(t.Context(), n, []string{one, codes.Vault}); err == nil {
			t.Errorf("%s: %v", name, ids)
		}
	}
	if all := d.shown(); len(all) != 0 {
		t.Errorf("at the end there are %v", all)
	}
}

func TestTheVaultsCounter(t *testing.T) {
	d := open(t)
	n := totp("me")
	n.Kind, n.Period, n.Digits = oath.HOTP, 0, 6
	id := d.add(n, codes.Vault)[0]
	if all := d.shown(); all["vault me"] != "" {
		t.Errorf("listed with the code %s", all["vault me"])
	}
	for i, want := range []string{"755224", "287082", "359152"} {
		if a, err := d.Code(t.Context(), id, nil); err != nil || string(a.Code.Reveal()) != want {
			t.Errorf("code %d is %v, %v", i, a.Code, err)
		}
	}
	d.full = true
	if a, err := d.Code(t.Context(), id, nil); err == nil || a.Code.Len() > 0 {
		t.Errorf("a code that is not on disk: %v, %v", a, err)
	}
	d.full = false
	if a, err := d.Code(t.Context(), id, nil); err != nil || string(a.Code.Reveal()) != "969429" {
		t.Errorf("then %v, %v", a.Code, err)
	}
}

func TestASealedVault(t *testing.T) {
	d := open(t)
	id := d.add(totp("me"), codes.Vault)[0]
	d.vault.Lock()
	l, err := d.Codes(t.Context(), "")
	if err != nil || len(l.Accounts) != 1 || l.Accounts[0].Code != nil || len(l.Problems) != 1 || !errors.Is(l.Problems[0], vault.ErrSealed) {
		t.Errorf("the codes are %+v, %v", l, err)
	}
	if _, err := d.Code(t.Context(), id, nil); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("a code: %v", err)
	}
	if err := d.vault.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := d.shown(); all["vault me"] != "94287082" {
		t.Errorf("opened, it shows %v", all)
	}
}

// What is taken back is never an account that was there before.
func TestAnAccountThatWasThere(t *testing.T) {
	d := open(t)
	_, one := d.insert(reader.FirstPort, soft.Options{})
	d.add(totp("me"), one)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := d.Add(gone, totp("me"), []string{one}); err == nil {
		t.Error("added for a client that is gone")
	}
	if all := d.shown(); all[one+" me"] == "" {
		t.Errorf("then there are %v", all)
	}
}

// leaver is a Runner whose client leaves as soon as an operation of the name is done.
type leaver struct {
	card.Runner
	op    string
	leave func()
}

func (l *leaver) Run(ctx context.Context, c helper.Call, result any) error {
	err := l.Runner.Run(ctx, c, result)
	if c.Op == l.op {
		l.leave()
	}
	return err
}

// What was done on a card stands in the log, and is known, also where the client left meanwhile.
func TestAClientThatLeaves(t *testing.T) {
	d := open(t)
	_, id := d.insert(reader.FirstPort, soft.Options{})
	account := d.add(totp("me"), id)[0]
	path, _ := program()
	pool := helper.NewPool(helper.Options{Path: path})
	defer pool.Close()
	gone := func(op string) context.Context {
		ctx, leave := context.WithCancel(t.Context())
		d.cards = card.NewCards(&leaver{pool, op, leave})
		d.Cards = d.cards
		return ctx
	}
	if err := d.SetCardPassword(gone("card.password"), card.ID(id), secret.New([]byte("correct horse"))); err != nil {
		t.Errorf("password: %v", err)
	}
	if all := d.shown(); len(all) != 1 {
		t.Errorf("with a password it shows %v", all)
	}
	next, err := d.Rename(gone("card.rename"), account, "Site", "you")
	if err != nil {
		t.Errorf("rename: %v", err)
	}
	if err := d.Delete(gone("card.delete"), next); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := d.ResetCard(gone("card.reset"), card.ID(id)); err != nil {
		t.Errorf("reset: %v", err)
	}
	text := strings.Join(d.notes, "\n")
	for _, want := range []string{"set the password", "renamed Site: me to Site: you", "deleted Site: you", "reset the card"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not noted: %s", want, text)
		}
	}
}
