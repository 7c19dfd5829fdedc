package vault_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

func TestDamage(t *testing.T) {
	// Each case damages one of two passphrase slots.
	edit := func(old, new string) func(mine, other string) string {
		return func(mine, _ string) string { return strings.Replace(mine, old, new, 1) }
	}
	for _, tt := range []struct {
		name   string
		damage func(mine, other string) string
	}{
		{"a record that is another's", func(_, other string) string { return other }},
		{"no JSON object", func(string, string) string { return `"x"` }},
		{"an empty record", func(string, string) string { return `{}` }},
		{"a cut salt", edit(`"salt":"`, `"salt":"","x":"`)},
		{"a cut key", edit(`"sealed":"`, `"sealed":"","x":"`)},
		{"a cut check", edit(`"check":"`, `"check":"AAAA","x":"`)},
		{"no parameters", edit(`"argon2":`, `"x":`)},
		{"absurd memory", edit(`"memory":64`, `"memory":4294967295`)},
		{"too little memory", edit(`"memory":64`, `"memory":1`)},
		{"no time", edit(`"time":1`, `"time":0`)},
		{"absurd time", edit(`"time":1`, `"time":4000000000`)},
		{"no threads", edit(`"threads":1`, `"threads":0`)},
		{"absurd threads", edit(`"threads":1`, `"threads":255`)},
		{"impossible threads", edit(`"threads":1`, `"threads":256`)},
		{"another type", edit(`"type":"passphrase"`, `"type":"recovery"`)},
		{"an unknown type", edit(`"type":"passphrase"`, `"type":"tape"`)},
		{"a name that tricks", edit(`"name":"Passphrase"`, `"name":"\u202epassword"`)},
	} {
		t.Run("is noticed: "+tt.name, func(t *testing.T) {
			r := opened(t)
			mine, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
			other, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word("other " + passphrase)})
			r.spoil(mine, []byte(tt.damage(string(r.raw(mine)), string(r.raw(other)))))
			v := r.again(r.service)
			if err := v.Unlock(t.Context(), word(passphrase)); !errors.Is(err, vault.ErrWrongSecret) {
				t.Errorf("its passphrase gives %v", err)
			}
			if err := v.Unlock(t.Context(), word("other "+passphrase)); err != nil {
				t.Errorf("the other's gives %v", err)
			}
			r.Vault = v
			for _, s := range r.status(v).Slots {
				if s.Damaged != (s.ID == mine) {
					t.Errorf("it shows %+v", s)
				}
			}
			if _, err := r.PrepareChange(t.Context(), mine, word(passphrase)); err == nil {
				t.Error("it may be changed")
			}
			// Where it is the only one, a wrong passphrase is not to blame.
			r.spoil(other, nil)
			if err := r.again().Unlock(t.Context(), word(passphrase)); err == nil || errors.Is(err, vault.ErrWrongSecret) && !strings.Contains(tt.name, "salt") {
				t.Errorf("alone, its passphrase gives %v", err)
			}
			c, err := r.PrepareRemove(t.Context(), mine)
			if err == nil {
				err = r.commit(c)
			}
			if err != nil {
				t.Errorf("it cannot be removed: %v", err)
			}
		})
	}
	t.Run("is noticed: parameters and salts exchanged between slots", func(t *testing.T) {
		r := opened(t)
		a, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		b, _ := r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		for _, field := range []string{"salt", "sealed", "check"} {
			var mine, other map[string]any
			rawA, rawB := r.raw(a), r.raw(b)
			if err := errors.Join(json.Unmarshal(rawA, &mine), json.Unmarshal(rawB, &other)); err != nil {
				t.Fatal(err)
			}
			mine[field] = other[field]
			mixed, err := json.Marshal(mine)
			if err != nil {
				t.Fatal(err)
			}
			r.spoil(a, mixed)
			r.spoil(b, nil)
			if err := r.again().Unlock(t.Context(), word(passphrase)); err == nil {
				t.Errorf("with the other's %s it opens", field)
			}
			r.spoil(a, rawA)
			r.spoil(b, rawB)
		}
	})
	t.Run("is noticed: a slot of another vault, which its passphrase opens", func(t *testing.T) {
		r, other := opened(t), opened(t)
		id, _ := other.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
		r.spoil(id, other.raw(id))
		v := r.again()
		if err := v.Unlock(t.Context(), word(passphrase)); !errors.Is(err, vault.ErrDamaged) {
			t.Error(err)
		}
		if _, err := v.DataKey(); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("it is open: %v", err)
		}
	})
	t.Run("never leads to a new vault in the place of one", func(t *testing.T) {
		r := opened(t)
		for name, header := range map[string]string{"none": "", "one that cannot be read": `"x"`, "a newer one": `{"version":2}`} {
			err := r.store.Update(t.Context(), func(tx *store.Tx) error {
				if header == "" {
					return vault.Headers.Delete(tx, []byte("vault"))
				}
				return vault.Headers.Put(tx, []byte("vault"), json.RawMessage(header))
			})
			if err != nil {
				t.Fatal(err)
			}
			want := store.ErrDamaged
			if name == "a newer one" {
				want = store.ErrNewer
			}
			v := r.again(r.service)
			for what, err := range map[string]error{
				"Open":   v.Open(t.Context()),
				"Unlock": v.Unlock(t.Context(), word(passphrase)),
				"Status": r.store.View(func(tx *store.Tx) error { _, err := v.Status(tx); return err }),
			} {
				if !errors.Is(err, want) {
					t.Errorf("with header %s, %s gives %v", name, what, err)
				}
			}
		}
	})
	t.Run("is noticed: more slots than any Fob keeps", func(t *testing.T) {
		r := opened(t)
		for i := range 40 {
			r.spoil(strings.Repeat("0", 8)+string(rune('a'+i/10))+string(rune('0'+i%10)), []byte(`{}`))
		}
		if err := r.again(r.service).Open(t.Context()); !errors.Is(err, vault.ErrDamaged) {
			t.Error(err)
		}
	})
}

