package api

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a PIN, a code or a passphrase on the wire: a JSON string there, and nothing at all in fmt
// and slog. Whoever reads one wipes it with Wipe.
type Secret []byte

// Format shows nothing, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue shows nothing.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalJSON writes the true value.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(string(s)) }

// UnmarshalJSON reads a JSON string.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	*s = []byte(text)
	return nil
}

// Wipe overwrites the secret with zeros.
func (s Secret) Wipe() { clear(s) }

// Seed is a secret of any bytes on the wire: standard Base64 there, and nothing at all in fmt and slog.
type Seed []byte

// Format shows nothing, whatever the verb.
func (Seed) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue shows nothing.
func (Seed) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Wipe overwrites the secret with zeros.
func (s Seed) Wipe() { clear(s) }
