package signin_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

// desk is an engine with fake keys, in a bubble of fake time.
type desk struct {
	*signin.Engine
	t       *testing.T
	me      caller.Caller
	config  signin.Config
	fakes   *fakeKeys
	mu      sync.Mutex
	plugged []*fakeKey
	sleep   time.Duration // by which the boot clock is ahead of the bubble's
}

const uid = 1000

// sit runs test in a bubble with keys plugged in.
func sit(t *testing.T, test func(*testing.T, *desk), keys ...*fakeKey) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fob.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := &desk{t: t, me: caller.Caller{UID: uid, Door: caller.DoorSocket, Place: caller.PlaceLocal}, fakes: &fakeKeys{keys: map[string]*fakeKey{}}}
		start := time.Now()
		d.config = signin.Config{
			Store: s, Owner: signin.Owner{UID: uid, Name: "alice"}, Place: caller.PlaceLocal, SelfAsserted: true,
			Devices: fido.NewDevices(d.fakes),
			Discover: func() ([]fido.Key, []fido.Problem, error) {
				d.mu.Lock()
				defer d.mu.Unlock()
				var found []fido.Key
				for _, k := range d.plugged {
					found = append(found, k.key())
				}
				return found, nil, nil
			},
			Clock: signin.Clock{Now: time.Now, Boot: func() time.Duration {
				d.mu.Lock()
				defer d.mu.Unlock()
				return time.Since(start) + d.sleep
			}},
		}
		d.rename("alice")
		for _, k := range keys {
			d.plug(k)
		}
		defer func() {
			d.Shutdown(context.Background())
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, d)
	})
}

// rename starts the engine anew, with the user under that name.
func (d *desk) rename(name string) {
	d.t.Helper()
	if d.Engine != nil {
		d.Shutdown(context.Background())
	}
	d.config.Owner.Name = name
	var err error
	if d.Engine, err = signin.New(d.config); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) plug(k *fakeKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plugged = append(d.plugged, k)
	d.fakes.plug(k)
}

func (d *desk) unplug(k *fakeKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plugged = slices.DeleteFunc(d.plugged, func(o *fakeKey) bool { return o == k })
}

// ask begins a request that must begin.
func (d *desk) ask(a signin.Ask) *signin.Request {
	d.t.Helper()
	r, err := d.Begin(d.t.Context(), d.me, a)
	if err != nil {
		d.t.Fatalf("cannot begin %+v: %v", a, err)
	}
	return r
}

// touch waits until the key blinks and touches it.
func (d *desk) touch(k *fakeKey) {
	d.t.Helper()
	<-k.blinks
	k.touches <- struct{}{}
}

// end waits for the decision.
func (d *desk) end(r *signin.Request) signin.View {
	d.t.Helper()
	<-r.Done()
	return r.View()
}

func (d *desk) wants(r *signin.Request, want signin.Decision) signin.View {
	d.t.Helper()
	v := d.end(r)
	if v.Decision != want {
		d.t.Fatalf("decision is %q (%v), want %q", v.Decision, v.Err, want)
	}
	return v
}

// enrol registers the key as the user's first method, or a later one with a step-up by other.
func (d *desk) enrol(k, other *fakeKey) method.Method {
	d.t.Helper()
	r := d.ask(signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
	if other != nil {
		d.touch(other)
	}
	d.touch(k)
	d.touch(k)
	return d.wants(r, signin.Approved).Methods[0]
}

// log is the whole log.
func (d *desk) log() []audit.Entry {
	d.t.Helper()
	entries, _, err := d.Log(d.t.Context(), d.me, signin.LogQuery{})
	if err != nil {
		d.t.Fatal(err)
	}
	return entries
}

// quiet checks, once everything has settled, that the key does not blink.
func (d *desk) quiet(k *fakeKey) {
	d.t.Helper()
	synctest.Wait()
	select {
	case op := <-k.blinks:
		d.t.Fatalf("the key %s blinks (%s) and should not", k.id, op)
	default:
	}
}

func offerState(v signin.View, k *fakeKey) signin.OfferState {
	for _, o := range v.Offers {
		if o.KeyID == k.id {
			return o.State
		}
	}
	return ""
}

func TestSignIn(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		m := d.enrol(k, nil)
		r := d.ask(signin.Ask{Service: "mailer", Claimed: signin.Claimed{Command: caller.Clean("send --secret=hunter2"), Host: caller.Clean("desk\x1b[31m")}})
		d.touch(k)
		v := d.wants(r, signin.Approved)
		if v.Strength != policy.Key || !v.SelfAsserted || v.Service != "app:1000:mailer" {
			t.Errorf("approved as %+v", v)
		}
		last := d.log()[len(d.log())-1]
		if last.Seq != v.LogSeq || last.Request != r.ID() || last.Decision != "approved" || last.Method != m.ID {
			t.Errorf("the log has %+v", last)
		}
		if last.Executable != "send" || last.CommandHash == "" {
			t.Errorf("the log has command %q, %q", last.Executable, last.CommandHash)
		}
		data, proof, err := fido.VerifyReceipt(fido.Receipt{
			RPID: last.Receipt.RPID, CredentialID: last.Receipt.CredentialID, PublicKey: last.Receipt.PublicKey,
			Algorithm: last.Receipt.Algorithm, ClientData: last.Receipt.ClientData, AuthData: last.Receipt.AuthData, Signature: last.Receipt.Signature,
		})
		if err != nil || !proof.UserPresent {
			t.Fatalf("the receipt does not hold: %v", err)
		}
		if data.Service != v.Service || data.Command != "send --secret=hunter2" || data.Host != "desk[31m" || data.Request != r.ID() || data.Place != "local" {
			t.Errorf("the key signed %+v", data)
		}
	}, k)
}

