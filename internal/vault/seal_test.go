package vault_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

func TestSealer(t *testing.T) {
	r := opened(t)
	sealer := func(v *vault.Vault, purpose string) *vault.Sealer {
		t.Helper()
		s, err := v.Sealer(purpose)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seeds := sealer(r.Vault, "seeds")
	name, plain := []byte("a name"), []byte("a seed")
	sealed, err := seeds.Seal(name, plain)
	if err != nil {
		t.Fatal(err)
	}
	opens := func(s *vault.Sealer, name, sealed []byte) error {
		got, err := s.Open(name, sealed)
		if err == nil && !bytes.Equal(got.Reveal(), plain) {
			t.Errorf("it opens to %q", got.Reveal())
		}
		return err
	}

	t.Run("opens what it sealed, also after a restart", func(t *testing.T) {
		v := r.again(r.service)
		if err := v.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(opens(seeds, name, sealed), opens(sealer(v, "seeds"), name, sealed)); err != nil {
			t.Error(err)
		}
	})
	t.Run("opens nothing under another name, for another purpose, or of another vault", func(t *testing.T) {
		other := opened(t)
		for what, err := range map[string]error{
			"another name":    opens(seeds, []byte("a nam"), sealed),
			"no name":         opens(seeds, nil, sealed),
			"another purpose": opens(sealer(r.Vault, "accounts"), name, sealed),
			"another vault":   opens(sealer(other.Vault, "seeds"), name, sealed),
		} {
			if !errors.Is(err, vault.ErrDamaged) || !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	t.Run("notices every change", func(t *testing.T) {
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 0x40
			if err := errors.Join(opens(seeds, name, changed), opens(seeds, name, sealed[:i])); !errors.Is(err, vault.ErrDamaged) {
				t.Errorf("at byte %d: %v", i, err)
			}
			if opens(seeds, name, changed) == nil || opens(seeds, name, sealed[:i]) == nil {
				t.Errorf("byte %d may be changed or cut", i)
			}
		}
	})
	t.Run("never seals twice alike", func(t *testing.T) {
		again, err := seeds.Seal(name, plain)
		if err != nil || bytes.Equal(again, sealed) || bytes.Contains(sealed, plain) {
			t.Errorf("%x, then %x, %v", sealed, again, err)
		}
	})
	t.Run("seals nothing as nothing", func(t *testing.T) {
		empty, err := seeds.Seal(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := seeds.Open(nil, empty); err != nil || got.Len() != 0 {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
	})
	t.Run("is one for a purpose", func(t *testing.T) {
		if sealer(r.Vault, "seeds") != seeds {
			t.Error("there are two")
		}
	})
	t.Run("dies at Lock, while others use it", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					again, err := seeds.Seal(name, plain)
					if err == nil {
						err = opens(seeds, name, again)
					}
					if errors.Is(err, vault.ErrSealed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		r.Lock()
		wg.Wait()
		r.Lock()
		if _, err := r.Sealer("seeds"); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("a new one gives %v", err)
		}
		if err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := opens(seeds, name, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("the old one gives %v once the vault is open again", err)
		}
		if err := opens(sealer(r.Vault, "seeds"), name, sealed); err != nil {
			t.Errorf("the new one gives %v", err)
		}
	})
}
