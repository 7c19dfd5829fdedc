package provision

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document.
const (
	maxDepth = 32
	maxAttrs = 64 // of one tag
)

// xmlKind is what the scanner met.
type xmlKind int

const (
	xmlDone  xmlKind = iota // the end of the document, or a fault: see err
	xmlStart                // local, attrs and tagLine are the tag's
	xmlEnd
	xmlText // text is it
)

// xmlAttr is an attribute, its name as it is written.
type xmlAttr struct{ name, value []byte }

// xmlScanner reads the part of XML 1.0 that containers of keys need: elements, attributes, text,
// CDATA, comments, processing instructions, and the entities that need no declaration. A document
// type is refused, and so is all that is not UTF-8. encoding/xml reads the same with none of the
// bounds, leaves seeds in strings and buffers, and takes three times as long.
//
// What it hands out is valid until the next call.
type xmlScanner struct {
	window
	local   []byte // a tag's name without its prefix
	prefix  []byte
	attrs   []xmlAttr
	tagLine int
	text    []byte
	depth   int // of open elements

	open   []byte // the names of the open elements, one behind the other
	begins []int  // where in open each one begins
	empty  bool   // the last tag was an empty element's: its end comes next
	rooted bool   // the root element was met
	body   []byte // what content returns
	fail   error
}

func newXMLScanner(r io.Reader) xmlScanner {
	// Capacities that never grow: what grows leaves a copy behind.
	return xmlScanner{window: newWindow(r), body: make([]byte, 0, maxPiece), attrs: make([]xmlAttr, 0, maxAttrs)}
}

// child moves to the next child element of the open element at the depth given, past all that was
// not read of the last one. It reports false at the element's end, and where the document ends.
func (x *xmlScanner) child(of int) bool {
	for {
		switch x.next() {
		case xmlStart:
			if x.depth == of+1 {
				return true
			}
		case xmlEnd:
			if x.depth < of {
				return false
			}
		case xmlDone:
			return false
		}
	}
}

// content reads the element that child moved to, to its end, and returns the text in it without the
// white space around it.
func (x *xmlScanner) content() []byte {
	within := x.depth
	x.body = x.body[:0]
	for {
		switch x.next() {
		case xmlText:
			if x.depth > within {
				continue
			}
			if len(x.body)+len(x.text) > maxPiece {
				x.fail = x.fault("something here is longer than %d KiB", maxPiece>>10)
				return nil
			}
			x.body = append(x.body, x.text...)
			clear(x.text)
		case xmlEnd:
			if x.depth < within {
				return bytes.TrimSpace(x.body)
			}
		case xmlDone:
			return nil
		}
	}
}

// attr is the value of the attribute of that name, without the white space around it.
func (x *xmlScanner) attr(name string) []byte {
	for _, a := range x.attrs {
		if string(a.name) == name {
			return bytes.TrimSpace(a.value)
		}
	}
	return nil
}

// next moves to what comes next.
func (x *xmlScanner) next() xmlKind {
	if x.fail != nil {
		return xmlDone
	}
	if x.empty {
		x.empty = false
		x.close()
		return xmlEnd
	}
	kind, err := x.scan()
	if err != nil {
		x.fail = err
		return xmlDone
	}
	return kind
}

func (x *xmlScanner) scan() (xmlKind, error) {
	for {
		c, err := x.at(0)
		if err == io.EOF && x.rooted && x.depth == 0 {
			return xmlDone, nil
		}
		if err != nil {
			return 0, x.middle(err)
		}
		if c != '<' {
			return x.charData()
		}
		if c, err = x.at(1); err != nil {
			return 0, x.middle(err)
		}
		switch c {
		case '/':
			return xmlEnd, x.endTag()
		case '?':
			err = x.instruction()
		case '!':
			var data bool
			if data, err = x.starts("<![CDATA["); err == nil && data {
				return x.cdata()
			}
			if err == nil {
				err = x.comment()
			}
		default:
			return xmlStart, x.startTag()
		}
		if err != nil {
			return 0, err
		}
	}
}

// charData takes text up to the next tag.
func (x *xmlScanner) charData() (xmlKind, error) {
	n, err := x.find(0, "<")
	if err == io.EOF {
		n, err = x.end-x.pos, nil // only white space stands behind the root, and has no end of its own
	}
	if err != nil {
		return 0, err
	}
	raw := x.bytes()[:n]
	if x.depth == 0 && len(bytes.Trim(raw, " \t\r\n")) > 0 {
		return 0, x.fault("this is no XML: there is text outside of the document")
	}
	if bytes.Contains(raw, []byte("]]>")) {
		return 0, x.fault("this is no XML: there is a ]]> in text")
	}
	lines := x.lines(n)
	if x.text, err = x.decode(raw); err != nil {
		return 0, err
	}
	x.skip(n, lines)
	return xmlText, nil
}

