package signin_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/signin"
)

func TestSixtyFourGuesses(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		var looked atomic.Int32
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if _, err := d.verify("000000"); errors.Is(err, oath.ErrWrong) {
					looked.Add(1)
				} else if !errors.Is(err, lockout.ErrLocked) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if looked.Load() > 9 { // the tenth hears that it was one too many
			t.Errorf("%d guesses were looked at", looked.Load())
		}
		if _, err := d.verify(f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("the right code while locked out: %v", err)
		}
	})
}

func TestLockedOut(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
		d.lockOut()
		over := caller.Caller{UID: uid, Door: caller.DoorBus}
		if _, err := d.verifyAs(over, f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("at the other door: %v", err)
		}
		d.rename("alice") // a restart of the daemon
		if _, err := d.verify(f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("after a restart: %v", err)
		}

		r := d.ask(signin.Ask{})
		<-k.blinks
		if len(r.View().Prompts) != 1 {
			t.Errorf("a code is asked for: %+v", r.View().Prompts)
		}
		if offers := r.View().Offers; !slices.ContainsFunc(offers, func(o signin.Offer) bool {
			return o.Type == signin.OfferByCode && o.State == signin.OfferFailed && errors.Is(o.Err, lockout.ErrLocked)
		}) {
			t.Errorf("why no code is asked for is not said: %+v", offers)
		}
		k.touches <- struct{}{}
		d.wants(r, signin.Approved)
		if _, err := d.verify(f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("a tap that was for something else lifts it: %v", err)
		}

		if s, err := d.Status(t.Context(), d.me); err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "too many wrong codes") {
			t.Errorf("the status says %q, %v", s.Problems, err)
		}
		r = d.ask(signin.Ask{Kind: signin.KindUnblock})
		if p := d.promptOf(r, signin.PromptTouch); !strings.Contains(p.Text, "lifting all waits and blocks") {
			t.Errorf("what is approved is said so: %q", p.Text)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		if _, err := d.verify(f.press()); err != nil {
			t.Errorf("after it was lifted: %v", err)
		}

		{ // in the middle of a request
			r := d.ask(signin.Ask{})
			<-k.blinks
			for range 10 {
				d.types(r, "000000")
			}
			v := r.View()
			if len(v.Prompts) != 1 || v.Prompts[0].Type != signin.PromptTouch || v.Offers[len(v.Offers)-1].Err == nil && v.Offers[0].Err == nil {
				t.Errorf("asked is %+v, offered %+v", v.Prompts, v.Offers)
			}
			k.touches <- struct{}{}
			d.wants(r, signin.Approved)
		}
	}, k)
}

func TestLockedOutWithoutKey(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		d.lockOut()
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("a request: %v", err)
		}
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindUnblock}); !errors.Is(err, signin.ErrNothingLifts) {
			t.Errorf("lifting it: %v", err)
		}
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}}); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("a resync, which would ask for codes in vain: %v", err)
		}
		time.Sleep(15*time.Minute + time.Second)
		if _, err := d.verify(f.press()); err != nil {
			t.Errorf("after 15 minutes: %v", err)
		}
	})
}
