package provision

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/secret"
)

// Encoding is how a seed is written as text.
type Encoding string

// The encodings.
const (
	EncodingHex    Encoding = "hex"
	EncodingBase32 Encoding = "base32"
	EncodingBase64 Encoding = "base64"
)

// ErrSeed is wrapped by the errors of ParseSeed.
var ErrSeed = errors.New("cannot read the seed")

const (
	// maxSeedText bounds a seed as text, with all that people put between its characters.
	maxSeedText = 1024
	// minHex is from where on hexadecimal digits alone are no accident: 32 characters of Base32 all of
	// which are hexadecimal digits too come about once in 10^13 seeds.
	minHex = 32
)

// ParseSeed reads a seed of 16 to 128 bytes. White space is passed over, in hexadecimal and Base32
// hyphens and the case of letters too, and Base32 may go without padding. The encoding is never
// guessed: text that is clearly of another one is refused, though it could be read. Its errors wrap
// ErrSeed and have nothing of the text in them.
func ParseSeed(text []byte, e Encoding) (*secret.Secret, error) {
	return ParseShortSeed(text, e, minSeed)
}

// ParseShortSeed is ParseSeed for seeds that are not tokens', which may have as few as least bytes: many
// sites give 10.
func ParseShortSeed(text []byte, e Encoding, least int) (*secret.Secret, error) {
	if len(text) > maxSeedText {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrSeed, maxSeed)
	}
	bare := make([]byte, 0, len(text))
	defer func() { clear(bare) }()
	for _, c := range text {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '-' && e != EncodingBase64:
			continue
		case e == EncodingBase32 && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		bare = append(bare, c)
	}
	if len(bare) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrSeed)
	}
	var seed []byte
	var err error
	switch e {
	case EncodingHex:
		seed, err = decodeHex(bare)
	case EncodingBase32:
		seed, err = decodeBase32(bare)
	case EncodingBase64:
		seed = make([]byte, base64.StdEncoding.DecodedLen(len(bare)))
		var n int
		if n, err = base64.StdEncoding.Decode(seed, bare); err != nil {
			err = fmt.Errorf("%w: it is no Base64", ErrSeed)
		}
		seed = seed[:n]
	default:
		err = fmt.Errorf("%w: its encoding is none of hexadecimal, Base32 and Base64", ErrSeed)
	}
	if err == nil {
		err = checkSeedLen(len(seed), least)
	}
	if err != nil {
		clear(seed)
		return nil, err
	}
	return secret.New(seed), nil
}

func checkSeedLen(n, least int) error {
	switch {
	case n == 0:
		return fmt.Errorf("%w: it is empty", ErrSeed)
	case n < least:
		return fmt.Errorf("%w: it is shorter than %d bytes", ErrSeed, least)
	case n > maxSeed:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrSeed, maxSeed)
	}
	return nil
}

func decodeHex(text []byte) ([]byte, error) {
	if !only(text, isHexDigit) {
		if only(upper(text), isBase32) {
			return nil, fmt.Errorf("%w: this looks like Base32, and hexadecimal is expected", ErrSeed)
		}
		return nil, fmt.Errorf("%w: it is no hexadecimal", ErrSeed)
	}
	if len(text)%2 != 0 {
		return nil, fmt.Errorf("%w: it has an odd number of hexadecimal digits", ErrSeed)
	}
	seed := make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(seed, text)
	return seed, err
}

func decodeBase32(text []byte) ([]byte, error) {
	if len(text) >= minHex && len(text)%2 == 0 && only(text, isHexDigit) {
		return nil, fmt.Errorf("%w: this looks like hexadecimal; this format has Base32", ErrSeed)
	}
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	if !only(text, isBase32) {
		return nil, fmt.Errorf("%w: it is no Base32, which has the letters A to Z and the digits 2 to 7", ErrSeed)
	}
	switch len(text) % 8 {
	case 1, 3, 6: // no number of bytes is as long
		return nil, fmt.Errorf("%w: it is no Base32: characters are missing", ErrSeed)
	}
	// Bits beyond the last byte are let be: Microsoft's own example sets some.
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	seed := make([]byte, encoding.DecodedLen(len(text)))
	_, err := encoding.Decode(seed, text)
	return seed, err
}

func only(text []byte, of func(byte) bool) bool {
	for _, c := range text {
		if !of(c) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}

func isBase32(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '2' && c <= '7' }

// upper makes the letters of text great ones, in place.
func upper(text []byte) []byte {
	for i, c := range text {
		if c >= 'a' && c <= 'z' {
			text[i] = c - ('a' - 'A')
		}
	}
	return text
}
