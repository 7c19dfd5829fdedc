package api

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// PIN is a PIN on the wire: a JSON string there, and nothing at all in fmt and slog. Whoever reads
// one wipes it with Wipe.
type PIN []byte

// Format shows nothing, whatever the verb.
func (PIN) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue shows nothing.
func (PIN) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalJSON writes the true value.
func (p PIN) MarshalJSON() ([]byte, error) { return json.Marshal(string(p)) }

// UnmarshalJSON reads a JSON string.
func (p *PIN) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*p = []byte(s)
	return nil
}

// Wipe overwrites the PIN with zeros.
func (p PIN) Wipe() { clear(p) }
