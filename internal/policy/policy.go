package policy

import (
	"slices"
	"time"

	"github.com/fobproject/fob/internal/caller"
)

// Rule is what a service needs of an approval for one user. Its slices are shared with the policy:
// read them, do not change them.
type Rule struct {
	// Require is the strength that is enough.
	Require Strength
	// Fallback is what may satisfy it although weaker: sorted, without duplicates.
	Fallback []Fallback
	// Place is where a request may begin: nil for everywhere, empty but not nil for nowhere.
	Place []caller.Place
	// Timeout is how long a person has, and Longest how long they have at most where the caller asks for
	// another time: as long as Timeout where policy states one, MaxTimeout where nobody does.
	Timeout time.Duration
	Longest time.Duration
	// Remember is how long an approval may be remembered at most; 0: it is not.
	Remember time.Duration
	// MinMethods is how many sign-in methods a user should have. Recovery codes are none.
	MinMethods int
}

// Fallback names what may satisfy a rule although it is weaker than what the rule requires: the name of
// a strength, or Recovery.
type Fallback string

// Recovery is the fallback to a recovery code.
const Recovery Fallback = "recovery"

// Bounds of what a rule may say.
const (
	MinTimeout  = time.Second
	MaxTimeout  = 10 * time.Minute
	MaxRemember = 90 * 24 * time.Hour
	MaxMethods  = 10
)

// What holds where nobody has configured anything.
const (
	builtinRequire = Code
	builtinTimeout = time.Minute
)

// MayBegin reports whether a request may begin at p.
func (r Rule) MayBegin(p caller.Place) bool { return r.Place == nil || slices.Contains(r.Place, p) }

// Accepts reports whether an approval of strength s is enough: it is what the rule requires or stronger,
// or exactly a strength that the rule falls back to.
func (r Rule) Accepts(s Strength) bool {
	return s.Satisfies(r.Require) || s > None && slices.Contains(r.Fallback, Fallback(s.String()))
}

// AcceptsRecovery reports whether a recovery code is enough.
func (r Rule) AcceptsRecovery() bool { return slices.Contains(r.Fallback, Recovery) }

// Weakest is the weakest strength that the rule accepts. Recovery codes have none and do not count.
func (r Rule) Weakest() Strength {
	for s := Click; s < r.Require; s++ {
		if r.Accepts(s) {
			return s
		}
	}
	return r.Require
}

// Subject is the user whose approval is asked for.
type Subject struct {
	UID uint32
	// Name is the login name. An empty one is not known: every restriction of users counts then.
	Name string
	// Groups are the names of all the user's groups.
	Groups []string
	// GroupsUnknown says that nobody could tell the groups: every restriction of groups counts then.
	GroupsUnknown bool
}

// Policy says which rule holds for which service and user. It is made by Builtin, Parse or Load, is
// immutable and may be used concurrently. The zero value is the built-in policy.
type Policy struct {
	files    int      // of the set
	tables   []*table // all of the set, in order
	defaults *table   // [default]; nil without one
	standard limits   // what [default] makes of the built-in rule; zero without one
	exact    map[string]*base
	anyUID   map[string]*base // of "app:*:NAME", by NAME

	// Each restriction stands in one of these, under what tells it apart best.
	byUser    map[string][]*restriction
	byGroup   map[string][]*restriction // those for any user
	byService map[string][]*restriction // those for any user and group
	general   []*restriction
	ofUsers   []*restriction // those in byUser
	ofGroups  []*restriction // those in byGroup
	groups    bool           // whether any restriction asks for groups

	aaguids     map[[16]byte]bool // nil: all
	noRecovery  bool
	fallbackFor [allFallbacks + 1][]Fallback
	placeFor    [allPlaces + 1][]caller.Place
}

// Builtin is the policy of an instance that nobody has configured: a tap on a key or a code of a token
// that the user has registered, within a minute.
func Builtin() *Policy { return &Policy{} }

// For gives the rule that holds when s is asked to approve for service, named as in "pam:sudo" or
// "app:1000:mailer".
func (p *Policy) For(service string, s Subject) Rule {
	limits := p.base(service).limits
	p.visit(service, s, func(r *restriction) { limits.tighten(r.limits) })
	return p.rule(limits)
}

// AllowsAAGUID reports whether keys of a model (16 bytes) may be registered and used. Where the policy
// lists models, a key that does not say its model is not allowed.
func (p *Policy) AllowsAAGUID(aaguid []byte) bool {
	return p.aaguids == nil || len(aaguid) == 16 && p.aaguids[[16]byte(aaguid)]
}

// RecoverySteps reports whether a recovery code may approve changes of sign-in methods.
func (p *Policy) RecoverySteps() bool { return !p.noRecovery }

// WantsMethods reports whether some user should have so many sign-in methods.
func (p *Policy) WantsMethods() bool {
	return slices.ContainsFunc(p.tables, func(t *table) bool { return t.field("min_methods") != nil })
}

// UsesGroups reports whether For needs Subject.Groups.
func (p *Policy) UsesGroups() bool { return p.groups }

// base is what holds for a service before any restriction.
type base struct {
	limits
	from *table // nil: no table of its own
}

func (p *Policy) base(service string) base {
	if b := p.exact[service]; b != nil {
		return *b
	}
	if _, name, ok := cutApp(service); ok {
		if b := p.anyUID[name]; b != nil {
			return *b
		}
	}
	if p.standard.require == None {
		return base{limits: builtin()}
	}
	return base{limits: p.standard}
}

// visit calls f with each restriction that holds, in no order; one may come more than once.
func (p *Policy) visit(service string, s Subject, f func(*restriction)) {
	byUser := p.byUser[s.Name]
	if s.Name == "" {
		byUser = p.ofUsers
	}
	for _, r := range byUser {
		if r.hasGroupOf(s) && r.hasService(service) {
			f(r)
		}
	}
	if s.GroupsUnknown {
		each(p.ofGroups, service, f)
	} else if len(p.byGroup) > 0 {
		for _, g := range s.Groups {
			each(p.byGroup[g], service, f)
		}
	}
	for _, r := range p.byService[service] {
		f(r)
	}
	each(p.general, service, f)
}

func each(some []*restriction, service string, f func(*restriction)) {
	for _, r := range some {
		if r.hasService(service) {
			f(r)
		}
	}
}

// rule needs no memory: all the sets there can be were made with the policy.
func (p *Policy) rule(l limits) Rule {
	return Rule{
		Require: l.require, Fallback: p.fallbackFor[l.fallback], Place: p.placeFor[l.place],
		Timeout: l.timeout, Longest: l.longest, Remember: l.remember, MinMethods: l.minMethods,
	}
}
