// Package provision reads and writes files that hold hardware OATH tokens' seeds: PSKC (RFC 6030),
// the CSV and JSON that Microsoft Entra takes, and other tables.
package provision

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
)

// Kind says what a token's codes count.
type Kind string

// The kinds of token.
const (
	HOTP Kind = "hotp" // presses of its button (RFC 4226)
	TOTP Kind = "totp" // periods of time (RFC 6238)
)

// Algorithm is the hash function under HMAC.
type Algorithm string

// The algorithms (RFC 6238 §1.2).
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// Bounds of a token: what the daemon takes.
const (
	minDigits  = 6
	maxDigits  = 8
	maxPeriod  = 3600    // seconds
	maxCounter = 1 << 62 // beyond what anybody could press
	minSeed    = 16      // bytes (RFC 4226 §4, R6)
	maxSeed    = 128     // bytes
	maxText    = 64      // runes: of serial number, manufacturer and model each
	maxUser    = 256     // runes
)

// What a token has whose file does not say.
const (
	defaultDigits = 6
	defaultPeriod = 30 // seconds (RFC 6238 §5.2)
)

// Seed is one token and its seed as a file gives it. What a reader yields is within the bounds that
// stand at the fields, and its text holds no control, bidirectional or other invisible characters.
type Seed struct {
	Line         int    // of the file, counted from 1, where the token begins
	Serial       string // 1 to 64 characters
	Manufacturer string // at most 64 characters; may be empty
	Model        string // at most 64 characters; may be empty
	Kind         Kind
	Algorithm    Algorithm
	Digits       int    // 6 to 8
	Period       int    // seconds, 1 to 3600; 0 unless TOTP
	Counter      uint64 // the next one; 0 unless HOTP
	// Secret has 16 to 128 bytes. It belongs to whoever the Seed is yielded to, who wipes it.
	Secret *secret.Secret
	// User is the token's owner as the file names it: a UPN, a UserId, an object's id. At most 256
	// characters; may be empty; claimed by the file and not checked.
	User string
}

// RowError is one token that cannot be taken, or written; the others of the file can.
type RowError struct {
	Line   int    // 0 if the token is of no file
	Serial string // empty if there is none, or none that could be shown
	Reason string // never has anything of a seed in it, nor of a cell in which one might stand
}

// Error implements error.
func (e *RowError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d ", e.Line)
	}
	if e.Serial != "" {
		fmt.Fprintf(&b, "(serial %s) ", e.Serial)
	}
	if b.Len() == 0 {
		return e.Reason
	}
	return strings.TrimSuffix(b.String(), " ") + ": " + e.Reason
}

// tidy gives the token's text the form in which it is compared and shown.
func (s *Seed) tidy() {
	s.Serial = strings.TrimSpace(s.Serial)
	s.Manufacturer = oneLine(s.Manufacturer)
	// Names of the registries of manufacturers that PSKC prescribes (RFC 6030 §4.3.1) and nobody knows.
	for name, found := strings.CutPrefix(s.Manufacturer, "oath."); found; name, found = strings.CutPrefix(name, "oath.") {
		s.Manufacturer = oneLine(name)
	}
	s.Model = oneLine(s.Model)
	s.User = oneLine(s.User)
}

// fault tells why there can be no such token, or nothing.
func (s *Seed) fault() string {
	if fault := serialFault(s.Serial); fault != "" {
		return fault
	}
	for _, text := range []struct {
		name, value string
		max         int
	}{{"manufacturer", s.Manufacturer, maxText}, {"model", s.Model, maxText}, {"user", s.User, maxUser}} {
		if fault := textFault(text.name, text.value, text.max); fault != "" {
			return fault
		}
	}
	switch {
	case s.Kind != HOTP && s.Kind != TOTP:
		return "its type is neither HOTP nor TOTP"
	case s.Algorithm != SHA1 && s.Algorithm != SHA256 && s.Algorithm != SHA512:
		return "its algorithm is none of SHA1, SHA256 and SHA512"
	case s.Digits < minDigits || s.Digits > maxDigits:
		return fmt.Sprintf("its codes do not have %d to %d digits", minDigits, maxDigits)
	case s.Kind == TOTP && (s.Period < 1 || s.Period > maxPeriod):
		return fmt.Sprintf("its period is no number of seconds from 1 to %d", maxPeriod)
	case s.Kind == HOTP && s.Counter > maxCounter:
		return "its counter is no number that it could have reached"
	}
	if err := checkSeedLen(s.Secret.Len(), minSeed); err != nil {
		return err.Error()
	}
	return ""
}

func serialFault(serial string) string {
	if serial == "" {
		return "it has no serial number"
	}
	return textFault("serial number", serial, maxText)
}

// textFault tells what is wrong with text. The daemon keeps no text that it would have to clean first.
func textFault(name, text string, maxRunes int) string {
	if utf8.RuneCountInString(text) > maxRunes {
		return fmt.Sprintf("its %s is longer than %d characters", name, maxRunes)
	}
	if !plain(text) {
		return fmt.Sprintf("its %s has control characters, invisible ones, or spaces in a row", name)
	}
	return ""
}

// plain reports whether every character of text can be seen, with single spaces between them.
func plain(text string) bool {
	space := true // none at the beginning
	for i, r := range text {
		switch {
		case r > ' ' && r < 0x7f: // most text, and looked up fast
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			return false // not UTF-8
		case r == ' ':
			if space {
				return false
			}
			space = true
			continue
		case unicode.IsSpace(r), unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp), !unicode.IsGraphic(r):
			return false
		}
		space = false
	}
	return text == "" || !space
}

func oneLine(text string) string {
	if plain(text) {
		return text
	}
	return strings.Join(strings.Fields(text), " ")
}

// Visible is text of a file, made fit to be shown: what cannot be seen is left out, and white space
// becomes single spaces.
func Visible(text string) string {
	if plain(text) {
		return text
	}
	return oneLine(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !plain(string(r)) {
			return -1
		}
		return r
	}, text))
}

// shown is Visible, cut to fit into a message.
func shown(text string) string {
	const most = 80
	var b strings.Builder
	n := 0
	for _, r := range Visible(text) {
		if n++; n > most {
			return b.String() + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

// parseKind reads a cell.
func parseKind(text string) Kind { return Kind(strings.ToLower(strings.TrimSpace(text))) }

// ParseAlgorithm reads the ways in which files spell the hash functions: sha1, SHA-256, HMAC-SHA512,
// hmacsha1. What it gives may be none of the algorithms.
func ParseAlgorithm(text string) Algorithm {
	plain := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToUpper(strings.TrimSpace(text)))
	return Algorithm(strings.TrimPrefix(plain, "HMAC"))
}

// parseCount reads a decimal number without sign.
func parseCount(text []byte) (uint64, bool) {
	var n uint64
	if len(text) == 0 || len(text) > 19 { // more might not fit
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// parseSmall is parseCount of a number that an int holds; what cannot be read is -1, which no bound
// allows.
func parseSmall(text []byte) int {
	n, ok := parseCount(text)
	if !ok || n > 1<<30 {
		return -1
	}
	return int(n)
}
