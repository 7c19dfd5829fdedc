package signin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/policy"
)

// people finds out whom a call is about, and remembers names for a moment: asking the name service
// starts a program.
type people struct {
	e     *Engine
	mu    sync.Mutex
	known map[uint32]knownPerson
}

type knownPerson struct {
	Person
	err   error         // that there is no such user
	until time.Duration // on the boot clock
}

const (
	// nameLife is how long a name is believed without asking again.
	nameLife = 10 * time.Second
	// maxKnown bounds how many names are remembered.
	maxKnown = 1024
)

// instance is the engine's as access rules see it.
func (e *Engine) instance() caller.Instance {
	return caller.Instance{System: e.cfg.System, Owner: e.cfg.Owner.UID}
}

// itself is whose log tells of what is done to the instance: the owner's, or root's.
func (e *Engine) itself() Person {
	if e.cfg.System {
		return Person{Name: "root"}
	}
	return e.cfg.Owner
}

// own lets a caller at what is the named user's, or their own where the name is empty: root at
// anybody's in the system instance, all others at their own alone.
func (e *Engine) own(ctx context.Context, c caller.Caller, name string) (Person, error) {
	if err := caller.AccessOwner.Check(c, e.instance()); err != nil {
		return Person{}, err
	}
	me, err := e.self(ctx, c)
	if err == nil && e.cfg.System && c.UID != 0 {
		_, err = e.methodsOf(me) // what is kept of an id that was somebody else's is not for who has it now
	}
	if err != nil {
		return Person{}, err
	}
	switch {
	case name == "" || name == me.Name:
		return me, nil
	case !e.cfg.System:
		return Person{}, fmt.Errorf("%w: %q (this instance serves %s alone)", ErrUnknownUser, caller.Clean(name), me.Name)
	case c.UID != 0:
		return Person{}, fmt.Errorf("%w: what is another user's is for root alone", caller.ErrForbidden)
	}
	return e.byName(ctx, name)
}

// admin lets a caller in who may change what is everybody's.
func (e *Engine) admin(c caller.Caller) error { return caller.AccessAdmin.Check(c, e.instance()) }

// asked finds the user whom a request asks. In the system instance anybody may ask for anybody to sign in,
// and a change of a token concerns whose it is.
func (e *Engine) asked(ctx context.Context, c caller.Caller, a Ask) (Person, error) {
	if a.Kind == KindChangeToken && e.cfg.System {
		t, err := e.Token(ctx, c, a.Token.Serial)
		if err != nil {
			return Person{}, err
		}
		if t.Owner != nil {
			return Person{UID: t.Owner.UID, Name: t.Owner.User}, nil
		}
	}
	if !e.cfg.System || a.User == "" || c.UID == 0 || !kinds[a.Kind].Foreign {
		return e.own(ctx, c, a.User)
	}
	if err := caller.AccessOwner.Check(c, e.instance()); err != nil {
		return Person{}, err
	}
	if _, err := e.self(ctx, c); err != nil { // an id without an account, of which anybody may have thousands, asks nobody
		return Person{}, err
	}
	return e.byName(ctx, a.User)
}

// Known fails with ErrUnknownUser for a caller without an account, at the system instance.
func (e *Engine) Known(ctx context.Context, c caller.Caller) error {
	_, err := e.self(ctx, c)
	return err
}

// self is the user who calls.
func (e *Engine) self(ctx context.Context, c caller.Caller) (Person, error) {
	if !e.cfg.System {
		return e.cfg.Owner, nil
	}
	return e.people.byUID(ctx, c.UID)
}

// byName finds a user by name; empty is the owner of a user instance.
func (e *Engine) byName(ctx context.Context, name string) (Person, error) {
	if !e.cfg.System && (name == "" || name == e.cfg.Owner.Name) {
		return e.cfg.Owner, nil
	}
	found, err := e.cfg.Users(ctx, []string{name})
	if err != nil {
		return Person{}, err
	}
	p, ok := found[name]
	if !ok {
		return Person{}, fmt.Errorf("%w: %q", ErrUnknownUser, caller.Clean(name))
	}
	return p, nil
}

func (p *people) byUID(ctx context.Context, uid uint32) (Person, error) {
	now := p.e.cfg.Clock.Boot()
	p.mu.Lock()
	k, ok := p.known[uid]
	p.mu.Unlock()
	if ok && now < k.until {
		return k.Person, k.err
	}
	found, err := p.e.cfg.Person(ctx, uid)
	if errors.Is(err, nss.ErrUnknown) {
		err = fmt.Errorf("%w: uid %d", ErrUnknownUser, uid)
	} else if err != nil {
		return Person{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxKnown {
		maps.DeleteFunc(p.known, func(_ uint32, k knownPerson) bool { return now >= k.until })
	}
	if len(p.known) < maxKnown {
		p.known[uid] = knownPerson{found, err, now + nameLife}
	}
	return found, err
}

// subject is the person as policy sees them. The groups are looked up only where policy names any.
func (e *Engine) subject(ctx context.Context, p *policy.Policy, who Person) policy.Subject {
	s := policy.Subject{UID: who.UID, Name: who.Name}
	if !p.UsesGroups() {
		return s
	}
	s.GroupsUnknown = true
	if e.cfg.Groups != nil {
		groups, err := e.cfg.Groups(ctx, who.Name)
		if err == nil {
			s.Groups, s.GroupsUnknown = groups, false
		} else {
			e.cfg.Log.Warn("a user's groups cannot be looked up: every rule that names groups holds", "user", who.Name, "error", err)
		}
	}
	return s
}

// PolicyAnswer is what policy says of a service and a user.
type PolicyAnswer struct {
	Service, User string
	policy.Explanation
}

// ExplainPolicy says what holds for a service, named as in Ask, and a user, and why.
func (e *Engine) ExplainPolicy(ctx context.Context, c caller.Caller, service, user string) (PolicyAnswer, error) {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return PolicyAnswer{}, err
	}
	name, err := ParseService(service, caller.Caller{UID: c.UID})
	if strings.HasPrefix(service, "pam:") || strings.HasPrefix(service, "app:") { // only looked at
		name, err = service, checkFullName(service)
	}
	if err != nil {
		return PolicyAnswer{}, err
	}
	p := e.policy.Load()
	return PolicyAnswer{Service: name, User: who.Name, Explanation: p.Explain(name, e.subject(ctx, p, who))}, nil
}
