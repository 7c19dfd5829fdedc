package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fobproject/fob/internal/caller"
)

// fieldsOf says which keys a table may have.
func fieldsOf(k tableKind) []string {
	switch k {
	case defaultTable:
		return []string{"require", "fallback", "place", "timeout", "min_methods"}
	case serviceTable:
		return []string{"require", "fallback", "place", "timeout", "remember"}
	case restrictTable:
		return []string{"users", "groups", "services", "require", "fallback", "place", "timeout", "remember", "min_methods"}
	case keysTable:
		return []string{"allow_aaguids"}
	}
	return []string{"step_up"}
}

// decode reads the fields of t into it and tells of those that it may not have.
func (r *reader) decode(t *table) {
	t.limits = limits{place: allPlaces}
	if t.kind == restrictTable {
		t.limits = unlimited()
	}
	if t.kind == serviceTable {
		if err := checkService(t.service, false); err != nil {
			r.faults.add(t.at, "%v", err)
			t.badName = true
		}
	}
	for _, f := range t.fields {
		if err := t.set(f); err != nil {
			at := f.at
			if e, ok := errors.AsType[*itemError](err); ok && e.item < len(f.items) {
				at.line = f.items[e.item]
			}
			r.faults.add(at, "%v", err)
			f.bad = true
		}
	}
}

// checkRestricts refuses a restriction that can never change anything: whoever wrote it believes that it does.
func (r *reader) checkRestricts(t *table) {
	if t.kind != restrictTable {
		return
	}
	says := t.limits
	if says.require == Click {
		says.require = None // nothing needs less
	}
	if says != unlimited() {
		return
	}
	at, what := t.at, "it does not say what it tightens"
	for _, f := range t.fields {
		if !slices.Contains(restrictedFields, f.name) {
			at, what = f.at, fmt.Sprintf("%s is as loose as can be", f.name)
			break
		}
	}
	r.faults.add(at, "this [[restrict]] restricts nothing, since %s: write for instance require = \"verified\"", what)
}

// restrictedFields say for what a restriction holds, and not what it tightens.
var restrictedFields = []string{"users", "groups", "services"}

func (t *table) set(f *field) error {
	if !slices.Contains(fieldsOf(t.kind), f.name) {
		return t.unknown(f.name)
	}
	if err := t.setValue(f); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

func (t *table) unknown(name string) error {
	switch {
	case name == "remember" && t.kind == defaultTable:
		return fmt.Errorf("remember cannot be in [default]: approvals are remembered only for pam services, so write it in [service.\"pam:…\"]")
	case name == "min_methods" && t.kind == serviceTable:
		return fmt.Errorf("min_methods cannot be in a service: write it in [default] or [[restrict]]")
	}
	return fmt.Errorf("unknown key %s in %s%s", quote(name), t.title(), suggest(name, fieldsOf(t.kind)))
}

func (t *table) setValue(f *field) (err error) {
	switch f.name {
	case "require":
		var word string
		if word, err = text(f.value, `"key"`); err == nil {
			t.require, err = parseStrength(word)
		}
	case "fallback":
		t.fallback, err = setOf(f.value, "fallback", fallbackNames[:])
	case "place":
		if t.place, err = setOf(f.value, "place", placeNames[:]); err == nil && t.place == 0 {
			err = fmt.Errorf("the list is empty, so that nothing could begin anywhere: leave it out if requests may begin everywhere")
		}
	case "timeout":
		t.timeout, err = duration(f.value, MinTimeout, MaxTimeout)
	case "remember":
		if t.remember, err = duration(f.value, 0, MaxRemember); err == nil && t.kind == serviceTable && t.remember > 0 && !strings.HasPrefix(t.service, "pam:") {
			err = fmt.Errorf("approvals are remembered only for pam services, not for %s: leave it out", quote(t.service))
		}
	case "min_methods":
		n, ok := f.value.(int64)
		if !ok || n < 0 || n > MaxMethods {
			return errors.New(wantMethods())
		}
		t.minMethods = int(n)
	case "users":
		t.users, err = loginNames(f.value)
	case "groups":
		t.groups, err = loginNames(f.value)
	case "services":
		t.services, err = patterns(f.value)
	case "allow_aaguids":
		t.aaguids, err = aaguids(f.value)
	case "step_up":
		on, ok := f.value.(bool)
		if !ok {
			return errors.New(wantBool)
		}
		t.noSteps = !on
	}
	return err
}

const wantBool = "write true or false, without quotes"

func wantMethods() string {
	return fmt.Sprintf("write a number from 0 to %d, without quotes", MaxMethods)
}

// itemError is a fault of one element of a list.
type itemError struct {
	item int
	err  error
}

func (e *itemError) Error() string { return e.err.Error() }

func text(v any, example string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("this is %s: write text in quotes, as in %s", typeName(v), example)
	}
	return s, nil
}