func TestBeginRefuses(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, signin.ErrNoMethod) {
			t.Errorf("without a method: %v", err)
		}
		d.enrol(k, nil)
		before := len(d.log())
		stranger := d.me
		stranger.UID = 1001
		cases := []struct {
			name string
			who  caller.Caller
			ask  signin.Ask
			want error
		}{
			{"another user's request", stranger, signin.Ask{}, caller.ErrForbidden},
			{"a caller that no door identified", caller.Caller{UID: uid}, signin.Ask{}, caller.ErrForbidden},
			{"a request for another user", d.me, signin.Ask{User: "root"}, signin.ErrUnknownUser},
			{"a PAM service not begun by root", d.me, signin.Ask{Service: "pam:sudo"}, caller.ErrForbidden},
			{"another user's service", d.me, signin.Ask{Service: "app:0:mailer"}, caller.ErrForbidden},
			{"a service with control characters", d.me, signin.Ask{Service: "mail\x1ber"}, signin.ErrBadRequest},
			{"an endless service", d.me, signin.Ask{Service: strings.Repeat("a", 65)}, signin.ErrBadRequest},
			{"a service with a path", d.me, signin.Ask{Service: "../mailer"}, signin.ErrBadRequest},
			{"an unknown kind", d.me, signin.Ask{Kind: "unlock"}, signin.ErrBadRequest},
			{"less strength than policy wants", d.me, signin.Ask{Require: policy.Click}, signin.ErrWeaker},
			{"a time-out too short", d.me, signin.Ask{Timeout: time.Millisecond}, signin.ErrBadRequest},
			{"a time-out too long", d.me, signin.Ask{Timeout: time.Hour}, signin.ErrBadRequest},
			{"a negative time-out", d.me, signin.Ask{Timeout: -time.Second}, signin.ErrBadRequest},
			{"a path for a key", d.me, signin.Ask{KeyID: k.key().Path}, signin.ErrKeyNotFound},
			{"a test of no method", d.me, signin.Ask{Kind: signin.KindTest, Method: signin.MethodAsk{ID: "nope"}}, method.ErrNotFound},
			{"a removal of no method", d.me, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: "nope"}}, method.ErrNotFound},
			{"a method of unknown type", d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token"}}, signin.ErrBadRequest},
			{"a method's name with a line break", d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "a\nb"}}, method.ErrBadName},
			{"a method's name that is taken", d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "KEY AA"}}, method.ErrNameTaken},
		}
		for _, c := range cases {
			if _, err := d.Begin(t.Context(), c.who, c.ask); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		d.unplug(k)
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, signin.ErrNoKey) {
			t.Errorf("without a key: %v", err)
		}
		if got := len(d.log()); got != before {
			t.Errorf("refusals wrote %d entries to the log", got-before)
		}
		if got := d.List(d.me); len(got) != 0 {
			t.Errorf("refused requests are pending: %v", got)
		}
	}, k)
}

func TestRenamedUser(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		d.rename("alicia")
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, signin.ErrUserChanged) {
			t.Fatalf("a sign-in under another name: %v", err)
		}
		if _, err := d.Methods(t.Context(), d.me, ""); !errors.Is(err, signin.ErrUserChanged) {
			t.Errorf("methods under another name: %v", err)
		}
		if err := d.ConfirmName(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := d.ask(signin.Ask{})
		d.touch(k)
		if v := d.wants(r, signin.Approved); v.User != "alicia" {
			t.Errorf("approved for %q", v.User)
		}
		if log := d.log(); !slices.ContainsFunc(log, func(e audit.Entry) bool { return strings.Contains(e.Reason, "alice") }) {
			t.Errorf("the log does not have it: %+v", log)
		}
	}, k)
}

