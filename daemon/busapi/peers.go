package busapi

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
)

// Bounds of what callers take, so that one user's calls and connections leave room for the others'.
const (
	maxBusy     = 64 // calls under way, but for those that wait for a person
	rootBusy    = 8  // of them, that others do not get
	maxUserBusy = 16 // calls of one user, and of one connection

	maxPeers     = 1024 // connections that are remembered
	rootPeers    = 64   // of them, that others do not get
	maxUserPeers = 64   // of one user other than root
	maxUnknown   = 1024 // connections of which it is not known whose they are
	maxAsking    = 32   // of them, that the bus daemon is asked about at a time
)

// errCrowded says that a bound is reached.
var errCrowded = errors.New("too many calls at once: try again")

// peer is a connection on the bus that has called. It is remembered while it is on the bus; one that
// has nothing under way may make room for another.
type peer struct {
	name string
	// ctx is the peer's life: it ends when it leaves the bus or is forgotten, or we leave.
	ctx   context.Context
	leave context.CancelFunc

	known chan struct{} // closed when who and err are set
	who   caller.Caller
	err   error

	calls   int  // under way; guarded by session.mu
	counted bool // among its user's; guarded by session.mu

	mu       sync.Mutex
	requests map[string]bool // begun and not decided
}

// usage is what a user takes of the bounds.
type usage struct{ calls, peers int }

// enter finds out who calls, and counts the call in until exit. It fails closed: without a user id from
// the bus daemon there is no caller. A call that waits for a person is bounded where it waits as well,
// and takes no place from the other users'.
func (s *session) enter(name string, waits bool) (*peer, error) {
	s.mu.Lock()
	p := s.peers[name]
	first := p == nil
	switch {
	case first && s.unknown >= maxUnknown, !first && p.calls >= maxUserBusy:
		s.mu.Unlock()
		return nil, errCrowded
	case first:
		p = s.add(name)
	}
	p.calls++
	s.mu.Unlock()
	if first {
		s.identify(p, s.ask)
	}
	var err error
	select {
	case <-p.known:
		err = p.err
	case <-s.ctx.Done():
		err = s.ctx.Err()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && !s.room(p.who.UID, waits) {
		err = errCrowded
	}
	if err != nil {
		p.calls--
		return nil, err
	}
	s.count(p.who.UID, 1, 0)
	if !waits {
		s.busy++
	}
	return p, nil
}

// exit counts a call out.
func (s *session) exit(p *peer, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.calls--
	s.count(p.who.UID, -1, 0)
	if !waits {
		s.busy--
	}
}

// room reports whether a user may have another call under way.
func (s *session) room(uid uint32, waits bool) bool {
	all := maxBusy
	if uid != 0 {
		all -= rootBusy
	}
	return s.users[uid].calls < maxUserBusy && (waits || s.busy < all)
}

// add adds a peer of which nothing is known.
func (s *session) add(name string) *peer {
	p := &peer{name: name, known: make(chan struct{}), requests: make(map[string]bool)}
	p.ctx, p.leave = context.WithCancel(s.ctx)
	s.peers[name] = p
	s.unknown++
	return p
}

// identify asks who a new peer is, and remembers it or forgets it.
func (s *session) identify(p *peer, ask func(*peer) (caller.Caller, error)) {
	who, err := ask(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(p.known)
	s.unknown--
	if err == nil && p.ctx.Err() != nil {
		err = fmt.Errorf("%w: the caller has left the bus", caller.ErrForbidden)
	}
	if err == nil && !s.makeRoom(who.UID) {
		err = errCrowded
	}
	p.who, p.err = who, err
	if err != nil {
		s.drop(p)
		return
	}
	p.counted = true
	s.counted++
	s.count(who.UID, 0, 1)
}

// ask asks the bus daemon who a peer is.
func (s *session) ask(p *peer) (caller.Caller, error) {
	ctx, cancel := context.WithTimeout(p.ctx, connectTimeout)
	defer cancel()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return caller.Caller{}, errCrowded
	}
	creds := s.conn.BusObject().GoWithContext(ctx, busName+".GetConnectionCredentials", 0, make(chan *dbus.Call, 1), p.name)
	var got map[string]dbus.Variant
	if err := (<-creds.Done).Store(&got); err != nil {
		return caller.Caller{}, fmt.Errorf("%w: the bus does not know the caller: %w", caller.ErrForbidden, err)
	}
	uid, ok := got["UnixUserID"].Value().(uint32)
	if !ok {
		return caller.Caller{}, fmt.Errorf("%w: the bus does not know the caller's user id", caller.ErrForbidden)
	}
	pid, _ := got["ProcessID"].Value().(uint32) // says where the caller sits, and never who it is
	return caller.Caller{UID: uid, PID: int32(pid), Door: caller.DoorBus, Accepted: clock.System().Boot()}, nil
}

// makeRoom makes room for another peer of a user's, at the cost of one that has nothing under way: of
// the same user, where that one has many.
func (s *session) makeRoom(uid uint32) bool {
	if uid == 0 {
		return s.counted < maxPeers || s.evict(func(*peer) bool { return true })
	}
	if s.users[uid].peers >= maxUserPeers {
		return s.evict(func(p *peer) bool { return p.who.UID == uid })
	}
	return s.counted < maxPeers-rootPeers || s.evict(func(p *peer) bool { return p.who.UID != 0 })
}

// evict forgets any one of the peers that has nothing under way. At its next call it is asked about again.
func (s *session) evict(among func(*peer) bool) bool {
	for _, p := range s.peers {
		if p.counted && p.calls == 0 && p.isIdle() && among(p) {
			s.drop(p)
			return true
		}
	}
	return false
}

// forget ends what a peer began.
func (s *session) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[name]; p != nil {
		s.drop(p)
	}
}

func (s *session) drop(p *peer) {
	if s.peers[p.name] == p {
		delete(s.peers, p.name)
	}
	if p.counted {
		p.counted = false
		s.counted--
		s.count(p.who.UID, 0, -1)
	}
	p.leave()
}

// count changes what a user takes.
func (s *session) count(uid uint32, calls, peers int) {
	u := s.users[uid]
	u.calls, u.peers = u.calls+calls, u.peers+peers
	if s.users[uid] = u; u == (usage{}) {
		delete(s.users, uid)
	}
}

func (p *peer) isIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests) == 0
}

func (p *peer) room() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests) < maxPerPeer
}

func (p *peer) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[id]
}

func (p *peer) add(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[id] = true
}

func (p *peer) remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.requests, id)
}
