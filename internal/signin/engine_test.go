package signin_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// desk is an engine with fake keys, in a bubble of fake time.
type desk struct {
	*signin.Engine
	t       *testing.T
	dir     string
	me      caller.Caller
	config  signin.Config
	fakes   *fakeKeys
	mu      sync.Mutex
	plugged []*fakeKey
	sleep   time.Duration // by which the boot clock is ahead of the bubble's
	jump    time.Duration // by which the wall clock is
	fobs    []*fob
}

const uid = 1000

// sit runs test in a bubble with keys plugged in.
func sit(t *testing.T, test func(*testing.T, *desk), keys ...*fakeKey) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, dir, &fakeKeys{keys: map[string]*fakeKey{}})
		defer d.leave()
		for _, k := range keys {
			d.plug(k)
		}
		test(t, d)
	})
}

// newDesk makes a desk whose database is new.
func newDesk(t *testing.T, dir string, fakes *fakeKeys) *desk {
	t.Helper()
	d := &desk{t: t, dir: dir, me: caller.Caller{UID: uid, Door: caller.DoorSocket}, fakes: fakes}
	s, err := store.Open(filepath.Join(dir, rand.Text()+".db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	d.config = signin.Config{
		Store: s, Owner: signin.Person{UID: uid, Name: "alice"},
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
		Users: func(_ context.Context, names []string) (map[string]signin.Person, error) {
			known := map[string]signin.Person{"alice": {UID: uid, Name: "alice"}, "bob": {UID: uid + 1, Name: "bob"}}
			maps.DeleteFunc(known, func(name string, _ signin.Person) bool { return !slices.Contains(names, name) })
			return known, nil
		},
		Clock: clock.Clock{
			Now: func() time.Time {
				d.mu.Lock()
				defer d.mu.Unlock()
				return time.Now().Add(d.jump)
			},
			Boot: func() time.Duration {
				d.mu.Lock()
				defer d.mu.Unlock()
				return time.Since(start) + d.sleep
			},
			BootID: "this boot",
		},
	}
	if d.config.Vault, err = vault.New(vault.Options{Store: s, Keepers: []vault.Keeper{new(memory)}, Boot: d.config.Clock.Boot}); err != nil {
		t.Fatal(err)
	}
	if err := d.config.Vault.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.rename("alice")
	return d
}

func (d *desk) leave() {
	d.Shutdown(context.Background())
	if err := d.config.Store.Close(); err != nil {
		d.t.Error(err)
	}
}

// another is a new desk in the same bubble, with the same keys.
func (d *desk) another(t *testing.T) *desk {
	t.Helper()
	other := newDesk(t, d.dir, d.fakes)
	other.plugged, other.jump = d.plugged, d.jump
	t.Cleanup(other.leave)
	return other
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
	page, err := d.Log(d.t.Context(), d.me, signin.LogQuery{})
	if err != nil {
		d.t.Fatal(err)
	}
	return page.Entries
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
		if data.Service != v.Service || data.Command != "" || data.Executable != "send" || data.CommandHash != last.CommandHash || data.Host != "desk[31m" || data.Request != r.ID() || data.Place != "local" {
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
			{"an unknown kind", d.me, signin.Ask{Kind: "hug"}, signin.ErrBadRequest},
			{"less strength than policy wants", d.me, signin.Ask{Require: policy.Click}, signin.ErrWeaker},
			{"a time-out too short", d.me, signin.Ask{Timeout: time.Millisecond}, signin.ErrBadRequest},
			{"a time-out too long", d.me, signin.Ask{Timeout: time.Hour}, signin.ErrBadRequest},
			{"a negative time-out", d.me, signin.Ask{Timeout: -time.Second}, signin.ErrBadRequest},
			{"a path for a key", d.me, signin.Ask{KeyID: k.key().Path}, signin.ErrKeyNotFound},
			{"a test of no method", d.me, signin.Ask{Kind: signin.KindTest, Method: signin.MethodAsk{ID: "nope"}}, method.ErrNotFound},
			{"a removal of no method", d.me, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: "nope"}}, method.ErrNotFound},
			{"a method of unknown type", d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "pigeon"}}, signin.ErrBadRequest},
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
