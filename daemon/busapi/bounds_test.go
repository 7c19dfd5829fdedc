package busapi

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fobproject/fob/internal/caller"
)

// crowd is a session with callers of any users, and no bus.
type crowd struct {
	*session
	t    *testing.T
	last int
}

func newCrowd(t *testing.T) *crowd {
	return &crowd{t: t, session: &session{
		ctx: t.Context(), peers: make(map[string]*peer), users: make(map[uint32]usage), asking: make(chan struct{}, maxAsking),
	}}
}

// arrive has another connection of a user's come, and gives its name, and why it is not let in.
func (c *crowd) arrive(uid uint32) (name string, err error) {
	c.last++
	name = fmt.Sprintf(":1.%d", c.last)
	p := c.add(name)
	c.identify(p, func(*peer) (caller.Caller, error) { return caller.Caller{UID: uid}, nil })
	return name, p.err
}

func (c *crowd) mustArrive(uid uint32) string {
	c.t.Helper()
	name, err := c.arrive(uid)
	if err != nil {
		c.t.Fatalf("connection %d, of user %d: %v", c.last, uid, err)
	}
	return name
}

// fill has a user's calls begin, each from a connection of its own, until no more is let in.
func (c *crowd) fill(uid uint32, waits bool) (under []*peer) {
	c.t.Helper()
	for {
		p, err := c.enter(c.mustArrive(uid), waits)
		if errors.Is(err, errCrowded) {
			return under
		}
		if err != nil {
			c.t.Fatal(err)
		}
		under = append(under, p)
	}
}

func TestBounds(t *testing.T) {
	t.Run("let a user have 16 calls under way, and another as many", func(t *testing.T) {
		c := newCrowd(t)
		for _, uid := range []uint32{1000, 1001} {
			if n := len(c.fill(uid, false)); n != 16 {
				t.Errorf("user %d has %d", uid, n)
			}
		}
	})
	t.Run("let all have 64 calls under way, 8 of them root's alone", func(t *testing.T) {
		c, n := newCrowd(t), 0
		for uid := range uint32(10) {
			n += len(c.fill(1000+uid, false))
		}
		if n != 56 {
			t.Errorf("ten users have %d", n)
		}
		if n := len(c.fill(0, false)); n != 8 {
			t.Errorf("root has %d", n)
		}
	})
	t.Run("let calls that wait for a person keep nobody else out", func(t *testing.T) {
		c, n := newCrowd(t), 0
		for uid := range uint32(10) {
			n += len(c.fill(1000+uid, true))
		}
		if n != 160 {
			t.Errorf("%d calls wait", n)
		}
		if _, err := c.enter(c.mustArrive(2000), false); err != nil {
			t.Error(err)
		}
	})
	t.Run("let a connection have 16 calls before it is known whose it is", func(t *testing.T) {
		c := newCrowd(t)
		ctx, cancel := context.WithCancel(t.Context())
		c.ctx = ctx
		c.add(":1.1").calls = maxUserBusy
		if _, err := c.enter(":1.1", false); !errors.Is(err, errCrowded) {
			t.Errorf("one more: %v", err)
		}
		c.add(":1.2").calls = maxUserBusy - 1
		cancel() // else it waits to be known
		if _, err := c.enter(":1.2", false); !errors.Is(err, context.Canceled) {
			t.Errorf("the last: %v", err)
		}
	})
	t.Run("let 1024 connections wait to be known", func(t *testing.T) {
		c := newCrowd(t)
		for i := range maxUnknown {
			c.add(fmt.Sprintf(":1.%d", i))
		}
		if _, err := c.enter(":2.1", false); !errors.Is(err, errCrowded) {
			t.Error(err)
		}
	})
	t.Run("remember 64 connections of a user, and all of root's", func(t *testing.T) {
		c := newCrowd(t)
		for range 200 {
			c.mustArrive(1000)
			c.mustArrive(0)
		}
		if c.users[1000].peers != 64 || c.users[0].peers != 200 || len(c.peers) != 264 {
			t.Errorf("they are %+v", c.users)
		}
	})
	t.Run("forget no connection that has something under way", func(t *testing.T) {
		c := newCrowd(t)
		busy := c.fill(1000, false)
		pending := c.mustArrive(1000)
		c.peers[pending].requests["id"] = true
		for range 200 {
			c.mustArrive(1000)
		}
		for _, p := range append(busy, c.peers[pending]) {
			if p == nil || c.peers[p.name] != p || p.ctx.Err() != nil {
				t.Fatal("one is forgotten")
			}
		}
		for _, p := range c.peers {
			p.requests["id"] = true
		}
		if _, err := c.arrive(1000); !errors.Is(err, errCrowded) {
			t.Errorf("without room: %v", err)
		}
		c.mustArrive(1001)
	})
	t.Run("remember 1024 connections, 64 of them root's alone", func(t *testing.T) {
		c := newCrowd(t)
		for i := range uint32(2000) {
			c.peers[c.mustArrive(1000+i%40)].requests["id"] = true
			if c.counted == maxPeers-rootPeers {
				break
			}
		}
		if _, err := c.arrive(5000); !errors.Is(err, errCrowded) {
			t.Errorf("another user's: %v", err)
		}
		for range rootPeers {
			c.peers[c.mustArrive(0)].requests["id"] = true
		}
		if _, err := c.arrive(0); !errors.Is(err, errCrowded) || len(c.peers) != maxPeers {
			t.Errorf("root's, beside %d: %v", len(c.peers), err)
		}
		for _, p := range c.peers {
			clear(p.requests)
		}
		c.mustArrive(5000) // what has nothing under way makes room
		if len(c.peers) != maxPeers {
			t.Errorf("they are %d", len(c.peers))
		}
	})
	t.Run("are given back", func(t *testing.T) {
		c := newCrowd(t)
		for _, uid := range []uint32{0, 1000, 1001} {
			for _, p := range c.fill(uid, uid == 1000) {
				c.exit(p, uid == 1000)
			}
		}
		for name := range c.peers {
			c.forget(name)
		}
		if c.busy != 0 || c.counted != 0 || c.unknown != 0 || len(c.users) != 0 || len(c.peers) != 0 {
			t.Errorf("left are %d calls, %d and %d connections, %v", c.busy, c.counted, c.unknown, c.users)
		}
	})
	t.Run("do not count a connection that leaves before it is known", func(t *testing.T) {
		c := newCrowd(t)
		p := c.add(":1.1")
		c.identify(p, func(*peer) (caller.Caller, error) { c.forget(":1.1"); return caller.Caller{UID: 1000}, nil })
		if !errors.Is(p.err, caller.ErrForbidden) || len(c.peers) != 0 || len(c.users) != 0 {
			t.Errorf("%v, %v", p.err, c.users)
		}
	})
}
