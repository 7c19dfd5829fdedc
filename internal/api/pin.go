package api

import (
	"encoding/json"
	"log/slog"
)

// PIN is a PIN on the wire: a JSON string there, and nothing at all in fmt and slog. Whoever reads
// one wipes it with Wipe.
type PIN []byte

// String shows nothing.
func (PIN) String() string { return "[secret]" }

// GoString shows nothing.
func (PIN) GoString() string { return "[secret]" }

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
