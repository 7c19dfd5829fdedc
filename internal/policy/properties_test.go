package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/policy"
)

const rounds = 300

var (
	someServices = []string{"pam:sudo", "pam:sshd", "pam:x", "app:1:a", "app:1:b", "app:2:a", "app:2:b", "app:1:fob", ""}
	somePlaces   = []caller.Place{caller.PlaceLocal, caller.PlaceRemote, caller.PlaceUnknown, ""}
	someSubjects = []policy.Subject{
		{Name: "alice"}, {Name: "alice", Groups: []string{"g", "h"}}, {Name: "bob", Groups: []string{"h"}}, {Name: "bob", GroupsUnknown: true},
		{Name: "carol", Groups: []string{"alice"}}, {}, {GroupsUnknown: true},
	}
)

// maker makes tables at random; every one of them is a right one.
type maker struct{ *rand.Rand }

func (m maker) pick(words ...string) string { return words[m.IntN(len(words))] }

func (m maker) some(least int, words ...string) string {
	m.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	words = words[:least+m.IntN(len(words)-least+1)]
	return "['" + strings.Join(words, "','") + "']"
}

// line is a key's line or, as often, none.
func (m maker) line(name, value string) string {
	if m.IntN(2) == 0 {
		return ""
	}
	return name + " = " + strings.ReplaceAll(value, "['']", "[]") + "\n"
}

func (m maker) duration() string { return m.pick("'1s'", "'30s'", "'60s'", "'10m'") }

func (m maker) restrict() string {
	for {
		if text := m.anyRestrict(); restricts(text) {
			return text
		}
	}
}

// restricts reports whether a restriction is not one that is refused because it changes nothing.
func restricts(text string) bool {
	_, err := policy.Parse([]policy.File{{Name: "x.toml", Text: []byte(text)}})
	return err == nil || !strings.Contains(err.Error(), "restricts nothing")
}

func (m maker) anyRestrict() string {
	return "[[restrict]]\n" +
		m.line("users", m.some(1, "alice", "bob", "eve")) +
		m.line("groups", m.some(1, "g", "h", "i")) +
		m.line("services", m.some(1, "*", "pam:*", "pam:sudo", "pam:sshd", "app:*:a", "app:1:*", "app:2:b", "app:*:*")) +
		m.line("require", m.pick("'click'", "'match'", "'code'", "'key'", "'verified'")) +
		m.line("fallback", m.some(0, "click", "match", "code", "key", "recovery")) +
		m.line("place", m.some(1, "local", "remote", "unknown")) +
		m.line("timeout", m.duration()) +
		m.line("remember", m.pick("'0s'", "'1h'", "'30d'", "'90d'")) +
		m.line("min_methods", m.pick("0", "1", "2", "5"))
}

func (m maker) service(name string) string {
	s := fmt.Sprintf("[service.'%s']\n", name)
	switch m.IntN(4) {
	case 0:
		s += "require = 'verified'\n" + m.line("fallback", m.some(0, "code", "key", "recovery"))
	case 1:
		s += "require = 'key'\n" + m.line("fallback", m.some(0, "code", "recovery"))
	case 2:
		s += m.line("fallback", m.some(0, "recovery"))
	case 3:
		if name == "pam:sshd" {
			return s + "require = 'match'\nplace = ['remote']\n" + m.line("fallback", m.some(0, "click", "recovery"))
		}
	}
	s += m.line("place", m.some(1, "local", "remote", "unknown")) + m.line("timeout", m.duration())
	if strings.HasPrefix(name, "pam:") {
		s += m.line("remember", m.pick("'0s'", "'1h'", "'30d'"))
	}
	return s
}

// tables is a set without [default].
func (m maker) tables() (some []string) {
	for _, name := range []string{"pam:sudo", "pam:sshd", "app:*:a", "app:1:a"} {
		if m.IntN(2) == 0 {
			some = append(some, m.service(name))
		}
	}
	for range m.IntN(5) {
		some = append(some, m.restrict())
	}
	return some
}

func (m maker) standard() string {
	return "[default]\n" + m.line("require", m.pick("'code'", "'key'", "'verified'")) + m.line("fallback", "['recovery']") +
		m.line("place", m.some(1, "local", "remote", "unknown")) + m.line("timeout", m.duration()) + m.line("min_methods", "2")
}

