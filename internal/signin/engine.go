// Package signin is the engine: it takes requests in which a person has a part, offers the ways in
// which each can be satisfied, lets them race, and puts the decision on disk before anybody hears
// of it.
//
// A request lives in a goroutine of its own, which runs the steps of its kind (sign-in, add-method,
// …) from top to bottom. Three things are shared: the board, which shows what is pending; the
// turns, which decide for which request a key blinks; and the store. No lock is held while a person
// is waited for.
//
// The rules that the engine keeps stand with the code that keeps them: one tap for one request in
// turns, "approved" only when it is on disk in record, the PIN for one key alone in pin.
package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// maxPending bounds a user's pending requests.
const maxPending = 3

// Owner is the user to whom an instance belongs.
type Owner struct {
	UID  uint32
	Name string
}

// Config is what an engine is made of. All fields but Policy, Rand, Clock and Log must be set.
type Config struct {
	Store *store.Store
	Owner Owner
	// Place is where callers of this instance sit.
	Place caller.Place
	// SelfAsserted marks the approvals of an instance whose own user could have faked it.
	SelfAsserted bool
	Devices      *fido.Devices
	// Discover lists the keys that are plugged in now.
	Discover func() ([]fido.Key, []fido.Problem, error)
	// Vault seals what is secret in Store.
	Vault *vault.Vault
	// Users finds users by their exact names; those who do not exist are left out.
	Users  func(ctx context.Context, names []string) (map[string]Owner, error)
	Policy *policy.Policy
	Clock  clock.Clock
	Rand   io.Reader
	Log    *slog.Logger
}

// Engine runs requests. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	started time.Time
	board   board
	turns   turns
	// restoring is held for writing while a backup takes the place of everything, and for reading while
	// something that was sealed before is written.
	restoring sync.RWMutex

	mu       sync.Mutex
	requests map[string]*Request
	closed   bool
	running  sync.WaitGroup
}

// New makes an engine. Call Shutdown when it is no longer needed.
func New(c Config) (*Engine, error) {
	if c.Store == nil || c.Devices == nil || c.Discover == nil || c.Vault == nil || c.Users == nil || c.Owner.Name == "" || c.Place == "" {
		return nil, errors.New("cannot make an engine: the configuration is incomplete")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Clock.Now == nil || c.Clock.Boot == nil {
		c.Clock = clock.System()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Policy == nil {
		c.Policy = policy.Builtin()
	}
	return &Engine{
		cfg:      c,
		started:  c.Clock.Now(),
		requests: make(map[string]*Request),
	}, nil
}

// Begin starts a request and announces it. ctx is the caller's life: when it ends before the
// decision, the request is cancelled. Begin fails at once where no offer could be made: with
// ErrNoMethod, ErrNoKey and the like.
func (e *Engine) Begin(ctx context.Context, c caller.Caller, a Ask) (*Request, error) {
	r, err := e.admit(c, a, nil)
	if err != nil {
		a.Vault.Passphrase.Wipe()
		return nil, err
	}
	r.ctx, r.end = context.WithCancelCause(context.Background())
	if err := e.enlist(r); err != nil {
		r.end(err)
		a.Vault.Passphrase.Wipe()
		return nil, err
	}
	stopCaller := context.AfterFunc(ctx, func() { r.end(ErrCallerGone) })
	expiry := time.AfterFunc(r.timeout, func() { r.end(errExpired) })
	r.publish(func(*View) {})
	e.cfg.Log.Debug("request begun", "request", r.id, "kind", r.ask.Kind, "service", r.service, "uid", r.caller.UID, "door", r.caller.Door)
	go func() {
		defer e.running.Done()
		defer expiry.Stop()
		defer stopCaller()
		r.run()
	}()
	return r, nil
}

// admit checks what was asked for, without any effect. check is the last of its checks; that of the
// request's kind if nil.
func (e *Engine) admit(c caller.Caller, a Ask, check func(*Request) error) (*Request, error) {
	if err := e.own(c); err != nil {
		return nil, err
	}
	if c.Place != caller.PlaceLocal && c.Place != caller.PlaceUnknown {
		return nil, fmt.Errorf("%w: requests from elsewhere are not answered here", caller.ErrForbidden)
	}
	if a.User != "" && a.User != e.cfg.Owner.Name {
		return nil, fmt.Errorf("%w: %q (this instance serves %s alone)", ErrUnknownUser, caller.Clean(a.User), e.cfg.Owner.Name)
	}
	if a.Kind == "" {
		a.Kind = KindSignIn
	}
	steps, ok := kinds[a.Kind]
	if !ok {
		return nil, fmt.Errorf("%w: there is no kind %q", ErrBadRequest, caller.Clean(string(a.Kind)))
	}
	service, err := ParseService(a.Service, c)
	if err != nil {
		return nil, err
	}
	rule := e.cfg.Policy.For(service, policy.Subject{UID: e.cfg.Owner.UID, Name: e.cfg.Owner.Name})
	if a.Require == policy.None {
		a.Require = rule.Require
	}
	if !a.Require.Satisfies(rule.Require) {
		return nil, fmt.Errorf("%w: %s needs %s, not %s", ErrWeaker, service, rule.Require, a.Require)
	}
	if a.Timeout == 0 {
		a.Timeout = rule.Timeout
	}
	if a.Timeout < policy.MinTimeout || a.Timeout > policy.MaxTimeout {
		return nil, fmt.Errorf("%w: the time-out must be between %v and %v", ErrBadRequest, policy.MinTimeout, policy.MaxTimeout)
	}
	methods, err := e.methodsOf(e.cfg.Owner)
	if err != nil {
		return nil, err
	}
	r := &Request{
		e: e, ask: a, caller: c, service: service, timeout: a.Timeout,
		begun: e.cfg.Clock.Now(), deadline: e.cfg.Clock.Boot() + a.Timeout,
		methods: methods, steps: steps.run, done: make(chan struct{}),
	}
	if check == nil {
		check = steps.check
	}
	if err := check(r); err != nil {
		return nil, err
	}
	if r.id, err = e.newID(); err != nil {
		return nil, err
	}
	r.view = View{
		ID: r.id, Kind: a.Kind, UID: e.cfg.Owner.UID, User: e.cfg.Owner.Name, CallerUID: c.UID, Service: service, Place: c.Place,
		Require: r.ask.Require, Claimed: a.Claimed, Begun: r.begun, Deadline: r.begun.Add(a.Timeout),
	}
	return r, nil
}

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

// enlist counts the request in, unless too many are pending or the engine is shutting down.
func (e *Engine) enlist(r *Request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrShuttingDown
	}
	if len(e.requests) >= maxPending {
		return ErrTooMany
	}
	e.requests[r.id] = r
	e.running.Add(1)
	return nil
}

func (e *Engine) forget(r *Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.requests, r.id)
}

