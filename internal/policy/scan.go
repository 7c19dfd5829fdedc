package policy

import (
	"strconv"
	"strings"
)

// Bounds of a file's shape. No table of a policy comes near them.
const (
	maxParts  = 8     // of a dotted key
	maxLine   = 1000  // bytes of a key
	maxTables = 20000 // of the whole set
)

// statement is a header or a key with its value: what a TOML file consists of. The TOML library does not
// tell the lines of values that it could read.
type statement struct {
	kind  statementKind
	line  int
	key   []string
	items []int // the line of each of a list's elements
}

type statementKind byte

const (
	isKey statementKind = iota
	isHeader
	isArrayHeader
)

// scan finds the statements of a TOML file, and refuses shapes that would keep the library busy for long
// or overflow its stack. It does not check the syntax otherwise: end is as far as it understood the text,
// which it gives up at a fault that the library finds as well.
func scan(text string) (found []statement, end int, err *shapeError) {
	s := scanner{text: text, line: 1}
	for s.blank() {
		st := statement{line: s.line}
		switch {
		case s.skip("[["):
			st.kind = isArrayHeader
		case s.skip("["):
			st.kind = isHeader
		}
		if st.key, err = s.key(); err != nil {
			return nil, 0, err
		}
		if len(st.key) == 0 {
			break
		}
		switch st.kind {
		case isKey:
			if !s.skip("=") {
				return found, s.lineEnd(), nil
			}
			if st.items, err = s.value(); err != nil {
				return nil, 0, err
			}
		default:
			s.pos = s.lineEnd()
		}
		found = append(found, st)
	}
	return found, s.lineEnd(), nil
}

// shapeError is a shape that scan refuses.
type shapeError struct {
	line int
	text string
}

type scanner struct {
	text string
	pos  int
	line int
}

// blank goes to the next statement and reports whether there is one.
func (s *scanner) blank() bool {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\r':
			s.pos++
		case '\n':
			s.pos++
			s.line++
		case '#':
			s.pos = s.lineEnd()
		default:
			return true
		}
	}
	return false
}

func (s *scanner) skip(prefix string) bool {
	if !strings.HasPrefix(s.text[s.pos:], prefix) {
		return false
	}
	s.pos += len(prefix)
	return true
}

// lineEnd is where the line ends that the scanner is on.
func (s *scanner) lineEnd() int {
	if n := strings.IndexByte(s.text[s.pos:], '\n'); n >= 0 {
		return s.pos + n
	}
	return len(s.text)
}

func (s *scanner) spaces() {
	for s.pos < len(s.text) && (s.text[s.pos] == ' ' || s.text[s.pos] == '\t') {
		s.pos++
	}
}

// key reads a dotted key and the white space around it. No parts: there is none.
func (s *scanner) key() (parts []string, err *shapeError) {
	from := s.pos
	for {
		s.spaces()
		begin := s.pos
		var part string
		switch {
		case s.pos == len(s.text):
			return nil, nil
		case s.text[s.pos] == '"':
			s.quoted()
			part = unquote(s.text[begin:s.pos])
		case s.text[s.pos] == '\'':
			s.quoted()
			part = strings.Trim(s.text[begin:s.pos], "'")
		default:
			n := strings.IndexAny(s.text[s.pos:], " \t\r\n.=[]{}\"'#,")
			if n < 0 {
				n = len(s.text) - s.pos
			}
			s.pos += n
			part = s.text[begin:s.pos]
		}
		if s.pos == begin {
			return nil, nil
		}
		parts = append(parts, part)
		s.spaces()
		if len(parts) > maxParts || s.pos-from > maxLine {
			return nil, &shapeError{line: s.line, text: "the key is too long"}
		}
		if !s.skip(".") {
			return parts, nil
		}
	}
}

// unquote reads a basic string. One that cannot be read is for the library to refuse.
func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return strings.Trim(s, `"`)
}

// quoted goes to the end of a string of any of TOML's four forms.
func (s *scanner) quoted() {
	mark := s.text[s.pos : s.pos+1]
	many := s.skip(strings.Repeat(mark, 3))
	if !many {
		s.pos++
	}
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case c == '\\' && mark == `"` && s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n':
			s.pos += 2
			continue
		case c == '\n' && !many:
			return // no string goes on there: the library says so
		case c == '\n':
			s.line++
		case !many && c == mark[0]:
			s.pos++
			return
		case many && s.skip(strings.Repeat(mark, 3)):
			// Up to two marks may stand before the three that end it.
			for range 2 {
				s.skip(mark)
			}
			return
		}
		s.pos++
	}
}

// value goes to the end of a value and says on which line each element of a list begins.
func (s *scanner) value() (items []int, err *shapeError) {
	depth, fresh := 0, false
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if fresh && !strings.ContainsRune(" \t\r\n#,]", rune(c)) {
			items = append(items, s.line)
			fresh = false
		}
		switch c {
		case '\n':
			if depth == 0 {
				return items, nil
			}
			s.line++
		case '#':
			s.pos = s.lineEnd()
			continue
		case '"', '\'':
			s.quoted()
			continue
		case '{':
			return nil, &shapeError{line: s.line, text: "a table in braces is not read here: give it a header of its own, as in [default]"}
		case '[':
			if depth++; depth > 1 {
				return nil, &shapeError{line: s.line, text: "a list in a list is not read here: no key takes one"}
			}
			fresh = true
		case ',':
			fresh = true
		case ']':
			depth--
		}
		s.pos++
	}
	return items, nil
}
