package codes_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

func TestMain(m *testing.M) { os.Exit(reader.Run(m.Run)) }

// program builds fob-helper once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fob-codes")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fob-helper")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/fob-helper").CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build fob-helper: %s", out)
	}
	return path, nil
})

// desk is a Book with a real database, vault, helper and pcscd, and what it noted in the log.
type desk struct {
	*codes.Book
	t     *testing.T
	vault *vault.Vault
	store *store.Store
	cards *card.Cards
	now   time.Time
	notes []string
	full  bool // the log cannot be written
}

// keeper keeps the vault's key in memory.
type keeper struct{ key []byte }

func (k *keeper) Type() vault.SlotType { return vault.TypeKeyFile }
func (k *keeper) Where() string        { return "memory" }
func (k *keeper) Get(context.Context) (*secret.Secret, error) {
	if k.key == nil {
		return nil, vault.ErrNoKey
	}
	return secret.New(slices.Clone(k.key)), nil
}
func (k *keeper) Put(_ context.Context, s *secret.Secret) error {
	k.key = slices.Clone(s.Reveal())
	return nil
}
func (k *keeper) Delete(context.Context) error { k.key = nil; return nil }

func open(t *testing.T) *desk {
	t.Helper()
	path, err := program()
	if err = errors.Join(err, reader.Available()); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	d := &desk{t: t, now: time.Unix(59, 0)}
	if d.store, err = store.Open(filepath.Join(t.TempDir(), "fob.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.store.Close() })
	if d.vault, err = vault.New(vault.Options{Store: d.store, Keepers: []vault.Keeper{&keeper{}}, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := d.vault.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool := helper.NewPool(helper.Options{Path: path})
	t.Cleanup(func() { _ = pool.Close() })
	d.cards = card.NewCards(pool)
	d.again()
	return d
}

// again makes the Book anew, as a restart of fobd does.
func (d *desk) again() {
	d.Book = codes.Open(codes.Config{
		Store: d.store, Vault: d.vault, Cards: d.cards, Rand: rand.Reader, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return d.now },
		Note: func(_ *store.Tx, kind, reason string) error {
			if d.full {
				return store.ErrFull
			}
			d.notes = append(d.notes, kind+": "+reason)
			return nil
		},
	})
}

// insert puts a new card into a reader, and gives its id.
func (d *desk) insert(port int, o soft.Options) (*soft.Card, string) {
	d.t.Helper()
	c, err := soft.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	pull, err := reader.Insert(c, port)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(pull)
	all, err := d.CardList(d.t.Context())
	if err != nil || len(all) == 0 {
		d.t.Fatalf("the cards are %+v, %v", all, err)
	}
	return c, string(all[port-reader.FirstPort].ID)
}

func totp(name string) codes.New {
	return codes.New{
		Issuer: "Site", Name: name, Params: oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 8, Period: 30},
		Seed: secret.New([]byte("12345678901234567890")),
	}
}

func (d *desk) add(n codes.New, on ...string) []string {
	d.t.Helper()
	ids, err := d.Add(d.t.Context(), n, on)
	if err != nil || len(ids) != len(on) {
		d.t.Fatalf("%v, %v", ids, err)
	}
	return ids
}

// shown gives all codes by place and name.
func (d *desk) shown() map[string]string {
	d.t.Helper()
	l, err := d.Codes(d.t.Context(), "")
	if err != nil || len(l.Problems) > 0 {
		d.t.Fatalf("%v, %v", l.Problems, err)
	}
	all := map[string]string{}
	for _, a := range l.Accounts {
		all[a.Where+" "+a.Name] = string(a.Code.Reveal())
	}
	return all
}

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

// find gives the id of the only account in a place.
func (d *desk) find(where string) string {
	d.t.Helper()
	l, err := d.List(d.t.Context(), "")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, a := range l.Accounts {
		if a.Where == where {
			return a.ID
		}
	}
	d.t.Fatalf("in %s there is no account", where)
	return ""
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
