package codes_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
	"github.com/fobproject/fob/internal/ykoath"
)

func TestACardsPassword(t *testing.T) {
	d := open(t)
	_, id := d.insert(reader.FirstPort, soft.Options{})
	d.add(totp("me"), id)
	word := func(s string) *secret.Secret { return secret.New([]byte(s)) }
	if err := d.SetCardPassword(t.Context(), card.ID(id), word("correct horse")); err != nil {
		t.Fatal(err)
	}
	if all := d.shown(); len(all) != 1 {
		t.Errorf("right after, it shows %v", all)
	}
	locked := func(when string) {
		t.Helper()
		d.again()
		l, err := d.Codes(t.Context(), "")
		if err != nil || len(l.Accounts) != 0 || len(l.Problems) != 1 || !errors.Is(l.Problems[0], ykoath.ErrLocked) {
			t.Errorf("%s: %+v, %v", when, l, err)
		}
	}
	locked("after a restart")
	if err := d.UnlockCard(t.Context(), card.ID(id), word("wrong"), true); !errors.Is(err, ykoath.ErrPassword) {
		t.Errorf("by a wrong password: %v", err)
	}
	if err := d.UnlockCard(t.Context(), card.ID(id), word("correct horse"), false); err != nil {
		t.Fatal(err)
	}
	if all := d.shown(); len(all) != 1 {
		t.Errorf("unlocked, it shows %v", all)
	}
	locked("unlocked for once, after a restart")
	if err := d.UnlockCard(t.Context(), card.ID(id), word("correct horse"), true); err != nil {
		t.Fatal(err)
	}
	d.again()
	if all := d.shown(); len(all) != 1 {
		t.Errorf("remembered, it shows %v", all)
	}
	if err := d.SetCardPassword(t.Context(), card.ID(id), word("another horse")); err != nil {
		t.Fatal(err)
	}
	d.again()
	if all := d.shown(); len(all) != 1 {
		t.Errorf("with another password, remembered as before, it shows %v", all)
	}
	d.vault.Lock()
	locked("with the vault sealed")
	if err := d.UnlockCard(t.Context(), card.ID(id), word("another horse"), true); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("to be remembered by a sealed vault: %v", err)
	}
	if err := d.vault.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.ForgetCard(t.Context(), card.ID(id)); err != nil {
		t.Fatal(err)
	}
	locked("forgotten")
	now, err := d.ResetCard(t.Context(), card.ID(id))
	if err != nil || string(now) == id {
		t.Fatalf("reset, it is %s, %v", now, err)
	}
	if all := d.shown(); len(all) != 0 {
		t.Errorf("reset, it shows %v", all)
	}
	if text := strings.Join(d.notes, "\n"); strings.Contains(text, "horse") {
		t.Errorf("noted was %s", text)
	}
}

// A card whose password the vault keeps is locked with the vault; one that was opened without it is not.
func TestACardThatTheVaultOpens(t *testing.T) {
	d := open(t)
	_, id := d.insert(reader.FirstPort, soft.Options{})
	d.add(totp("me"), id)
	word := func(s string) *secret.Secret { return secret.New([]byte(s)) }
	shows := func(when string, accounts int) {
		t.Helper()
		l, err := d.Codes(t.Context(), "")
		if err != nil || len(l.Accounts) != accounts || accounts == 0 && (len(l.Problems) != 1 || !errors.Is(l.Problems[0], ykoath.ErrLocked)) {
			t.Errorf("%s: %+v, %v", when, l, err)
		}
		for _, a := range l.Accounts {
			a.Code.Wipe()
		}
	}
	reopen := func() {
		t.Helper()
		if err := d.vault.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SetCardPassword(t.Context(), card.ID(id), word("correct horse")); err != nil {
		t.Fatal(err)
	}
	d.vault.Lock()
	shows("not remembered, and the vault locked", 1)
	reopen()
	if err := d.UnlockCard(t.Context(), card.ID(id), word("correct horse"), true); err != nil {
		t.Fatal(err)
	}
	shows("remembered", 1)
	d.vault.Lock()
	shows("remembered, and the vault locked", 0)
	if _, err := d.Add(t.Context(), totp("you"), []string{id}); !errors.Is(err, ykoath.ErrLocked) {
		t.Errorf("an account is added to it: %v", err)
	}
	if err := d.SetCardPassword(t.Context(), card.ID(id), word("another horse")); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("its password is changed: %v", err)
	}
	reopen()
	shows("and the vault open again", 1)
	if err := d.SetCardPassword(t.Context(), card.ID(id), word("another horse")); err != nil {
		t.Fatal(err)
	}
	shows("with another password", 1)
	d.vault.Lock()
	shows("with another password, and the vault locked", 0)
	if err := d.UnlockCard(t.Context(), card.ID(id), word("another horse"), false); err != nil {
		t.Fatal(err)
	}
	shows("opened without the vault", 1)
	if err := d.ForgetCard(t.Context(), card.ID(id)); err != nil {
		t.Fatal(err)
	}
	shows("forgotten", 0)
	reopen()
	shows("forgotten, and the vault open", 0)
}

