// Package secret holds the type of values that must never be shown: PINs, seeds, keys.
package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands wherever a secret would otherwise have been printed.
const redacted = "[secret]"

// ErrRevealed is returned by UnmarshalJSON: a Secret never travels as JSON by accident.
var ErrRevealed = errors.New("cannot read a secret from JSON: it must be passed on with Reveal")

// Secret is a value that redacts itself in fmt, slog and JSON. The zero value is an empty secret.
// It is not safe for concurrent use with Wipe.
type Secret struct{ b []byte }

// New takes ownership of b: the caller must not use it afterwards, and Wipe clears it.
func New(b []byte) *Secret { return &Secret{b: b} }

// Reveal returns the value itself, not a copy. Use it only where the secret is passed on.
func (s *Secret) Reveal() []byte {
	if s == nil {
		return nil
	}
	return s.b
}

// Len is the length in bytes; a nil Secret has length 0.
func (s *Secret) Len() int {
	if s == nil {
		return 0
	}
	return len(s.b)
}

// Wipe overwrites the value with zeros and empties it. It may be called on nil and more than once.
func (s *Secret) Wipe() {
	if s == nil {
		return
	}
	clear(s.b)
	s.b = nil
}

// Format implements fmt.Formatter: no verb shows anything of the value, not even its length.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes the redacted form.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// UnmarshalJSON always fails with ErrRevealed.
func (s *Secret) UnmarshalJSON([]byte) error { return ErrRevealed }
