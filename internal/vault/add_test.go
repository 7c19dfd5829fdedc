package vault_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/vault"
)

func TestAdd(t *testing.T) {
	t.Run("gives every type of slot the same data key", func(t *testing.T) {
		r := opened(t)
		want := dataKey(t, r.Vault)
		_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery, Name: "In the safe"})
		r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		r.add(vault.SlotSpec{Type: vault.TypeKeyFile})
		for name, open := range map[string]func(*vault.Vault) error{
			"recovery":       func(v *vault.Vault) error { return v.Unlock(t.Context(), recovery) },
			"passphrase":     func(v *vault.Vault) error { return v.Unlock(t.Context(), word(passphrase)) },
			"key-file":       func(*vault.Vault) error { return nil },
			"secret-service": func(*vault.Vault) error { return nil },
		} {
			var v *vault.Vault
			var err error
			switch name {
			case "key-file":
				v = r.again(r.file)
				err = v.Open(t.Context())
			case "secret-service":
				v = r.again(r.service)
				err = v.Open(t.Context())
			default:
				v = r.again()
				err = open(v)
			}
			if err != nil || !bytes.Equal(dataKey(t, v), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		s := r.status(r.Vault)
		var names []string
		for _, slot := range s.Slots {
			names = append(names, slot.Name)
		}
		if got := strings.Join(names, ", "); got != "Secret service, In the safe, Passphrase, Key file" || !s.HasRecovery {
			t.Errorf("the slots are %s", got)
		}
	})
	t.Run("refuses what cannot be a slot", func(t *testing.T) {
		r := opened(t)
		sealed := r.again(r.service)
		if _, err := sealed.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeRecovery}); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("sealed: %v", err)
		}
		alone := r.again(r.service)
		if err := alone.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := alone.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile}); !errors.Is(err, vault.ErrBadType) {
			t.Errorf("without a key file: %v", err)
		}
		for _, tt := range []struct {
			spec vault.SlotSpec
			want error
		}{
			{vault.SlotSpec{Type: "tape"}, vault.ErrBadType},
			{vault.SlotSpec{Type: vault.TypeRecovery, Name: " x"}, vault.ErrBadName},
			{vault.SlotSpec{Type: vault.TypeRecovery, Name: "a\nb"}, vault.ErrBadName},
			{vault.SlotSpec{Type: vault.TypeRecovery, Name: "a\u202eb"}, vault.ErrBadName},
			{vault.SlotSpec{Type: vault.TypeRecovery, Name: "a\xffb"}, vault.ErrBadName},
			{vault.SlotSpec{Type: vault.TypeRecovery, Name: strings.Repeat("é", 65)}, vault.ErrBadName},
			{vault.SlotSpec{Type: vault.TypePassphrase}, vault.ErrWeak},
			{vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word("ééééééé")}, vault.ErrWeak},
			{vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(strings.Repeat("x", 1025))}, vault.ErrWeak},
			{vault.SlotSpec{Type: vault.TypeSecretService}, vault.ErrExists},
		} {
			if _, err := r.PrepareAdd(t.Context(), tt.spec); !errors.Is(err, tt.want) {
				t.Errorf("%+v gives %v", tt.spec, err)
			}
		}
	})
	t.Run("adds 16 and no more, also to those who began before", func(t *testing.T) {
		r := opened(t)
		for range vault.MaxSlots - 2 {
			r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		}
		late, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeRecovery})
		if err != nil {
			t.Fatal(err)
		}
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		if err := r.commit(late); !errors.Is(err, vault.ErrTooMany) {
			t.Error(err)
		}
		for _, spec := range []vault.SlotSpec{{Type: vault.TypeRecovery}, {Type: vault.TypeKeyFile}} {
			c, err := r.PrepareAdd(t.Context(), spec)
			if err == nil {
				err = r.commit(c)
			}
			if !errors.Is(err, vault.ErrTooMany) {
				t.Errorf("%s: %v", spec.Type, err)
			}
		}
		if r.file.holds() != nil {
			t.Error("a key that nothing uses stays")
		}
	})
	t.Run("takes back what it put into a keeper where it is not committed", func(t *testing.T) {
		r := opened(t)
		c, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile})
		if err != nil || r.file.holds() == nil {
			t.Fatalf("%v, or no key", err)
		}
		if _, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile}); !errors.Is(err, vault.ErrConflict) {
			t.Errorf("a second one beside it: %v", err)
		}
		c.Done(t.Context(), false)
		c.Done(t.Context(), true)
		if r.file.holds() != nil || len(r.status(r.Vault).Slots) != 1 {
			t.Error("something stays")
		}
		r.add(vault.SlotSpec{Type: vault.TypeKeyFile})
	})
	t.Run("leaves in a keeper what was there before, or what was written after all", func(t *testing.T) {
		r := opened(t)
		r.file.key = bytes.Repeat([]byte{7}, 32)
		c, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile})
		if err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), false)
		if r.file.holds() == nil {
			t.Fatal("a key that was there before is gone")
		}
		r.file.key = nil
		c, err = r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Update(t.Context(), c.Apply); err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), false) // as where a disk fails too late
		if err := r.again(r.file).Open(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("does not displace an automatic slot that came meanwhile", func(t *testing.T) {
		r, other := opened(t), opened(t)
		id, _ := other.add(vault.SlotSpec{Type: vault.TypeKeyFile})
		c, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeKeyFile})
		if err != nil {
			t.Fatal(err)
		}
		r.spoil(id, other.raw(id))
		if err := r.commit(c); !errors.Is(err, vault.ErrConflict) {
			t.Error(err)
		}
		if r.file.holds() != nil || !bytes.Equal(r.raw(id), other.raw(id)) {
			t.Error("a key stays, or the slot does not")
		}
	})
	t.Run("puts an automatic slot in the place of one whose key is gone", func(t *testing.T) {
		r := opened(t)
		_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		dead := r.idOf(vault.TypeSecretService)
		r.service.key = nil
		v := r.again(r.service)
		if err := v.Unlock(t.Context(), recovery); err != nil {
			t.Fatal(err)
		}
		r.Vault = v
		r.add(vault.SlotSpec{Type: vault.TypeSecretService})
		if id := r.idOf(vault.TypeSecretService); id == dead {
			t.Error("the dead slot is still there")
		}
		if err := r.again(r.service).Open(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
