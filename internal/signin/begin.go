package signin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

// Begin starts a request and announces it. ctx is the caller's life: when it ends before the
// decision, the request is cancelled. Begin fails at once where no offer could be made: with
// ErrNoMethod, ErrNoKey and the like.
func (e *Engine) Begin(ctx context.Context, c caller.Caller, a Ask) (*Request, error) {
	r, err := e.admit(ctx, c, a, nil)
	if err != nil {
		a.Wipe()
		return nil, err
	}
	r.ctx, r.end = context.WithCancelCause(context.Background())
	if err := e.enlist(r); err != nil {
		r.end(err)
		r.ask.Wipe()
		return nil, err
	}
	stopCaller := context.AfterFunc(ctx, func() { r.end(ErrCallerGone) })
	go r.expire()
	r.publish(func(*View) {})
	e.cfg.Log.Debug("request begun", "request", r.id, "kind", r.ask.Kind, "service", r.service, "user", r.user.Name, "uid", r.caller.UID, "door", r.caller.Door)
	go func() {
		defer e.running.Done()
		defer stopCaller()
		r.run()
	}()
	return r, nil
}

// awake is how often it is looked whether the machine has slept past a deadline: timers sleep with it.
const awake = 5 * time.Second

// expire ends the request at its deadline, or soon after the machine wakes behind it: no key blinks on for
// what can only expire.
func (r *Request) expire() {
	for {
		left := r.deadline - r.e.cfg.Clock.Boot()
		if left <= 0 {
			r.end(errExpired)
			return
		}
		select {
		case <-time.After(min(left, awake)):
		case <-r.ctx.Done():
			return
		}
	}
}

// admit checks what was asked for, without any effect. check is the last of its checks; that of the
// request's kind if nil.
func (e *Engine) admit(ctx context.Context, c caller.Caller, a Ask, check func(*Request) error) (*Request, error) {
	if a.Kind == "" {
		a.Kind = KindSignIn
	}
	kind, ok := kinds[a.Kind]
	if !ok {
		return nil, badRequest("there is no kind of request %q", caller.Clean(string(a.Kind)))
	}
	if err := kind.Access.Check(c, e.instance()); err != nil {
		return nil, err
	}
	if kind.UserOnly && e.cfg.System {
		return nil, fmt.Errorf("%w: this is done with your own rights to the key, by your own fobd (“fobd --user”)", caller.ErrForbidden)
	}
	if err := e.mayBegin(c); err != nil {
		return nil, err
	}
	user, err := e.asked(ctx, c, a)
	if err != nil {
		return nil, err
	}
	r, err := e.prepare(ctx, c, user, a, kind)
	if err == nil {
		err = e.throttled(r, check != nil)
	}
	if err == nil {
		if check == nil {
			check = kind.check
		}
		err = check(r)
	}
	if err != nil {
		if r != nil {
			r.ask.Wipe()
		}
		return nil, e.discreet(c, user, err)
	}
	if r.id, err = e.newID(); err != nil {
		return nil, err
	}
	r.view = View{
		ID: r.id, Kind: a.Kind, UID: user.UID, User: user.Name, CallerUID: c.UID, Service: r.service, Place: r.standing.Place,
		Require: r.ask.Require, Claimed: a.Claimed, Vouched: r.vouched(), Rememberable: r.rememberable(), Begun: r.begun, Deadline: r.begun.Add(r.timeout),
	}
	return r, nil
}

