package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		columns    int
		want       string
	}{
		{"leaves alone what fits", "Touch the key", 13, "Touch the key"},
		{"leaves everything alone where the width is not known", "Touch the key", 0, "Touch the key"},
		{"keeps the beginning and the end", "0123456789abcdefghij", 11, "012345…ghij"},
		{"counts wide characters twice", "日本語日本語日本語", 11, "日本語…本語"},
		{"shows that there was something where there is no room", "Touch the key", 1, "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := shorten(tt.text, tt.columns); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestProgressOnNarrowScreens(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		width      int
		want       []string
	}{
		{"keeps what to press where it stands at the end", "The key “K2” is also wanted for: sign-in for root by app:0:bb. Press Enter to use it", 80,
			[]string{"The key “K2” is also wanted for:", "Press Enter to use it", " s left)"}},
		{"keeps what to press where it stands at the beginning", "Press Enter to use “K2” for this: it is also wanted for a sign-in for root by app:0:bb", 80,
			[]string{"Press Enter to use “K2” for this:", "app:0:bb", " s left)"}},
		{"keeps the time that is left where there is room for little else", "Touch the key “Blue” to approve", 20, []string{"To", "…", " s left)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var shown bytes.Buffer
			s := &screen{w: &shown, live: true, width: func() int { return tt.width }}
			s.progress(tt.text, time.Now().Add(30*time.Second))
			line := strings.TrimSuffix(strings.TrimPrefix(shown.String(), "\r"), "\x1b[K")
			if n := utf8.RuneCountInString(line); n >= tt.width {
				t.Errorf("%d columns of %d are used: %q", n, tt.width, line)
			}
			for _, want := range tt.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q is not in %q", want, line)
				}
			}
		})
	}
}
