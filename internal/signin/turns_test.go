package signin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/signin"
)

func TestOneTapOneRequest(t *testing.T) {
	k := newFakeKey("aa")
	begin := func(d *desk) (a, b *signin.Request) {
		d.enrol(k, nil)
		a = d.ask(signin.Ask{Service: "first"})
		<-k.blinks
		b = d.ask(signin.Ask{Service: "second"})
		d.quiet(k)
		return a, b
	}
	t.Run("neither blinks until one is picked", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			a, b := begin(d)
			for _, r := range []*signin.Request{a, b} {
				if got := offerState(r.View(), k); got != signin.OfferPick {
					t.Errorf("offer is %q, want pick", got)
				}
			}
			if got := b.View().Progress; !strings.Contains(got, "app:1000:first") {
				t.Errorf("the prompt does not name the other: %q", got)
			}
			if err := d.Pick(d.me, b.ID()); err != nil {
				t.Fatal(err)
			}
			d.touch(k)
			d.wants(b, signin.Approved)
			if !a.View().Pending() {
				t.Error("the tap for one request ended the other")
			}
		}, k)
	})
	t.Run("the other goes on waiting to be picked when the first has ended", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			a, b := begin(d)
			if err := d.Deny(d.me, a.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(a, signin.Denied)
			d.quiet(k)
			if err := d.Pick(d.me, b.ID()); err != nil {
				t.Fatal(err)
			}
			d.touch(k)
			d.wants(b, signin.Approved)
		}, k)
	})
	t.Run("a picked request keeps the key when another comes", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			a, b := begin(d)
			if err := d.Pick(d.me, a.ID()); err != nil {
				t.Fatal(err)
			}
			<-k.blinks
			c := d.ask(signin.Ask{Service: "third"})
			d.quiet(k)
			k.touches <- struct{}{}
			d.wants(a, signin.Approved)
			if !b.View().Pending() || !c.View().Pending() {
				t.Error("a tap answered more than one request")
			}
		}, k)
	})
	t.Run("picking another takes the key from the first", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			a, b := begin(d)
			for _, r := range []*signin.Request{a, b} {
				if err := d.Pick(d.me, r.ID()); err != nil {
					t.Fatal(err)
				}
				<-k.blinks
			}
			k.touches <- struct{}{}
			d.wants(b, signin.Approved)
			if !a.View().Pending() {
				t.Error("the tap went to the request that was not picked last")
			}
		}, k)
	})
}

func TestOneTapOneRequestWithTwoKeys(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	begin := func(d *desk) (a, b *signin.Request) {
		d.enrol(k1, nil)
		d.plug(k2) // it holds nothing
		a = d.ask(signin.Ask{Service: "first"})
		<-k1.blinks
		b = d.ask(signin.Ask{Service: "second"})
		return a, b
	}
	t.Run("the first stops blinking as soon as the second has begun", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			a, b := begin(d)
			synctest.Wait()
			select {
			case k1.touches <- struct{}{}:
				t.Fatal("a tap is taken while two requests want the key")
			default:
			}
			for _, r := range []*signin.Request{a, b} {
				if got := offerState(r.View(), k1); got != signin.OfferPick {
					t.Errorf("offer is %q, want pick", got)
				}
			}
			if err := d.Pick(d.me, b.ID()); err != nil {
				t.Fatal(err)
			}
			d.touch(k1)
			d.wants(b, signin.Approved)
			if !a.View().Pending() {
				t.Error("the tap for one request ended the other")
			}
		}, k1)
	})
	t.Run("a pick counts before the keys were looked at", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			k2.answer = 300 * time.Millisecond // to the silent question
			_, b := begin(d)
			if err := d.Pick(d.me, b.ID()); err != nil {
				t.Fatal(err)
			}
			d.touch(k1)
			d.wants(b, signin.Approved)
		}, k1)
	})
}

func TestDeniedThenTriedAgain(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		k.linger = time.Second // the key takes a while to give up
		a := d.ask(signin.Ask{})
		<-k.blinks
		if err := d.Deny(d.me, a.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b := d.ask(signin.Ask{})
		synctest.Wait()
		if got := offerState(b.View(), k); got == signin.OfferPick {
			t.Fatal("a request that has ended stands in the way of the next")
		}
		time.Sleep(k.linger + 500*time.Millisecond)
		d.quiet(k) // a hand may still be on its way, for the first
		d.touch(k)
		d.wants(b, signin.Approved)
	}, k)
}

