package provision

import (
	"bytes"
	"unicode/utf8"
)

// Format is what a file is.
type Format string

// The formats.
const (
	FormatUnknown Format = ""
	FormatPSKC    Format = "pskc"
	FormatEntra   Format = "entra"
	FormatGraph   Format = "graph"
	FormatCSV     Format = "csv" // any other table
)

// Sniff tells what a file seems to be from its first bytes, of which 4 KiB are enough.
func Sniff(head []byte) Format {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	head = bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(head) == 0:
		return FormatUnknown
	case head[0] == '<':
		return formatIf(FormatPSKC, bytes.Contains(head, []byte("KeyContainer")))
	case head[0] == '{' || head[0] == '[':
		for _, name := range []string{`"secretkey"`, `"serialnumber"`, `"value"`} {
			if bytes.Contains(bytes.ToLower(head), []byte(name)) {
				return FormatGraph
			}
		}
		return FormatUnknown
	}
	t := newTable(bytes.NewReader(head))
	defer t.wipe()
	if t.separate(",;\t") != nil {
		return FormatUnknown
	}
	if reason, err := t.next(); err != nil || reason != "" || len(t.cells) < 2 {
		return FormatUnknown
	}
	for _, cell := range t.cells {
		if !utf8.Valid(cell) || !plain(oneLine(string(cell))) {
			return FormatUnknown
		}
	}
	if t.separator != '\t' && isEntraHeader(t.cells) {
		return FormatEntra
	}
	return FormatCSV
}

func formatIf(f Format, is bool) Format {
	if is {
		return f
	}
	return FormatUnknown
}