// own lets the instance's own user in and nobody else.
func (e *Engine) own(c caller.Caller) error { return caller.AccessOwner.Check(c, e.cfg.Owner.UID) }

// find gives the caller's pending request; others' do not exist.
func (e *Engine) find(c caller.Caller, id string) (*Request, error) {
	if err := e.own(c); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.requests[id]; r != nil {
		return r, nil
	}
	return nil, ErrNotFound
}

// List gives the caller's pending requests: those begun by root first, then the oldest.
func (e *Engine) List(c caller.Caller) []View {
	if e.own(c) != nil {
		return nil
	}
	return e.board.pending(e.cfg.Owner.UID)
}

// Get gives one of the caller's pending requests, or ErrNotFound.
func (e *Engine) Get(c caller.Caller, id string) (View, error) {
	r, err := e.find(c, id)
	if err != nil {
		return View{}, err
	}
	return r.View(), nil
}

// Answer hands a person's answer to a prompt of the request. It takes ownership of a.PIN and a.Code.
func (e *Engine) Answer(c caller.Caller, id string, a Answer) error {
	r, err := e.find(c, id)
	if err == nil && a.PIN.Len() > 0 && (c.Door != caller.DoorSocket || c.Place == caller.PlaceRemote) {
		err = ErrPINPlace
	}
	if err != nil {
		a.Wipe()
		return err
	}
	return r.answer(a)
}

// Pick gives the keys that the request waits for to it, ahead of all others, and those that it will
// yet wait for.
func (e *Engine) Pick(c caller.Caller, id string) error {
	r, err := e.find(c, id)
	if err != nil {
		return err
	}
	e.turns.pick(r.id)
	return nil
}

// Deny ends the request: the person does not want it.
func (e *Engine) Deny(c caller.Caller, id string) error { return e.stop(c, id, errDenied) }

// Report ends the request: it was not the person's.
func (e *Engine) Report(c caller.Caller, id string) error { return e.stop(c, id, errReported) }

// Cancel ends the request: it is no longer needed.
func (e *Engine) Cancel(c caller.Caller, id string) error { return e.stop(c, id, errCancelled) }

