package provision

import (
	"bytes"
	"fmt"
	"io"
)

// maxColumns bounds the cells of a row.
const maxColumns = 256

// table reads rows of cells as RFC 4180 writes them, with any separator. encoding/csv reads the same
// without bounds, and leaves seeds in strings.
type table struct {
	window
	separator byte
	cells     [][]byte // of the row that next read; valid until the next call, and may be changed
	rowLine   int      // where it begins
	places    []place
}

// place is where a cell stands behind pos, without its quotation marks.
type place struct {
	from, to int
	quoted   bool
}

func newTable(r io.Reader) *table { return &table{window: newWindow(r), separator: ','} }

// separate takes a byte order mark, and chooses the separator that the first line has most of.
func (t *table) separate(among string) error {
	if err := t.bom(); err != nil {
		return err
	}
	n, err := t.find(0, "\n")
	if err == io.EOF {
		n, err = t.end-t.pos, nil
	}
	if err != nil {
		return err
	}
	most := -1
	for _, c := range []byte(among) {
		if count := bytes.Count(t.bytes()[:n], []byte{c}); count > most {
			t.separator, most = c, count
		}
	}
	return nil
}

// next reads the next row that is not blank. It gives a reason if the row, which it has passed, makes
// no sense, or an error that ends the file: io.EOF at its end.
func (t *table) next() (reason string, err error) {
	for {
		t.rowLine, t.places, t.cells = t.line, t.places[:0], t.cells[:0]
		n, reason, err := t.row()
		if err != nil {
			return "", err
		}
		row := t.take(n)
		if reason != "" {
			t.mark()
			return reason, nil
		}
		blank := true
		for _, p := range t.places {
			cell := row[p.from:p.to]
			if p.quoted {
				cell = unquote(cell)
			}
			t.cells = append(t.cells, cell)
			blank = blank && len(bytes.TrimSpace(cell)) == 0
		}
		if !blank {
			t.mark()
			return "", nil
		}
	}
}

// rowFault is an error of the row that next read.
func (t *table) rowFault(format string, args ...any) error {
	t.line = t.rowLine
	return t.fault(format, args...)
}

// row finds the places of the next row's cells, and its length with its end.
func (t *table) row() (n int, reason string, err error) {
	if _, err := t.at(0); err != nil {
		return 0, "", err
	}
	for reason == "" {
		var last bool
		if n, last, reason, err = t.cell(n); err != nil {
			return 0, "", err
		}
		if last && reason == "" {
			return n, "", nil
		}
		if len(t.places) == maxColumns && reason == "" {
			reason = fmt.Sprintf("it has more than %d columns", maxColumns)
		}
	}
	end, err := t.find(n, "\n")
	if err == io.EOF {
		return t.end - t.pos, reason, nil
	}
	return end + 1, reason, err
}

// cell finds the place of the cell at i, and gives where the next one begins.
func (t *table) cell(i int) (next int, last bool, reason string, err error) {
	const stray = "it has a quotation mark in a cell that does not begin with one, or where one should end"
	p := place{from: i}
	c, err := t.at(i)
	if p.quoted = err == nil && c == '"'; p.quoted {
		p.from++
		for i++; ; i += 2 {
			if i, err = t.find(i, `"`); err == io.EOF {
				return i, true, "it has a quotation mark that is not closed", nil
			}
			if err != nil {
				return 0, false, "", err
			}
			if c, err = t.at(i + 1); err != nil || c != '"' {
				break
			}
		}
		p.to = i
		i++
	}
	for ; ; i++ {
		if c, err = t.at(i); err != nil && err != io.EOF {
			return 0, false, "", err
		}
		ended := err == io.EOF || c == '\n'
		if !ended && c != t.separator {
			// A carriage return is of the end of the line if that comes next.
			if follows, e := t.at(i + 1); c == '\r' && (e == io.EOF || e == nil && follows == '\n') {
				continue
			}
			if c == '"' || p.quoted {
				return i, false, stray, nil
			}
			continue
		}
		if !p.quoted {
			p.to = i
			if ended && i > p.from && t.bytes()[i-1] == '\r' {
				p.to--
			}
		}
		t.places = append(t.places, p)
		if err == io.EOF {
			return i, true, "", nil
		}
		return i + 1, ended, "", nil
	}
}

// unquote replaces double quotation marks by single ones, in place.
func unquote(cell []byte) []byte {
	out := cell[:0]
	for i := 0; i < len(cell); i++ {
		out = append(out, cell[i])
		if cell[i] == '"' {
			i++
		}
	}
	return out
}