func TestPendingIsBounded(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		for range 3 {
			d.ask(signin.Ask{})
		}
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a fourth request: %v", err)
		}
	}, k)
}

func TestEndsWithoutApproval(t *testing.T) {
	cases := []struct {
		name string
		end  func(*desk, *signin.Request, context.CancelFunc) error
		want signin.Decision
		err  error
	}{
		{"denied", func(d *desk, r *signin.Request, _ context.CancelFunc) error { return d.Deny(d.me, r.ID()) }, signin.Denied, nil},
		{"reported", func(d *desk, r *signin.Request, _ context.CancelFunc) error { return d.Report(d.me, r.ID()) }, signin.Reported, nil},
		{"cancelled", func(d *desk, r *signin.Request, _ context.CancelFunc) error { return d.Cancel(d.me, r.ID()) }, signin.Cancelled, nil},
		{"the caller is gone", func(_ *desk, _ *signin.Request, gone context.CancelFunc) error { gone(); return nil }, signin.Cancelled, signin.ErrCallerGone},
		{"shut down", func(d *desk, _ *signin.Request, _ context.CancelFunc) error {
			d.Shutdown(context.Background())
			return nil
		}, signin.Cancelled, signin.ErrShuttingDown},
		{"expired", func(*desk, *signin.Request, context.CancelFunc) error { time.Sleep(time.Minute); return nil }, signin.Expired, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k := newFakeKey("aa")
			sit(t, func(t *testing.T, d *desk) {
				d.enrol(k, nil)
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				r, err := d.Begin(ctx, d.me, signin.Ask{})
				if err != nil {
					t.Fatal(err)
				}
				<-k.blinks
				if err := c.end(d, r, gone); err != nil {
					t.Fatal(err)
				}
				v := d.wants(r, c.want)
				if !errors.Is(v.Err, c.err) || (c.err == nil && v.Err != nil) {
					t.Errorf("error is %v, want %v", v.Err, c.err)
				}
				last := d.log()[len(d.log())-1]
				if last.Decision != string(c.want) || last.Request != r.ID() || last.Receipt != nil {
					t.Errorf("the log has %+v", last)
				}
				if err := d.Deny(d.me, r.ID()); !errors.Is(err, signin.ErrNotFound) {
					t.Errorf("denied after the end: %v", err)
				}
				select {
				case k.touches <- struct{}{}:
					t.Error("the key still waits for a touch")
				default:
				}
			}, k)
		})
	}
}

func TestTimeSleptThroughCounts(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{})
		<-k.blinks
		d.mu.Lock()
		d.sleep = time.Hour // the machine slept; timers did not
		d.mu.Unlock()
		k.touches <- struct{}{}
		d.wants(r, signin.Expired)
	}, k)
}

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

func TestClone(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		m := d.enrol(k, nil)
		k.counter = 0
		r := d.ask(signin.Ask{})
		d.touch(k)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, method.ErrClone) {
			t.Errorf("ended with %v", v.Err)
		}
		ms, err := d.Methods(t.Context(), d.me, "")
		if err != nil || !ms[0].Suspect || ms[0].Key.Counter != m.Key.Counter {
			t.Errorf("the method is %+v (%v)", ms, err)
		}
		if log := d.log(); !slices.ContainsFunc(log, func(e audit.Entry) bool { return e.Decision == "denied" && strings.Contains(e.Reason, "clone") }) {
			t.Errorf("the log does not have it: %+v", log)
		}
	}, k)
}

func TestStepUp(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k1, nil)
		d.plug(k2)
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, KeyID: k2.id, Method: signin.MethodAsk{Type: "key", Name: "Second"}})
		d.quiet(k2) // nothing is enrolled before the approval
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Denied)
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 1 {
			t.Fatalf("there are %d methods", len(ms))
		}
		<-k1.blinks
		m2 := d.enrol(k2, k1)
		if m2.Default {
			t.Error("the second method became the default")
		}
		if _, err := d.SetDefaultMethod(t.Context(), d.me, m2.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.RenameMethod(t.Context(), d.me, m2.ID, "key AA"); !errors.Is(err, method.ErrNameTaken) {
			t.Errorf("renamed to a taken name: %v", err)
		}
		r = d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: m2.ID}})
		d.touch(k1)
		d.wants(r, signin.Approved)
		ms, _ := d.Methods(t.Context(), d.me, "")
		if len(ms) != 1 || !ms[0].Default {
			t.Fatalf("methods are %+v", ms)
		}
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: ms[0].ID}}); !errors.Is(err, method.ErrLast) {
			t.Errorf("removing the last method: %v", err)
		}
		d.unplug(k2)
		r = d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: ms[0].ID, Force: true}})
		d.touch(k1)
		d.wants(r, signin.Approved)
	}, k1)
}

