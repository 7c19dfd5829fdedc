package account

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What keeps an export from being taken.
var (
	ErrOtherExport = errors.New("this QR code belongs to another export: scan all of one, then those of the other")
	ErrParts       = errors.New("the export is not whole")
)

// Batches puts the parts of an export of Google Authenticator together. The zero value has none. It is not safe for
// concurrent use.
type Batches struct {
	id    int32
	parts []*Batch // by index; nil is missing
}

// Add takes a part, which it owns from then on, in any order; one that is there already is passed over. It fails with
// ErrOtherExport, and stays as it was, if the part is of another export than those before.
func (b *Batches) Add(part Batch) error {
	switch {
	case part.Size < 1 || part.Size > maxParts || part.Index < 0 || part.Index >= part.Size:
		part.Wipe()
		return fmt.Errorf("%w: %w", ErrMigration, errWire)
	case b.parts == nil:
		b.id, b.parts = part.ID, make([]*Batch, part.Size)
	case part.ID != b.id || part.Size != len(b.parts):
		part.Wipe()
		return ErrOtherExport
	}
	if b.parts[part.Index] != nil {
		part.Wipe()
		return nil
	}
	b.parts[part.Index] = &part
	return nil
}

// Empty reports whether there is no part yet.
func (b *Batches) Empty() bool { return b.parts == nil }

// Missing are the parts that are missing, counted from 1 as Google Authenticator shows them.
func (b *Batches) Missing() (parts []int) {
	for i, part := range b.parts {
		if part == nil {
			parts = append(parts, i+1)
		}
	}
	return parts
}

// Progress says what there is and what is missing: “2 of 3 scanned: part 3 is missing”.
func (b *Batches) Progress() string {
	missing := b.Missing()
	switch {
	case b.Empty():
		return "nothing is scanned yet"
	case len(missing) == 0:
		return fmt.Sprintf("%d of %d scanned", len(b.parts), len(b.parts))
	}
	text := fmt.Sprintf("%d of %d scanned: part ", len(b.parts)-len(missing), len(b.parts))
	if len(missing) == 1 {
		return text + strconv.Itoa(missing[0]) + " is missing"
	}
	const most = 8 // that are told one by one
	words := make([]string, 0, most+1)
	for _, part := range missing[:min(len(missing), most)] {
		words = append(words, strconv.Itoa(part))
	}
	last := len(words) - 1
	if more := len(missing) - most; more > 0 {
		words, last = append(words, fmt.Sprintf("%d more", more)), most
	}
	return strings.TrimSuffix(text, " ") + "s " + strings.Join(words[:last], ", ") + " and " + words[last] + " are missing"
}

// Take gives the accounts, in the export's order, and is empty afterwards. It fails with ErrParts, and stays as it
// was, unless all parts are there.
func (b *Batches) Take() ([]Account, []Skipped, error) {
	if b.Empty() || len(b.Missing()) > 0 {
		return nil, nil, fmt.Errorf("%w: %s: scan what is missing too", ErrParts, b.Progress())
	}
	var all found
	for _, part := range b.parts {
		all.accounts, all.skipped = append(all.accounts, part.Accounts...), append(all.skipped, part.Skipped...)
	}
	*b = Batches{}
	return all.accounts, all.skipped, nil
}

// Wipe clears the accounts' seeds. There is no part afterwards.
func (b *Batches) Wipe() {
	for _, part := range b.parts {
		if part != nil {
			part.Wipe()
		}
	}
	*b = Batches{}
}
