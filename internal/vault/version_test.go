package vault_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// A vault that version 1 has made opens in every way, for as long as there are such vaults.
func TestVersion1(t *testing.T) {
	var kept struct {
		Header        json.RawMessage
		Slots         map[string]json.RawMessage
		Passphrase    string
		Recovery      string
		SecretService []byte `json:"secret_service"`
		DataKey       []byte `json:"data_key"`
		Sealed        []byte
	}
	raw, err := os.ReadFile(filepath.Join("testdata", "v1.json"))
	if err == nil {
		err = json.Unmarshal(raw, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.service.key = kept.SecretService
	err = r.store.Update(t.Context(), func(tx *store.Tx) error {
		for id, slot := range kept.Slots {
			if err := vault.Bucket.Put(tx, []byte(id), slot); err != nil {
				return err
			}
		}
		return vault.Headers.Put(tx, []byte("vault"), kept.Header)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(v *vault.Vault) error{
		"the secret service": func(v *vault.Vault) error { return v.Open(t.Context()) },
		"the passphrase":     func(v *vault.Vault) error { return v.Unlock(t.Context(), word(kept.Passphrase)) },
		"the recovery key":   func(v *vault.Vault) error { return v.Unlock(t.Context(), word(kept.Recovery)) },
	} {
		v := r.again(r.service)
		if err := open(v); err != nil || string(dataKey(t, v)) != string(kept.DataKey) {
			t.Errorf("%s does not open it: %v", name, err)
			continue
		}
		s, err := v.Sealer("test")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Open([]byte("a name"), kept.Sealed); err != nil || string(got.Reveal()) != "a seed" {
			t.Errorf("what was sealed does not open: %v", err)
		}
	}
}
