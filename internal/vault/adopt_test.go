package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

func TestAdopt(t *testing.T) {
	// restore carries all of from's vault over, as a backup does, and then adopts its data key.
	restore := func(from, to *rig, data []byte) (*vault.Change, error) {
		c, err := to.PrepareAdopt(to.t.Context(), word(string(data)))
		if err != nil {
			return nil, err
		}
		copied := func(tx *store.Tx) error {
			for _, b := range []store.Bucket[json.RawMessage]{vault.Bucket, vault.Headers} {
				err := from.store.View(func(old *store.Tx) error {
					for item, err := range b.All(old, nil) {
						if err := errors.Join(err, b.Put(tx, item.Key, item.Value)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return c.Apply(tx)
		}
		err = to.store.Update(to.t.Context(), copied)
		c.Done(to.t.Context(), err == nil)
		return c, err
	}
	for _, tt := range []struct {
		name   string
		before func(*rig)
	}{
		{"where there was no vault", func(*rig) {}},
		{"where another vault was open", func(r *rig) {
			if err := r.Open(r.t.Context()); err != nil {
				r.t.Fatal(err)
			}
			r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		}},
		{"where another vault is sealed", func(r *rig) {
			if err := r.again(r.service).Open(r.t.Context()); err != nil {
				r.t.Fatal(err)
			}
		}},
	} {
		t.Run("takes a backup's key, with the slots that are a person's, "+tt.name, func(t *testing.T) {
			from, to := opened(t), newRig(t)
			_, recovery := from.add(vault.SlotSpec{Type: vault.TypeRecovery})
			from.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word("the old machine's")})
			from.add(vault.SlotSpec{Type: vault.TypeKeyFile})
			tap, _ := from.add(tapSpec(9))
			tt.before(to)
			stale, _ := to.Sealer("test")
			data := dataKey(t, from.Vault)
			if _, err := restore(from, to, data); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(dataKey(t, to.Vault), data) {
				t.Error("the vault is open with another key")
			}
			if stale != nil {
				if _, err := stale.Seal(nil, nil); !errors.Is(err, vault.ErrSealed) {
					t.Errorf("a Sealer from before gives %v", err)
				}
			}
			var types []string
			for _, s := range to.status(to.Vault).Slots {
				types = append(types, string(s.Type))
				if s.Damaged {
					t.Errorf("%+v is damaged", s)
				}
			}
			if got := strings.Join(types, " "); got != "recovery passphrase security-key secret-service" {
				t.Errorf("there are %s", got)
			}
			again := to.again(to.service, to.file)
			if err := again.Open(t.Context()); err != nil || !bytes.Equal(dataKey(t, again), data) {
				t.Errorf("it does not open by itself: %v", err)
			}
			if err := openByTap(t, to.again(), tap, tapped(9)); err != nil {
				t.Errorf("the security key: %v", err)
			}
			for _, typed := range []string{string(recovery.Reveal()), "the old machine's"} {
				if err := to.again().Unlock(t.Context(), word(typed)); err != nil {
					t.Error(err)
				}
			}
			if err := to.again().Unlock(t.Context(), word(passphrase)); !errors.Is(err, vault.ErrWrongSecret) {
				t.Errorf("the passphrase of the vault before gives %v", err)
			}
		})
	}
	t.Run("changes nothing where it is not committed", func(t *testing.T) {
		from, to := opened(t), opened(t)
		before := dataKey(t, to.Vault)
		c, err := to.PrepareAdopt(t.Context(), word(string(dataKey(t, from.Vault))))
		if err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), false)
		if err := to.again(to.service).Open(t.Context()); err != nil || !bytes.Equal(dataKey(t, to.Vault), before) {
			t.Errorf("%v, or the key is another", err)
		}
		fresh := newRig(t)
		if c, err = fresh.PrepareAdopt(t.Context(), word(string(before))); err != nil || fresh.service.holds() == nil {
			t.Fatalf("%v, or no key", err)
		}
		if err := fresh.Open(t.Context()); !errors.Is(err, vault.ErrConflict) {
			t.Errorf("a vault is made beside it: %v", err)
		}
		c.Done(t.Context(), false)
		if fresh.service.holds() != nil {
			t.Error("a key that nothing uses stays")
		}
	})
	t.Run("is locked, and opens as the database says, where nobody knows whether it is committed", func(t *testing.T) {
		from, to := opened(t), opened(t)
		data := dataKey(t, from.Vault)
		c, err := to.PrepareAdopt(t.Context(), word(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		if err := to.store.Update(t.Context(), c.Apply); err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), false)
		if _, err := to.DataKey(); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("it is open: %v", err)
		}
		if err := to.Open(t.Context()); err != nil || !bytes.Equal(dataKey(t, to.Vault), data) {
			t.Errorf("%v, or the key is another", err)
		}
	})
	t.Run("makes changes that were under way fail", func(t *testing.T) {
		from, to := opened(t), opened(t)
		c, err := to.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeRecovery})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restore(from, to, dataKey(t, from.Vault)); err != nil {
			t.Fatal(err)
		}
		if err := to.commit(c); !errors.Is(err, vault.ErrConflict) {
			t.Error(err)
		}
	})
	t.Run("refuses a key of another length, and fails where no keeper takes one", func(t *testing.T) {
		r := newRig(t)
		if _, err := r.PrepareAdopt(t.Context(), word("short")); err == nil {
			t.Error("accepted")
		}
		r.service.away, r.file.away = vault.ErrKeeperAway, vault.ErrKeeperAway
		if _, err := r.PrepareAdopt(t.Context(), word(strings.Repeat("x", 32))); !errors.Is(err, vault.ErrKeeperAway) {
			t.Error(err)
		}
	})
}
