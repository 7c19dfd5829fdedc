package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fobproject/fob/internal/vault"
)

func TestChange(t *testing.T) {
	for _, kind := range []vault.SlotType{vault.TypePassphrase, vault.TypeRecovery} {
		t.Run("replaces what opens a slot of type "+string(kind)+", and the old works until then", func(t *testing.T) {
			r := opened(t)
			id, old := r.add(vault.SlotSpec{Type: kind, Name: "Mine", Passphrase: word(passphrase)})
			opens := func() error { return r.again().Unlock(t.Context(), old) }
			c, err := r.PrepareChange(t.Context(), id, word("another "+passphrase))
			if err != nil {
				t.Fatal(err)
			}
			if err := opens(); err != nil {
				t.Errorf("before the commit, the old one gives %v", err)
			}
			if err := r.commit(c); err != nil {
				t.Fatal(err)
			}
			next := c.Recovery()
			if next == nil {
				next = word("another " + passphrase)
			}
			if err := opens(); !errors.Is(err, vault.ErrWrongSecret) {
				t.Errorf("after the commit, the old one gives %v", err)
			}
			if err := r.again().Unlock(t.Context(), next); err != nil {
				t.Errorf("after the commit, the new one gives %v", err)
			}
			slot := r.status(r.Vault).Slots[1]
			if slot.ID != id || slot.Name != "Mine" || slot.Changed.IsZero() || slot.Changed.Before(slot.Added) || slot.Damaged {
				t.Errorf("the slot is %+v", slot)
			}
		})
	}
	t.Run("refuses what it cannot change", func(t *testing.T) {
		r := opened(t)
		id, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		for _, tt := range []struct {
			id, passphrase string
			want           error
		}{
			{"0000000000", passphrase, vault.ErrNotFound},
			{"", passphrase, vault.ErrNotFound},
			{r.idOf(vault.TypeSecretService), passphrase, vault.ErrAutomatic},
			{id, "short", vault.ErrWeak},
		} {
			if _, err := r.PrepareChange(t.Context(), tt.id, word(tt.passphrase)); !errors.Is(err, tt.want) {
				t.Errorf("%q, %q gives %v", tt.id, tt.passphrase, err)
			}
		}
		if _, err := r.again().PrepareChange(t.Context(), id, word(passphrase)); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("sealed: %v", err)
		}
	})
	t.Run("notices that another change came in between", func(t *testing.T) {
		r := opened(t)
		id, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		var changes []*vault.Change
		for i := range 3 {
			c, err := r.PrepareChange(t.Context(), id, word(fmt.Sprint(passphrase, i)))
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, c)
		}
		gone, err := r.PrepareRemove(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.commit(changes[0]); err != nil {
			t.Error(err)
		}
		if err := errors.Join(r.commit(changes[1]), nil); !errors.Is(err, vault.ErrConflict) {
			t.Error(err)
		}
		if err := r.commit(gone); !errors.Is(err, vault.ErrConflict) {
			t.Error(err)
		}
		r.spoil(id, nil)
		if err := r.commit(changes[2]); !errors.Is(err, vault.ErrNotFound) {
			t.Error(err)
		}
	})
}
