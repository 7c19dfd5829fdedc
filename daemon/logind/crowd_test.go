package logind_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/testbus"
)

// counter counts the questions that are under way at a session manager.
type counter struct {
	mu        sync.Mutex
	now, most int
	all       int
	come      chan struct{} // one a question
}

func (c *counter) during(f func()) func() {
	c.come = make(chan struct{}, 1000)
	return func() {
		c.mu.Lock()
		c.now++
		c.all++
		c.most = max(c.most, c.now)
		c.mu.Unlock()
		c.come <- struct{}{}
		f()
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}
}

func (c *counter) seen() (most, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most, c.all
}

func TestCrowd(t *testing.T) {
	t.Run("of one user's questions leaves others at their desk", func(t *testing.T) {
		f, c := atDesk(), &counter{}
		f.during = c.during(func() { time.Sleep(2 * time.Millisecond) })
		d := open(t, testbus.New(t).Address, f)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 160 {
			all.Go(func() {
				for ctx.Err() == nil {
					d.Standing(ctx, by(ann), ann)
				}
			})
		}
		for range 50 {
			<-c.come
			d.want(by(0), local)
		}
		cancel()
		all.Wait()
		if most, _ := c.seen(); most > 7 {
			t.Errorf("%d questions were asked at a time", most)
		}
		d.want(by(ann), local)
	})
	t.Run("of many sessions asks for few at a time", func(t *testing.T) {
		f := &fake{users: map[uint32]uint32{pid: ann}, slow: 10 * time.Millisecond}
		f.add("2", ann, "seat0", nil)
		for i := range 31 {
			f.add(fmt.Sprint("9", i), ann, "seat0", behind)
		}
		d := open(t, testbus.New(t).Address, f)
		var all sync.WaitGroup
		for range 24 { // of 32 replies each the bus would let them wait for 128
			all.Go(func() { d.want(by(0), caller.Standing{Place: caller.PlaceUnknown, SameUser: true}) })
		}
		all.Wait()
	})
	t.Run("waits within its time, and keeps nobody else waiting", func(t *testing.T) {
		f, c := atDesk(), &counter{}
		end := make(chan struct{})
		f.during = c.during(func() { <-end })
		d := open(t, testbus.New(t).Address, f)
		defer close(end)
		begin := time.Now()
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() { d.want(by(ann), remote) })
		}
		for range 6 {
			<-c.come
		}
		all.Go(func() { d.want(by(0), remote) })
		select {
		case <-c.come:
		case <-time.After(500 * time.Millisecond):
			t.Error("root's question waits for the others'")
		}
		all.Wait()
		if took := time.Since(begin); took > 2500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		d.wantState("did not answer within 1s")
	})
	t.Run("of callers who give up is counted until their questions end", func(t *testing.T) {
		f, c := atDesk(), &counter{}
		end := make(chan struct{})
		f.during = c.during(func() { <-end })
		d := open(t, testbus.New(t).Address, f)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() { d.Standing(ctx, by(ann), ann) })
		}
		for range 6 {
			<-c.come
		}
		cancel()
		all.Wait()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		d.Standing(short, by(ann), ann)
		if _, asked := c.seen(); asked != 6 {
			t.Errorf("%d questions are open", asked)
		}
		close(end)
		d.want(by(ann), local)
	})
	for _, tt := range []struct {
		name  string
		times int32
		want  bool
	}{
		{"is asked once more where the bus has too much to do", 1, true},
		{"is not asked for ever where the bus has too much to do", 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := atDesk()
			var n atomic.Int32
			f.methods = map[string]any{"ListSessions": func() ([]row, *dbus.Error) {
				if n.Add(1) <= tt.times {
					return nil, dbus.NewError("org.freedesktop.DBus.Error.LimitsExceeded", []any{"too much"})
				}
				return f.rows, nil
			}}
			d := open(t, testbus.New(t).Address, f)
			if tt.want {
				d.want(by(ann), local)
				return
			}
			d.want(by(ann), remote)
			d.wantState("too much")
		})
	}
}