func (e *Engine) stop(c caller.Caller, id string, why error) error {
	r, err := e.find(c, id)
	if err != nil {
		return err
	}
	return r.stop(why)
}

// Subscribe gives the caller's pending requests and methods, and each change from then on.
func (e *Engine) Subscribe(c caller.Caller) (*Subscription, error) {
	if err := e.own(c); err != nil {
		return nil, err
	}
	return e.board.subscribe(e.cfg.Owner.UID, func() ([]method.Method, error) { return e.methodsOf(e.cfg.Owner) })
}

// Shutdown refuses new requests, cancels those that are pending, and waits until their decisions
// are on disk and their keys let go, or until ctx ends.
func (e *Engine) Shutdown(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	pending := slices.Collect(func(yield func(*Request) bool) {
		for _, r := range e.requests {
			if !yield(r) {
				return
			}
		}
	})
	e.mu.Unlock()
	for _, r := range pending {
		r.end(ErrShuttingDown)
	}
	over := make(chan struct{})
	go func() { e.running.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
	}
	e.board.close()
}

// methodsOf reads the user's methods and refuses a uid whose name has changed.
func (e *Engine) methodsOf(u Owner) ([]method.Method, error) {
	var ms []method.Method
	err := e.cfg.Store.View(func(tx *store.Tx) (err error) {
		ms, err = method.List(tx, u.UID)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		if m.User != u.Name {
			return nil, fmt.Errorf("%w: uid %d was %s and is now %s; if that is the same person, start fobd once with --renamed", ErrUserChanged, u.UID, m.User, u.Name)
		}
	}
	return ms, nil
}

// kindConfirmName is the log's word for ConfirmName, which is no request.
const kindConfirmName = "confirm-name"

// ConfirmName lets the user's methods be used again after the user id was given another name. Who
// starts the daemon says so, not who calls it.
func (e *Engine) ConfirmName(ctx context.Context) error {
	u := e.cfg.Owner
	return e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		before, err := method.Confirm(tx, u.UID, u.Name)
		if err != nil || len(before) == 0 {
			return err
		}
		return e.note(tx, kindConfirmName, u.UID, "the user was called "+strings.Join(before, ", "))
	})
}

// kindClock is the log's word for ForgetClock, which is no request.
const kindClock = "clock-was-wrong"

// ForgetClock takes the clock as it is now for right, although it has shown a later time: it was wrong
// then. Who starts the daemon says so, not who calls it.
func (e *Engine) ForgetClock(ctx context.Context) error {
	return e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		before, err := clock.Forget(tx, e.cfg.Clock.Now())
		if err != nil || before.IsZero() {
			return err
		}
		return e.note(tx, kindClock, e.cfg.Owner.UID, "the clock had shown "+before.UTC().Format(time.DateTime))
	})
}

// note logs what was done without a request.
func (e *Engine) note(tx *store.Tx, kind string, callerUID uint32, reason string) error {
	u := e.cfg.Owner
	_, err := log(tx, audit.Entry{
		Time: e.cfg.Clock.Now().UTC(), Kind: kind, Decision: string(Approved), UID: u.UID, User: u.Name,
		CallerUID: callerUID, Place: string(e.cfg.Place), Require: policy.None.String(), Strength: policy.None.String(),
		SelfAsserted: e.cfg.SelfAsserted, Reason: reason,
	})
	return err
}

// rpID names this instance to keys. It is the database's, and changes when a backup is restored.
func (e *Engine) rpID() string { return "fob:" + e.cfg.Store.InstanceID() }

// idAlphabet has no letters that people confuse; its 32 signs carry 5 bits each.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newID makes an id of 50 random bits, short enough to type.
func (e *Engine) newID() (string, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return "", fmt.Errorf("cannot make an id: %w", err)
	}
	for i := range b {
		b[i] = idAlphabet[b[i]%32]
	}
	return string(b), nil
}

// LogQuery says which entries of the log to read.
type LogQuery struct {
	After   uint64
	Limit   int
	Request string
	Newest  bool
}

// Log reads the caller's decisions, oldest first; more says that entries follow.
func (e *Engine) Log(_ context.Context, c caller.Caller, q LogQuery) (entries []audit.Entry, more bool, err error) {
	if err := e.own(c); err != nil {
		return nil, false, err
	}
	uid := e.cfg.Owner.UID
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		page, err := audit.List(tx, audit.Query{After: q.After, Limit: q.Limit, Request: q.Request, UID: &uid, Newest: q.Newest})
		entries, more = page.Entries, page.More
		return err
	})
	return entries, more, err
}
