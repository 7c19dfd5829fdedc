package provision

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// entraColumns are the columns of the table that Entra takes, in their order.
var entraColumns = []string{"upn", "serial number", "secret key", "time interval", "manufacturer", "model"}

// maxEntraSecret is how many characters of a secret Entra takes.
const maxEntraSecret = 128

// ReadEntra reads the table of tokens that Microsoft Entra takes for an upload: TOTP, SHA-1, 6 digits,
// seeds in Base32. The separator may be a semicolon, as spreadsheets of many countries write it. It
// yields as ReadPSKC does, and its last error wraps ErrFile.
func ReadEntra(r io.Reader) iter.Seq2[Seed, error] {
	return func(yield func(Seed, error) bool) {
		t, out := newTable(r), rows{yield: yield}
		defer t.wipe()
		out.end(readEntra(t, &out))
	}
}

func readEntra(t *table, out *rows) error {
	if err := t.separate(",;"); err != nil {
		return err
	}
	if reason, err := t.next(); err == io.EOF || reason != "" {
		return t.rowFault("its first line does not name the columns %s", strings.Join(entraColumns, ","))
	} else if err != nil {
		return err
	}
	if !isEntraHeader(t.cells) {
		return t.rowFault("its columns are %s, and %s are expected, in this order", headings(t.cells), strings.Join(entraColumns, ","))
	}
	for {
		reason, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s := Seed{Line: t.rowLine, Kind: TOTP, Algorithm: SHA1, Digits: defaultDigits}
		if reason == "" {
			reason = fillEntra(&s, t.cells)
		}
		if err := out.put(s, reason); err != nil {
			return err
		}
	}
}

func fillEntra(s *Seed, cells [][]byte) (reason string) {
	if len(cells) != len(entraColumns) {
		return fmt.Sprintf("it has %d columns instead of %d", len(cells), len(entraColumns))
	}
	s.User, s.Serial = string(cells[0]), string(cells[1])
	s.Manufacturer, s.Model = string(cells[4]), string(cells[5])
	s.Period = parseSmall(bytes.TrimSpace(cells[3]))
	seed, err := ParseSeed(cells[2], EncodingBase32)
	if err != nil {
		return err.Error()
	}
	s.Secret = seed
	return ""
}

func isEntraHeader(cells [][]byte) bool {
	if len(cells) != len(entraColumns) {
		return false
	}
	for i, name := range entraColumns {
		if heading(cells[i]) != name {
			return false
		}
	}
	return true
}

// heading is a column's name as it is compared.
func heading(cell []byte) string { return strings.ToLower(oneLine(string(cell))) }

// headings are the columns' names, made fit for a message. Where the line of names is missing, the
// first token stands in its place: what could be a seed is not shown.
func headings(cells [][]byte) string {
	const longest = 15 // "time interval" has 13; 80 bits in Base32, the shortest seed there is, have 16
	var names []string
	for _, cell := range cells {
		name := shown(string(cell))
		if utf8.RuneCountInString(name) > longest {
			name = "…"
		}
		if names = append(names, name); len(names) == 20 {
			return strings.Join(names, ",") + ",…"
		}
	}
	return strings.Join(names, ",")
}

// WriteEntra writes the table of tokens that ReadEntra reads. A token that the table cannot hold ends
// it with a *RowError: one that is not TOTP with SHA-1 and 6 digits, one whose seed has more than 80
// bytes, and one with text that a spreadsheet would run as a formula. An error that seeds yields ends
// it too. What was written until then is no whole file.
func WriteEntra(w io.Writer, seeds iter.Seq2[Seed, error]) error {
	out := newOutput(w)
	defer out.wipe()
	out.add(strings.Join(entraColumns, ","), "\r\n")
	for s, err := range seeds {
		if err != nil {
			return err
		}
		s.tidy()
		if err := refusal(&s, notEntra(&s)); err != nil {
			return err
		}
		out.cell(s.User)
		out.add(",")
		out.cell(s.Serial)
		out.add(",")
		out.b = base32.StdEncoding.WithPadding(base32.NoPadding).AppendEncode(out.b, s.Secret.Reveal())
		out.add(",", strconv.Itoa(s.Period), ",")
		out.cell(s.Manufacturer)
		out.add(",")
		out.cell(s.Model)
		out.add("\r\n")
		if err := out.flush(outputLen); err != nil {
			return err
		}
	}
	return out.flush(0)
}

// notEntra tells why the table cannot hold a token, or nothing.
func notEntra(s *Seed) string {
	switch {
	case s.Kind != TOTP:
		return "it is HOTP, and Entra takes TOTP alone"
	case s.Algorithm != SHA1:
		return fmt.Sprintf("its algorithm is %s, and Entra's table takes SHA1 alone", s.Algorithm)
	case s.Digits != defaultDigits:
		return fmt.Sprintf("its codes have %d digits, and Entra takes %d alone", s.Digits, defaultDigits)
	case base32.StdEncoding.WithPadding(base32.NoPadding).EncodedLen(s.Secret.Len()) > maxEntraSecret:
		return fmt.Sprintf("its seed has more than the %d characters that Entra takes", maxEntraSecret)
	}
	for _, text := range []struct{ name, value string }{
		{"user", s.User}, {"serial number", s.Serial}, {"manufacturer", s.Manufacturer}, {"model", s.Model},
	} {
		// A quotation mark in front would keep it from running, and be part of the text for Entra.
		if len(text.value) > 1 && strings.ContainsAny(text.value[:1], "=+-@") {
			return fmt.Sprintf("its %s begins with %q, which a spreadsheet would take for a formula", text.name, text.value[:1])
		}
	}
	return ""
}