func FuzzSlot(f *testing.F) {
	f.Add([]byte(`{"id":"0123456789","type":"passphrase","name":"Passphrase","added":"2026-01-02T03:04:05Z","salt":"AAAAAAAAAAAAAAAAAAAAAA==","argon2":{"time":3,"memory":65536,"threads":4},` +
		`"sealed":"` + strings.Repeat("A", 96) + `","check":"` + strings.Repeat("A", 43) + `="}`))
	f.Add([]byte(`{"id":"0123456789","type":"passphrase","argon2":{"time":4294967295,"memory":4294967295,"threads":255}}`))
	f.Add([]byte(`{"id":"0123456789","type":"security-key","name":"Blue","added":"2026-01-02T03:04:05Z","salt":"AAAAAAAAAAAAAAAAAAAAAA==",` +
		`"tap":{"rp_id":"fob-vault:x","credential":"AQID","salt":"` + strings.Repeat("A", 43) + `=","verify":true,"lock_after":900},` +
		`"sealed":"` + strings.Repeat("A", 96) + `","check":"` + strings.Repeat("A", 43) + `="}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tap, sound := vault.TapOf(raw)
		if sound && (tap.RPID == "" || len(tap.RPID) > 128 || len(tap.Credential) == 0 || len(tap.Credential) > 1023 || len(tap.Salt) != vault.TapSaltSize ||
			tap.LockAfter < vault.MinLockAfter || tap.LockAfter > vault.MaxLockAfter) {
			t.Errorf("it asks a key for %+v", tap)
		}
		if kib, sound := vault.Memory(raw); sound && kib > 16*256<<10 {
			t.Errorf("it asks Argon2 for %d KiB in all its passes", kib)
		}
	})
}
