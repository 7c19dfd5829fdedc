package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds in runes what Show lets through.
const maxShown = 2000

// Show makes text that came over the socket safe for a terminal or a window: one line, without
// control, bidirectional or invisible format characters, and not endless. The daemon cleans what
// requesters say; this is for the day on which it does not.
func Show(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case r != utf8.RuneError && !unicode.IsGraphic(r):
			continue
		}
		if n++; n > maxShown {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
