package provision

import (
	"encoding/json"
	"io"
	"strings"
)

// jsonScanner finds the values of JSON that is too long to be read at once. encoding/json's Decoder
// does so with buffers that grow as long as a value is, and that cannot be wiped.
type jsonScanner struct{ window }

// peek is the next byte that is no white space.
func (j *jsonScanner) peek() (byte, error) {
	for {
		c, err := j.at(0)
		if err != nil || !isXMLSpace(c) { // JSON's white space is XML's
			return c, err
		}
		j.take(1)
	}
}

// within is peek where the file cannot end.
func (j *jsonScanner) within() (byte, error) {
	c, err := j.peek()
	return c, j.middle(err)
}

// another reports whether there is a further value in the array, or name in the object, whose end is
// given, and moves to it, or beyond that end.
func (j *jsonScanner) another(end byte, first bool) (bool, error) {
	c, err := j.within()
	if err != nil {
		return false, err
	}
	switch {
	case c == end:
		j.take(1)
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, j.noJSON()
	}
	j.take(1)
	if c, err = j.within(); err == nil && c == end {
		err = j.noJSON()
	}
	return true, err
}

// name takes a name of an object, with the colon behind it.
func (j *jsonScanner) name() (string, error) {
	raw, err := j.value()
	if err != nil {
		return "", err
	}
	if raw[0] != '"' {
		return "", j.noJSON()
	}
	name := string(raw[1 : len(raw)-1])
	if strings.Contains(name, `\`) && json.Unmarshal(raw, &name) != nil {
		return "", j.noJSON()
	}
	c, err := j.within()
	if err == nil && c != ':' {
		err = j.noJSON()
	}
	if err != nil {
		return "", err
	}
	j.take(1)
	return name, nil
}

// value takes the next value, whatever it is, and checks that it is JSON. It is valid until the next
// call.
func (j *jsonScanner) value() (json.RawMessage, error) {
	if _, err := j.within(); err != nil {
		return nil, err
	}
	line := j.line
	n, err := j.valueLen()
	if err != nil {
		return nil, j.middle(err)
	}
	raw := j.take(n)
	if !json.Valid(raw) {
		j.line = line
		return nil, j.noJSON()
	}
	return raw, nil
}

// valueLen is the length of the value at pos, if it is JSON.
func (j *jsonScanner) valueLen() (int, error) {
	depth, quoted := 0, false
	for i := 0; ; i++ {
		c, err := j.at(i)
		if err != nil {
			return 0, err
		}
		switch {
		case quoted && c == '\\':
			i++
		case quoted && c == '"':
			if quoted = false; depth == 0 {
				return i + 1, nil
			}
		case quoted:
		case c == '"':
			if depth == 0 && i > 0 {
				return i, nil
			}
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return 0, j.fault("its values stand more than %d deep in each other", maxDepth)
			}
		case c == '}' || c == ']':
			if depth == 0 {
				return i, nil
			}
			if depth--; depth == 0 {
				return i + 1, nil
			}
		case depth == 0 && (c == ',' || c == ':' || isXMLSpace(c)):
			return i, nil
		}
	}
}

// end fails unless nothing stands behind the last value.
func (j *jsonScanner) end() error {
	switch _, err := j.peek(); err {
	case nil:
		return j.fault("there is something behind its end")
	case io.EOF:
		return nil
	default:
		return err
	}
}

func (j *jsonScanner) noJSON() error { return j.fault("this is no JSON") }