// list reads a list of different strings.
func list(v any) ([]string, error) {
	some, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("this is %s: write a list, as in [\"…\", \"…\"]", typeName(v))
	}
	words := make([]string, 0, len(some))
	seen := make(map[string]bool, len(some))
	for n, item := range some {
		s, err := text(item, `"…"`)
		if err == nil && seen[s] {
			err = fmt.Errorf("%s stands twice", quote(s))
		}
		if err != nil {
			return nil, &itemError{n, err}
		}
		seen[s] = true
		words = append(words, s)
	}
	return words, nil
}

// given reads a list that would name nobody and nothing if it were empty.
func given(v any) ([]string, error) {
	words, err := list(v)
	if err == nil && len(words) == 0 {
		return nil, fmt.Errorf("the list is empty, so that this would hold for none: leave it out if it holds for all")
	}
	return words, err
}

func setOf[T ~string](v any, what string, names []T) (set, error) {
	words, err := list(v)
	if err != nil {
		return 0, err
	}
	var s set
	for n, word := range words {
		i := slices.Index(names, T(word))
		if i < 0 {
			allowed := make([]string, len(names))
			for n, name := range names {
				allowed[n] = string(name)
			}
			return 0, &itemError{n, fmt.Errorf("%s is no %s%s", quote(word), what, suggest(word, allowed))}
		}
		s |= 1 << i
	}
	return s, nil
}

func parseStrength(word string) (Strength, error) {
	s, err := ParseStrength(word)
	if err != nil {
		return None, fmt.Errorf("%s is no strength%s", quote(word), suggest(word, names[Click:]))
	}
	return s, nil
}

func loginNames(v any) ([]string, error) {
	words, err := given(v)
	for n, word := range words {
		if !isLoginName(word) {
			return nil, &itemError{n, fmt.Errorf("%s cannot be the name of a user or group", quote(word))}
		}
	}
	return words, err
}

// isLoginName reports whether the name service could know such a name at all.
func isLoginName(s string) bool {
	return s != "" && len(s) <= 256 && s[0] != '-' && s[0] != '+' &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == ':' || !unicode.IsPrint(r) })
}

func patterns(v any) ([]pattern, error) {
	words, err := given(v)
	some := make([]pattern, 0, len(words))
	for n, word := range words {
		if err := checkService(word, true); err != nil {
			return nil, &itemError{n, err}
		}
		some = append(some, pattern(word))
	}
	return some, err
}

// aaguids reads models of keys as UUIDs (RFC 9562, section 4). No model is all of them: nil.
func aaguids(v any) (map[[16]byte]bool, error) {
	words, err := list(v)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	models := make(map[[16]byte]bool, len(words))
	for n, word := range words {
		id, err := parseUUID(word)
		switch {
		case err == nil && id == [16]byte{}:
			err = fmt.Errorf("%s is what keys say that do not tell their model: it cannot be allowed", quote(word))
		case err == nil && models[id]:
			err = fmt.Errorf("%s stands twice", quote(word))
		}
		if err != nil {
			return nil, &itemError{n, err}
		}
		models[id] = true
	}
	return models, nil
}

func parseUUID(s string) (id [16]byte, err error) {
	parts := strings.Split(s, "-")
	digits := strings.Join(parts, "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(id) || len(parts) != 5 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 {
		return id, fmt.Errorf("%s is no AAGUID: write it as a UUID, 8-4-4-4-12 hexadecimal digits", quote(s))
	}
	return [16]byte(b), nil
}

const day = 24 * time.Hour

// duration reads Go's form of a duration, before which may stand whole days, as in "90d" or "1d12h".
func duration(v any, least, most time.Duration) (time.Duration, error) {
	s, err := text(v, `"60s"`)
	if err != nil {
		return 0, err
	}
	d, ok := parseDuration(s)
	switch {
	case !ok:
		return 0, fmt.Errorf("%s is no length of time: write it as in \"60s\", \"5m\" or \"90d\"", quote(s))
	case d < least || d > most:
		return 0, fmt.Errorf("%s is outside of %s to %s", quote(s), showDuration(least), showDuration(most))
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, bool) {
	var whole time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, false
		}
		whole = time.Duration(n) * day
		if s = rest; s == "" {
			return whole, true
		}
	}
	d, err := time.ParseDuration(s)
	return whole + d, err == nil && d >= 0 && whole+d >= 0
}

// showDuration is d as parseDuration reads it, without what is zero.
func showDuration(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "a list"
	}
	return "a table"
}

// clean makes text safe that came from a file.
func clean(s string) string { return caller.Clean(s).String() }

// quote shows a word from a file.
func quote(s string) string {
	const most = 64
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
