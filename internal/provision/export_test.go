package provision

import (
	"io"
	"strings"
)

// XMLEvents gives what the scanner meets in a document: "+name attr=value", "=text" and "-name".
func XMLEvents(r io.Reader) (events []string, err error) {
	x := newXMLScanner(r)
	if err := x.bom(); err != nil {
		return nil, err
	}
	for {
		switch x.next() {
		case xmlStart:
			event := "+" + string(x.local)
			for _, a := range x.attrs {
				event += " " + string(a.name) + "=" + string(a.value)
			}
			events = append(events, event)
		case xmlEnd:
			events = append(events, "-"+string(x.local))
		case xmlText:
			if last := len(events) - 1; last >= 0 && strings.HasPrefix(events[last], "=") {
				events[last] += string(x.text)
			} else if x.depth > 0 && len(x.text) > 0 {
				events = append(events, "="+string(x.text))
			}
		case xmlDone:
			return events, x.fail
		}
	}
}

// Rows gives the rows of a table that can be read, and whether all could.
func Rows(r io.Reader, separator byte) (rows [][]string, whole bool, err error) {
	t := newTable(r)
	if err := t.separate(string([]byte{separator})); err != nil {
		return nil, false, err
	}
	for whole = true; ; {
		reason, err := t.next()
		if err == io.EOF {
			return rows, whole, nil
		}
		if err != nil {
			return nil, false, err
		}
		if reason != "" {
			whole = false
			continue
		}
		var row []string
		for _, cell := range t.cells {
			row = append(row, string(cell))
		}
		rows = append(rows, row)
	}
}
