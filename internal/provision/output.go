package provision

import (
	"fmt"
	"io"
	"strings"
)

// outputLen is how many bytes are written at once. One token has far fewer.
const outputLen = 64 << 10

// output gathers what is written, in a buffer that never grows: what grows leaves a copy behind.
type output struct {
	w io.Writer
	b []byte
}

func newOutput(w io.Writer) *output { return &output{w: w, b: make([]byte, 0, 2*outputLen)} }

func (o *output) add(texts ...string) {
	for _, t := range texts {
		o.b = append(o.b, t...)
	}
}

// cell adds a cell of a table (RFC 4180).
func (o *output) cell(text string) {
	if strings.ContainsAny(text, ",;\"") {
		text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
	}
	o.add(text)
}

// flush writes what was gathered if it is n bytes at least.
func (o *output) flush(n int) error {
	if len(o.b) < n || len(o.b) == 0 {
		return nil
	}
	_, err := o.w.Write(o.b)
	o.wipe()
	if err != nil {
		return fmt.Errorf("cannot write the file: %w", err)
	}
	return nil
}

func (o *output) wipe() {
	clear(o.b)
	o.b = o.b[:0]
}

// Refuses tells why a file of the format cannot hold a token, or nothing. The token's seed may be nil
// where it is not known yet.
func (f Format) Refuses(s Seed) string {
	switch f {
	case FormatEntra:
		return notEntra(&s)
	case FormatGraph:
		return notGraph(&s)
	default:
		return ""
	}
}

// refusal is the *RowError of a token that cannot be written, or nil: for the reason, or because
// there can be no such token.
func refusal(s *Seed, reason string) error {
	serial := s.Serial
	if serialFault(serial) != "" {
		serial = ""
	}
	if fault := s.fault(); fault != "" {
		reason = fault
	}
	if reason == "" {
		return nil
	}
	return &RowError{Line: s.Line, Serial: serial, Reason: reason}
}
