package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntaxFault says in which line what is wrong where the library has refused a file: the usual slips in plain
// words with what to write instead, the others in the library's words, made safe and of one line.
func (r *reader) syntaxFault(text string, found []statement, p toml.ParseError) (line int, message string) {
	if line, message := r.unclosed(text, found, p.Position.Line); message != "" {
		return line, message
	}
	return p.Position.Line, r.syntaxMessage(text, found, p)
}

func (r *reader) syntaxMessage(text string, found []statement, p toml.ParseError) string {
	line, message := lineOf(text, p.Position.Line), ""
	switch {
	case len(line) > maxLine:
	case strings.Contains(p.Message, "' has already been defined") || strings.Contains(p.Message, "' was already created"):
		message = r.twice(found, p.Position.Line)
	default:
		message = cmp.Or(badHeader(line), bareValue(line), bareItem(line, found, p.Position.Line))
	}
	if message != "" {
		return message
	}
	return strings.TrimSuffix(strings.Join(strings.Fields(clean(p.Message)), " "), ".")
}

// unclosed speaks of a header without the bracket that ends it, which the library often finds missing on the
// line below; before is the line where it gives up.
func (r *reader) unclosed(text string, found []statement, before int) (line int, message string) {
	for _, st := range found {
		end := "]"
		switch {
		case st.kind == isKey || st.line > before || st.line < before-1:
			continue
		case st.kind == isArrayHeader:
			end = "]]"
		}
		shown, _, _ := strings.Cut(quotedText.ReplaceAllString(lineOf(text, st.line), `""`), "#")
		if !strings.HasSuffix(strings.TrimSpace(shown), end) {
			return st.line, "close the bracket: " + header(st.key)
		}
	}
	return 0, ""
}

// lineOf is a line of text without the white space around it.
func lineOf(text string, number int) string {
	for line := range strings.Lines(text) {
		if number--; number == 0 {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// twice says of the table or key that stands a second time in a line where the first is. It is empty where
// the library counts something else as the same.
func (r *reader) twice(found []statement, line int) string {
	first := make(map[string]statement)
	var prefix []string
	arrays := 0 // a key may stand once in each table of a list
	for _, st := range found {
		path := st.key
		switch st.kind {
		case isKey:
			path = slices.Concat(prefix, st.key)
		case isArrayHeader:
			arrays++
			fallthrough
		case isHeader:
			prefix = st.key
		}
		id := strings.Join(path, "\x00")
		if st.kind == isKey {
			id = fmt.Sprintf("%d\x00%s", arrays, id)
		}
		before, again := first[id]
		if st.line == line && again {
			return r.saysTwice(before, st, prefix)
		}
		if !again {
			first[id] = st
		}
	}
	return ""
}

func (r *reader) saysTwice(first, second statement, table []string) string {
	at := r.at(first.line)
	if second.kind == isKey {
		where := "before any header"
		if len(table) > 0 {
			where = "in " + header(table)
		}
		return fmt.Sprintf("%s stands twice %s (first at %s)", word(strings.Join(second.key, ".")), where, at)
	}
	name, array := quote(strings.Join(second.key, ".")), second.key[0] == string(restrictTable)
	switch {
	case (second.kind == isArrayHeader) != array:
		return fmt.Sprintf("%s has the wrong brackets: write %s", name, header(second.key))
	case (first.kind == isArrayHeader) != array:
		return fmt.Sprintf("%s has the wrong brackets at %s: write %s", name, at, header(second.key))
	}
	return stoodBefore(header(second.key), at)
}

// stoodBefore is said within a file and across files alike.
func stoodBefore(title string, first position) string {
	return fmt.Sprintf("%s stands twice (first at %s)", title, first)
}

// header shows a header as it should be written.
func header(key []string) string {
	switch {
	case len(key) == 1 && key[0] != string(serviceTable) && slices.Contains(tableKinds, key[0]):
		return example(key[0])
	case len(key) == 2 && key[0] == string(serviceTable):
		return "[service." + quote(key[1]) + "]"
	}
	return "[" + word(strings.Join(key, ".")) + "]"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// word shows a key: in quotes where it is none that a policy could have.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return quote(s)
}

// typographic are the quotes of word processors, which TOML does not know.
const typographic = "“”„‟‘’‚‛«»"

var serviceHeader = regexp.MustCompile(`^\[\s*(service\s*\.)?([^"'\[\]]+)\]\s*(?:#.*)?$`)

// badHeader speaks of a service's header without its quotes.
func badHeader(line string) string {
	m := serviceHeader.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	name := strings.Trim(strings.TrimSpace(m[2]), typographic+" ")
	show := example(string(serviceTable))
	switch known := checkService(name, false) == nil; {
	case known:
		show = header([]string{string(serviceTable), name})
	case m[1] == "":
		return "" // it may be meant as anything
	}
	return "a service's name stands in quotes: " + show
}

var (
	bareKeyValue = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*=\s*([^\s"'\[\]{}#,=]+)\s*(?:#.*)?$`)
	listKeys     = []string{"fallback", "place", "users", "groups", "services", "allow_aaguids"}
)

// bareValue speaks of a key whose value has no quotes, or those of a word processor.
func bareValue(line string) string {
	m := bareKeyValue.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	name, value := m[1], quote(strings.Trim(m[2], typographic))
	switch {
	case name == "step_up":
		return name + ": " + wantBool
	case name == "min_methods":
		return name + ": " + wantMethods()
	case slices.Contains(listKeys, name):
		value = "[" + value + "]"
	}
	put := "put it in quotes"
	if strings.ContainsAny(m[2], typographic) {
		put = "put it in plain quotes"
	}
	return fmt.Sprintf("%s: %s = %s", put, word(name), value)
}

var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)
	bareWord   = regexp.MustCompile(`(?:^|[\[,])\s*([^\s"'\[\],#=]+)\s*(?:[\],]|$)`)
)

// bareItem speaks of an element of a list that has no quotes.
func bareItem(line string, found []statement, number int) string {
	inList := slices.ContainsFunc(found, func(st statement) bool { return st.kind == isKey && slices.Contains(st.items, number) })
	if !inList {
		return ""
	}
	line, _, _ = strings.Cut(quotedText.ReplaceAllString(line, `""`), "#")
	m := bareWord.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return "put it in quotes: " + quote(strings.Trim(m[1], typographic))
}
