package signin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
)

// The callers of the system instance, besides the desk's own user, alice, who sits there.
var (
	sshd   = caller.Caller{UID: 0, PID: 22, Door: caller.DoorSocket}       // root, from elsewhere
	sudo   = caller.Caller{UID: 0, PID: 5, Door: caller.DoorSocket}        // root, in alice's session
	root   = caller.Caller{UID: 0, PID: 1, Door: caller.DoorSocket}        // root, at a console
	ssh    = caller.Caller{UID: uid, PID: 23, Door: caller.DoorSocket}     // alice, from elsewhere
	bob    = caller.Caller{UID: uid + 1, PID: 40, Door: caller.DoorSocket} // sits nowhere
	web    = caller.Caller{UID: 33, PID: 80, Door: caller.DoorSocket}      // a service
	nobody = caller.Caller{UID: 65534, PID: 99, Door: caller.DoorSocket}   // without an account
)

var accounts = map[uint32]string{0: "root", uid: "alice", uid + 1: "bob", 33: "www-data"}

// stand says where those callers sit.
func stand(_ context.Context, c caller.Caller, user uint32) caller.Standing {
	s := caller.Standing{Place: caller.PlaceRemote, SameUser: c.UID == user}
	switch {
	case c.PID == sudo.PID:
		s.SameUser = user == uid
		if user == uid {
			s.Place = caller.PlaceLocal
		}
	case c.PID == root.PID && user == 0, c.UID == user && c.PID != ssh.PID && user == uid:
		s.Place = caller.PlaceLocal
	}
	return s
}

// rule is the policy of most of these tests.
const rule = `
[service."pam:sshd"]
require = "key"
fallback = ["code", "recovery"]
remember = "90d"

[service."pam:web"]
require = "click"
place = ["remote"]

[service."pam:vpn"]
require = "match"
place = ["remote"]

[service."pam:sudo"]
require = "key"
place = ["local", "unknown"]

[service."pam:safe"]
require = "verified"
`

// host runs test at a system instance.
func host(t *testing.T, test func(*testing.T, *desk), keys ...*fakeKey) {
	t.Helper()
	sit(t, func(t *testing.T, d *desk) {
		d.config.System, d.config.Standing = true, stand
		d.config.Person = func(_ context.Context, id uint32) (signin.Person, error) {
			if name, ok := accounts[id]; ok {
				return signin.Person{UID: id, Name: name}, nil
			}
			return signin.Person{}, nss.ErrUnknown
		}
		d.obey(rule)
		d.rename("")
		test(t, d)
	}, keys...)
}