// loosened says what after allows that before does not.
func loosened(before, after policy.Rule) string {
	for s := policy.None; s <= policy.Verified; s++ {
		if after.Accepts(s) && !before.Accepts(s) {
			return "accepts " + s.String()
		}
	}
	for _, p := range somePlaces {
		if after.MayBegin(p) && !before.MayBegin(p) {
			return "may begin at " + string(p)
		}
	}
	switch {
	case after.AcceptsRecovery() && !before.AcceptsRecovery():
		return "accepts recovery"
	case after.Remember > before.Remember:
		return "remembers for longer"
	case after.Timeout > before.Timeout:
		return "takes longer"
	case after.MinMethods < before.MinMethods:
		return "wants fewer methods"
	case after.Weakest() < before.Weakest():
		return "accepts what is weaker"
	}
	return ""
}

func TestOneMoreRestrictionNeverAllowsMore(t *testing.T) {
	for seed := range uint64(rounds) {
		m := maker{rand.New(rand.NewPCG(seed, 1))}
		tables := append(m.tables(), m.standard())
		before := parse(t, tables...)
		more := slices.Insert(slices.Clone(tables), m.IntN(len(tables)+1), m.restrict())
		after := parse(t, more...)
		for _, service := range someServices {
			for _, s := range someSubjects {
				if how := loosened(before.For(service, s), after.For(service, s)); how != "" {
					t.Fatalf("seed %d: %s for %+v %s, with\n%s", seed, service, s, how, strings.Join(more, ""))
				}
			}
		}
	}
}

func TestAServiceAsStrictAsTheDefaultNeverAllowsMore(t *testing.T) {
	strengths := []string{"code", "key", "verified"}
	for seed := range uint64(rounds) {
		m := maker{rand.New(rand.NewPCG(seed, 2))}
		n := m.IntN(3)
		places := []string{"local", "remote", "unknown"}[:1+m.IntN(3)]
		standard := fmt.Sprintf("[default]\nrequire='%s'\nfallback=['recovery']\nplace=['%s']\ntimeout='2m'\nmin_methods=2\n", strengths[n], strings.Join(places, "','"))
		service := fmt.Sprintf("[service.'%s']\nplace=%s\n", m.pick("pam:sudo", "pam:x", "app:*:a", "app:1:a"), m.some(1, slices.Clone(places)...)) +
			m.line("require", "'"+strengths[n+m.IntN(3-n)]+"'") + m.line("timeout", "'1m'") + m.line("fallback", "[]")
		restricts := []string{m.restrict(), m.restrict()}
		before, after := parse(t, append(restricts, standard)...), parse(t, append(restricts, service, standard)...)
		for _, name := range someServices {
			for _, s := range someSubjects {
				if how := loosened(before.For(name, s), after.For(name, s)); how != "" {
					t.Fatalf("seed %d: %s for %+v %s, with\n%s%s", seed, name, s, how, standard, service)
				}
			}
		}
	}
}

func TestUnknownGroupsAreNeverAllowedMore(t *testing.T) {
	for seed := range uint64(rounds) {
		m := maker{rand.New(rand.NewPCG(seed, 3))}
		p := parse(t, append(m.tables(), m.standard())...)
		for _, service := range someServices {
			for _, s := range someSubjects {
				unknown := policy.Subject{UID: s.UID, Name: s.Name, GroupsUnknown: true}
				if how := loosened(p.For(service, s), p.For(service, unknown)); how != "" {
					t.Fatalf("seed %d: %s for %+v %s", seed, service, s, how)
				}
			}
		}
	}
}

func TestOrderAndNamesOfFilesDoNotMatter(t *testing.T) {
	for seed := range uint64(rounds) {
		m := maker{rand.New(rand.NewPCG(seed, 4))}
		tables := append(m.tables(), m.standard())
		one := parse(t, strings.Join(tables, ""))
		m.Shuffle(len(tables), func(i, j int) { tables[i], tables[j] = tables[j], tables[i] })
		var others []policy.File
		for _, text := range tables {
			others = append(others, policy.File{Name: m.pick("a", "b"), Text: []byte(text)})
		}
		many, err := policy.Parse(others)
		if err != nil {
			t.Fatal(err)
		}
		for _, service := range someServices {
			for _, s := range someSubjects {
				a, b, e := one.For(service, s), many.For(service, s), one.Explain(service, s).Rule
				if show(a) != show(b) || show(a) != show(e) {
					t.Fatalf("seed %d: %s for %+v: %s, %s, %s", seed, service, s, show(a), show(b), show(e))
				}
				if !slices.IsSorted(a.Fallback) || !slices.IsSorted(a.Place) {
					t.Fatalf("seed %d: not sorted: %s", seed, show(a))
				}
			}
		}
	}
}
