package caller

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the length in runes beyond which Clean cuts.
const MaxText = 200

// Text is text that came from outside, made safe to show: no control, bidirectional or other
// invisible format characters, no line breaks, valid UTF-8, at most MaxText runes. It says nothing
// about truth: what a requester supplied is claimed, and shown as claimed.
//
// The zero value is empty text. A Text is made by Clean alone (JSON too passes through it).
type Text struct{ s string }

// Clean makes outside text safe to show. White space of any kind becomes a single space; what was
// cut ends in an ellipsis.
func Clean(s string) Text {
	if isPlain(s) {
		return Text{s}
	}
	var b strings.Builder
	n, space := 0, false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == utf8.RuneError && size <= 1:
			r = '\uFFFD'
		case unicode.IsSpace(r):
			space = true
			continue
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp), !unicode.IsGraphic(r):
			continue
		}
		if space && n > 0 {
			b.WriteByte(' ')
			n++
		}
		space = false
		if n >= MaxText-1 {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		n++
	}
	return Text{b.String()}
}

// isPlain reports whether s is printable ASCII that needs no cleaning, as most text is.
func isPlain(s string) bool {
	if len(s) >= MaxText || strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ' ' && s[i-1] == ' ' {
			return false
		}
	}
	return true
}

// String is the cleaned text.
func (t Text) String() string { return t.s }

// IsZero reports whether there is nothing to show.
func (t Text) IsZero() bool { return t.s == "" }

// MarshalJSON writes the cleaned text as a JSON string.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.s) }

// UnmarshalJSON reads a JSON string and cleans it.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = Clean(s)
	return nil
}
