package policy

import (
	"errors"
	"fmt"
)

// ErrMissing says that a policy names users or groups that do not exist. The error that wraps it has a
// line for each of the first 20.
var ErrMissing = errors.New("the policy names users or groups that do not exist")

// Named is a user or a group that the policy mentions.
type Named struct {
	Name string
	// Where it stands first, as in "10-base.toml:12".
	Where string
}

// Named gives the users and the groups that the policy mentions, each once and in the order of the
// files.
func (p *Policy) Named() (users, groups []Named) {
	return p.named("users"), p.named("groups")
}

func (p *Policy) named(field string) (found []Named) {
	seen := make(map[string]bool)
	for _, t := range p.tables {
		f := t.field(field)
		if f == nil {
			continue
		}
		names := t.users
		if field == "groups" {
			names = t.groups
		}
		for n, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			at := f.at
			if n < len(f.items) {
				at.line = f.items[n]
			}
			found = append(found, Named{Name: name, Where: at.String()})
		}
	}
	return found
}

// Missing fails with ErrMissing and where they stand if the policy mentions users or groups of which
// exists says that they do not exist. It asks once, and not at all if the policy mentions none. An error
// of exists is wrapped.
func (p *Policy) Missing(exists func(users, groups []string) (missingUsers, missingGroups []string, err error)) error {
	users, groups := p.Named()
	if len(users)+len(groups) == 0 {
		return nil
	}
	noUsers, noGroups, err := exists(namesOf(users), namesOf(groups))
	if err != nil {
		return fmt.Errorf("cannot tell whether the users and groups of the policy exist: %w", err)
	}
	lines := append(missingLines("user", users, noUsers), missingLines("group", groups, noGroups)...)
	if len(lines) == 0 {
		return nil
	}
	return &setError{is: ErrMissing, lines: lines[:min(len(lines), maxFaults)], all: len(lines)}
}

func namesOf(some []Named) []string {
	names := make([]string, len(some))
	for n, one := range some {
		names[n] = one.Name
	}
	return names
}

func missingLines(kind string, named []Named, missing []string) (lines []string) {
	unknown := make(map[string]bool, len(missing))
	for _, name := range missing {
		unknown[name] = true
	}
	for _, one := range named {
		if unknown[one.Name] {
			lines = append(lines, fmt.Sprintf("%s: there is no %s %s", one.Where, kind, quote(one.Name)))
		}
	}
	return lines
}
