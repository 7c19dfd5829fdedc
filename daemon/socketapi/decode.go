package socketapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
)

// maxDepth bounds how deep objects and arrays stand in each other. The deepest body has two levels.
const maxDepth = 8

// decode reads one JSON object from b into v, a pointer to a struct of package api. It refuses what
// encoding/json would let pass: unknown fields and fields in other letters' case, a field that stands
// twice, invalid UTF-8, deep nesting, anything but one object. It keeps no copy of b.
func decode(b []byte, v any) *api.Error {
	if !utf8.Valid(b) {
		return api.Errorf(api.CodeBadRequest, "the body is not valid UTF-8")
	}
	if err := checkDepth(b); err != nil {
		return err
	}
	err := json.Unmarshal(b, v)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return api.Errorf(api.CodeBadRequest, "the body is not one JSON object")
	}
	s := scanner{b: b}
	s.space()
	if s.b[s.i] != '{' {
		return api.Errorf(api.CodeBadRequest, "the body is not a JSON object")
	}
	if err := s.object(reflect.TypeOf(v).Elem(), nil); err != nil {
		return err
	}
	if err != nil {
		return wrongType(err)
	}
	return nil
}

// wrongType names the field whose value has the wrong type, never the value.
func wrongType(err error) *api.Error {
	if t, ok := err.(*json.UnmarshalTypeError); ok && t.Field != "" {
		return api.Errorf(api.CodeBadRequest, "field %q has the wrong type (a %s) or is out of range", t.Field, strings.Fields(t.Value + " value")[0])
	}
	return api.Errorf(api.CodeBadRequest, "a field has the wrong type")
}

// checkDepth counts brackets outside strings, before anything recursive looks at b.
func checkDepth(b []byte) *api.Error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return api.Errorf(api.CodeBadRequest, "the body is nested too deeply")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// scanner walks JSON that is known to be valid, beside the type that it will be read into.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

// place is where a value stands: a field's name, still as it is in the text, and the field around it.
type place struct {
	name []byte
	in   *place
}

func (p *place) String() string {
	if p == nil {
		return ""
	}
	name := shown(string(p.name))
	if p.in == nil {
		return name
	}
	return p.in.String() + "." + name
}

// object checks the fields of the object at s.i, which t, if it is a struct, declares. at is the
// object's own place, nil for the outermost.
func (s *scanner) object(t reflect.Type, at *place) *api.Error {
	var few [16][]byte
	seen := few[:0] // quicker than a map
	s.i++           // {
	for s.space(); s.b[s.i] != '}'; s.space() {
		if s.b[s.i] == ',' {
			s.i++
			s.space()
		}
		from, to := s.str()
		here := &place{name: s.b[from:to], in: at}
		ft, known := field(t, here.name)
		if !known {
			return api.Errorf(api.CodeBadRequest, "unknown field %q", here.String())
		}
		if slices.ContainsFunc(seen, func(name []byte) bool { return bytes.Equal(name, here.name) }) {
			return api.Errorf(api.CodeBadRequest, "field %q stands twice", here.String())
		}
		seen = append(seen, here.name)
		s.space()
		s.i++ // :
		if err := s.value(ft, here); err != nil {
			return err
		}
	}
	s.i++
	return nil
}

// value checks the value at s.i.
func (s *scanner) value(t reflect.Type, at *place) *api.Error {
	s.space()
	switch s.b[s.i] {
	case '{':
		return s.object(t, at)
	case '[':
		var elem reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			elem = t.Elem()
		}
		s.i++
		for s.space(); s.b[s.i] != ']'; s.space() {
			if s.b[s.i] == ',' {
				s.i++
			}
			if err := s.value(elem, at); err != nil {
				return err
			}
		}
		s.i++
	case '"':
		s.str()
	default: // a number or a literal
		for s.i < len(s.b) && strings.IndexByte(",]} \t\r\n", s.b[s.i]) < 0 {
			s.i++
		}
	}
	return nil
}

// str steps over the string at s.i and says where what stands between its quotes is, escapes as they
// are. It copies nothing: the string may be a PIN.
func (s *scanner) str() (from, to int) {
	from = s.i + 1
	for s.i++; s.b[s.i] != '"'; s.i++ {
		if s.b[s.i] == '\\' {
			s.i++
		}
	}
	s.i++
	return from, s.i - 1
}

// field finds the type of the field with a JSON name in struct t. Where t is no struct nothing is
// known of its fields; json.Unmarshal then says what is wrong.
func field(t reflect.Type, name []byte) (reflect.Type, bool) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, true
	}
	known, ok := fieldsOf.Load(t)
	if !ok {
		known, _ = fieldsOf.LoadOrStore(t, fields(t))
	}
	ft, ok := known.(map[string]reflect.Type)[string(name)]
	return ft, ok
}

// fieldsOf remembers fields, which are the same for ever: an import asks for them with each line.
var fieldsOf sync.Map // of reflect.Type, map[string]reflect.Type

// fields are the types of a struct's fields by their JSON names.
func fields(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[tag] = f.Type
	}
	return known
}

// shown bounds a name that a caller made up.
func shown(name string) string {
	if len(name) > 64 {
		return strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}
