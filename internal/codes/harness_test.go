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
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
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
