package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/throttle"
)

// Each of these is a sentence of the design that an attacker would like to be untrue.

// dark checks that nobody waits for a touch of the key.
func (d *desk) dark(k *fakeKey) {
	d.t.Helper()
	synctest.Wait()
	for len(k.blinks) > 0 {
		<-k.blinks
	}
	select {
	case k.touches <- struct{}{}:
		d.t.Errorf("the key %s takes a touch", k.id)
	default:
	}
}

func TestLateAnswersAreNothing(t *testing.T) {
	for name, end := range map[string]func(*desk, *signin.Request, context.CancelFunc){
		"denied":             func(d *desk, r *signin.Request, _ context.CancelFunc) { _ = d.Deny(d.me, r.ID()) },
		"reported":           func(d *desk, r *signin.Request, _ context.CancelFunc) { _ = d.Report(d.me, r.ID()) },
		"cancelled":          func(d *desk, r *signin.Request, _ context.CancelFunc) { _ = d.Cancel(sshd, r.ID()) },
		"the caller is gone": func(_ *desk, _ *signin.Request, gone context.CancelFunc) { gone() },
		"expired":            func(*desk, *signin.Request, context.CancelFunc) { time.Sleep(time.Minute) },
		"a restart":          func(d *desk, _ *signin.Request, _ context.CancelFunc) { d.anew() },
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.register(k)
				f := d.supply("77")
				codes := d.writesDown(k)
				d.obey("[service.\"pam:sshd\"]\nrequire = \"key\"\nplace = [\"remote\"]\nfallback = [\"click\", \"match\", \"code\", \"recovery\"]\n")
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				a := from("192.0.2.7", "")
				a.User = "alice"
				r, err := d.Begin(ctx, sshd, a)
				if err != nil {
					t.Fatal(err)
				}
				number, code := r.Number(), f.press()
				answers := []signin.Answer{
					{Prompt: d.promptOf(r, signin.PromptNumber).ID, Number: number},
					{Prompt: d.promptOf(r, signin.PromptApprove).ID, Approve: true},
					{Prompt: d.promptOf(r, signin.PromptCode).ID, Code: typed(code)},
					{Prompt: d.promptOf(r, signin.PromptCode).ID, Code: typed(codes[0])},
				}
				end(d, r, gone)
				before := d.end(r).Decision
				synctest.Wait()
				for _, a := range answers {
					if err := d.Answer(t.Context(), d.me, r.ID(), a); !errors.Is(err, signin.ErrNotFound) {
						t.Errorf("an answer %+v: %v", a, err)
					}
				}
				for name, act := range map[string]func() error{
					"pick": func() error { return d.Pick(d.me, r.ID()) }, "deny": func() error { return d.Deny(d.me, r.ID()) },
					"report": func() error { return d.Report(d.me, r.ID()) }, "cancel": func() error { return d.Cancel(sshd, r.ID()) },
					"remember": func() error { return d.Remember(t.Context(), d.me, r.ID(), true) },
				} {
					if err := act(); !errors.Is(err, signin.ErrNotFound) {
						t.Errorf("%s: %v", name, err)
					}
				}
				d.dark(k)
				if v := r.View(); v.Decision != before || before == signin.Approved {
					t.Errorf("it was %s and is %s", before, v.Decision)
				}
				time.Sleep(25 * time.Hour)
				for _, unspent := range []string{code, codes[0]} {
					if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Claimed: a.Claimed, Code: typed(unspent)}); err != nil {
						t.Errorf("what was typed too late is spent: %v", err)
					}
				}
			}, k)
		})
	}
}

