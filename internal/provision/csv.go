package provision

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/fobproject/fob/internal/secret"
)

// CSVOptions says what the cells of a table are.
type CSVOptions struct {
	Columns Columns
	// SecretEncoding is how the seeds are written. It must be given: it is never guessed.
	SecretEncoding Encoding
	// What tokens are whose row does not say. Zero values are TOTP, SHA-1, 6 digits and 30 seconds.
	Kind      Kind
	Algorithm Algorithm
	Digits    int
	Period    int
	NoHeader  bool // the first line is a token, and columns are told by number alone
	Separator byte // 0: comma, semicolon or tab, whichever the first line has most of
}

// Columns says in which column of a table something stands: by the name that the first line gives the
// column, without regard to case, or by number, counted from 1. What is empty is not in the table.
// Serial and Secret must be.
type Columns struct {
	Serial, Secret, User, Manufacturer, Model, Type, Algorithm, Digits, Period, Counter string
}

// ReadCSV reads a table of tokens. It yields as ReadPSKC does, and its last error wraps ErrFile.
func ReadCSV(r io.Reader, o CSVOptions) iter.Seq2[Seed, error] {
	return func(yield func(Seed, error) bool) {
		c := csvReader{table: newTable(r), options: o, rows: rows{yield: yield}}
		defer c.table.wipe()
		c.rows.end(c.read())
	}
}

type csvReader struct {
	table   *table
	options CSVOptions
	rows    rows
	places  csvPlaces
	width   int // how many cells each row has
}

// csvPlaces are the columns' places, counted from 0, or -1.
type csvPlaces struct {
	serial, secret, user, manufacturer, model, kind, algorithm, digits, period, counter int
}

func (c *csvReader) read() error {
	if err := c.options.complete(); err != nil {
		return err
	}
	t, among := c.table, ",;\t"
	if c.options.Separator != 0 {
		among = string([]byte{c.options.Separator})
	}
	if err := t.separate(among); err != nil {
		return err
	}
	for first := true; ; first = false {
		reason, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			if reason != "" {
				return t.rowFault("its first line cannot be read: %s", reason)
			}
			if err := c.find(); err != nil {
				return err
			}
			if !c.options.NoHeader {
				continue
			}
		}
		s := Seed{Line: t.rowLine}
		if reason == "" {
			reason = c.fill(&s)
		}
		if err := c.rows.put(s, reason); err != nil {
			return err
		}
	}
}

// complete checks the options, and sets what was left out.
func (o *CSVOptions) complete() error {
	switch o.SecretEncoding {
	case EncodingHex, EncodingBase32, EncodingBase64:
	default:
		return fmt.Errorf("%w: it must be said whether its seeds are hexadecimal or Base32", ErrFile)
	}
	switch o.Separator {
	case '"', '\r', '\n':
		return fmt.Errorf("%w: that character cannot stand between cells", ErrFile)
	}
	if o.Kind == "" {
		o.Kind = TOTP
	}
	if o.Algorithm == "" {
		o.Algorithm = SHA1
	}
	if o.Digits == 0 {
		o.Digits = defaultDigits
	}
	if o.Period == 0 {
		o.Period = defaultPeriod
	}
	sample := Seed{
		Serial: "1", Kind: o.Kind, Algorithm: o.Algorithm, Digits: o.Digits, Period: o.Period,
		Secret: secret.New(make([]byte, minSeed)),
	}
	if fault := sample.fault(); fault != "" {
		return fmt.Errorf("%w: a token of which it says nothing cannot be: %s", ErrFile, fault)
	}
	return nil
}

// find finds the columns by the first line.
func (c *csvReader) find() error {
	t, by := c.table, &c.options.Columns
	c.width = len(t.cells)
	for _, column := range []struct {
		what, by string
		at       *int
	}{
		{"secret", by.Secret, &c.places.secret},
		{"serial number", by.Serial, &c.places.serial},
		{"user", by.User, &c.places.user},
		{"manufacturer", by.Manufacturer, &c.places.manufacturer},
		{"model", by.Model, &c.places.model},
		{"type", by.Type, &c.places.kind},
		{"algorithm", by.Algorithm, &c.places.algorithm},
		{"digits", by.Digits, &c.places.digits},
		{"period", by.Period, &c.places.period},
		{"counter", by.Counter, &c.places.counter},
	} {
		at, err := c.column(column.what, column.by)
		if err != nil {
			return err
		}
		if at < 0 && (column.at == &c.places.secret || column.at == &c.places.serial) {
			return fmt.Errorf("%w: it must be said which column has the %s", ErrFile, column.what)
		}
		// Everything but the secret is shown.
		if at >= 0 && column.at != &c.places.secret && at == c.places.secret {
			return fmt.Errorf("%w: one column cannot have both the secret and the %s", ErrFile, column.what)
		}
		*column.at = at
	}
	return nil
}

// column is the place of the column that is called so, or has that number.
func (c *csvReader) column(what, by string) (int, error) {
	name, t := heading([]byte(by)), c.table
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > c.width {
			return 0, t.rowFault("there is no column %d for the %s: the first line has %d", n, what, c.width)
		}
		return n - 1, nil
	}
	if c.options.NoHeader {
		return 0, fmt.Errorf("%w: its columns have no names: say the number of the one that has the %s", ErrFile, what)
	}
	found := -1
	for i, cell := range t.cells {
		if heading(cell) != name {
			continue
		}
		if found >= 0 {
			return 0, t.rowFault("two columns are called %s: say the number of the one that has the %s", shown(by), what)
		}
		found = i
	}
	if found < 0 {
		return 0, t.rowFault("no column is called %s; its columns are %s", shown(by), headings(t.cells))
	}
	return found, nil
}

// fill sets what the row says, or tells why it cannot.
func (c *csvReader) fill(s *Seed) (reason string) {
	o, cells := &c.options, c.table.cells
	if len(cells) != c.width {
		return fmt.Sprintf("it has %d columns instead of %d", len(cells), c.width)
	}
	at := func(place int) []byte {
		if place < 0 {
			return nil
		}
		return bytes.TrimSpace(cells[place])
	}
	s.Serial, s.User = string(at(c.places.serial)), string(at(c.places.user))
	s.Manufacturer, s.Model = string(at(c.places.manufacturer)), string(at(c.places.model))
	s.Kind, s.Algorithm, s.Digits = o.Kind, o.Algorithm, o.Digits
	if text := at(c.places.kind); len(text) > 0 {
		s.Kind = parseKind(string(text))
	}
	if text := at(c.places.algorithm); len(text) > 0 {
		s.Algorithm = ParseAlgorithm(string(text))
	}
	if text := at(c.places.digits); len(text) > 0 {
		s.Digits = parseSmall(text)
	}
	switch s.Kind {
	case TOTP:
		if s.Period = o.Period; len(at(c.places.period)) > 0 {
			s.Period = parseSmall(at(c.places.period))
		}
	case HOTP:
		if text := at(c.places.counter); len(text) > 0 {
			n, ok := parseCount(text)
			if !ok {
				return "its counter is no number"
			}
			s.Counter = n
		}
	}
	seed, err := ParseSeed(cells[c.places.secret], o.SecretEncoding)
	if err != nil {
		return err.Error()
	}
	s.Secret = seed
	return ""
}
