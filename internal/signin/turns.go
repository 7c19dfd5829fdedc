package signin

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// turns decides which request a key blinks for, one at a time. Where two requests could be answered
// by the same key, it blinks for neither until a person picks one, so that a request begun in the
// background never gets the tap meant for another; and one that once stood in such a queue goes on
// waiting to be picked when the other has ended, since the tap that follows may still be meant for
// the other. For the same reason a key stays dark for a moment between one request and the next,
// picked or not, unless it was plainly no person that touched it.
//
// The zero value is ready. All methods are safe for concurrent use.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
	// chosen is the request that a person picked last. It has all keys that it wants, now and later,
	// until it has had its share or another is picked.
	chosen string
}

// turn is the queue of one key.
type turn struct {
	refs   int // claims and exclusive holders; at zero the turn is forgotten, once it is not dark
	claims []*claim
	// device is held (by a send) by whoever talks to the key.
	device chan struct{}
	// last is the request for which the key blinked last, and dark until when it blinks for no other.
	last string
	dark time.Time
}

const (
	// darkness is how long a key stays dark between two requests: a hand on its way to the key can
	// still stop, or its touch goes nowhere.
	darkness = time.Second
	// human is the least time in which a person touches a key that begins to blink. What was faster is
	// a key that needs nobody.
	human = 150 * time.Millisecond
)

// claimant is a request as the queue sees it.
type claimant struct {
	id    string
	label string        // who asks, for the other's prompt
	limit time.Duration // how long it may blink at a time; 0 is no limit
	root  bool          // begun by root: named first
}

// claim is one request's wish for one key. Once its context has ended it is in nobody's way, also
// while its last operation is still being given up.
type claim struct {
	t   *turns
	key string
	who claimant

	// guarded by t.mu
	ctx     context.Context
	state   claimState
	revoke  context.CancelFunc // ends the running lease; nil if none runs
	limiter *time.Timer        // runs while the claim has the key
	changed chan struct{}      // has room for one
}

type claimState int

const (
	claimWaiting claimState = iota // to be looked at
	claimGranted                   // the key may blink for it
	claimParked                    // a person has to pick
	claimPaused                    // had its share; a person has to pick
)

// errRevoked ends the operation of a lease that another claim took over.
var errRevoked = errors.New("the key is wanted by another request")

// join adds a claim for the key, for as long as ctx lives. Leave it with leave.
func (t *turns) join(ctx context.Context, key string, who claimant) *claim {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := t.turn(key)
	c := &claim{ctx: ctx, t: t, key: key, who: who, changed: make(chan struct{}, 1)}
	turn.claims = append(turn.claims, c)
	turn.settle()
	return c
}

// rebind lets the claim live as long as another context, a shorter one. Nobody waits on it meanwhile.
func (c *claim) rebind(ctx context.Context) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.ctx = ctx
}

// leave takes the claim back. It may be called more than once.
func (c *claim) leave() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	turn := c.t.keys[c.key]
	if turn == nil {
		return
	}
	at := slices.Index(turn.claims, c)
	if at < 0 {
		return
	}
	turn.claims = slices.Delete(turn.claims, at, at+1)
	c.drop(claimWaiting)
	turn.settle()
	c.t.release(c.key, turn)
}

