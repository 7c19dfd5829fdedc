package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/caller"
)

// ErrInvalid says that a set of files is no policy. The error that wraps it has a line for each of the
// first 20 faults, with the file's name and the line.
var ErrInvalid = errors.New("cannot use the policy")

// File is one file of a policy.
type File struct {
	// Name is what errors and explanations call it.
	Name string
	Text []byte
}

// MaxFile is how many bytes a file may have, MaxFiles how many files a set.
const (
	MaxFile  = 1 << 20
	MaxFiles = 64
)

// Parse reads the files of a policy as one set: it takes all of them or none. Their order and names do
// not matter to what the policy says. No files at all are the built-in policy. Errors wrap ErrInvalid.
func Parse(files []File) (*Policy, error) {
	var f faults
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%w: %d files are more than %d", ErrInvalid, len(files), MaxFiles)
	}
	var tables []*table
	for n, file := range files {
		r := reader{faults: &f, file: n, name: caller.Clean(file.Name).String()}
		tables = append(tables, r.read(file.Text)...)
	}
	if len(tables) > maxTables {
		return nil, fmt.Errorf("%w: %d tables are more than %d", ErrInvalid, len(tables), maxTables)
	}
	p := build(tables, &f)
	p.files = len(files)
	if err := f.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// build makes a policy of its tables, and finds the faults that only show in the whole set.
func build(tables []*table, f *faults) *Policy {
	p := &Policy{tables: tables, exact: make(map[string]*base), anyUID: make(map[string]*base)}
	p.makeSets()
	first := make(map[string]*table)
	for n, t := range tables {
		if t.kind != restrictTable {
			if other := first[t.id()]; other != nil {
				f.add(t.at, "%s", stoodBefore(t.title(), other.at))
				continue
			}
			first[t.id()] = t
		}
		switch t.kind {
		case defaultTable:
			p.defaults = t
		case keysTable:
			p.aaguids = t.aaguids
		case recoveryTable:
			p.noRecovery = t.noSteps
		case restrictTable:
			p.add(&restriction{limits: t.limits, from: t, order: n, users: t.users, groups: t.groups, services: t.services})
		}
	}
	over := builtin()
	if t := p.defaults; t != nil {
		p.standard = t.over(over)
		over = p.standard
		over.fallback, over.remember, over.place = 0, 0, allPlaces // what a service does not take over
		t.checkBase(p.standard, t, f)
	}
	for _, t := range tables {
		if t.kind != serviceTable || first[t.id()] != t {
			continue
		}
		b := &base{limits: t.over(over), from: t}
		t.checkBase(b.limits, p.defaults, f)
		if uid, name, ok := cutApp(t.service); ok && uid == "*" {
			p.anyUID[name] = b
		} else {
			p.exact[t.service] = b
		}
	}
	return p
}

// over gives what holds of l where t says nothing.
func (t *table) over(l limits) limits {
	for _, f := range t.fields {
		l.take(f.name, t.limits)
	}
	return l
}

// checkBase finds what [default] or a service may not say, where l is what it comes to.
func (t *table) checkBase(l limits, defaults *table, f *faults) {
	if t.badName {
		return
	}
	fallback, require := t.field("fallback"), t.field("require")
	if require != nil && (t.require == Click || t.require == Match) {
		t.checkPress(require, t.require.String(), f)
	}
	if fallback == nil {
		return
	}
	requires := require
	if requires == nil && defaults != nil {
		requires = defaults.field("require")
	}
	for _, name := range members(t.fallback, fallbackNames[:]) {
		if name == "click" || name == "match" {
			t.checkPress(fallback, string(name), f)
		}
		// What follows from a word that could not be read would be a fault that nobody made.
		if s, err := ParseStrength(string(name)); err == nil && s >= l.require && (requires == nil || !requires.bad) {
			f.add(fallback.at, "fallback: %q is not weaker than what is required, which is %q", name, l.require)
		}
	}
}

// checkPress refuses "click" and "match" where code that runs as the same user may have begun the
// request: it could press the button as well.
func (t *table) checkPress(where *field, word string, f *faults) {
	const instead = "use code, key or verified"
	place := t.field("place")
	switch {
	case t.kind == defaultTable:
		f.add(where.at, "%s: %q cannot be the default, which holds for requests begun on this machine too, where a program of the same user could press the button: %s", where.name, word, instead)
	case beginsHere(t.service):
		f.add(where.at, "%s: %q cannot approve %s, whose requests begin on this machine, where a program of the same user could press the button: %s", where.name, word, quote(t.service), instead)
	case place == nil || !place.bad && t.place != placeSet(caller.PlaceRemote):
		f.add(where.at, "%s: %q is for sign-ins from elsewhere alone: add place = [\"remote\"], or %s", where.name, word, instead)
	}
}

func placeSet(p caller.Place) set { return 1 << slices.Index(placeNames[:], p) }