func TestDarkBetweenRequests(t *testing.T) {
	for name, end := range map[string]func(d *desk, k *fakeKey, a *signin.Request, gone context.CancelFunc){
		"denied":             func(d *desk, _ *fakeKey, a *signin.Request, _ context.CancelFunc) { d.Deny(d.me, a.ID()) },
		"the caller is gone": func(_ *desk, _ *fakeKey, _ *signin.Request, gone context.CancelFunc) { gone() },
		"approved by a person": func(_ *desk, k *fakeKey, _ *signin.Request, _ context.CancelFunc) {
			time.Sleep(time.Second)
			k.touches <- struct{}{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			sit(t, func(t *testing.T, d *desk) {
				d.enrol(k, nil)
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				a, err := d.Begin(ctx, d.me, signin.Ask{Service: "wanted"})
				if err != nil {
					t.Fatal(err)
				}
				<-k.blinks
				end(d, k, a, gone)
				d.end(a) // wholly: nothing of it stands in a queue any more
				b := d.ask(signin.Ask{Service: "unwanted"})
				time.Sleep(900 * time.Millisecond)
				d.quiet(k) // the touch that was meant for the first goes nowhere
				d.touch(k)
				d.wants(b, signin.Approved)
			}, k)
		})
	}
}

func TestAppsBlinkForAShare(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		a := d.ask(signin.Ask{Service: "first"})
		<-k.blinks
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if got := offerState(a.View(), k); got != signin.OfferPaused {
			t.Fatalf("after 15 s the offer is %q, want paused", got)
		}
		b := d.ask(signin.Ask{Service: "second"})
		d.quiet(k) // a tap now would still be meant for the first
		if got := offerState(b.View(), k); got != signin.OfferPick {
			t.Errorf("offer is %q, want pick", got)
		}
		for _, r := range []*signin.Request{b, a} {
			if err := d.Pick(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			d.touch(k)
			d.wants(r, signin.Approved)
		}
	}, k)
}

func TestReArms(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		n := 0
		k.fail = func(op string) error {
			if op == fido.OpAssert && n < 2 {
				n++
				time.Sleep(5 * time.Second)
				return opError(0x27, "FIDO_ERR_OPERATION_DENIED") // some firmware's touch time-out
			}
			return nil
		}
		r := d.ask(signin.Ask{})
		d.touch(k)
		d.wants(r, signin.Approved)
		if n != 2 {
			t.Errorf("timed out %d times", n)
		}
	}, k)
}

func TestKeyThatOnlyRefuses(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		k.fail = func(string) error { return opError(0x27, "FIDO_ERR_OPERATION_DENIED") }
		r := d.ask(signin.Ask{})
		v := d.wants(r, signin.Cancelled)
		if !errors.Is(v.Err, fido.ErrTouchTimeout) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}

func TestRace(t *testing.T) {
	k1, k2, k3 := newFakeKey("aa"), newFakeKey("bb"), newFakeKey("cc")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k1, nil)
		d.plug(k2)
		d.enrol(k2, k1)
		d.plug(k3)
		r := d.ask(signin.Ask{})
		<-k1.blinks
		d.touch(k2)
		v := d.wants(r, signin.Approved)
		if last := d.log()[len(d.log())-1]; last.MethodName != "Key bb" || v.LogSeq != last.Seq {
			t.Errorf("approved by %q", last.MethodName)
		}
		d.quiet(k3) // it holds nothing: it was asked silently and left alone
		if k3.silent == 0 {
			t.Error("the third key was not asked silently")
		}

		k1.fail = func(op string) error {
			if op == fido.OpAssert {
				return opError(-2, "FIDO_ERR_RX")
			}
			return nil
		}
		r = d.ask(signin.Ask{}) // a failed offer stands in nobody's way
		d.touch(k2)
		d.wants(r, signin.Approved)
	}, k1)
}

func TestOneKeyIsNotAskedTwice(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{})
		d.touch(k)
		d.wants(r, signin.Approved)
		if k.silent != 0 {
			t.Errorf("the only key was asked silently %d times", k.silent)
		}
	}, k)
}

func TestUnregisteredKey(t *testing.T) {
	k, other := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		d.unplug(k)
		d.plug(other)
		r := d.ask(signin.Ask{})
		d.touch(other)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyNotOwn) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}
