package policy

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// table is one table of a file.
type table struct {
	at      position
	kind    tableKind
	service string // of [service."…"]
	badName bool   // that is no service
	fields  []*field

	// What the fields say. Of a restriction, what is left out tightens nothing.
	limits
	users, groups []string
	services      []pattern
	aaguids       map[[16]byte]bool // nil: all
	noSteps       bool
}

type tableKind string

const (
	defaultTable  tableKind = "default"
	serviceTable  tableKind = "service"
	restrictTable tableKind = "restrict"
	keysTable     tableKind = "keys"
	recoveryTable tableKind = "recovery"
)

var tableKinds = []string{"default", "service", "restrict", "keys", "recovery"}

// title is how the table is called in messages.
func (t *table) title() string {
	if t.kind == serviceTable {
		return "[service." + quote(t.service) + "]"
	}
	return example(string(t.kind))
}

// id tells tables apart that may stand only once.
func (t *table) id() string { return string(t.kind) + " " + t.service }

func (t *table) field(name string) *field {
	if n := slices.IndexFunc(t.fields, func(f *field) bool { return f.name == name }); n >= 0 {
		return t.fields[n]
	}
	return nil
}

// field is a key of a table with its value.
type field struct {
	at    position
	name  string
	items []int // lines of a list's elements
	value any   // as the TOML library read it
	bad   bool  // it is not what such a key may have
}

// reader reads one file of a set.
type reader struct {
	faults *faults
	file   int
	name   string
}

func (r *reader) at(line int) position { return position{file: r.file, name: r.name, line: line} }

// read gives the file's tables in order. Where the file is no TOML, there are none.
func (r *reader) read(text []byte) []*table {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bad := r.checkText(text); bad {
		return nil
	}
	statements, end, fault := scan(string(text))
	if fault != nil {
		r.faults.add(r.at(fault.line), "%s", fault.text)
		return nil
	}
	var values map[string]any
	if _, err := toml.Decode(string(text[:end]), &values); err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			line, message := r.syntaxFault(string(text), statements, p)
			r.faults.add(r.at(line), "%s", message)
		} else {
			r.faults.add(r.at(1), "%s", strings.TrimPrefix(err.Error(), "toml: "))
		}
		return nil
	}
	// Nothing is read that scan has not seen, should the library take what scan gave up at.
	if end < len(text) {
		r.faults.add(r.at(1+bytes.Count(text[:end], []byte("\n"))), "this is neither a header, as in [default], nor a key with its value")
		return nil
	}
	before := r.faults.count()
	c := collector{reader: r, values: values, restrict: -1, known: make(map[string]*table)}
	for _, st := range statements {
		c.take(st)
	}
	for _, t := range c.tables {
		r.decode(t)
	}
	if r.faults.count() == before { // else it may be by another fault that a table says nothing
		for _, t := range c.tables {
			r.checkRestricts(t)
		}
	}
	return c.tables
}

// checkText refuses what is too large or no text, before anything looks at it closely.
func (r *reader) checkText(text []byte) (bad bool) {
	if len(text) > MaxFile {
		r.faults.add(r.at(1), "the file is larger than %d bytes", MaxFile)
		return true
	}
	line := 1
	for b := text; len(b) > 0; {
		c, size := utf8.DecodeRune(b)
		switch {
		case c == utf8.RuneError && size == 1:
			r.faults.add(r.at(line), "the file is not text in UTF-8: save it as such")
			return true
		case c == 0:
			r.faults.add(r.at(line), "the file is no text: it has a zero byte")
			return true
		case c == '\n':
			line++
		}
		b = b[size:]
	}
	return false
}

// collector puts the statements of a file together to tables.
type collector struct {
	*reader
	values   map[string]any
	prefix   []string
	ignore   bool // what stands below a header that has a fault
	restrict int  // index of the last [[restrict]]
	known    map[string]*table
	tables   []*table
}

func (c *collector) take(st statement) {
	if st.kind != isKey {
		c.prefix, c.ignore = st.key, true
		if c.checkHeader(st) {
			c.ignore = false
			if st.kind == isArrayHeader {
				c.restrict++
				delete(c.known, string(restrictTable)+" ") // another one begins
			}
			c.table(st.key, st.line)
		}
		return
	}
	if c.ignore {
		return
	}
	path := slices.Concat(c.prefix, st.key)
	if len(c.prefix) == 0 && !c.checkTop(path, st) {
		return
	}
	t := c.table(path, st.line)
	depth := 1
	if tableKind(path[0]) == serviceTable {
		depth = 2
	}
	if t == nil || len(path) == depth {
		c.faults.add(c.at(st.line), "%s is a table: write a header of its own for it, as in %s", quote(strings.Join(path, ".")), example(path[0]))
		return
	}
	f := &field{at: c.at(st.line), name: strings.Join(path[depth:], "."), items: st.items}
	if len(path) == depth+1 {
		f.value = c.value(path)
	}
	t.fields = append(t.fields, f)
}

// table is the table that path leads to or into; nil where it is too short for that.
func (c *collector) table(path []string, line int) *table {
	t := &table{at: c.at(line), kind: tableKind(path[0])}
	if t.kind == serviceTable {
		if len(path) < 2 {
			return nil
		}
		t.service = path[1]
	}
	if c.known[t.id()] == nil {
		c.known[t.id()] = t
		c.tables = append(c.tables, t)
	}
	return c.known[t.id()]
}

// checkHeader reports whether a header is one that a policy has.
func (c *collector) checkHeader(st statement) bool {
	name, text := st.key[0], quote(strings.Join(st.key, "."))
	array := tableKind(name) == restrictTable
	depth := 1
	if tableKind(name) == serviceTable {
		depth = 2
	}
	switch {
	case !slices.Contains(tableKinds, name):
		c.faults.add(c.at(st.line), "unknown table %s%s", quote(name), suggest(name, tableKinds))
	case len(st.key) > depth && depth == 2:
		c.faults.add(c.at(st.line), "unknown table %s: write the service in quotes, as in %s", text, example(name))
	case len(st.key) > depth:
		c.faults.add(c.at(st.line), "unknown table %s: there are no tables in %s", text, example(name))
	case array != (st.kind == isArrayHeader):
		c.faults.add(c.at(st.line), "%s has the wrong brackets: write %s", quote(name), example(name))
	default:
		return true
	}
	return false
}

// checkTop reports whether a key that stands before any header leads into a table that a policy has.
func (c *collector) checkTop(path []string, st statement) bool {
	switch {
	case tableKind(path[0]) == restrictTable:
		c.faults.add(c.at(st.line), "restrict is a table: write it under a header, [[restrict]]")
	case slices.Contains(tableKinds, path[0]):
		return true
	case len(path) == 1:
		c.faults.add(c.at(st.line), "%s stands in no table: put it below a header, as in [default]", quote(path[0]))
	default:
		c.faults.add(c.at(st.line), "unknown table %s%s", quote(path[0]), suggest(path[0], tableKinds))
	}
	return false
}

// value finds what the library read at path.
func (c *collector) value(path []string) any {
	var v any = c.values
	for _, part := range path {
		m, _ := v.(map[string]any)
		v = m[part]
		if some, ok := v.([]map[string]any); ok && c.restrict >= 0 && c.restrict < len(some) {
			v = some[c.restrict]
		}
	}
	return v
}

func example(kind string) string {
	switch tableKind(kind) {
	case serviceTable:
		return `[service."pam:sudo"]`
	case restrictTable:
		return "[[restrict]]"
	}
	return "[" + kind + "]"
}
