package ykoath

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
)

const (
	// MaxID is how long an account's id may be, in bytes.
	MaxID = 64
	// DefaultPeriod is that of an id which names none, in seconds.
	DefaultPeriod = 30
	// minSeed is what the applet wants a seed to have, in bytes; a shorter one is padded with zeros, which does not
	// change its codes (RFC 2104 §2).
	minSeed = 14
)

// Account is an account on a card, as its id tells it.
type Account struct {
	ID     string // bytes as the card has them; not always UTF-8
	Issuer string
	Name   string
	Kind   oath.Kind
	Period int // seconds; 0 for HOTP
}

// ParseID reads an id: [PERIOD/][ISSUER:]NAME, where HOTP has no period. It never fails: what is not of this form is
// all name. Issuer and name are as the card has them, untrusted.
func ParseID(id string, kind oath.Kind) Account {
	a := Account{ID: id, Name: id, Kind: kind}
	if kind == oath.TOTP {
		a.Period = DefaultPeriod
		if before, after, ok := strings.Cut(id, "/"); ok && after != "" {
			if p, ok := period(before); ok {
				a.Period, a.Name = p, after
			}
		}
	}
	// A name may hold colons, an issuer none. One without an issuer may begin with a colon.
	if issuer, name, ok := strings.Cut(a.Name, ":"); ok && issuer != "" && name != "" {
		a.Issuer, a.Name = issuer, name
	}
	return a
}

// period reads 1 to 3600, without sign or leading zero.
func period(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= oath.MaxPeriod && s == strconv.Itoa(n)
}

// FormatID makes an account's id, which ParseID reads back as the same account, or fails with ErrParams.
func FormatID(issuer, name string, kind oath.Kind, period int) (string, error) {
	id := name
	if issuer != "" {
		id = issuer + ":" + name
	}
	if kind == oath.TOTP && period != DefaultPeriod {
		id = strconv.Itoa(period) + "/" + id
	}
	switch back := ParseID(id, kind); {
	case name == "":
		return "", fmt.Errorf("%w: it has no name", ErrParams)
	case !utf8.ValidString(id):
		return "", fmt.Errorf("%w: its name is not in UTF-8", ErrParams)
	case len(id) > MaxID:
		return "", fmt.Errorf("%w: issuer and name have %d bytes together, and a card takes %d: give it shorter ones", ErrParams, len(id), MaxID)
	case back.Issuer != issuer || back.Name != name || kind == oath.TOTP && back.Period != period:
		return "", fmt.Errorf("%w: a card would read its name otherwise: an issuer has no “:”, and a name does not begin like “30/”", ErrParams)
	}
	return id, nil
}

// New is an account to be put on a card.
type New struct {
	ID        string
	Kind      oath.Kind
	Algorithm oath.Algorithm
	Digits    int
	Counter   uint64 // HOTP: that of the first code
	Touch     bool   // each code takes a touch
	Seed      *secret.Secret
}

// The applet's types and algorithms.
var (
	kindBits      = map[oath.Kind]byte{oath.HOTP: 0x10, oath.TOTP: 0x20}
	algorithmBits = map[oath.Algorithm]byte{oath.SHA1: 0x01, oath.SHA256: 0x02, oath.SHA512: 0x03}
)

// check fails with ErrParams or ErrTooOld where a card of the version cannot hold the account.
func (n New) check(v Version) error {
	switch {
	case len(n.ID) == 0 || len(n.ID) > MaxID:
		return fmt.Errorf("%w: its name is 1 to %d bytes, not %d", ErrParams, MaxID, len(n.ID))
	case kindBits[n.Kind] == 0:
		return fmt.Errorf("%w: it is HOTP or TOTP", ErrParams)
	case algorithmBits[n.Algorithm] == 0:
		return fmt.Errorf("%w: its algorithm is SHA1, SHA256 or SHA512", ErrParams)
	case n.Digits < oath.MinDigits || n.Digits > oath.MaxDigits:
		return fmt.Errorf("%w: its codes have %d to %d digits, not %d", ErrParams, oath.MinDigits, oath.MaxDigits, n.Digits)
	case n.Kind == oath.TOTP && n.Counter != 0 || n.Counter > 1<<32-1:
		return fmt.Errorf("%w: a card cannot begin with this counter", ErrParams)
	case n.Seed.Len() == 0:
		return fmt.Errorf("%w: it has no secret", ErrParams)
	case n.Algorithm == oath.SHA512 && !v.CanSHA512():
		return fmt.Errorf("%w: SHA-512 wants version 4.3.1, and this is %s", ErrTooOld, v)
	case n.Touch && !v.CanTouch():
		return fmt.Errorf("%w: a touch at each code wants version 4.2.6, and this is %s", ErrTooOld, v)
	}
	return nil
}

// key is the account's secret as the applet takes it: not over the hash's block, which is hashed first, and not
// under 14 bytes; neither changes a code (RFC 2104 §2). The caller wipes it.
func (n New) key() []byte {
	seed := n.Seed.Reveal()
	key := []byte{kindBits[n.Kind] | algorithmBits[n.Algorithm], byte(n.Digits)}
	key = append(make([]byte, 0, 2+sha512.BlockSize), key...)
	switch {
	case n.Algorithm == oath.SHA1 && len(seed) > sha1.BlockSize:
		h := sha1.Sum(seed)
		key = append(key, h[:]...)
	case n.Algorithm == oath.SHA256 && len(seed) > sha256.BlockSize:
		h := sha256.Sum256(seed)
		key = append(key, h[:]...)
	case n.Algorithm == oath.SHA512 && len(seed) > sha512.BlockSize:
		h := sha512.Sum512(seed)
		key = append(key, h[:]...)
	default:
		key = append(key, seed...)
	}
	if short := 2 + minSeed - len(key); short > 0 {
		key = append(key, bytes.Repeat([]byte{0}, short)...)
	}
	return key
}
