// Package policy says how strong an approval a service needs, where it may begin, what may stand in and
// what may be remembered, for which users.
package policy

import "fmt"

// Strength is what an approval proves, from weakest to strongest. The zero value is no strength at
// all: it is less than each named one and satisfies nothing.
type Strength int

// The strengths, ordered.
const (
	None Strength = iota
	Click
	Match
	Code
	Key
	Verified
)

var names = [...]string{None: "none", Click: "click", Match: "match", Code: "code", Key: "key", Verified: "verified"}

// String is the strength's name as people write it.
func (s Strength) String() string {
	if s < None || int(s) >= len(names) {
		return fmt.Sprintf("strength(%d)", int(s))
	}
	return names[s]
}

// ParseStrength reads a name; "none" and unknown names fail.
func ParseStrength(name string) (Strength, error) {
	for s := Click; int(s) < len(names); s++ {
		if names[s] == name {
			return s, nil
		}
	}
	return None, fmt.Errorf("cannot use strength %q: it is one of click, match, code, key, verified", name)
}

// Satisfies reports whether an approval of strength s is enough where need is asked for.
func (s Strength) Satisfies(need Strength) bool { return s >= need && need > None }

// MarshalText implements encoding.TextMarshaler.
func (s Strength) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; "none" is read as None.
func (s *Strength) UnmarshalText(b []byte) error {
	if string(b) == names[None] {
		*s = None
		return nil
	}
	v, err := ParseStrength(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}