// obey puts a policy in force.
func (d *desk) obey(text string) {
	d.t.Helper()
	p, err := policy.Parse([]policy.File{{Name: "test.toml", Text: []byte(text)}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.config.Policy = p
	if d.Engine != nil {
		d.SetPolicy(p)
	}
}

// by begins a request as somebody, for alice.
func (d *desk) by(c caller.Caller, a signin.Ask) *signin.Request {
	d.t.Helper()
	r, err := d.tryBy(c, a)
	if err != nil {
		d.t.Fatalf("cannot begin %+v: %v", a, err)
	}
	return r
}

func (d *desk) tryBy(c caller.Caller, a signin.Ask) (*signin.Request, error) {
	if a.User == "" && c.UID != uid {
		a.User = "alice"
	}
	return d.Begin(d.t.Context(), c, a)
}

// register gives alice a key, as root does it.
func (d *desk) register(k *fakeKey) method.Method {
	d.t.Helper()
	r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
	d.touch(k)
	d.touch(k)
	return d.wants(r, signin.Approved).Methods[0]
}

// from is a sign-in by ssh from an address, with a key.
func from(address, key string) signin.Ask {
	return signin.Ask{Service: "pam:sshd", Claimed: signin.Claimed{Origin: caller.Clean(address), SSHKey: caller.Clean(key)}}
}

// numberPrompt waits until the number is asked for.
func (d *desk) numberPrompt(r *signin.Request) signin.Prompt {
	d.t.Helper()
	return d.promptOf(r, signin.PromptNumber)
}

func (d *desk) promptOf(r *signin.Request, want signin.PromptType) signin.Prompt {
	d.t.Helper()
	synctest.Wait()
	for _, p := range r.View().Prompts {
		if p.Type == want {
			return p
		}
	}
	d.t.Fatalf("no %s is asked for: %+v", want, r.View())
	return signin.Prompt{}
}

// number types a number at the desk.
func (d *desk) number(r *signin.Request, number string) error {
	d.t.Helper()
	p := d.numberPrompt(r)
	err := d.Answer(d.t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Number: number})
	synctest.Wait()
	return err
}

// otherThan is a number that is not the right one.
func otherThan(number string, n int) string {
	return fmt.Sprintf("%02d", (10*int(number[0]-'0')+int(number[1]-'0')+1+n)%100)
}

// anew starts the engine anew on the same database, as a restart does.
func (d *desk) anew() {
	d.t.Helper()
	d.rename(d.config.Owner.Name)
}

func (d *desk) last() (string, []string) {
	all := d.everything()
	return all[len(all)-1].Decision, all[len(all)-1].Tried
}

func (d *desk) everything() []audit.Entry {
	d.t.Helper()
	page, err := d.Log(d.t.Context(), root, signin.LogQuery{Everybody: true, Limit: 1000})
	if err != nil {
		d.t.Fatal(err)
	}
	return page.Entries
}

func TestTheSystemServesEverybodyTheirOwn(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		for _, c := range []caller.Caller{bob, web} {
			if ms, err := d.Methods(t.Context(), c, ""); err != nil || len(ms) != 0 {
				t.Errorf("uid %d sees %+v, %v", c.UID, ms, err)
			}
			if _, err := d.Methods(t.Context(), c, "alice"); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("uid %d asks for alice's methods: %v", c.UID, err)
			}
			if _, err := d.RenameMethod(t.Context(), c, "", m.ID, "mine"); !errors.Is(err, method.ErrNotFound) {
				t.Errorf("uid %d renames alice's method: %v", c.UID, err)
			}
			if _, err := d.tryBy(c, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: m.ID}}); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("uid %d removes alice's method: %v", c.UID, err)
			}
			if page, err := d.Log(t.Context(), c, signin.LogQuery{}); err != nil || len(page.Entries) != 0 {
				t.Errorf("uid %d reads %d entries, %v", c.UID, len(page.Entries), err)
			}
			for _, q := range []signin.LogQuery{{User: "alice"}, {Everybody: true}} {
				if _, err := d.Log(t.Context(), c, q); !errors.Is(err, caller.ErrForbidden) {
					t.Errorf("uid %d reads %+v: %v", c.UID, q, err)
				}
			}
			if _, err := d.Vault(t.Context(), c); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("uid %d sees the vault: %v", c.UID, err)
			}
		}
		if _, err := d.Methods(t.Context(), nobody, ""); !errors.Is(err, signin.ErrUnknownUser) {
			t.Errorf("a uid without an account: %v", err)
		}
		if ms, err := d.Methods(t.Context(), root, "alice"); err != nil || len(ms) != 1 {
			t.Errorf("root sees %+v, %v", ms, err)
		}
		if _, err := d.Methods(t.Context(), root, "carol"); !errors.Is(err, signin.ErrUnknownUser) {
			t.Errorf("a user who does not exist: %v", err)
		}
		for _, kind := range []signin.Kind{signin.KindSetPIN, signin.KindReset} {
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: kind, KeyID: k.id}); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("%s at the system instance: %v", kind, err)
			}
		}
	}, k)
}

