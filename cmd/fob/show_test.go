package main

import (
	"encoding/json"
	"testing"
	"unicode"
)

func FuzzEscapeJSON(f *testing.F) {
	for _, s := range []string{"plain", "\u202eevil\u2066", "\x1b[31m", "\u009b31m", "\U000E0001", "名前 “x”", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var before, after string
		if err := json.Unmarshal(data, &before); err != nil {
			t.Fatal(err)
		}
		escaped := escapeJSON(data)
		if err := json.Unmarshal([]byte(escaped), &after); err != nil || after != before {
			t.Fatalf("%q became %q: %v", before, after, err)
		}
		for _, r := range escaped {
			if r != '\n' && !unicode.IsGraphic(r) {
				t.Fatalf("%U reaches the terminal", r)
			}
		}
	})
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short", 10, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"one more than that", 10, "one more …"},
		{"名前名前名前", 8, "名前名…"},
		{"“ab”", 4, "“ab”"},
		{"unknown width", 0, "unknown width"},
	} {
		if got := fit(c.text, c.columns); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}
