package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fobproject/fob/internal/vault"
)

func TestOpenSaysWhyItIsSealed(t *testing.T) {
	persons := func(r *rig) {
		r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
	}
	for _, tt := range []struct {
		name  string
		spoil func(r *rig)
		only  bool // the vault has no keeper for its slot any more
		is    error
		want  string
	}{
		{"where the key is gone", func(r *rig) { persons(r); r.service.key = nil }, false, vault.ErrNoKey,
			"the secret-service: the key is not there; the passphrase or the printed recovery key opens it"},
		{"where the key is gone, and nothing else opens it", func(r *rig) { r.service.key = nil }, false, vault.ErrNoKey,
			"the secret-service: the key is not there; no passphrase or recovery key opens it: bring the key back, or restore a backup"},
		{"where the key is another", func(r *rig) { persons(r); r.service.key[3] ^= 1 }, false, vault.ErrSealed,
			"the secret-service: the key there does not open this vault; the passphrase or the printed recovery key opens it"},
		{"where the keeper is away", func(r *rig) {
			r.add(vault.SlotSpec{Type: vault.TypeRecovery})
			r.service.away = fmt.Errorf("%w: the keyring is locked", vault.ErrKeeperAway)
		}, false, vault.ErrKeeperAway, "the secret-service: cannot be used now: the keyring is locked; the printed recovery key opens it"},
		{"where it has no such keeper", persons, true, vault.ErrSealed,
			"the key is in the secret service, which this fobd does not use; the passphrase or the printed recovery key opens it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := opened(t)
			tt.spoil(r)
			keepers := []vault.Keeper{r.service, r.file}
			if tt.only {
				keepers = keepers[1:]
			}
			v := r.again(keepers...)
			err := v.Open(t.Context())
			if !errors.Is(err, vault.ErrSealed) || !errors.Is(err, tt.is) {
				t.Errorf("it fails with %v", err)
			}
			if text := vault.ErrSealed.Error() + ": " + tt.want; err.Error() != text {
				t.Errorf("it says %v\nwant %s", err, text)
			}
			if s := r.status(v); s.State != vault.StateSealed || s.Problem != tt.want {
				t.Errorf("it is %s, since %s\nwant %s", s.State, s.Problem, tt.want)
			}
			if r.file.holds() != nil {
				t.Error("a new key was made")
			}
		})
	}
}