func (x *xmlScanner) cdata() (xmlKind, error) {
	const open, end = len("<![CDATA["), "]]>"
	if x.depth == 0 {
		return 0, x.fault("this is no XML: there is text outside of the document")
	}
	n, err := x.find(open, end)
	if err != nil {
		return 0, x.middle(err)
	}
	x.text = x.bytes()[open:n]
	if !isXMLText(x.text) {
		return 0, x.fault("this is no XML: there are characters in it that are not UTF-8, or not allowed")
	}
	x.take(n + len(end))
	return xmlText, nil
}

func (x *xmlScanner) comment() error {
	const open = "<!--"
	is, err := x.starts(open)
	if err != nil {
		return err
	}
	if !is {
		if x.err == io.EOF && strings.HasPrefix(open, string(x.bytes())) {
			return x.middle(io.EOF)
		}
		return x.fault("it has a document type or another declaration, which is refused")
	}
	n, err := x.find(len(open), "--")
	if err != nil {
		return x.middle(err)
	}
	c, err := x.at(n + 2)
	if err != nil {
		return x.middle(err)
	}
	if c != '>' || !isXMLText(x.bytes()[:n]) {
		return x.fault("this is no XML: a comment does not end as one")
	}
	x.take(n + 3)
	return nil
}

// instruction takes a processing instruction: what encoding the file has is looked at, the rest is
// passed over.
func (x *xmlScanner) instruction() error {
	n, err := x.find(2, "?>")
	if err != nil {
		return x.middle(err)
	}
	lines, raw := x.lines(n), x.bytes()[2:n]
	name := raw[:nameLen(raw)]
	switch {
	case len(name) == 0 || !isXMLText(raw) || len(raw) > len(name) && !isXMLSpace(raw[len(name)]):
		return x.fault("this is no XML: there is a processing instruction without a name")
	case strings.EqualFold(string(name), "xml"):
		if err := x.declaration(raw[len(name):], string(name)); err != nil {
			return err
		}
	}
	x.skip(n+2, lines)
	return nil
}

func (x *xmlScanner) declaration(raw []byte, name string) error {
	if x.total-int64(x.end-x.pos) > int64(len("\xef\xbb\xbf")) || name != "xml" {
		return x.fault("this is no XML: its declaration does not stand at its beginning")
	}
	if err := x.parseAttrs(raw); err != nil {
		return err
	}
	version := ""
	for _, a := range x.attrs {
		switch value := string(a.value); string(a.name) {
		case "version":
			version = value
		case "encoding":
			if !strings.EqualFold(value, "utf-8") && !strings.EqualFold(value, "us-ascii") { // which is UTF-8 too
				return x.fault("its text is not UTF-8 but %s: save it as UTF-8", shown(value))
			}
		case "standalone":
		default:
			return x.fault("this is no XML: its declaration has something in it that declarations have not")
		}
	}
	if version != "1.0" {
		return x.fault("it is not XML 1.0")
	}
	return nil
}

func (x *xmlScanner) startTag() error {
	n, err := x.tagLen()
	if err != nil {
		return err
	}
	lines, raw := x.lines(n), x.bytes()[1:n-1]
	x.empty = bytes.HasSuffix(raw, []byte("/"))
	if x.empty {
		raw = raw[:len(raw)-1]
	}
	name := raw[:nameLen(raw)]
	if err := x.setName(name); err != nil {
		return err
	}
	if err := x.parseAttrs(raw[len(name):]); err != nil {
		return err
	}
	switch {
	case x.depth == 0 && x.rooted:
		return x.fault("this is no XML: it has two documents in it")
	case x.depth == maxDepth:
		return x.fault("its elements stand more than %d deep in each other", maxDepth)
	}
	x.rooted = true
	x.depth++
	x.begins = append(x.begins, len(x.open))
	x.open = append(x.open, name...)
	x.tagLine = x.line
	x.skip(n, lines)
	return nil
}

// tagLen is the length of the tag at the beginning of what was not taken. A > between quotation
// marks does not end it.
func (x *xmlScanner) tagLen() (int, error) {
	var quote byte
	for i := 1; ; {
		b := x.bytes()
		for ; i < len(b); i++ {
			switch c := b[i]; {
			case c == '<':
				return 0, x.fault("this is no XML: there is a < in a tag")
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '"' || c == '\'':
				quote = c
			case c == '>':
				return i + 1, nil
			}
		}
		if err := x.more(); err != nil {
			return 0, x.middle(err)
		}
	}
}

