package policy

import (
	"slices"
	"time"

	"github.com/fobproject/fob/internal/caller"
)

// limits is a rule in the form that is quick to tighten.
type limits struct {
	require    Strength
	fallback   set // of fallbackNames
	place      set // of placeNames
	timeout    time.Duration
	longest    time.Duration // that a caller may ask for
	remember   time.Duration
	minMethods int
}

// set is a set of indexes into one of the lists of names below.
type set uint8

// The names, sorted.
var (
	fallbackNames = [...]Fallback{"click", "code", "key", "match", Recovery}
	placeNames    = [...]caller.Place{caller.PlaceLocal, caller.PlaceRemote, caller.PlaceUnknown}
)

const (
	allFallbacks set = 1<<len(fallbackNames) - 1
	allPlaces    set = 1<<len(placeNames) - 1
)

// builtin is what holds where nobody has configured anything.
func builtin() limits {
	return limits{require: builtinRequire, place: allPlaces, timeout: builtinTimeout, longest: MaxTimeout}
}

// unlimited tightens nothing: a restriction begins with it.
func unlimited() limits {
	return limits{fallback: allFallbacks, place: allPlaces, timeout: MaxTimeout, longest: MaxTimeout, remember: MaxRemember}
}

// tighten takes the stricter of both in everything, so that the order of restrictions does not matter
// and one more never allows more.
func (l *limits) tighten(by limits) {
	l.require = max(l.require, by.require)
	l.fallback &= by.fallback
	l.place &= by.place
	l.timeout = min(l.timeout, by.timeout)
	l.longest = min(l.longest, by.timeout)
	l.remember = min(l.remember, by.remember)
	l.minMethods = max(l.minMethods, by.minMethods)
}

// take takes over what the key called name says.
func (l *limits) take(name string, from limits) {
	switch name {
	case "require":
		l.require = from.require
	case "fallback":
		l.fallback = from.fallback
	case "place":
		l.place = from.place
	case "timeout":
		l.timeout, l.longest = from.timeout, from.timeout
	case "remember":
		l.remember = from.remember
	case "min_methods":
		l.minMethods = from.minMethods
	}
}

// restriction is a [[restrict]] table.
type restriction struct {
	limits
	order    int // among all restrictions
	from     *table
	users    []string  // empty: all
	groups   []string  // empty: all
	services []pattern // empty: all
}

func (r *restriction) hasGroupOf(s Subject) bool {
	return len(r.groups) == 0 || s.GroupsUnknown ||
		slices.ContainsFunc(s.Groups, func(g string) bool { return slices.Contains(r.groups, g) })
}

func (r *restriction) hasService(service string) bool {
	return len(r.services) == 0 || slices.ContainsFunc(r.services, func(p pattern) bool { return p.matches(service) })
}

// add files a restriction where visit finds it.
func (p *Policy) add(r *restriction) {
	p.groups = p.groups || len(r.groups) > 0
	switch {
	case len(r.users) > 0:
		p.byUser = file(p.byUser, r.users, r)
		p.ofUsers = append(p.ofUsers, r)
	case len(r.groups) > 0:
		p.byGroup = file(p.byGroup, r.groups, r)
		p.ofGroups = append(p.ofGroups, r)
	case len(r.services) > 0 && !slices.ContainsFunc(r.services, pattern.isWide):
		for _, s := range r.services {
			p.byService = file(p.byService, []string{string(s)}, r)
		}
	default:
		p.general = append(p.general, r)
	}
}

func file(index map[string][]*restriction, under []string, r *restriction) map[string][]*restriction {
	if index == nil {
		index = make(map[string][]*restriction)
	}
	for _, name := range under {
		index[name] = append(index[name], r)
	}
	return index
}

// makeSets makes every set that a rule can show, so that For needs no memory.
func (p *Policy) makeSets() {
	for s := range p.fallbackFor {
		p.fallbackFor[s] = members(set(s), fallbackNames[:])
	}
	p.fallbackFor[0] = nil
	for s := range p.placeFor {
		p.placeFor[s] = members(set(s), placeNames[:])
	}
	p.placeFor[allPlaces] = nil // everywhere
}

func members[T any](s set, names []T) []T {
	some := make([]T, 0, len(names))
	for n, name := range names {
		if s&(1<<n) != 0 {
			some = append(some, name)
		}
	}
	return slices.Clip(some)
}
