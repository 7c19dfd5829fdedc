package oath_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/oath"
)

func TestParseCode(t *testing.T) {
	for _, c := range []struct{ name, typed, want string }{
		{"plain", "123456", "123456"},
		{"8 digits", "12345678", "12345678"},
		{"spaces in the middle", "123 456", "123456"},
		{"spaces of all kinds around", "\u00a0 12 34\u20095 6\t\n", "123456"},
		{"hyphens", "123-456", "123456"},
		{"full-width digits", "１２３４５６", "123456"},
		{"full-width digits and an ideographic space", "１２３\u3000４５６", "123456"},
		{"Arabic-Indic digits", "٠١٢٣٤٥", "012345"},
		{"Persian digits", "۰۱۲۳۴۵", "012345"},
		{"Devanagari digits", "०१२३४५", "012345"},
		{"leading zeros", "000000", "000000"},

		{"nothing", "", ""},
		{"spaces alone", "      ", ""},
		{"5 digits", "12345", ""},
		{"9 digits", "123456789", ""},
		{"a letter O", "12345O", ""},
		{"letters", "abcdef", ""},
		{"a sign", "+123456", ""},
		{"a point", "123.456", ""},
		{"superscript digits", "¹²³⁴⁵⁶", ""},
		{"circled digits", "①②③④⑤⑥", ""},
		{"a control character", "123\x00456", ""},
		{"a bidirectional mark", "123\u202e456", ""},
		{"bytes that are no text", "123\xff456", ""},
		{"10 kB of digits", strings.Repeat("1", 10_000), ""},
		{"10 kB of spaces", strings.Repeat(" ", 10_000) + "123456", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			typed := sec(c.typed)
			got, err := oath.ParseCode(typed)
			if c.want == "" {
				if !errors.Is(err, oath.ErrMalformed) {
					t.Fatalf("got %q, %v", got.Reveal(), err)
				}
				if c.typed != "" && strings.Contains(err.Error(), c.typed) {
					t.Errorf("the error repeats what was typed: %v", err)
				}
			} else if err != nil || string(got.Reveal()) != c.want {
				t.Fatalf("got %q, %v", got.Reveal(), err)
			}
			if typed.Len() != 0 {
				t.Error("what was typed is still there")
			}
		})
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"123456", "１２３ ４５６", "12-34-56-78", "abc", "", "\xff", "٠١٢٣٤٥"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, typed []byte) {
		c, err := oath.ParseCode(sec(string(typed)))
		if err != nil {
			return
		}
		if n := c.Len(); n < oath.MinDigits || n > oath.MaxDigits {
			t.Fatalf("%d digits", n)
		}
		for _, b := range c.Reveal() {
			if b < '0' || b > '9' {
				t.Fatalf("%q is no code", c.Reveal())
			}
		}
	})
}
