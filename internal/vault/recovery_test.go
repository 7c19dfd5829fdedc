package vault_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// sample is a recovery key with all signs that have lookalikes, as it is printed.
func sample(t testing.TB) (key []byte, printed string) {
	t.Helper()
	for n := range 256 {
		key = bytes.Repeat([]byte{byte(n), 0x74, 0x21}, 7)[:20]
		printed = string(vault.FormatRecovery(secret.New(bytes.Clone(key))).Reveal())
		if strings.Contains(printed, "O") && strings.Contains(printed, "I") && strings.Contains(printed, "B") {
			return key, printed
		}
	}
	t.Fatal("there is no such key")
	return nil, ""
}

func TestRecoveryKey(t *testing.T) {
	key, printed := sample(t)
	bare := strings.ReplaceAll(printed, "-", "")
	t.Run("is printed in nine groups of four", func(t *testing.T) {
		groups := strings.Split(printed, "-")
		if len(groups) != 9 || len(bare) != 36 || len(groups[4]) != 4 {
			t.Errorf("it is %s", printed)
		}
	})
	t.Run("has the form that was printed once and for all", func(t *testing.T) {
		got := vault.FormatRecovery(secret.New([]byte("twenty bytes of key.")))
		if want := "OR3W-K3TU-PEQG-E6LU-MVZS-A33G-EBVW-K6JO-7Q5A"; string(got.Reveal()) != want {
			t.Errorf("it is %s", got.Reveal())
		}
	})
	for _, tt := range []struct{ name, typed string }{
		{"as printed", printed},
		{"without hyphens", bare},
		{"in lower case", strings.ToLower(printed)},
		{"with spaces, tabs and line breaks", "\t" + strings.ReplaceAll(printed, "-", " \r\n ") + "\n"},
		{"with an editor's dashes and spaces", strings.ReplaceAll(printed, "-", "\u00a0–\u2009")},
		{"with digits for letters", strings.NewReplacer("O", "0", "I", "1", "B", "8").Replace(printed)},
	} {
		t.Run("reads it "+tt.name, func(t *testing.T) {
			got, err := vault.ReadRecovery(word(tt.typed))
			if err != nil || !bytes.Equal(got.Reveal(), key) {
				t.Errorf("%q gives %v", tt.typed, err)
			}
		})
	}
	t.Run("finds every wrong sign and every two exchanged", func(t *testing.T) {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
		for i := range bare {
			for _, sign := range []byte(alphabet) {
				typed := []byte(bare)
				typed[i] = sign
				if _, err := vault.ReadRecovery(secret.New(bytes.Clone(typed))); string(typed) != bare && !errors.Is(err, vault.ErrTypo) {
					t.Fatalf("%s gives %v", typed, err)
				}
			}
			if i > 0 && bare[i] != bare[i-1] {
				typed := []byte(bare)
				typed[i], typed[i-1] = typed[i-1], typed[i]
				if _, err := vault.ReadRecovery(secret.New(typed)); !errors.Is(err, vault.ErrTypo) {
					t.Fatalf("signs %d and %d exchanged give %v", i-1, i, err)
				}
			}
		}
	})
	for _, tt := range []struct {
		name, typed string
		typo        bool
	}{
		{"one sign too few", bare[1:], true},
		{"one sign too many", bare + "A", true},
		{"a group too few", printed[5:], true},
		{"half of it", printed[:22], false},
		{"it twice", bare + bare, false},
		{"a digit that no letter looks like", "9" + bare[1:], false},
		{"a sign that is no letter", "!" + bare[1:], false},
		{"letters from elsewhere", "Ä" + bare[1:], false},
		{"broken text", "\xff" + bare[1:], false},
		{"nothing", "", false},
		{"hyphens", strings.Repeat("-", 36), false},
		{"a passphrase", passphrase, false},
	} {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			if _, err := vault.ReadRecovery(word(tt.typed)); err == nil || errors.Is(err, vault.ErrTypo) != tt.typo {
				t.Errorf("%q gives %v", tt.typed, err)
			}
		})
	}
}

func FuzzRecoveryKey(f *testing.F) {
	_, printed := sample(f)
	f.Add([]byte(printed))
	f.Add([]byte(strings.ToLower(strings.ReplaceAll(printed, "-", " "))))
	f.Fuzz(func(t *testing.T, typed []byte) {
		key, err := vault.ReadRecovery(secret.New(bytes.Clone(typed)))
		if err != nil {
			if key != nil {
				t.Error("there is a key beside the error")
			}
			return
		}
		if key.Len() != 20 {
			t.Fatalf("the key has %d bytes", key.Len())
		}
		again, err := vault.ReadRecovery(vault.FormatRecovery(key))
		if err != nil || !bytes.Equal(again.Reveal(), key.Reveal()) {
			t.Errorf("%q does not come back: %v", typed, err)
		}
	})
}
