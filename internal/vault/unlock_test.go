package vault_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

func TestUnlock(t *testing.T) {
	t.Run("opens by each slot that a person has, and by nothing else", func(t *testing.T) {
		r := opened(t)
		_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		// A passphrase may look like a recovery key.
		lookalike := strings.Repeat("correcthorse", 3)
		r.add(vault.SlotSpec{Type: vault.TypePassphrase, Name: "The other one", Passphrase: word(lookalike)})
		printed := string(recovery.Reveal())
		mistyped := []byte(printed)
		if mistyped[0] = 'A'; printed[0] == 'A' {
			mistyped[0] = 'B'
		}
		for _, tt := range []struct {
			name, typed string
			want        error
		}{
			{"the passphrase", passphrase, nil},
			{"the recovery key", printed, nil},
			{"the recovery key, typed otherwise", " " + strings.ToLower(strings.ReplaceAll(printed, "-", "")) + "\n", nil},
			{"a passphrase that looks like a recovery key", lookalike, nil},
			{"a wrong passphrase", passphrase + "!", vault.ErrWrongSecret},
			{"nothing", "", vault.ErrWrongSecret},
			{"a whole book", strings.Repeat("horse ", 1000), vault.ErrWrongSecret},
			{"a mistyped recovery key", string(mistyped), vault.ErrTypo},
			{"a recovery key with a sign left out", printed[1:], vault.ErrTypo},
			{"another recovery key", string(vault.FormatRecovery(secret.New(make([]byte, 20))).Reveal()), vault.ErrWrongSecret},
		} {
			v := r.again()
			if err := v.Unlock(t.Context(), word(tt.typed)); !errors.Is(err, tt.want) {
				t.Errorf("%s gives %v", tt.name, err)
			}
			if k, err := v.DataKey(); (err == nil) != (tt.want == nil) || err == nil && !bytes.Equal(k.Reveal(), dataKey(t, r.Vault)) {
				t.Errorf("%s: the data key is another, or %v", tt.name, err)
			}
		}
	})
	t.Run("says that there is nothing to type", func(t *testing.T) {
		for _, r := range []*rig{newRig(t), opened(t)} {
			if err := r.again().Unlock(t.Context(), word(passphrase)); !errors.Is(err, vault.ErrNoSlot) {
				t.Error(err)
			}
		}
	})
	t.Run("derives from one passphrase at a time, and stops waiting when its context ends", func(t *testing.T) {
		r := opened(t)
		r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		v := r.again()
		release := vault.HoldArgon2(v)
		leaving, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := v.Unlock(leaving, word(passphrase)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		release()
		if err := v.Unlock(t.Context(), word(passphrase)); err != nil {
			t.Error(err)
		}
	})
	t.Run("takes what a passphrase costs by default", func(t *testing.T) {
		r := opened(t)
		v, err := vault.New(vault.Options{Store: r.store, Keepers: []vault.Keeper{r.service}})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		c, err := v.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.commit(c); err != nil {
			t.Fatal(err)
		}
		if raw := string(r.raw(c.Slot().ID)); !strings.Contains(raw, `"argon2":{"time":3,"memory":65536,"threads":4}`) {
			t.Errorf("the slot is %s", raw)
		}
		if err := r.again().Unlock(t.Context(), word(passphrase)); err != nil {
			t.Error(err)
		}
	})
}
