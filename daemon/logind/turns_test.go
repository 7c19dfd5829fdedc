package logind

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	// take takes n turns of a user's and gives how many it gets by the end of ctx.
	take := func(ctx context.Context, ts *turns, uid uint32, n int) (got int) {
		took := make(chan error, n)
		for range n {
			go func() { took <- ts.take(ctx, uid) }()
		}
		for range n {
			if err := <-took; err == nil {
				got++
			} else if !errors.Is(err, context.DeadlineExceeded) {
				panic(err)
			}
		}
		return got
	}
	second := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	inBubble := func(name string, f func(t *testing.T, ts *turns)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, new(turns)) }) })
	}
	inBubble("are at most 6 of a user at a time, beside the others'", func(t *testing.T, ts *turns) {
		if got := take(second(t), ts, 1000, 160); got != 6 {
			t.Errorf("one user gets %d", got)
		}
		if got := take(second(t), ts, 1001, 1); got != 1 {
			t.Error("another gets none")
		}
		if len(ts.waiting) != 0 {
			t.Errorf("%d that gave up still wait", len(ts.waiting))
		}
	})
	inBubble("are at most 24 in all, of which 4 are root's alone", func(t *testing.T, ts *turns) {
		got := 0
		for uid := range uint32(10) {
			got += take(second(t), ts, 1000+uid, 10)
		}
		if got != 20 {
			t.Errorf("ten users get %d", got)
		}
		if got := take(second(t), ts, 0, 10); got != 4 {
			t.Errorf("root gets %d", got)
		}
	})
	inBubble("come to those who wait, in their order", func(t *testing.T, ts *turns) {
		take(second(t), ts, 1000, 6)
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if ts.take(t.Context(), 1000) == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		for i := range 3 {
			ts.give(1000)
			if got := <-order; got != i {
				t.Errorf("number %d goes on before number %d", got, i)
			}
			synctest.Wait()
			if len(order) != 0 {
				t.Error("more than one goes on")
			}
		}
	})
	inBubble("leave nothing behind", func(t *testing.T, ts *turns) {
		for range take(second(t), ts, 1000, 100) {
			ts.give(1000)
		}
		if ts.taken != 0 || len(ts.ofUser) != 0 || len(ts.waiting) != 0 {
			t.Errorf("%+v", ts)
		}
	})
}