// prepare makes a request as policy lets it begin.
func (e *Engine) prepare(ctx context.Context, c caller.Caller, user Person, a Ask, kind kind) (*Request, error) {
	service, err := ParseService(a.Service, c)
	if err != nil {
		return nil, err
	}
	standing := e.cfg.Standing(ctx, c, user.UID)
	standing.SameUser = standing.SameUser || e.fromHere(c, a)
	p := e.policy.Load()
	rule := p.For(service, e.subject(ctx, p, user))
	if !rule.MayBegin(standing.Place) {
		return nil, fmt.Errorf("%w: %s, from a place that is %s", ErrPlace, service, standing.Place)
	}
	asked := a.Require
	if kind.StepUp == StepPolicy {
		if a.Require == policy.None {
			a.Require = rule.Require
		}
		if !a.Require.Satisfies(rule.Require) {
			return nil, fmt.Errorf("%w: %s needs %s, not %s", ErrWeaker, service, rule.Require, a.Require)
		}
		if a.Require < policy.Code && (standing.SameUser || standing.Place != caller.PlaceRemote) {
			return nil, fmt.Errorf("%w (%s was begun on this machine, and %s proves nothing there)", ErrAsker, service, a.Require)
		}
	}
	if kind.Desk && standing.Place == caller.PlaceRemote {
		return nil, ErrNumberPlace
	}
	if a.Timeout == 0 {
		a.Timeout = rule.Timeout
	}
	if e.cfg.System && stranger(c, user) { // nobody else's request holds a place for long
		a.Timeout = min(a.Timeout, rule.Timeout)
	}
	if a.Timeout < policy.MinTimeout || a.Timeout > policy.MaxTimeout {
		return nil, badRequest("the time-out must be between %v and %v", policy.MinTimeout, policy.MaxTimeout)
	}
	if kind.StepUp == StepPolicy { // what is done to methods takes its time
		a.Timeout = min(a.Timeout, rule.Longest)
	}
	methods, err := e.methodsOf(user)
	if err != nil {
		return nil, err
	}
	r := &Request{
		e: e, user: user, ask: a, caller: c, standing: standing, service: service, policy: p, rule: rule, timeout: a.Timeout,
		asked: asked, begun: e.cfg.Clock.Now(), deadline: e.cfg.Clock.Boot() + a.Timeout,
		methods: methods, rules: kind.Rules, steps: kind.run, done: make(chan struct{}), atDesk: make(chan struct{}),
	}
	if r.remote() {
		if err := r.drawNumber(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// fromHere reports whether a request that root says comes from elsewhere may come from this machine: a
// program of the user can sign in over the network to the machine that it runs on.
func (e *Engine) fromHere(c caller.Caller, a Ask) bool {
	if !e.cfg.System || c.UID != 0 {
		return false
	}
	addr, err := netip.ParseAddr(a.Claimed.Origin.String())
	return err != nil || e.cfg.OwnAddress(addr.Unmap().WithZone(""))
}

// throttled refuses what was denied a moment ago, and what comes from a blocked origin. A code that was
// typed already disturbs nobody, and does not wait.
func (e *Engine) throttled(r *Request, typed bool) error {
	err := e.cfg.Store.View(func(tx *store.Tx) error {
		return throttle.Check(tx, r.who(), r.remote(), e.cfg.Clock.Moment())
	})
	if typed && errors.Is(err, throttle.ErrWaiting) {
		return nil
	}
	if waiting, ok := errors.AsType[*throttle.Waiting](err); ok && r.remote() && waiting.Left < throttle.FirstWait/2 {
		// Whoever goes on trying while they wait goes on waiting: the person hears of it once.
		if again := e.cfg.Store.Update(context.Background(), func(tx *store.Tx) error {
			return throttle.Again(tx, r.who(), e.cfg.Clock.Moment())
		}); again != nil {
			e.cfg.Log.Error("cannot prolong a wait", "error", again)
		}
	}
	return err
}

// stranger reports whether the caller is neither the user nor root: what is the user's does not exist
// for such a caller.
func stranger(c caller.Caller, user Person) bool { return c.UID != user.UID && c.UID != 0 }

// discreet is why a request cannot begin, as far as the caller may know it.
func (e *Engine) discreet(c caller.Caller, user Person, err error) error {
	if !e.cfg.System || !stranger(c, user) {
		return err
	}
	for _, own := range []error{ErrBadRequest, ErrWeaker, ErrAsker, ErrPlace, ErrUnknownUser, ErrTooMany, ErrShuttingDown, caller.ErrForbidden,
		ErrOneFromThere, ErrTooFast, throttle.ErrWaiting, throttle.ErrBlocked, store.ErrStorage,
		oath.ErrWrong, oath.ErrUsed, oath.ErrMalformed, lockout.ErrLocked} { // codes are counted apart for each of them
		if errors.Is(err, own) {
			return err
		}
	}
	e.cfg.Log.Info("a user cannot be asked", "user", user.Name, "caller", c.UID, "error", err)
	return fmt.Errorf("%w: %s", ErrCannotAsk, user.Name)
}

// Bounds of what is pending.
const (
	// maxPending bounds a user's pending requests; maxRemote those among them that come from elsewhere, so that
	// one place is the desk's, and maxApps those that ordinary programs began at the desk; from elsewhere it is
	// one. What root begins for the person at the desk finds a place beside all of them.
	maxPending = 3
	maxRemote  = 2
	maxApps    = 2
	// maxForeign bounds the requests of one caller that ask other users. Of each user there is one at most,
	// whoever asks: strangers leave a place for root's from elsewhere.
	maxForeign = 8
	// maxAll bounds what is pending in all.
	maxAll = 4096
)

// enlist counts the request in, unless too many are pending or the engine is shutting down.
func (e *Engine) enlist(r *Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrShuttingDown
	}
	all, remote, apps, foreign, desk, same := 0, 0, 0, 0, 0, false
	for _, o := range e.loadOf(r.user.UID).asked {
		all++
		if o.remote() {
			remote++
		}
		switch {
		case o.caller.UID != 0 && o.remote() == r.remote():
			apps++
		case o.caller.UID == 0 && !o.remote():
			desk++
		}
		if o.foreign() {
			foreign++
		}
		same = same || r.remote() && o.remote() && o.who() == r.who()
	}
	room, mostApps := maxPending, maxApps
	if e.cfg.System && r.caller.UID == 0 && !r.remote() && desk == 0 {
		room++ // what root begins for the person at the desk finds a place
	}
	if r.remote() {
		mostApps = 1
	}
	switch {
	case same:
		return ErrOneFromThere
	case r.foreign() && (foreign >= 1 || e.loadOf(r.caller.UID).foreign >= maxForeign),
		all >= room, r.remote() && remote >= maxRemote, e.cfg.System && r.caller.UID != 0 && apps >= mostApps, len(e.requests) >= maxAll:
		return ErrTooMany
	}
	e.requests[r.id] = r
	l := e.loadOf(r.user.UID)
	l.asked = append(l.asked, r)
	if r.foreign() {
		e.loadOf(r.caller.UID).foreign++
	}
	e.running.Add(1)
	return nil
}

func (e *Engine) forget(r *Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.requests[r.id] != r {
		return
	}
	delete(e.requests, r.id)
	l := e.loadOf(r.user.UID)
	l.asked = slices.DeleteFunc(l.asked, func(o *Request) bool { return o == r })
	if r.foreign() {
		e.loadOf(r.caller.UID).foreign--
	}
	e.trim(r.user.UID)
	e.trim(r.caller.UID)
}

// foreign reports whether the request asks another user than the one who began it, and root did not.
func (r *Request) foreign() bool { return r.e.cfg.System && stranger(r.caller, r.user) }

// enter counts a call in that Shutdown waits for, as a request does; the caller ends it with
// running.Done.
func (e *Engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrShuttingDown
	}
	e.running.Add(1)
	return nil
}