// A card that is put into another reader is found there.
func TestACardThatMoves(t *testing.T) {
	d := open(t)
	path := filepath.Join(t.TempDir(), "card")
	c, err := soft.New(soft.Options{StateFile: path})
	if err != nil {
		t.Fatal(err)
	}
	pull, err := reader.Insert(c, reader.FirstPort)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.CardList(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	id := string(all[0].ID)
	pull()
	d.insert(reader.FirstPort, soft.Options{})
	if _, err := d.Add(t.Context(), totp("me"), []string{id}); !errors.Is(err, codes.ErrNoCard) {
		t.Errorf("onto a card whose place another has: %v", err)
	}
	if all := d.shown(); len(all) != 0 {
		t.Errorf("the other card has %v", all)
	}
	moved, err := soft.New(soft.Options{StateFile: path})
	if err != nil {
		t.Fatal(err)
	}
	pull, err = reader.Insert(moved, reader.SecondPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pull)
	d.add(totp("me"), id)
	if all := d.shown(); all[id+" me"] == "" {
		t.Errorf("in the other reader the card has %v", all)
	}
}

// An id that two cards have names neither.
func TestTwins(t *testing.T) {
	d := open(t)
	path := filepath.Join(t.TempDir(), "card")
	_, id := d.insert(reader.FirstPort, soft.Options{StateFile: path})
	d.add(totp("me"), id)
	account := d.find(id)
	d.insert(reader.SecondPort, soft.Options{StateFile: path})
	ctx := t.Context()
	if l, err := d.Codes(ctx, ""); err != nil || len(l.Accounts) != 2 {
		t.Errorf("the codes are %+v, %v", l, err)
	}
	_, addErr := d.Add(ctx, totp("you"), []string{id})
	_, renameErr := d.Rename(ctx, account, "Site", "you")
	_, codeErr := d.Code(ctx, account, nil)
	_, resetErr := d.ResetCard(ctx, card.ID(id))
	for what, err := range map[string]error{
		"add": addErr, "rename": renameErr, "code": codeErr, "reset": resetErr, "delete": d.Delete(ctx, account),
		"password": d.SetCardPassword(ctx, card.ID(id), secret.New([]byte("correct horse"))),
	} {
		if !errors.Is(err, codes.ErrTwins) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// One account's code, and an add onto named cards, wait for no other card.
func TestOnlyTheCardThatIsMeant(t *testing.T) {
	d := open(t)
	_, good := d.insert(reader.FirstPort, soft.Options{})
	id := d.add(totp("me"), good)[0]
	other, silent := d.insert(reader.SecondPort, soft.Options{})
	other.SetFault(soft.FaultMute, 0)
	quick := func(what string, do func() error) {
		t.Helper()
		start := time.Now()
		if err := do(); err != nil || time.Since(start) > time.Second {
			t.Errorf("%s, after %v: %v", what, time.Since(start), err)
		}
	}
	quick("a code", func() error {
		a, err := d.Code(t.Context(), id, nil)
		if err == nil && string(a.Code.Reveal()) != "94287082" {
			t.Errorf("the code is %q", a.Code.Reveal())
		}
		return err
	})
	quick("an add", func() error { _, err := d.Add(t.Context(), totp("you"), []string{good}); return err })
	quick("a pin", func() error { return d.Pin(t.Context(), id, true) })
	quick("a rename", func() error { _, err := d.Rename(t.Context(), id, "Site", "them"); return err })
	if _, err := d.Add(t.Context(), totp("you"), []string{silent}); !errors.Is(err, card.ErrMute) {
		t.Errorf("onto the silent card: %v", err)
	}
	quick("then another add", func() error { _, err := d.Add(t.Context(), totp("us"), []string{good}); return err })
	quick("a listing that knows who is silent", func() error { _, err := d.List(t.Context(), ""); return err })
}