func TestRequestsOfOthersDoNotExist(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		<-k.blinks
		sub, err := d.Subscribe(t.Context(), bob)
		if err != nil || len(sub.Requests) != 0 || len(d.List(bob)) != 0 {
			t.Errorf("bob sees %+v, %v", sub, err)
		}
		defer sub.Close()
		acts := map[string]func(caller.Caller) error{
			"get":      func(c caller.Caller) error { _, err := d.Get(c, r.ID()); return err },
			"answer":   func(c caller.Caller) error { return d.Answer(t.Context(), c, r.ID(), signin.Answer{Prompt: "p1"}) },
			"pick":     func(c caller.Caller) error { return d.Pick(c, r.ID()) },
			"deny":     func(c caller.Caller) error { return d.Deny(c, r.ID()) },
			"report":   func(c caller.Caller) error { return d.Report(c, r.ID()) },
			"cancel":   func(c caller.Caller) error { return d.Cancel(c, r.ID()) },
			"remember": func(c caller.Caller) error { return d.Remember(t.Context(), c, r.ID(), true) },
		}
		for name, act := range acts {
			if err := act(bob); !errors.Is(err, signin.ErrNotFound) {
				t.Errorf("%s by bob: %v", name, err)
			}
		}
		for _, name := range []string{"deny", "report", "remember"} { // root began it, and does not decide it
			if err := acts[name](root); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("%s by root: %v", name, err)
			}
		}
		k.touches <- struct{}{}
		d.wants(r, signin.Approved)
		select {
		case ev := <-sub.Events():
			t.Errorf("bob hears %+v", ev)
		default:
		}
	}, k)
}

func TestStrangersLearnNothing(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		if _, err := d.tryBy(web, signin.Ask{Service: "site"}); !errors.Is(err, signin.ErrCannotAsk) {
			t.Errorf("a user without a method: %v", err)
		}
		d.register(k)
		r := d.by(web, signin.Ask{Service: "site"})
		synctest.Wait()
		v := r.ForCaller(r.View())
		if len(v.Offers)+len(v.Prompts) > 0 || !strings.HasSuffix(v.Progress, "typed at the desk of alice") || v.Place != caller.PlaceRemote || v.CallerUID != 33 {
			t.Errorf("a stranger sees %+v", v)
		}
		if got, err := d.Get(web, r.ID()); err != nil || len(got.Offers)+len(got.Prompts) > 0 {
			t.Errorf("a stranger gets %+v, %v", got, err)
		}
		if len(d.List(web)) != 0 {
			t.Error("a stranger's list has another's request")
		}
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		v = r.ForCaller(d.wants(r, signin.Approved))
		if v.Strength != policy.Key || len(v.Methods) != 0 {
			t.Errorf("a stranger hears %+v", v)
		}
	}, k)
}

func TestTheFirstMethodNeedsSomebodyToVouch(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		ask := signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}}
		if _, err := d.Begin(t.Context(), d.me, ask); !errors.Is(err, signin.ErrNotFirst) || !strings.Contains(err.Error(), "“fob methods add key”") {
			t.Fatalf("a first method without a password: %v", err)
		}
		ask.Authorized = true
		r := d.by(d.me, ask)
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		k2 := newFakeKey("bb")
		d.plug(k2)
		r = d.by(d.me, signin.Ask{Kind: signin.KindAddMethod, Authorized: true, KeyID: k2.id, Method: signin.MethodAsk{Type: "key", Name: "Two"}})
		d.quiet(k2) // a password is no step-up
		d.touch(k)
		d.touch(k2)
		d.touch(k2)
		d.wants(r, signin.Approved)
	}, k)
}

