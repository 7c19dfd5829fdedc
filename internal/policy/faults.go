package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Faults gives what an error of Parse, Load or Missing has found, each in one line and nearly always after
// its place, as in "10-base.toml:12: …": the first 20 of them, and how many there are in all. Any other
// error is one fault; nil is none.
func Faults(err error) (first []string, all int) {
	if err == nil {
		return nil, 0
	}
	if set, ok := errors.AsType[*setError](err); ok {
		return slices.Clone(set.lines), set.all
	}
	text := strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
	return []string{strings.ReplaceAll(text, "\n", " ")}, 1
}

// setError is what is wrong with a set: a sentinel and a line for each of the first faults.
type setError struct {
	is    error
	lines []string
	all   int
}

func (e *setError) Error() string {
	if e.all == 1 {
		return e.is.Error() + ": " + e.lines[0]
	}
	text := e.is.Error() + ":\n" + strings.Join(e.lines, "\n")
	if more := e.all - len(e.lines); more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}

func (e *setError) Unwrap() error { return e.is }

// position is a line of a file of the set.
type position struct {
	file int // its number in the set
	name string
	line int
}

// String is as in "10-base.toml:12".
func (p position) String() string { return fmt.Sprintf("%s:%d", p.name, p.line) }

// faults are what is wrong with a set.
type faults struct {
	found []fault
	more  int // beyond those that are kept
}

type fault struct {
	at   position
	text string
}

// Of a set, maxFaults are shown and no more than keepFaults kept.
const (
	maxFaults  = 20
	keepFaults = 1000
)

func (f *faults) add(at position, format string, args ...any) {
	if len(f.found) >= keepFaults {
		f.more++
		return
	}
	f.found = append(f.found, fault{at, fmt.Sprintf(format, args...)})
}

func (f *faults) count() int { return len(f.found) + f.more }

func (f *faults) err() error {
	if len(f.found) == 0 {
		return nil
	}
	slices.SortStableFunc(f.found, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line))
	})
	var lines []string
	for _, one := range f.found[:min(len(f.found), maxFaults)] {
		lines = append(lines, one.at.String()+": "+one.text)
	}
	return &setError{is: ErrInvalid, lines: lines, all: f.count()}
}
