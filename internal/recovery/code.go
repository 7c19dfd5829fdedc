package recovery

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
)

// A code is 80 random bits in Base32, written as 16 signs of alphabet in groups of four.
const (
	size    = 10 // bytes
	signs   = 16
	group   = 4
	written = signs + signs/group - 1
	// alphabet is Crockford's: it has no i, l and o, which look like digits, and no u.
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// maxTyped bounds in bytes what is taken for a typed code.
const maxTyped = 256

// ErrMalformed says that a text is no code, whoever's.
var ErrMalformed = errors.New("this is no recovery or one-time code: a code has 16 letters and digits, in four groups")

// Parse reads a code as people type it: in any case and any groups, and with the letters o, i and l for
// the digits that they look like. It returns the code as it was written, or ErrMalformed.
func Parse(typed *secret.Secret) (*secret.Secret, error) {
	if typed.Len() > maxTyped {
		return nil, ErrMalformed
	}
	text := make([]byte, 0, written)
	n := 0
	for rest := typed.Reveal(); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) { // Pd: hyphens and dashes, as editors make of them
			continue
		}
		sign, ok := meant(r)
		if !ok || n == signs { // text never grows: what append leaves behind nobody wipes
			clear(text)
			return nil, ErrMalformed
		}
		if n > 0 && n%group == 0 {
			text = append(text, '-')
		}
		text = append(text, sign)
		n++
	}
	if n != signs {
		clear(text)
		return nil, ErrMalformed
	}
	return secret.New(text), nil
}

// meant is the sign that was meant by what was typed.
func meant(r rune) (byte, bool) {
	if r >= 'A' && r <= 'Z' {
		r += 'a' - 'A'
	}
	switch r {
	case 'o':
		r = '0'
	case 'i', 'l':
		r = '1'
	}
	return byte(r), r < utf8.RuneSelf && strings.IndexByte(alphabet, byte(r)) >= 0
}

// draw makes a code.
func draw(random io.Reader) (*secret.Secret, error) {
	raw := make([]byte, size)
	defer clear(raw)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("cannot make a code: %w", err)
	}
	bare := make([]byte, signs)
	defer clear(bare)
	base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).Encode(bare, raw)
	text := make([]byte, 0, written)
	for i, sign := range bare {
		if i > 0 && i%group == 0 {
			text = append(text, '-')
		}
		text = append(text, sign)
	}
	return secret.New(text), nil
}

// purpose sets the hashes of one use of codes apart from those of another.
type purpose string

const (
	forRecovery purpose = "fob recovery code v1:"
	forIssued   purpose = "fob one-time code v1:"
)

// digest is what is kept of a code, as draw and Parse give it. 80 random bits need no salt and no slow
// hash: nobody tries them all.
func digest(p purpose, code *secret.Secret) [sha256.Size]byte {
	text := make([]byte, 0, len(p)+written)
	text = append(append(text, p...), code.Reveal()...)
	defer clear(text)
	return sha256.Sum256(text)
}