// wait blocks until the key may blink for this claim and nobody else talks to it. It calls report,
// without a lock held, whenever it has to wait for a person; others names the requests that want
// the same key, those begun by root first.
func (c *claim) wait(report func(s claimState, others []string)) (*lease, error) {
	for {
		c.t.mu.Lock()
		ctx, state, others, turn := c.ctx, c.state, c.others(), c.t.keys[c.key]
		c.t.mu.Unlock()
		if state != claimGranted {
			report(state, others)
			select {
			case <-c.changed:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		select {
		case turn.device <- struct{}{}:
		case <-c.changed:
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		l, dark := c.lease(turn)
		if l != nil {
			return l, nil
		}
		<-turn.device
		if dark > 0 {
			t := time.NewTimer(dark)
			select {
			case <-t.C:
			case <-c.changed:
			case <-ctx.Done():
			}
			t.Stop()
		}
	}
}

// lease begins an operation, unless the claim lost the key meanwhile, or the key must stay dark for a
// while yet.
func (c *claim) lease(turn *turn) (_ *lease, dark time.Duration) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.state != claimGranted {
		return nil, 0
	}
	if wait := time.Until(turn.dark); turn.last != c.who.id && wait > 0 {
		return nil, wait
	}
	turn.last = c.who.id
	ctx, cancel := context.WithCancelCause(c.ctx)
	c.revoke = func() { cancel(errRevoked) }
	if c.who.limit > 0 && c.limiter == nil {
		c.limiter = time.AfterFunc(c.who.limit, c.pause)
	}
	return &lease{claim: c, turn: turn, ctx: ctx, free: func() { cancel(nil) }, begun: time.Now()}, 0
}

// pause ends a claim's share of blinking.
func (c *claim) pause() {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	turn := c.t.keys[c.key]
	if turn == nil || !slices.Contains(turn.claims, c) || c.state != claimGranted {
		return
	}
	if c.t.chosen == c.who.id {
		c.t.chosen = ""
	}
	c.drop(claimPaused)
	turn.settle()
}

// drop leaves the granted state for another. The caller holds t.mu.
func (c *claim) drop(to claimState) {
	if c.limiter != nil {
		c.limiter.Stop()
		c.limiter = nil
	}
	if c.revoke != nil {
		c.revoke()
		c.revoke = nil
	}
	c.set(to)
}

// set changes the state and wakes the waiter. The caller holds t.mu.
func (c *claim) set(s claimState) {
	if c.state == s {
		return
	}
	c.state = s
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// others names the requests that stand in the same queue. The caller holds t.mu.
func (c *claim) others() []string {
	turn := c.t.keys[c.key]
	if turn == nil {
		return nil
	}
	var root, rest []string
	for _, o := range turn.claims {
		switch {
		case o == c || o.who.id == c.who.id || !o.active():
		case o.who.root:
			root = append(root, o.who.label)
		default:
			rest = append(rest, o.who.label)
		}
	}
	return append(root, rest...)
}

// active reports whether the claim counts. The caller holds t.mu.
func (c *claim) active() bool { return c.ctx.Err() == nil }

// settle decides who has the key. The caller holds t.mu.
func (turn *turn) settle() {
	var active []*claim
	var chosen *claim
	for _, c := range turn.claims {
		if !c.active() {
			continue
		}
		active = append(active, c)
		if c.who.id == c.t.chosen {
			chosen = c
		}
	}
	if chosen == nil && len(active) == 1 && active[0].state != claimParked && active[0].state != claimPaused {
		chosen = active[0]
	}
	for _, c := range active {
		switch {
		case c == chosen:
			c.set(claimGranted)
		case c.state != claimPaused:
			c.drop(claimParked)
		}
	}
}

// pick gives the keys that the request wants to it, and those that it comes to want.
func (t *turns) pick(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chosen = id
	for _, turn := range t.keys {
		for _, c := range turn.claims {
			if c.who.id == id && c.state != claimGranted {
				c.set(claimWaiting) // also one that was paused
			}
		}
		turn.settle()
	}
}

// exclusive waits until nobody talks to the key and gives it to the caller, for an operation that
// makes nothing blink. The caller calls done when it is finished.
func (t *turns) exclusive(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	turn := t.turn(key)
	t.mu.Unlock()
	forget := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.release(key, turn)
	}
	select {
	case turn.device <- struct{}{}:
		return func() { <-turn.device; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, context.Cause(ctx)
	}
}

// turn finds or makes the key's queue and counts one more use of it. The caller holds t.mu.
func (t *turns) turn(key string) *turn {
	if t.keys == nil {
		t.keys = make(map[string]*turn)
	}
	tn := t.keys[key]
	if tn == nil {
		tn = &turn{device: make(chan struct{}, 1)}
		t.keys[key] = tn
	}
	tn.refs++
	return tn
}

// release counts one use less. A turn that nobody uses is remembered as long as its key is to stay
// dark. The caller holds t.mu.
func (t *turns) release(key string, tn *turn) {
	if tn.refs--; tn.refs > 0 {
		return
	}
	if wait := time.Until(tn.dark); wait > 0 {
		time.AfterFunc(wait, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if tn.refs == 0 && t.keys[key] == tn && !time.Now().Before(tn.dark) {
				delete(t.keys, key)
			}
		})
		return
	}
	delete(t.keys, key)
}

// lease is the right to make the key blink, until it is released or revoked.
type lease struct {
	claim *claim
	turn  *turn
	// ctx ends when the request does or when the lease is revoked.
	ctx  context.Context
	free func() // frees ctx; it leaves the cause of an earlier end alone
	// begun is when the key began to blink.
	begun time.Time
}

// revoked reports whether the lease ended because the key is wanted by another request, or because
// this request had its share.
func (l *lease) revoked() bool { return errors.Is(context.Cause(l.ctx), errRevoked) }

// release lets go of the key; touched says whether it was touched. The claim stays in the queue.
func (l *lease) release(touched bool) {
	l.claim.t.mu.Lock()
	l.claim.revoke = nil
	if !touched || time.Since(l.begun) > human {
		l.turn.dark = time.Now().Add(darkness)
	}
	l.claim.t.mu.Unlock()
	l.free()
	<-l.turn.device
}