// Prompts are numbered in each request anew: what answers the one must do nothing to the other.
func TestAnAnswerIsForItsRequestAlone(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		one, two := d.by(sshd, from("192.0.2.1", "")), d.by(sshd, from("192.0.2.2", ""))
		for one.Number() == two.Number() {
			_ = d.Cancel(sshd, two.ID())
			d.end(two)
			time.Sleep(time.Hour)
			two = d.by(sshd, from("192.0.2.2", ""))
		}
		if err := d.number(two, one.Number()); err != nil {
			t.Fatal(err)
		}
		d.quiet(k)
		if one.Number() == "" || two.Number() == "" {
			t.Error("the number of another request was taken")
		}
		if err := d.number(one, one.Number()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(one, signin.Approved)
		if !two.View().Pending() {
			t.Errorf("the tap for one ended the other: %+v", two.View())
		}
		d.quiet(k)
	}, k)
}

// A tap, a denial, a report and a cancel at once: one of them decides, and all hear the same.
func TestATapAndItsDenialRace(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		ends := map[signin.Decision]int{}
		for range 40 {
			r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
			states, _ := r.Watch()
			<-k.blinks
			var all sync.WaitGroup
			stopped := make(chan error, 3)
			all.Go(func() {
				select {
				case k.touches <- struct{}{}:
				case <-r.Done():
				}
			})
			all.Go(func() { stopped <- d.Deny(d.me, r.ID()) })
			all.Go(func() { stopped <- d.Report(d.me, r.ID()) })
			all.Go(func() { stopped <- d.Cancel(sudo, r.ID()) })
			all.Wait()
			v := d.end(r)
			won := 0
			for range 3 {
				if <-stopped == nil {
					won++
				}
			}
			if won > 1 || (won == 1) == (v.Decision == signin.Approved) {
				t.Errorf("%d calls hear that they ended it, and it is %s", won, v.Decision)
			}
			heard := v
			for s := range states {
				heard = s
			}
			var written []string
			for _, e := range d.everything() {
				if e.Request == r.ID() {
					written = append(written, e.Decision)
				}
			}
			if heard.Decision != v.Decision || !slices.Equal(written, []string{string(v.Decision)}) {
				t.Errorf("it is %s, was heard of as %s, and the log has %q", v.Decision, heard.Decision, written)
			}
			ends[v.Decision]++
			d.wants(d.by(root, signin.Ask{User: "alice", Kind: signin.KindUnblock}), signin.Approved) // no wait
			time.Sleep(2 * time.Second)
		}
		t.Log(ends)
	}, k)
}

// A weaker policy that comes meanwhile makes nothing easier for what is pending.
func TestPolicyOfTheBeginningHolds(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		d.obey("[service.\"pam:sshd\"]\nrequire = \"key\"\n")
		r := d.by(sshd, from("192.0.2.7", fingerprint))
		d.obey("[service.\"pam:sshd\"]\nrequire = \"click\"\nplace = [\"remote\"]\nremember = \"90d\"\n")
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.View().Prompts {
			if p.Type == signin.PromptCode || p.Type == signin.PromptApprove {
				t.Errorf("it asks for a %s", p.Type)
			}
			if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); err == nil {
				t.Error("a code is taken")
			}
		}
		if err := d.Remember(t.Context(), d.me, r.ID(), true); !errors.Is(err, signin.ErrNotRemembered) {
			t.Errorf("to be remembered: %v", err)
		}
		if !r.View().Pending() {
			t.Fatalf("ended as %+v", r.View())
		}
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

// Wrong codes from elsewhere lock nobody out of their desk, nor the other way round.
func TestLockoutCountsApart(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		d.obey("[service.\"pam:sudo\"]\nrequire = \"code\"\n[service.\"pam:sshd\"]\nrequire = \"code\"\n")
		hand := func(c caller.Caller, service, code string) error {
			_, err := d.VerifyCode(t.Context(), c, signin.Ask{User: "alice", Service: service, Code: typed(code)})
			return err
		}
		for range 10 {
			_ = hand(sshd, "pam:sshd", "000000")
		}
		if err := hand(sshd, "pam:sshd", f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("from elsewhere: %v", err)
		}
		for _, c := range []struct {
			caller.Caller
			service string
		}{{sudo, "pam:sudo"}, {d.me, "mailer"}} {
			if err := hand(c.Caller, c.service, f.press()); err != nil {
				t.Errorf("%s at the desk: %v", c.service, err)
			}
		}
		if err := hand(sshd, "pam:sshd", f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("a right code at the desk lifts it for elsewhere: %v", err)
		}
		for range 10 {
			_ = hand(sudo, "pam:sudo", "000000")
		}
		time.Sleep(14 * time.Minute)
		if err := hand(sudo, "pam:sudo", f.press()); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("at the desk: %v", err)
		}
	}, k)
}