func TestAChangedNameWaitsForAnAdministrator(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.config.Person = func(_ context.Context, id uint32) (signin.Person, error) {
			return signin.Person{UID: id, Name: "mallory"}, nil
		}
		d.config.Users = func(context.Context, []string) (map[string]signin.Person, error) {
			return map[string]signin.Person{"mallory": {UID: uid, Name: "mallory"}}, nil
		}
		d.anew()
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Service: "mailer"}); !errors.Is(err, signin.ErrUserChanged) {
			t.Fatalf("under another name: %v", err)
		}
		if err := d.ConfirmUser(t.Context(), d.me, "mallory"); !errors.Is(err, caller.ErrForbidden) {
			t.Errorf("the user confirms themselves: %v", err)
		}
		if err := d.ConfirmUser(t.Context(), root, "mallory"); err != nil {
			t.Fatal(err)
		}
		r := d.by(d.me, signin.Ask{Service: "mailer"})
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

func TestOneUsersFloodIsTheirs(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		refused, asked := 0, 0
		for n := range 10_000 {
			r, err := d.tryBy(web, signin.Ask{Service: fmt.Sprintf("s%d", n)})
			switch {
			case errors.Is(err, signin.ErrTooFast), errors.Is(err, signin.ErrTooMany), errors.Is(err, signin.ErrOneFromThere):
				refused++
			case err == nil:
				asked++
				defer func() { _ = d.Cancel(web, r.ID()) }()
			default:
				t.Fatal(err)
			}
		}
		if asked != 1 || refused != 9_999 {
			t.Errorf("%d of a stranger's requests reach the user, %d are refused", asked, refused)
		}
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"}) // alice's own goes on
		synctest.Wait()
		if err := d.Pick(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		if _, err := d.tryBy(web, signin.Ask{Service: "later"}); !errors.Is(err, signin.ErrTooFast) {
			t.Errorf("in the same second: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := d.tryBy(web, signin.Ask{Service: "later"}); !errors.Is(err, signin.ErrOneFromThere) {
			t.Errorf("a second later, with one pending: %v", err)
		}
	}, k)
}

func TestPlacesAreKept(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		var pending []*signin.Request
		for n := range 2 {
			pending = append(pending, d.by(sshd, from(fmt.Sprintf("192.0.2.%d", n), "")))
		}
		if _, err := d.tryBy(sshd, from("192.0.2.9", "")); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a third from elsewhere: %v", err)
		}
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		if _, err := d.tryBy(sudo, signin.Ask{Service: "pam:sudo"}); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a fourth: %v", err)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		for _, p := range pending {
			if err := d.Deny(d.me, p.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(p, signin.Denied)
		}
		apps := []*signin.Request{d.by(d.me, signin.Ask{Service: "one"}), d.by(d.me, signin.Ask{Service: "two"})}
		if _, err := d.tryBy(d.me, signin.Ask{Service: "three"}); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a third program: %v", err)
		}
		r = d.by(sudo, signin.Ask{Service: "pam:sudo"})
		for _, p := range append(apps, r) {
			if err := d.Cancel(d.me, p.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(p, signin.Cancelled)
		}
	}, k)
}

func TestRootGoesWithoutStepUp(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		r := d.by(root, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: m.ID, Force: true}})
		d.wants(r, signin.Approved)
		if ms, _ := d.Methods(t.Context(), root, "alice"); len(ms) != 0 {
			t.Errorf("left: %+v", ms)
		}
		select {
		case <-k.blinks:
			t.Error("a key blinks for root")
		default:
		}
	}, k)
}

func TestModelsOfKeys(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.obey(rule + "\n[keys]\nallow_aaguids = [\"00000000-0000-0000-0000-0000000000ff\"]\n")
		if _, err := d.tryBy(sudo, signin.Ask{Service: "pam:sudo"}); !errors.Is(err, signin.ErrKeyModel) {
			t.Errorf("a key that policy no longer allows: %v", err)
		}
		k2 := newFakeKey("bb")
		d.plug(k2)
		r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k2.id, Method: signin.MethodAsk{Type: "key", Name: "Two"}})
		d.touch(k2)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyModel) {
			t.Errorf("registering one: %v", v.Err)
		}
	}, k)
}