func TestMethodsChangedMeanwhile(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		// Begun while no method was registered, it would need no approval.
		sneaky := d.ask(signin.Ask{Kind: signin.KindAddMethod, Timeout: 10 * time.Minute, KeyID: k2.id, Method: signin.MethodAsk{Type: "key", Name: "Sneaky"}})
		<-k2.blinks
		d.enrol(k1, nil)
		k2.touches <- struct{}{}
		d.touch(k2)
		if v := d.wants(sneaky, signin.Cancelled); !errors.Is(v.Err, signin.ErrMethodsChanged) {
			t.Errorf("ended with %v", v.Err)
		}
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 1 {
			t.Errorf("methods are %+v", ms)
		}
	}, k1, k2)
}

func TestPINTriesSpentMeanwhile(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		k.retries = 4
		r = d.ask(signin.Ask{Require: policy.Verified})
		synctest.Wait()
		k.retries = 3 // somebody else tried
		d.typePIN(r, "9999")
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrFewRetries) || k.retries != 3 {
			t.Errorf("ended with %v, %d tries left", v.Err, k.retries)
		}
	}, k)
}

func TestCommandsKeepTheirSecrets(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Claimed: signin.Claimed{Command: caller.Clean("TOKEN=hunter2 curl -H x")}})
		d.touch(k)
		d.wants(r, signin.Approved)
		if e := d.log()[len(d.log())-1]; e.Executable != "curl" {
			t.Errorf("the executable is logged as %q", e.Executable)
		}
	}, k)
}

func TestAlreadyRegistered(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "Again"}})
		d.touch(k) // step-up
		d.touch(k)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyRegistered) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}

func TestFailedTestRegistersNothing(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		k.fail = func(op string) error {
			if op == fido.OpAssert {
				return opError(-4, "FIDO_ERR_RX_INVALID_CBOR")
			}
			return nil
		}
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.touch(k)
		d.wants(r, signin.Cancelled)
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 0 {
			t.Errorf("methods are %+v", ms)
		}
	}, k)
}

func TestBackup(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	ask := signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "key", Name: "Daily", Backup: true}}
	confirm := func(d *desk, r *signin.Request) {
		synctest.Wait()
		p := r.View().Prompts
		if len(p) != 1 || p[0].Type != signin.PromptConfirm {
			d.t.Fatalf("prompts are %+v", p)
		}
		if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p[0].ID}); err != nil {
			d.t.Fatal(err)
		}
		synctest.Wait()
	}
	t.Run("enrols a second key", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			r := d.ask(ask)
			d.touch(k1)
			d.touch(k1)
			confirm(d, r) // too early: no other key yet
			d.plug(k2)
			confirm(d, r)
			d.touch(k2)
			d.touch(k2)
			v := d.wants(r, signin.Approved)
			if len(v.Methods) != 2 || v.Methods[1].Name != "Daily backup" || v.Err != nil {
				t.Errorf("approved as %+v", v)
			}
		}, k1)
	})
	t.Run("keeps the first where the second fails", func(t *testing.T) {
		k1 := newFakeKey("aa")
		sit(t, func(t *testing.T, d *desk) {
			r := d.ask(ask)
			d.touch(k1)
			d.touch(k1)
			synctest.Wait()
			if err := d.Cancel(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			v := d.wants(r, signin.Approved)
			if len(v.Methods) != 1 || v.Err == nil {
				t.Errorf("approved as %+v", v)
			}
			if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 1 {
				t.Errorf("methods are %+v", ms)
			}
		}, k1)
	})
}

// typePIN answers the request's PIN prompt.
func (d *desk) typePIN(r *signin.Request, pin string) signin.Prompt {
	d.t.Helper()
	time.Sleep(1100 * time.Millisecond) // the key may have to stay dark before
	synctest.Wait()
	for _, p := range r.View().Prompts {
		if p.Type == signin.PromptPIN {
			if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p.ID, PIN: secret.New([]byte(pin))}); err != nil {
				d.t.Fatal(err)
			}
			return p
		}
	}
	d.t.Fatalf("no PIN is asked for: %+v", r.View())
	return signin.Prompt{}
}