// Neither setting the clock nor sleeping ends a wait, a block or a lock early, or makes it longer.
func TestClocksMoveNoWait(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forwards": 30 * 24 * time.Hour, "backwards": -30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.mu.Lock()
				d.jump = 365 * 24 * time.Hour
				d.mu.Unlock()
				d.register(k)
				f := d.supply("77")
				r := d.by(sshd, from("192.0.2.1", ""))
				_ = d.Deny(d.me, r.ID())
				d.wants(r, signin.Denied)
				r = d.by(sshd, from("192.0.2.2", ""))
				_ = d.Report(d.me, r.ID())
				d.wants(r, signin.Reported)
				for range 10 {
					_, _ = d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed("000000"), Claimed: from("192.0.2.3", "").Claimed})
				}
				begin := func(address string) error {
					r, err := d.tryBy(sshd, from(address, ""))
					if err == nil {
						_ = d.Cancel(sshd, r.ID())
						d.end(r)
					}
					return err
				}
				hand := func() error {
					_, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(f.press()), Claimed: from("192.0.2.3", "").Claimed})
					return err
				}
				d.mu.Lock()
				d.jump += jump
				d.mu.Unlock()
				for _, restart := range []bool{false, true} {
					if restart {
						d.anew()
					}
					if err := begin("192.0.2.1"); !errors.Is(err, throttle.ErrWaiting) {
						t.Errorf("the wait: %v", err)
					}
					if err := begin("192.0.2.2"); !errors.Is(err, throttle.ErrBlocked) {
						t.Errorf("the block: %v", err)
					}
					if err := hand(); !errors.Is(err, lockout.ErrLocked) {
						t.Errorf("the lock: %v", err)
					}
				}
				d.mu.Lock()
				d.sleep += 16 * time.Minute // slept through
				d.mu.Unlock()
				if err := begin("192.0.2.1"); err != nil {
					t.Errorf("after the wait: %v", err)
				}
				if err := hand(); err != nil {
					t.Errorf("after the lock: %v", err)
				}
				d.mu.Lock()
				d.sleep += 24 * time.Hour
				d.mu.Unlock()
				if err := begin("192.0.2.2"); err != nil {
					t.Errorf("after the block: %v", err)
				}
			}, k)
		})
	}
}

// A machine that was asleep approves nothing for what was asked before, whichever way it comes.
func TestNothingIsApprovedAfterASleep(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		claimed := from("192.0.2.7", "").Claimed
		for name, by := range map[string]struct {
			c  caller.Caller
			a  signin.Ask
			do func(*signin.Request)
		}{
			"a code":   {d.me, signin.Ask{Service: "mailer"}, func(r *signin.Request) { d.types(r, f.press()) }},
			"a number": {sshd, signin.Ask{Service: "pam:vpn", Claimed: claimed}, func(r *signin.Request) { _ = d.number(r, r.Number()) }},
			"a yes": {sshd, signin.Ask{Service: "pam:web", Claimed: claimed}, func(r *signin.Request) {
				_ = d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptApprove).ID, Approve: true})
			}},
		} {
			r := d.by(by.c, by.a)
			synctest.Wait()
			d.mu.Lock()
			d.sleep += time.Hour
			d.mu.Unlock()
			by.do(r)
			if v := d.end(r); v.Decision != signin.Expired {
				t.Errorf("%s: %s", name, v.Decision)
			}
			time.Sleep(2 * time.Hour)
		}
	}, k)
}

