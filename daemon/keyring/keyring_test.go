package keyring_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

var (
	_ vault.Keeper = keyring.File{}
	_ vault.Keeper = keyring.SecretService{}
)

// aKey is a key of which every byte is n.
func aKey(n byte) *secret.Secret { return secret.New(bytes.Repeat([]byte{n}, 32)) }

// textOf is a key as it is kept.
func textOf(key *secret.Secret) string { return string(keyring.FormatKey(key).Reveal()) }

func TestKeyText(t *testing.T) {
	text := textOf(aKey(0xfb))
	if want := "fob-vault-key-v1 +/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=\n"; text != want {
		t.Errorf("a key is kept as %q", text)
	}
	for _, good := range []string{text, strings.TrimSuffix(text, "\n")} {
		if key, err := keyring.ParseKey([]byte(good)); err != nil || !bytes.Equal(key.Reveal(), aKey(0xfb).Reveal()) {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "\n", "fob-vault-key-v1", "fob-vault-key-v1 \n", "fob-vault-key-v2" + text[16:], " " + text, text + "\n", text + "x", text[:40] + "\n" + text[40:],
		text[:len(text)-5] + "\n", strings.Replace(text, "/s=", "/v7", 1), strings.Replace(text, "/s=", "/t=", 1), strings.Replace(text, " ", "  ", 1), strings.Replace(text, "\n", "\r\n", 1),
	} {
		if _, err := keyring.ParseKey([]byte(bad)); !errors.Is(err, keyring.ErrBadKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(textOf(aKey(0))))
	f.Add([]byte("fob-vault-key-v1 \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := keyring.ParseKey(bytes.Clone(text))
		if err != nil {
			if key != nil {
				t.Error("there is a key beside the error")
			}
			return
		}
		if key.Len() != 32 || textOf(key) != strings.TrimSuffix(string(text), "\n")+"\n" {
			t.Errorf("%q is read as %d bytes that are written otherwise", text, key.Len())
		}
	})
}