func (x *xmlScanner) endTag() error {
	n, err := x.find(2, ">")
	if err != nil {
		return x.middle(err)
	}
	name := bytes.TrimRight(x.bytes()[2:n], " \t\r\n")
	if x.depth == 0 || string(x.open[x.begins[x.depth-1]:]) != string(name) {
		return x.fault("this is no XML: an element ends that is not open")
	}
	if err := x.setName(name); err != nil {
		return err
	}
	x.take(n + 1)
	x.close()
	return nil
}

func (x *xmlScanner) close() {
	x.depth--
	x.open = x.open[:x.begins[x.depth]]
	x.begins = x.begins[:x.depth]
}

func (x *xmlScanner) setName(name []byte) error {
	prefix, local, ok := splitName(name)
	if !ok {
		return x.fault("this is no XML: a tag has no name, or one with other characters than letters, digits, . - and _")
	}
	x.prefix, x.local = prefix, local
	return nil
}

// splitName splits a name at its colon, if it has one.
func splitName(name []byte) (prefix, local []byte, ok bool) {
	prefix, local, prefixed := bytes.Cut(name, []byte(":"))
	if !prefixed {
		prefix, local = nil, name
	}
	ok = len(local) > 0 && nameLen(local) == len(local) && bytes.IndexByte(local, ':') < 0 && prefixed == (nameLen(prefix) > 0)
	return prefix, local, ok
}

// parseAttrs reads the attributes of a tag. It changes raw.
func (x *xmlScanner) parseAttrs(raw []byte) error {
	x.attrs = x.attrs[:0]
	for {
		rest := bytes.TrimLeft(raw, " \t\r\n")
		if len(rest) == 0 {
			return nil
		}
		name := rest[:nameLen(rest)]
		value, found := bytes.CutPrefix(bytes.TrimLeft(rest[len(name):], " \t\r\n"), []byte("="))
		value = bytes.TrimLeft(value, " \t\r\n")
		_, _, named := splitName(name)
		if len(rest) == len(raw) || !named || !found || len(value) < 2 || value[0] != '"' && value[0] != '\'' {
			return x.fault("this is no XML: an attribute is not written as one")
		}
		end := bytes.IndexByte(value[1:], value[0])
		if end < 0 {
			return x.fault("this is no XML: an attribute is not written as one")
		}
		twice := slices.ContainsFunc(x.attrs, func(a xmlAttr) bool { return bytes.Equal(a.name, name) })
		if twice || len(x.attrs) == maxAttrs {
			return x.fault("a tag has an attribute twice, or more than %d", maxAttrs)
		}
		text, err := x.decode(value[1 : 1+end])
		if err != nil {
			return err
		}
		x.attrs = append(x.attrs, xmlAttr{name, text})
		raw = value[end+2:]
	}
}

// decode replaces entities and the ends of lines in place: what they stand for is never longer.
func (x *xmlScanner) decode(raw []byte) ([]byte, error) {
	if !isXMLText(raw) {
		return nil, x.fault("this is no XML: there are characters in it that are not UTF-8, or not allowed")
	}
	if bytes.IndexByte(raw, '&') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		return raw, nil
	}
	out := raw[:0]
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\r':
			if i+1 == len(raw) || raw[i+1] != '\n' {
				out = append(out, '\n')
			}
		case c == '&':
			n := bytes.IndexByte(raw[i:], ';')
			if n < 0 {
				return nil, x.fault("this is no XML: there is a & that begins no entity")
			}
			r, ok := entity(string(raw[i+1 : i+n]))
			if !ok {
				return nil, x.fault("it has an entity that is not defined, which is refused")
			}
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

// entity is the character that an entity, without its & and ;, stands for.
func entity(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	}
	digits, found := strings.CutPrefix(name, "#")
	base := 10
	if hex, is := strings.CutPrefix(digits, "x"); is {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if !found || err != nil || n > utf8.MaxRune || !isXMLRune(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

func (x *xmlScanner) wipe() {
	x.window.wipe()
	clear(x.body[:cap(x.body)])
}

// nameLen is the length of the name at the beginning of raw. Names of other than ASCII letters are
// XML, but in no container of keys.
func nameLen(raw []byte) int {
	for i, c := range raw {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '.') {
			return i
		}
	}
	return len(raw)
}

func isXMLSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isXMLText reports whether text is UTF-8 of characters that XML allows.
func isXMLText(text []byte) bool {
	ascii := true
	for _, c := range text {
		if c < ' ' && !isXMLSpace(c) {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return true
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 || !isXMLRune(r) {
			return false
		}
		i += size
	}
	return true
}

func isXMLRune(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= utf8.MaxRune
}