// Where nobody can tell whether the requester sits at the desk, the key blinks beside words that say so; and
// one whose uid is another's is named by it.
func TestWhatIsNotKnownIsSaid(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		standing := d.config.Standing
		d.config.Standing = func(ctx context.Context, c caller.Caller, user uint32) caller.Standing {
			if c.PID == 50 {
				return caller.Standing{Place: caller.PlaceUnknown, SameUser: true}
			}
			return standing(ctx, c, user)
		}
		d.anew()
		d.register(k)
		r := d.by(caller.Caller{UID: uid, PID: 50, Door: caller.DoorSocket}, signin.Ask{Service: "mailer"})
		<-k.blinks
		if v := r.View(); !strings.Contains(v.Progress, "it is not known whether this comes from your desk") || v.Place != caller.PlaceUnknown {
			t.Errorf("it says %q", v.Progress)
		}
		k.touches <- struct{}{}
		d.wants(r, signin.Approved)
		r = d.by(web, signin.Ask{Service: "site"})
		if p := d.numberPrompt(r); !strings.Contains(p.Text, "begun by uid 33") || !strings.Contains(p.Text, "from elsewhere") {
			t.Errorf("it asks %q", p.Text)
		}
	}, k)
}

// Of two who hand in the one code that is right at once, for different services, one gets in.
func TestOneCodeOneDoor(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		r := d.by(d.me, signin.Ask{Service: "mailer"})
		p := d.promptOf(r, signin.PromptCode)
		code := f.press()
		var all sync.WaitGroup
		var err error
		all.Go(func() {
			_, err = d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(code)})
		})
		all.Go(func() { _ = d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(code)}) })
		all.Wait()
		synctest.Wait()
		in := r.View().Decision == signin.Approved
		if in == (err == nil) || err != nil && !errors.Is(err, oath.ErrUsed) {
			t.Errorf("the prompt approved: %v; handed in: %v", in, err)
		}
	}, k)
}

// More than policy asks for is what must be proved, whatever policy falls back to.
func TestMoreThanPolicyLeavesNoFallback(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.supply("77")
		codes := d.writesDown(k)
		d.obey("[service.\"pam:sshd\"]\nrequire = \"code\"\nfallback = [\"recovery\"]\n")
		a := from("192.0.2.7", "")
		a.Require = policy.Key
		r := d.by(sshd, a)
		synctest.Wait()
		for _, p := range r.View().Prompts {
			if p.Type == signin.PromptCode {
				t.Errorf("it asks for a code: %q", p.Text)
			}
		}
		a.User, a.Code = "alice", typed(codes[0])
		if _, err := d.VerifyCode(t.Context(), sshd, a); !errors.Is(err, signin.ErrWeaker) {
			t.Errorf("a recovery code: %v", err)
		}
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

// What was remembered is weighed by policy at each use: its strength, and its age.
func TestAGrantIsWeighedAtEachUse(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		a := from("192.0.2.7", fingerprint)
		if d.remembersCode(f, a); d.isAsked(sshd, a) {
			t.Fatal("it is not remembered")
		}
		d.obey("[service.\"pam:sshd\"]\nrequire = \"key\"\nremember = \"90d\"\n")
		if !d.isAsked(sshd, a) {
			t.Error("a code lets in where a key is needed now")
		}
		d.obey("[service.\"pam:sshd\"]\nrequire = \"code\"\nremember = \"1h\"\n")
		if !d.isAsked(sshd, a) { // more than an hour has passed
			t.Error("it is remembered for longer than policy says now")
		}
		d.obey(rule)
		if d.isAsked(sshd, a) {
			t.Error("policy is what it was, and it is forgotten")
		}
	}, k)
}
