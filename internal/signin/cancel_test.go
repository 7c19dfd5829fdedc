package signin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
)

// TestCancelledInEveryState ends a request wherever it can stand: at once, with the key let go and the
// way free for the next.
func TestCancelledInEveryState(t *testing.T) {
	add := signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "key", Name: "New", Backup: true}}
	cases := []struct {
		name string
		// into begins a request and brings it into the state.
		into func(d *desk, k, other *fakeKey) *signin.Request
	}{
		{"while the keys are asked what they hold", func(d *desk, k, other *fakeKey) *signin.Request {
			d.plug(other)
			k.answer = 500 * time.Millisecond
			return d.ask(signin.Ask{})
		}},
		{"while the key blinks", func(d *desk, k, _ *fakeKey) *signin.Request {
			r := d.ask(signin.Ask{})
			<-k.blinks
			return r
		}},
		{"while it waits to be picked", func(d *desk, k, _ *fakeKey) *signin.Request {
			first := d.ask(signin.Ask{Service: "first"})
			<-k.blinks
			r := d.ask(signin.Ask{})
			d.state(r, k, signin.OfferPick)
			d.Cancel(d.me, first.ID())
			d.end(first)
			return r
		}},
		{"while it is paused", func(d *desk, k, _ *fakeKey) *signin.Request {
			r := d.ask(signin.Ask{})
			<-k.blinks
			time.Sleep(16 * time.Second)
			d.state(r, k, signin.OfferPaused)
			return r
		}},
		{"while the key is dark", func(d *desk, k, _ *fakeKey) *signin.Request {
			first := d.ask(signin.Ask{})
			<-k.blinks
			d.Cancel(d.me, first.ID())
			d.end(first)
			r := d.ask(signin.Ask{})
			d.quiet(k)
			return r
		}},
		{"while a PIN is asked for", func(d *desk, k, _ *fakeKey) *signin.Request {
			k.pin = "1234"
			r := d.ask(signin.Ask{Require: policy.Verified})
			d.state(r, k, signin.OfferPIN)
			return r
		}},
		{"while a key is to be chosen", func(d *desk, k, other *fakeKey) *signin.Request {
			d.plug(other)
			d.enrol(other, k)
			r := d.ask(signin.Ask{Require: policy.Verified})
			<-k.blinks
			<-other.blinks
			return r
		}},
		{"during step-up", func(d *desk, k, other *fakeKey) *signin.Request {
			d.plug(other)
			r := d.ask(add)
			<-k.blinks
			return r
		}},
		{"during the registration", func(d *desk, k, other *fakeKey) *signin.Request {
			d.plug(other)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, KeyID: other.id, Method: add.Method})
			d.touch(k)
			<-other.blinks
			return r
		}},
		{"during its test", func(d *desk, k, other *fakeKey) *signin.Request {
			d.plug(other)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, KeyID: other.id, Method: add.Method})
			d.touch(k)
			d.touch(other)
			<-other.blinks
			return r
		}},
		{"before a reset is confirmed", func(d *desk, _, _ *fakeKey) *signin.Request {
			return d.ask(signin.Ask{Kind: signin.KindReset})
		}},
		{"before a PIN is set", func(d *desk, _, _ *fakeKey) *signin.Request {
			return d.ask(signin.Ask{Kind: signin.KindSetPIN})
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k, other := newFakeKey("aa"), newFakeKey("bb")
			sit(t, func(t *testing.T, d *desk) {
				d.enrol(k, nil)
				r := c.into(d, k, other)
				before, err := d.Methods(t.Context(), d.me, "")
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Cancel(d.me, r.ID()); err != nil {
					t.Fatal(err)
				}
				d.wants(r, signin.Cancelled)
				if last := d.log()[len(d.log())-1]; last.Request != r.ID() || last.Decision != "cancelled" {
					t.Errorf("the log ends with %+v", last)
				}
				if now, _ := d.Methods(t.Context(), d.me, ""); len(now) != len(before) {
					t.Errorf("there are %d methods, and were %d", len(now), len(before))
				}
				for _, key := range []*fakeKey{k, other} {
					for len(key.blinks) > 0 {
						<-key.blinks
					}
					select {
					case key.touches <- struct{}{}:
						t.Errorf("the key %s still waits for a touch", key.id)
					default:
					}
				}
				d.unplug(other)
				next := d.ask(signin.Ask{})
				d.touch(k)
				d.wants(next, signin.Approved)
			}, k)
		})
	}
}

// state waits until everything has settled and checks the offer of the key.
func (d *desk) state(r *signin.Request, k *fakeKey, want signin.OfferState) {
	d.t.Helper()
	synctest.Wait()
	if got := offerState(r.View(), k); got != want {
		d.t.Fatalf("the offer is %q, want %q", got, want)
	}
}