func TestVerified(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)

		r = d.ask(signin.Ask{Require: policy.Verified})
		d.typePIN(r, "9999")
		if p := d.typePIN(r, "1234"); p.Retries == nil || *p.Retries != 7 || !strings.Contains(p.Text, "wrong") {
			t.Errorf("after a wrong PIN the prompt is %+v", p)
		}
		d.touch(k)
		if v := d.wants(r, signin.Approved); v.Strength != policy.Verified {
			t.Errorf("strength is %v", v.Strength)
		}

		bus := d.me
		bus.Door = caller.DoorBus
		r = d.ask(signin.Ask{Require: policy.Verified})
		synctest.Wait()
		if err := d.Answer(bus, r.ID(), signin.Answer{Prompt: r.View().Prompts[0].ID, PIN: secret.New([]byte("1234"))}); !errors.Is(err, signin.ErrPINPlace) {
			t.Errorf("a PIN over D-Bus: %v", err)
		}
		for range 5 {
			d.typePIN(r, "9999")
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrFewRetries) {
			t.Errorf("with few retries left: %v", v.Err)
		}
		if k.retries != 3 {
			t.Errorf("%d retries are left, want 3", k.retries)
		}
	}, k)
}

func TestVerifiedNeedsAPIN(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Require: policy.Verified})
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, fido.ErrPINNotSet) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}

func TestChosenKeyGetsThePIN(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k1, nil)
		d.plug(k2)
		d.enrol(k2, k1)
		k1.pin, k2.pin = "1111", "2222"
		r := d.ask(signin.Ask{Require: policy.Verified})
		<-k1.blinks
		d.touch(k2) // chooses it
		if p := d.typePIN(r, "2222"); p.KeyID != k2.id {
			t.Errorf("the PIN of %s is asked for", p.KeyID)
		}
		d.touch(k2)
		d.wants(r, signin.Approved)
		if k1.retries != 8 {
			t.Error("the PIN went to another key")
		}
	}, k1)
}

func TestSetPIN(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindSetPIN})
		if p := d.typePIN(r, "123"); !p.New || p.MinLength != 4 {
			t.Errorf("prompt is %+v", p)
		}
		d.typePIN(r, strings.Repeat("x", 64))
		d.typePIN(r, "123456")
		d.wants(r, signin.Approved)
		r = d.ask(signin.Ask{Kind: signin.KindSetPIN})
		d.typePIN(r, "000000")
		d.typePIN(r, "654321")
		if p := d.typePIN(r, "123456"); !strings.Contains(p.Text, "wrong") || *p.Retries != 7 {
			t.Errorf("prompt is %+v", p)
		}
		d.typePIN(r, "654321")
		d.wants(r, signin.Approved)
		if k.pin != "654321" {
			t.Errorf("the PIN is %q", k.pin)
		}
	}, k)
}

func TestReset(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		confirm := func(r *signin.Request, word string) signin.Prompt {
			synctest.Wait()
			p := r.View().Prompts[0]
			if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p.ID, Confirm: word}); err != nil {
				t.Fatal(err)
			}
			return p
		}
		r := d.ask(signin.Ask{Kind: signin.KindReset})
		if p := confirm(r, "yes"); p.Expect != "RESET" || !strings.Contains(p.Text, "Key aa") {
			t.Errorf("prompt is %+v", p)
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrNotConfirmed) {
			t.Errorf("ended with %v", v.Err)
		}
		d.quiet(k)
		r = d.ask(signin.Ask{Kind: signin.KindReset})
		confirm(r, "RESET")
		if p := confirm(r, ""); !strings.Contains(p.Text, "10 seconds") {
			t.Errorf("prompt is %+v", p)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		k.fail = func(op string) error {
			if op == fido.OpReset {
				return opError(0x30, "FIDO_ERR_NOT_ALLOWED")
			}
			return nil
		}
		r = d.ask(signin.Ask{Kind: signin.KindReset})
		confirm(r, "RESET")
		confirm(r, "")
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, fido.ErrNotAllowed) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}

func TestSubscribe(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		first := d.ask(signin.Ask{Service: "first"})
		synctest.Wait()
		s, err := d.Subscribe(d.me)
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
			if _, err := d.RenameMethod(t.Context(), d.me, s.Methods[0].ID, "Key aa"); err != nil {
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
		if _, err := d.Subscribe(stranger); !errors.Is(err, caller.ErrForbidden) {
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
