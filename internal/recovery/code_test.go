package recovery_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// form is how a code is written.
var form = regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){3}$`)

func word(s string) *secret.Secret { return secret.New([]byte(s)) }

func TestParse(t *testing.T) {
	const code = "ab01-efgh-jkmn-pqrs"
	for _, tt := range []struct{ name, typed string }{
		{"as it is written", code},
		{"in upper case", strings.ToUpper(code)},
		{"without hyphens", "ab01efghjkmnpqrs"},
		{"in other groups", "ab 01efg hjkmn--pqrs-"},
		{"with spaces and line breaks", "\tab01 efgh\r\n jkmn pqrs\n"},
		{"with an editor's dashes and spaces", "ab01\u2013efgh\u00a0jkmn\u2014pqrs"},
		{"with o and l for 0 and 1", "abol-efgh-jkmn-pqrs"},
		{"with O and I for 0 and 1", "ABOI-EFGH-JKMN-PQRS"},
		{"with i for 1", "ab0i-efgh-jkmn-pqrs"},
	} {
		t.Run("reads a code "+tt.name, func(t *testing.T) {
			if got, err := recovery.Parse(word(tt.typed)); err != nil || string(got.Reveal()) != code {
				t.Errorf("%q gives %v", tt.typed, err)
			}
		})
	}
	for _, tt := range []struct{ name, typed string }{
		{"nothing", ""},
		{"blank text", " - \n"},
		{"one sign too few", "ab01-efgh-jkmn-pqr"},
		{"one sign too many", "ab01-efgh-jkmn-pqrst"},
		{"a u", "ab01-efgh-jkmn-pqru"},
		{"punctuation", "ab01.efgh.jkmn.pqrs"},
		{"letters that only look like them", "аb01-efgh-jkmn-pqrs"},
		{"a sign whose last byte is one of them", "\u0161b01-efgh-jkmn-pqrs"},
		{"what lower-cases to one of them", "\u212a" + "b01-efgh-jkmn-pqrs"},
		{"no UTF-8", "\xffb01-efgh-jkmn-pqrs"},
		{"a token's code", "123456"},
		{"text without end", code + strings.Repeat(" ", 1<<20)},
	} {
		t.Run("takes for none "+tt.name, func(t *testing.T) {
			got, err := recovery.Parse(word(tt.typed))
			if !errors.Is(err, recovery.ErrMalformed) || got != nil {
				t.Errorf("%.40q gives %v", tt.typed, err)
			}
		})
	}
	t.Run("takes for none a secret that is missing", func(t *testing.T) {
		if _, err := recovery.Parse(nil); !errors.Is(err, recovery.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("leaves what was typed as it was", func(t *testing.T) {
		typed := word(strings.ToUpper(code))
		got, err := recovery.Parse(typed)
		if err != nil {
			t.Fatal(err)
		}
		got.Wipe()
		if string(typed.Reveal()) != strings.ToUpper(code) {
			t.Error("it was changed")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, typed []byte) {
		code, err := recovery.Parse(secret.New(bytes.Clone(typed)))
		if err != nil {
			if !errors.Is(err, recovery.ErrMalformed) || code != nil {
				t.Errorf("%q gives %v", typed, err)
			}
			return
		}
		if !form.Match(code.Reveal()) {
			t.Errorf("%q gives %q", typed, code.Reveal())
		}
		again, err := recovery.Parse(code)
		if err != nil || !bytes.Equal(again.Reveal(), code.Reveal()) {
			t.Errorf("%q gives %q, which gives %q, %v", typed, code.Reveal(), again.Reveal(), err)
		}
	})
}

// Codes that were printed are typed years later: their form and their hashes never change.
func TestFormIsKept(t *testing.T) {
	d := open(t)
	fixed := bytes.NewReader([]byte("ten bytes.TEN BYTES.0123456789abcdefghijABCDEFGHIJ..........,,,,,,,,,,;;;;;;;;;;::::::::::!!!!!!!!!!"))
	codes := d.make(1000, fixed)
	if got, want := string(codes[0].Reveal()), "ehjp-w832-f5t6-awse"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	kept := store.NewBucket[struct{ Hash []byte }]("recovery-codes")
	d.Write(func(tx *store.Tx) error {
		at := []byte{0, 0, 3, 0xe8, 0, 0, 0, 0}
		for item, err := range kept.All(tx, at[:4]) {
			if err != nil || len(item.Key) != len(at) || len(item.Value.Hash) != 32 || !bytes.Equal(item.Key[4:], item.Value.Hash[:4]) {
				t.Errorf("kept as %x: %x, %v", item.Key, item.Value.Hash, err)
			}
		}
		return nil
	})
}

func TestCodesHaveAllTheirBits(t *testing.T) {
	d := open(t)
	seen := make(map[string]bool)
	var signs [19]map[byte]bool
	random := rand.NewChaCha8([32]byte([]byte("the same draws at each test run!")))
	for range 60 {
		for _, code := range d.make(1000, random) {
			text := string(code.Reveal())
			if !form.MatchString(text) || seen[text] {
				t.Fatalf("%s is malformed or was made before", text)
			}
			seen[text] = true
			for i := range signs {
				if signs[i] == nil {
					signs[i] = make(map[byte]bool)
				}
				signs[i][text[i]] = true
			}
		}
	}
	for i, s := range signs {
		if want := 32; i%5 != 4 && len(s) != want {
			t.Errorf("sign %d is one of %d, not %d", i, len(s), want)
		}
	}
}
