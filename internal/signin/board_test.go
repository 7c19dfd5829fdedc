package signin_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

func TestSubscribe(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		first := d.ask(signin.Ask{Service: "first"})
		synctest.Wait()
		s, err := d.Subscribe(context.Background(), d.me)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if len(s.Requests) != 1 || s.Requests[0].ID != first.ID() || len(s.Methods) != 1 {
			t.Fatalf("the snapshot has %d requests and %d methods", len(s.Requests), len(s.Methods))
		}
		d.touch(k)
		d.wants(first, signin.Approved)
		var last signin.Event
		for len(s.Events()) > 0 {
			last = <-s.Events()
		}
		if last.Request == nil || last.Request.Decision != signin.Approved {
			t.Errorf("the last event is %+v", last)
		}
		for range 300 { // more than anyone may be behind
			if _, err := d.RenameMethod(t.Context(), d.me, "", s.Methods[0].ID, "Key aa"); err != nil {
				t.Fatal(err)
			}
		}
		for range s.Events() {
		}
		if !s.Lagged() {
			t.Error("a reader that was too slow was not told")
		}
		stranger := d.me
		stranger.UID++
		if _, err := d.Subscribe(context.Background(), stranger); !errors.Is(err, caller.ErrForbidden) {
			t.Errorf("another user's subscription: %v", err)
		}
	}, k)
}

func TestWatchGivesTheLastState(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{})
		states, stop := r.Watch()
		defer stop()
		d.touch(k)
		<-r.Done()
		var last signin.View
		for v := range states {
			last = v
		}
		if last.Decision != signin.Approved {
			t.Errorf("the last state is %+v", last)
		}
	}, k)
}
