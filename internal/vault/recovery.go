package vault

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
)

// The printed form of a recovery key: 20 random bytes and their checksum in Base32 (RFC 4648 §6),
// four signs a group.
const (
	recoverySize  = 20
	recoverySigns = 36
	recoveryGroup = 4
)

// nearRecovery is by how many signs too short or too long a text is still taken for a recovery key.
const nearRecovery = 6

const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// errNoRecovery says that a text is no recovery key, and no mistyped one.
var errNoRecovery = errors.New("this is no recovery key")

// freshRecovery makes a recovery key, and the text to print.
func freshRecovery(rand io.Reader, _ *secret.Secret) (input, shown *secret.Secret, err error) {
	input, err = randomFrom(rand, recoverySize)
	if err != nil {
		return nil, nil, err
	}
	return input, formatRecovery(input), nil
}

// formatRecovery gives the text to print.
func formatRecovery(key *secret.Secret) *secret.Secret {
	signs := recoveryText(key.Reveal())
	defer clear(signs)
	text := make([]byte, 0, recoverySigns+recoverySigns/recoveryGroup-1)
	for i, sign := range signs {
		if i > 0 && i%recoveryGroup == 0 {
			text = append(text, '-')
		}
		text = append(text, sign)
	}
	return secret.New(text)
}

// recoveryText is the key with its checksum in Base32.
func recoveryText(key []byte) []byte {
	raw := binary.BigEndian.AppendUint16(append(make([]byte, 0, recoverySize+2), key...), crc16(key))
	defer clear(raw)
	signs := make([]byte, recoverySigns)
	base32.StdEncoding.WithPadding(base32.NoPadding).Encode(signs, raw)
	return signs
}

// readRecovery reads a recovery key as people type it: in any case, in any groups, and with the digits
// that Base32 does not have for the letters that look like them. It fails with ErrTypo where the text
// is a recovery key but for a mistake, and with errNoRecovery where it is something else.
func readRecovery(typed *secret.Secret) (*secret.Secret, error) {
	signs := make([]byte, 0, recoverySigns+nearRecovery)
	defer func() { clear(signs[:cap(signs)]) }()
	for rest := typed.Reveal(); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) { // Pd: hyphens and dashes, as editors make of them
			continue
		}
		sign, ok := base32Sign(r)
		if !ok || len(signs) == cap(signs) {
			return nil, errNoRecovery
		}
		signs = append(signs, sign)
	}
	if len(signs) < recoverySigns-nearRecovery {
		return nil, errNoRecovery
	}
	if len(signs) != recoverySigns {
		return nil, ErrTypo
	}
	raw := make([]byte, recoverySize+3)
	defer clear(raw)
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).Decode(raw, signs); err != nil {
		return nil, ErrTypo
	}
	// Written again it must be the same: the checksum, and the four bits that nothing uses.
	again := recoveryText(raw[:recoverySize])
	defer clear(again)
	if !bytes.Equal(again, signs) {
		return nil, ErrTypo
	}
	return secret.New(bytes.Clone(raw[:recoverySize])), nil
}

// base32Sign is the sign that was meant by what was typed.
func base32Sign(r rune) (byte, bool) {
	switch r {
	case '0':
		r = 'O'
	case '1':
		r = 'I'
	case '8':
		r = 'B'
	}
	if r >= 'a' && r <= 'z' {
		r -= 'a' - 'A'
	}
	return byte(r), r < utf8.RuneSelf && strings.IndexByte(base32Alphabet, byte(r)) >= 0
}

// crc16 is CRC-16/CCITT-FALSE. Unlike a hash it finds every single wrong sign and every two
// neighbours exchanged, since these are bursts of at most 10 bits.
func crc16(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
