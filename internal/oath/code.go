package oath

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
)

// maxTyped bounds what is looked at as a code, in bytes.
const maxTyped = 128

// zeros are the digits 0 of the scripts in which people type codes; each is followed by its 1 to 9.
var zeros = [...]rune{'0', '\uFF10' /* full-width */, '\u0660' /* Arabic-Indic */, '\u06F0' /* Persian */, '\u0966' /* Devanagari */}

// ParseCode reads a code as people type it: with spaces or hyphens between its digits, and with digits
// of other scripts. It takes ownership of typed and wipes it; the result is 6 to 8 ASCII digits.
// Anything else is ErrMalformed, with a message that holds nothing of it.
func ParseCode(typed *secret.Secret) (*secret.Secret, error) {
	defer typed.Wipe()
	if typed.Len() > maxTyped {
		return nil, fmt.Errorf("%w, this is longer", ErrMalformed)
	}
	digits := make([]byte, 0, maxTyped)
	for b := typed.Reveal(); len(b) > 0; {
		r, size := utf8.DecodeRune(b)
		b = b[size:]
		if d, ok := digit(r); ok {
			digits = append(digits, d)
			continue
		}
		if !unicode.IsSpace(r) && r != '-' && r != '\u2010' && r != '\u2011' {
			clear(digits)
			return nil, fmt.Errorf("%w: there is something else in this", ErrMalformed)
		}
	}
	if len(digits) < MinDigits || len(digits) > MaxDigits {
		n := len(digits)
		clear(digits)
		return nil, fmt.Errorf("%w: this has %d", ErrMalformed, n)
	}
	return secret.New(digits), nil
}

func digit(r rune) (byte, bool) {
	for _, zero := range zeros {
		if r >= zero && r <= zero+9 {
			return byte('0' + r - zero), true
		}
	}
	return 0, false
}
