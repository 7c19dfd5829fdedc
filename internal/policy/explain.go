package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Explanation is a rule with where it comes from.
type Explanation struct {
	Rule Rule
	// Reasons are what made the rule, in the order applied.
	Reasons []Reason
}

// Reason is one thing that the policy says and that counted.
type Reason struct {
	// Where is as in "10-base.toml:12", or BuiltIn.
	Where string
	// Text is a plain sentence without its full stop.
	Text string
}

// BuiltIn is where a reason stands that no file gives.
const BuiltIn = "built in"

// Explain gives the rule of For and says why it is so.
func (p *Policy) Explain(service string, s Subject) Explanation {
	b := p.base(service)
	e := Explanation{Rule: p.For(service, s), Reasons: p.baseReasons(b.from)}

	var some []*restriction
	p.visit(service, s, func(r *restriction) { some = append(some, r) })
	slices.SortFunc(some, func(a, b *restriction) int { return a.order - b.order })
	l := b.limits
	for _, r := range slices.Compact(some) {
		who := "[[restrict]]"
		if len(r.groups) > 0 && s.GroupsUnknown {
			who += ", which counts because the user's groups cannot be told now,"
		}
		for _, f := range r.from.fields {
			text := restrictText(f.name, r.limits)
			if text == "" {
				continue
			}
			before := l
			one := unlimited()
			one.take(f.name, r.limits)
			l.tighten(one)
			if l == before {
				text += " (that changes nothing)"
			}
			e.Reasons = append(e.Reasons, Reason{Where: f.at.String(), Text: who + " " + text})
			if left := stillAccepted(r, e.Rule); f.name == "require" && l.require > before.require && left != "" {
				e.Reasons = append(e.Reasons, Reason{Where: f.at.String(), Text: left})
			}
		}
	}
	return e
}

// stillAccepted says of a restriction that raises what is required, but is silent about fallbacks, which
// of them it leaves; it is empty where none is left. In rule every other restriction has counted too.
func stillAccepted(r *restriction, rule Rule) string {
	if len(rule.Fallback) == 0 || r.from.field("fallback") != nil {
		return ""
	}
	left := make([]string, len(rule.Fallback))
	for n, f := range rule.Fallback {
		left[n] = strconv.Quote(string(f))
	}
	return fmt.Sprintf("%s may still stand in although %s is required here: write fallback = [] to end that", strings.Join(left, " or "), r.require)
}

// baseReasons says what the rule is before any restriction, for a service that has the table t or none.
func (p *Policy) baseReasons(t *table) (reasons []Reason) {
	var builtIn []string
	for _, name := range []string{"require", "fallback", "place", "timeout", "remember", "min_methods"} {
		from := t
		if from == nil || from.field(name) == nil && (name == "require" || name == "timeout" || name == "min_methods") {
			from = p.defaults
		}
		var f *field
		if from != nil {
			f = from.field(name)
		}
		switch {
		case f != nil:
			reasons = append(reasons, Reason{Where: f.at.String(), Text: from.title() + " " + baseText(name, from.limits)})
		case name == "require" || name == "timeout":
			builtIn = append(builtIn, baseText(name, builtin()))
		}
	}
	if len(builtIn) == 0 {
		return reasons
	}
	what := "nothing configured: "
	if len(reasons) > 0 {
		what = "not configured: "
	}
	first := Reason{Where: BuiltIn, Text: what + strings.Join(builtIn, " and ")}
	return append([]Reason{first}, reasons...)
}

func baseText(name string, l limits) string {
	switch name {
	case "require":
		return "requires " + l.require.String()
	case "fallback":
		if l.fallback == 0 {
			return "accepts nothing weaker"
		}
		return "accepts " + words(l.fallback, fallbackNames[:], "or") + " although weaker"
	case "place":
		return "lets requests begin only at a place that is " + words(l.place, placeNames[:], "or")
	case "timeout":
		return "gives " + showDuration(l.timeout) + " to answer"
	case "remember":
		if l.remember == 0 {
			return "remembers no approval"
		}
		return "lets an approval be remembered for " + showDuration(l.remember)
	}
	return fmt.Sprintf("wants %s a user", methods(l.minMethods))
}

// restrictText is empty for what says where a restriction holds.
func restrictText(name string, l limits) string {
	switch name {
	case "require":
		return "requires at least " + l.require.String()
	case "fallback":
		if l.fallback == 0 {
			return "accepts nothing weaker"
		}
		return "accepts of what is weaker at most " + words(l.fallback, fallbackNames[:], "and")
	case "place", "remember":
		return baseText(name, l)
	case "timeout":
		return "gives at most " + showDuration(l.timeout) + " to answer"
	case "min_methods":
		return fmt.Sprintf("wants at least %s a user", methods(l.minMethods))
	}
	return ""
}

func methods(n int) string {
	if n == 1 {
		return "1 sign-in method"
	}
	return fmt.Sprintf("%d sign-in methods", n)
}

func words[T ~string](s set, names []T, and string) string {
	var b strings.Builder
	some := members(s, names)
	for n, name := range some {
		switch {
		case n > 0 && n == len(some)-1:
			b.WriteString(" " + and + " ")
		case n > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// Stated is one table of a policy as its file has it.
type Stated struct {
	// Table is the header, as in [service."pam:sudo"].
	Table string
	File  string
	Line  int
	// Fields are the table's keys, in order.
	Fields []Field
}

// Field is a key of a table.
type Field struct {
	Name string
	// Value is as in TOML: texts stand in quotes.
	Value string
	Line  int
}

// Files is how many files the set has: some may be without any table.
func (p *Policy) Files() int { return p.files }

// Rules gives every table of the set, in the order of the files.
func (p *Policy) Rules() []Stated {
	all := make([]Stated, 0, len(p.tables))
	for _, t := range p.tables {
		s := Stated{Table: t.title(), File: t.at.name, Line: t.at.line}
		for _, f := range t.fields {
			s.Fields = append(s.Fields, Field{Name: f.name, Value: showValue(f.value), Line: f.at.line})
		}
		all = append(all, s)
	}
	return all
}

func showValue(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		items := make([]string, len(v))
		for n, item := range v {
			items[n] = showValue(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v)
}
