package account

import (
	"bytes"
	"fmt"

	"github.com/fobproject/fob/internal/provision"
)

// maxFile bounds a file in bytes: Aegis keeps pictures in its export.
const maxFile = 32 << 20

// ParseList reads a text file with a link a line: otpauth links, and Google Authenticator's whole export. Empty
// lines are passed over, and those that begin with “#”. Its errors wrap provision.ErrFile.
func ParseList(data []byte) ([]Account, []Skipped, error) {
	if len(data) > maxFile {
		return nil, nil, tooLong()
	}
	var f found
	var parts Batches
	defer parts.Wipe()
	skip := func(line int, reason string) {
		f.skipped = append(f.skipped, Skipped{Name: fmt.Sprintf("line %d", line), Reason: reason})
	}
	line, last := 0, 0 // last: where a part of an export stood
	for text := range bytes.SplitSeq(data, []byte("\n")) {
		line++
		text = trim(text)
		switch {
		case len(text) == 0 || text[0] == '#':
		case Recognise(text) == QRMigration:
			last = line
			part, err := ParseMigration(text)
			if err == nil {
				err = parts.Add(part)
			}
			if err != nil {
				skip(line, err.Error())
			}
		default:
			a, reason := readURI(text)
			if reason != "" {
				a.Wipe()
				skip(line, reason)
				continue
			}
			f.accounts = append(f.accounts, a)
		}
	}
	if !parts.Empty() {
		accounts, skipped, err := parts.Take()
		if err != nil {
			skip(last, err.Error())
		}
		f.accounts, f.skipped = append(f.accounts, accounts...), append(f.skipped, skipped...)
	}
	if len(f.accounts)+len(f.skipped) == 0 {
		return nil, nil, fmt.Errorf("%w: it has no otpauth:// link in it: choose another file", provision.ErrFile)
	}
	return f.accounts, f.skipped, nil
}

func tooLong() error {
	return fmt.Errorf("%w: it is longer than %d MiB, which no export is: choose another file", provision.ErrFile, maxFile>>20)
}
