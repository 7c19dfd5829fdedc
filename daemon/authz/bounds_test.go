package authz_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/internal/testbus"
)

func TestBounds(t *testing.T) {
	// crowd has 100 programs ask at once, waits until bound questions are open and all others are turned
	// away, and then lets polkit say yes.
	crowd := func(t *testing.T, b *bench, bound int) {
		p := servePolkit(t, b.bus.Address, nil)
		const all = 100
		subjects := make([]string, all)
		for i := range subjects {
			_, subjects[i] = program(t, b.bus.Address)
		}
		answers := make(chan error, all)
		var wg sync.WaitGroup
		for _, s := range subjects {
			wg.Go(func() { answers <- b.authority.Check(t.Context(), s, me(), authz.ActionFirstMethod, nil) })
		}
		for range all - bound {
			wants(t, next(t, "an answer", answers), authz.ErrBusy, "too many dialogs")
		}
		for range bound {
			p.reply(next(t, "a question", p.asked), yes)
		}
		wg.Wait()
		for range bound {
			wants(t, <-answers, nil, "")
		}
		if len(p.asked) > 0 {
			t.Errorf("polkit got %d questions more", len(p.asked))
		}
		go func() { answers <- b.check(t) }() // there is room again
		p.reply(next(t, "the question", p.asked), yes)
		wants(t, next(t, "an answer", answers), nil, "")
	}
	t.Run("let a user ask 4 things at a time", func(t *testing.T) {
		crowd(t, newBench(t, authz.Options{}), authz.MaxOfUser)
	})
	t.Run("of one user are reached before anything is asked, and leave room for another", func(t *testing.T) {
		a := open(t, mute(t), authz.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		const all, other = 100, 1001
		answers := make(chan error, all)
		for i := range all {
			go func() { answers <- a.Check(ctx, fmt.Sprintf(":1.%d", i), 1000, authz.ActionFirstMethod, nil) }()
		}
		for range all - authz.MaxOfUser {
			wants(t, next(t, "an answer", answers), authz.ErrBusy, "too many dialogs")
		}
		soon, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		wants(t, a.Check(soon, ":1.1001", other, authz.ActionFirstMethod, nil), context.DeadlineExceeded, "")
		cancel()
		for range authz.MaxOfUser {
			wants(t, next(t, "an answer", answers), context.Canceled, "")
		}
	})
	t.Run("let all users together ask 8", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		b.authority.LetOneUserTakeAll()
		crowd(t, b, authz.MaxAll)
	})
	t.Run("let a program ask one thing at a time", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		p := servePolkit(t, b.bus.Address, nil)
		done := make(chan error, 1)
		go func() { done <- b.check(t) }()
		first := next(t, "the question", p.asked)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		wants(t, b.authority.Check(ctx, b.subject, me(), authz.ActionFirstMethod, nil), authz.ErrBusy, "dialog that is open")
		p.reply(first, yes)
		wants(t, next(t, "the answer", done), nil, "")
	})
	t.Run("of the bus are not reached by questions that are over", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		servePolkit(t, b.bus.Address, func(p *polkit, m *dbus.Message) { <-p.asked; p.reply(m, no) })
		for range 600 { // the bus daemon lets a connection watch for 512 things
			wants(t, b.check(t), authz.ErrRefused, "")
			if t.Failed() {
				return
			}
		}
	})
	t.Run("of the bus are not reached by questions that polkit never answers", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		p := servePolkit(t, b.bus.Address, nil)
		for i := range 300 { // the bus daemon lets a connection wait for 128 replies
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- b.authority.Check(ctx, b.subject, me(), authz.ActionFirstMethod, nil) }()
			select {
			case <-p.asked:
				cancel()
				<-done
			case err := <-done:
				cancel()
				t.Fatalf("question %d: %v", i, err)
			}
		}
	})
}

func TestBus(t *testing.T) {
	for _, address := range []string{"unix:path=/nonexistent/bus", "tcp:host=localhost,port=1", "autolaunch:", ""} {
		t.Run("that cannot be reached is named: "+address, func(t *testing.T) {
			wants(t, open(t, address, authz.Options{}).Check(t.Context(), ":1.1", me(), authz.ActionFirstMethod, nil), authz.ErrUnavailable, "bus")
		})
	}
	t.Run("that says nothing is given up, and at once where the caller gives up", func(t *testing.T) {
		a := open(t, mute(t), authz.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		wants(t, a.Check(ctx, ":1.1", me(), authz.ActionFirstMethod, nil), authz.ErrUnavailable, "bus")
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		wants(t, a.Check(ctx, ":1.1", me(), authz.ActionFirstMethod, nil), context.DeadlineExceeded, "")
		if took := time.Since(start); took > atOnce {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("that goes away and comes back is used again", func(t *testing.T) {
		testbus.New(t) // skips where there is no dbus-daemon
		dir, err := os.MkdirTemp("", "fob-bus")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address := "unix:path=" + dir + "/bus"
		a := open(t, address, authz.Options{})
		for range 2 {
			bus, err := testbus.Start(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			servePolkit(t, address, always(yes))
			_, subject := program(t, address)
			wants(t, a.Check(t.Context(), subject, me(), authz.ActionFirstMethod, nil), nil, "")
			bus.Close()
			_ = os.Remove(dir + "/bus")
		}
	})
}
