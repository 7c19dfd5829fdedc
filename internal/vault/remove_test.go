package vault_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/vault"
)

func TestRemove(t *testing.T) {
	remove := func(r *rig, id string) error {
		c, err := r.PrepareRemove(r.t.Context(), id)
		if err != nil {
			return err
		}
		return r.commit(c)
	}
	t.Run("removes a slot, and its key from its keeper once that is committed", func(t *testing.T) {
		r := opened(t)
		_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		c, err := r.PrepareRemove(t.Context(), r.idOf(vault.TypeSecretService))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Update(t.Context(), c.Apply); err != nil {
			t.Fatal(err)
		}
		if r.service.holds() == nil {
			t.Error("the key is gone before Done")
		}
		c.Done(t.Context(), true)
		if r.service.holds() != nil {
			t.Error("the key stays")
		}
		if err := r.again(r.service).Unlock(t.Context(), recovery); err != nil {
			t.Error(err)
		}
	})
	t.Run("keeps the key where it is not committed", func(t *testing.T) {
		r := opened(t)
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		c, err := r.PrepareRemove(t.Context(), r.idOf(vault.TypeSecretService))
		if err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), false)
		if err := r.again(r.service).Open(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("never removes the last slot, whoever else removes one meanwhile", func(t *testing.T) {
		r := opened(t)
		id, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		var wg sync.WaitGroup
		errs := make(chan error, 2)
		for _, id := range []string{id, r.idOf(vault.TypeSecretService)} {
			wg.Go(func() { errs <- remove(r, id) })
		}
		wg.Wait()
		first, second := <-errs, <-errs
		if first != nil {
			first, second = second, first
		}
		if first != nil || !errors.Is(second, vault.ErrLastSlot) {
			t.Errorf("%v, %v", first, second)
		}
		slots := r.status(r.Vault).Slots
		if len(slots) != 1 {
			t.Fatalf("there are %d slots", len(slots))
		}
		if err := remove(r, slots[0].ID); !errors.Is(err, vault.ErrLastSlot) {
			t.Error(err)
		}
		if v := r.again(r.service); v.Open(t.Context()) != nil && v.Unlock(t.Context(), recovery) != nil {
			t.Error("nothing opens the vault")
		}
	})
	for _, tt := range []struct {
		name  string
		spoil func(k *keeper)
	}{
		{"whose key is gone", func(k *keeper) { k.key = nil }},
		{"whose key is another", func(k *keeper) { k.key[0] ^= 1 }},
		{"that cannot be asked", func(k *keeper) { k.away = vault.ErrKeeperAway }},
	} {
		t.Run("does not count on an automatic slot "+tt.name, func(t *testing.T) {
			r := opened(t)
			id, _ := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
			tt.spoil(r.service)
			if err := remove(r, id); !errors.Is(err, vault.ErrLastSlot) {
				t.Error(err)
			}
			other, _ := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
			if err := remove(r, id); err != nil {
				t.Error(err)
			}
			if err := remove(r, other); !errors.Is(err, vault.ErrLastSlot) {
				t.Error(err)
			}
		})
	}
	t.Run("does not count on a slot that holds another data key", func(t *testing.T) {
		r, other := opened(t), opened(t)
		id, _ := other.add(vault.SlotSpec{Type: vault.TypeRecovery})
		r.spoil(id, other.raw(id))
		if err := remove(r, r.idOf(vault.TypeSecretService)); !errors.Is(err, vault.ErrLastSlot) {
			t.Error(err)
		}
	})
	t.Run("notices that what it counted on has changed", func(t *testing.T) {
		r := opened(t)
		one, _ := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		two, _ := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		c, err := r.PrepareRemove(t.Context(), one) // it counts on two, and asks no keeper
		if err != nil {
			t.Fatal(err)
		}
		if err := remove(r, two); err != nil {
			t.Fatal(err)
		}
		if err := r.commit(c); !errors.Is(err, vault.ErrConflict) {
			t.Error(err)
		}
	})
	t.Run("fails where there is no such slot, or the vault is sealed", func(t *testing.T) {
		r := opened(t)
		for _, id := range []string{"", "0000000000", "vault"} {
			if _, err := r.PrepareRemove(t.Context(), id); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if _, err := r.again().PrepareRemove(t.Context(), r.idOf(vault.TypeSecretService)); !errors.Is(err, vault.ErrSealed) {
			t.Error(err)
		}
	})
	t.Run("leaves a key that a newer slot needs", func(t *testing.T) {
		// A database from another machine brought its dead slot along.
		r, other := opened(t), opened(t)
		dead := other.idOf(vault.TypeSecretService)
		r.spoil(dead, other.raw(dead))
		if err := remove(r, dead); err != nil {
			t.Fatal(err)
		}
		if err := r.again(r.service).Open(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
