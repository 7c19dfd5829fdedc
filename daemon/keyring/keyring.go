// Package keyring holds the key of a vault's automatic slot outside the database: in a file of the
// user's own, or in the desktop's keyring.
package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/fobproject/fob/internal/secret"
)

// What may be wrong with a key, beside what package vault names.
var (
	// ErrBadKey says that something stands in the key's place that is no key of Fob's.
	ErrBadKey = errors.New("what is there is no key of Fob’s: put the right one back, or move it away")
	// ErrUnsafe says that others may have read or written a key file.
	ErrUnsafe = errors.New("the key file is not safe to use")
	// ErrAmbiguous says that the desktop's keyring holds more than one key for this vault.
	ErrAmbiguous = errors.New("there are several keys for this vault: remove the wrong ones from the keyring")
)

// keySize is the length of a key in bytes.
const keySize = 32

// maxText bounds the text of a key, which has 62 bytes.
const maxText = 1024

// textMark stands before the key.
const textMark = "fob-vault-key-v1 "

// formatKey gives the one line of text that a key is kept as.
func formatKey(key *secret.Secret) *secret.Secret {
	b := make([]byte, 0, len(textMark)+base64.StdEncoding.EncodedLen(keySize)+1)
	b = append(b, textMark...)
	b = base64.StdEncoding.AppendEncode(b, key.Reveal())
	return secret.New(append(b, '\n'))
}

// parseKey reads what formatKey wrote, with or without the end of the line. It fails with ErrBadKey.
func parseKey(text []byte) (*secret.Secret, error) {
	rest, ok := bytes.CutPrefix(bytes.TrimSuffix(text, []byte("\n")), []byte(textMark))
	if !ok || len(rest) != base64.StdEncoding.EncodedLen(keySize) || bytes.ContainsAny(rest, "\r\n") {
		return nil, ErrBadKey
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(rest)))
	n, err := base64.StdEncoding.Strict().Decode(key, rest)
	if err != nil || n != keySize {
		clear(key)
		return nil, ErrBadKey
	}
	return secret.New(key[:n]), nil
}
