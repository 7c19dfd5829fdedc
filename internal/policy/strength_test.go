package policy_test

import (
	"testing"

	"github.com/fobproject/fob/internal/policy"
)

func TestStrengths(t *testing.T) {
	names := []string{"click", "match", "code", "key", "verified"}
	var before policy.Strength
	for _, name := range names {
		s, err := policy.ParseStrength(name)
		if err != nil || s.String() != name || s <= before {
			t.Errorf("%s: %v, %v", name, s, err)
		}
		if !s.Satisfies(s) || (before != policy.None && before.Satisfies(s)) || !s.Satisfies(max(before, policy.Click)) {
			t.Errorf("%s does not satisfy what it should", name)
		}
		before = s
	}
	for _, bad := range []string{"", "none", "Key", "key ", "strength(3)"} {
		if s, err := policy.ParseStrength(bad); err == nil {
			t.Errorf("%q was read as %v", bad, s)
		}
	}
	if policy.Verified.Satisfies(policy.None) || policy.None.Satisfies(policy.None) {
		t.Error("an approval satisfies a need that nobody stated")
	}
	for _, name := range append(names, "none") {
		var s policy.Strength
		if err := s.UnmarshalText([]byte(name)); err != nil || s.String() != name {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
