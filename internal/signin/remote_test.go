package signin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/throttle"
)

func TestNumberMatching(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sshd, from("192.0.2.7", ""))
		d.quiet(k) // nothing blinks for who may be elsewhere
		number := r.Number()
		if len(number) != 2 || strings.Trim(number, "0123456789") != "" {
			t.Fatalf("the number is %q", number)
		}
		if v := r.ForCaller(r.View()); slices.ContainsFunc(v.Prompts, func(p signin.Prompt) bool { return p.Type == signin.PromptNumber }) {
			t.Error("who shows the number is asked for it")
		}
		for n := range 2 {
			if err := d.number(r, otherThan(number, n)); err != nil {
				t.Fatal(err)
			}
			d.quiet(k)
		}
		if err := d.number(r, number); err != nil {
			t.Fatal(err)
		}
		if r.Number() != "" {
			t.Error("the number is told after it was typed")
		}
		d.touch(k)
		v := d.wants(r, signin.Approved)
		if v.Strength != policy.Key || v.Place != caller.PlaceRemote {
			t.Errorf("approved as %+v", v)
		}
		if _, tried := d.last(); !slices.Equal(tried, []string{"number: wrong", "number: wrong", "number: right"}) {
			t.Errorf("the record says that this was tried: %q", tried)
		}
	}, k)
}

func TestThreeWrongNumbersDeny(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sshd, from("192.0.2.7", ""))
		for n := range 3 {
			if err := d.number(r, otherThan(r.Number(), n)); err != nil {
				t.Fatal(err)
			}
		}
		d.wants(r, signin.Denied)
		d.quiet(k)
		if _, err := d.tryBy(sshd, from("192.0.2.7", "")); !errors.Is(err, throttle.ErrWaiting) {
			t.Errorf("right after: %v", err)
		}
	}, k)
}

func TestTheNumberIsTypedAtTheDeskAlone(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sshd, from("192.0.2.7", ""))
		a := signin.Answer{Prompt: d.numberPrompt(r).ID, Number: r.Number()}
		for name, c := range map[string]caller.Caller{"who began it": sshd, "the user from elsewhere": ssh} {
			if err := d.Answer(t.Context(), c, r.ID(), a); !errors.Is(err, signin.ErrNumberPlace) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := d.Answer(t.Context(), bob, r.ID(), a); !errors.Is(err, signin.ErrNotFound) {
			t.Errorf("another user: %v", err)
		}
		d.quiet(k)
	}, k)
}

// The number stands in the reply to the call that began the request and nowhere else.
func TestTheNumberIsNowhereElse(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		sub, err := d.Subscribe(t.Context(), d.me)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		for range 20 {
			r := d.by(sshd, from("192.0.2.7", ""))
			number := r.Number()
			p := d.numberPrompt(r)
			texts := []string{p.Text, r.View().Progress}
			for _, o := range r.View().Offers {
				texts = append(texts, o.Note, o.KeyName, o.MethodName)
			}
			for len(sub.Events()) > 0 {
				if ev := <-sub.Events(); ev.Request != nil {
					texts = append(texts, ev.Request.Progress)
					for _, p := range ev.Request.Prompts {
						texts = append(texts, p.Text)
					}
				}
			}
			if err := d.number(r, number); err != nil {
				t.Fatal(err)
			}
			d.touch(k)
			d.wants(r, signin.Approved)
			for _, e := range d.everything() {
				if e.Request != r.ID() {
					continue
				}
				e.Receipt.Signature, e.Receipt.AuthData = nil, nil
				texts = append(texts, e.Reason, strings.Join(e.Tried, " "), e.Origin)
			}
			for _, text := range texts {
				if strings.Contains(strings.ReplaceAll(text, "192.0.2.7", ""), number) {
					t.Errorf("the number %s stands in %q", number, text)
				}
			}
			if b, _ := json.Marshal(r.View()); strings.Contains(string(b), `"`+number+`"`) {
				t.Errorf("the number %s stands in %s", number, b)
			}
			time.Sleep(2 * time.Second)
		}
	}, k)
}

func TestAskerIsNotApprover(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.obey(rule + "[default]\nrequire = \"code\"\n")
		for name, begin := range map[string]struct {
			c caller.Caller
			a signin.Ask
		}{
			"sudo in the user's session":          {sudo, signin.Ask{Service: "pam:vpn"}},
			"a program of the user, from ssh":     {ssh, signin.Ask{Service: "mailer", Require: policy.Match}},
			"a program of the user, at the desk":  {d.me, signin.Ask{Service: "mailer", Require: policy.Click}},
			"click asked of a stronger rule":      {sshd, signin.Ask{Service: "pam:sshd", Require: policy.Click}},
			"click where policy says match":       {sshd, signin.Ask{Service: "pam:vpn", Require: policy.Click}},
			"click of the desk's own root begins": {sudo, signin.Ask{Service: "pam:web"}},
		} {
			_, err := d.tryBy(begin.c, begin.a)
			if !errors.Is(err, signin.ErrAsker) && !errors.Is(err, signin.ErrWeaker) && !errors.Is(err, signin.ErrPlace) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, here := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "", "localhost", "192.0.2.7:22"} { // or nobody can tell
			if _, err := d.tryBy(sshd, signin.Ask{Service: "pam:vpn", Claimed: signin.Claimed{Origin: caller.Clean(here)}}); !errors.Is(err, signin.ErrAsker) {
				t.Errorf("by ssh from %q: %v", here, err)
			}
		}
	}, k)
}

func TestMatchAndClickFromElsewhere(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		elsewhere := from("192.0.2.7", "").Claimed
		r := d.by(sshd, signin.Ask{Service: "pam:vpn", Claimed: elsewhere})
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		if v := d.wants(r, signin.Approved); v.Strength != policy.Match {
			t.Errorf("approved as %v", v.Strength)
		}
		r = d.by(sshd, signin.Ask{Service: "pam:web", Claimed: elsewhere})
		p := d.promptOf(r, signin.PromptApprove)
		for _, c := range []caller.Caller{sshd, ssh} {
			if err := d.Answer(t.Context(), c, r.ID(), signin.Answer{Prompt: p.ID, Approve: true}); !errors.Is(err, signin.ErrNumberPlace) {
				t.Errorf("a yes by %+v: %v", c, err)
			}
		}
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Confirm: "yes"}); err == nil {
			t.Error("something else than a yes was taken for one")
		}
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Approve: true}); err != nil {
			t.Fatal(err)
		}
		if v := d.wants(r, signin.Approved); v.Strength != policy.Click {
			t.Errorf("approved as %v", v.Strength)
		}
		r = d.by(sshd, signin.Ask{Service: "pam:vpn", Claimed: elsewhere, Require: policy.Key}) // more was asked for
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		if !r.View().Pending() {
			t.Fatal("a number was taken for a tap")
		}
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

func TestPlacesThatPolicyForbids(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		if _, err := d.tryBy(sshd, signin.Ask{Service: "pam:sudo"}); !errors.Is(err, signin.ErrPlace) {
			t.Errorf("sudo from elsewhere: %v", err)
		}
		if _, err := d.tryBy(sudo, signin.Ask{Service: "pam:web"}); !errors.Is(err, signin.ErrPlace) {
			t.Errorf("the web from the desk: %v", err)
		}
	}, k)
}

func TestACodeFromElsewhereNeedsNoNumber(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		r := d.by(sshd, from("192.0.2.7", ""))
		p := d.promptOf(r, signin.PromptCode)
		if err := d.Answer(t.Context(), sshd, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); err != nil {
			t.Fatal(err)
		}
		if v := d.wants(r, signin.Approved); v.Strength != policy.Code {
			t.Errorf("approved as %v", v.Strength)
		}
		// The fallback is policy's for who leaves the strength to it.
		if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Require: policy.Verified, Code: typed(f.press())}); !errors.Is(err, signin.ErrWeaker) || !strings.HasPrefix(err.Error(), "verified was asked for") {
			t.Errorf("a code for more than a code: %v", err)
		}
		if _, err := d.VerifyCode(t.Context(), sudo, signin.Ask{User: "alice", Service: "pam:sudo", Code: typed(f.press())}); !errors.Is(err, signin.ErrWeaker) || !strings.HasPrefix(err.Error(), "policy needs key") {
			t.Errorf("a code where policy has no fallback: %v", err)
		}
		if v, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(f.press())}); err != nil || v.Strength != policy.Code {
			t.Errorf("a fallback: %+v, %v", v, err)
		}
	}, k)
}

// supply gives alice a fob that is a method, as root does it.
func (d *desk) supply(serial string) *fob {
	d.t.Helper()
	f := &fob{d: d, serial: serial, kind: oath.HOTP, seed: []byte("12345678901234567890")}
	imp, err := d.BeginImport(root, signin.ImportOptions{})
	if err == nil {
		row := f.row()
		row.User = "alice"
		err = imp.Add(row)
	}
	if err == nil {
		_, err = imp.Commit(d.t.Context())
	}
	if err != nil {
		d.t.Fatal(err)
	}
	r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: serial}})
	d.types(r, f.press())
	d.types(r, f.press())
	d.wants(r, signin.Approved)
	return f
}

func TestOneHearsOfAFloodOnce(t *testing.T) {
	for name, leave := range map[string]func(*desk, *signin.Request){
		"denied":   func(d *desk, r *signin.Request) { _ = d.Deny(d.me, r.ID()) },
		"given up": func(d *desk, r *signin.Request) { _ = d.Cancel(sshd, r.ID()) },
		"left":     func(*desk, *signin.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.register(k)
				heard := map[string]bool{}
				sub, err := d.Subscribe(t.Context(), d.me)
				if err != nil {
					t.Fatal(err)
				}
				defer sub.Close()
				for range 40 {
					if r, err := d.tryBy(sshd, from("192.0.2.7", "")); err == nil {
						synctest.Wait()
						leave(d, r)
					} else if !errors.Is(err, throttle.ErrWaiting) && !errors.Is(err, signin.ErrOneFromThere) {
						t.Fatal(err)
					}
					synctest.Wait()
					time.Sleep(1500 * time.Millisecond)
				}
				for len(sub.Events()) > 0 {
					if ev := <-sub.Events(); ev.Request != nil && ev.Request.Pending() {
						heard[ev.Request.ID] = true
					}
				}
				if len(heard) != 1 {
					t.Errorf("forty in a minute reach the user %d times", len(heard))
				}
				if _, err := d.tryBy(sshd, from("192.0.2.8", "")); err != nil {
					t.Errorf("from elsewhere: %v", err)
				}
			}, k)
		})
	}
}

func TestDenialsDouble(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for n, wait := range []time.Duration{30, 60, 120, 240, 480, 600, 600} {
			r := d.by(sshd, from("2001:db8::1", ""))
			if err := d.Deny(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(r, signin.Denied)
			time.Sleep(wait*time.Second - time.Second)
			d.anew() // a restart forgets nothing
			if _, err := d.tryBy(sshd, from("2001:db8::ffff", "")); !errors.Is(err, throttle.ErrWaiting) {
				t.Fatalf("denial %d: a second before %v, from the same /64: %v", n+1, wait*time.Second, err)
			}
			time.Sleep(wait*time.Second + time.Second) // asking in the wait began it anew
		}
		r := d.by(sshd, from("2001:db8::1", ""))
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		r = d.by(sshd, from("2001:db8::1", ""))
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Denied)
		time.Sleep(31 * time.Second)
		d.by(sshd, from("2001:db8::1", "")) // an approval has forgotten the denials
	}, k)
}

func TestReport(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sshd, from("192.0.2.7", ""))
		if err := d.Report(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Reported)
		if decision, _ := d.last(); decision != "reported" {
			t.Errorf("the log says %q", decision)
		}
		for _, service := range []string{"pam:sshd", "pam:vpn"} {
			a := from("192.0.2.7", "")
			a.Service = service
			if _, err := d.tryBy(sshd, a); !errors.Is(err, throttle.ErrBlocked) {
				t.Errorf("%s from there: %v", service, err)
			}
		}
		if r, err := d.tryBy(sshd, from("192.0.2.8", "")); err != nil {
			t.Errorf("from elsewhere: %v", err)
		} else {
			_ = d.Cancel(sshd, r.ID())
			d.end(r)
		}
		time.Sleep(23 * time.Hour)
		if _, err := d.tryBy(sshd, from("192.0.2.7", "")); !errors.Is(err, throttle.ErrBlocked) {
			t.Errorf("23 hours later: %v", err)
		}
		r = d.by(d.me, signin.Ask{Kind: signin.KindUnblock, Block: "192.0.2.7"})
		d.touch(k)
		d.wants(r, signin.Approved)
		r = d.by(sshd, from("192.0.2.7", ""))
		_ = d.Cancel(sshd, r.ID())
	}, k)
}

func TestReportNeverBlocksTheDesk(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo", Claimed: signin.Claimed{Origin: caller.Clean("192.0.2.7")}})
		if err := d.Report(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Reported)
		time.Sleep(31 * time.Second)
		r = d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

// A program that is not root says of itself where it sits: what it says moves no wait and no block.
func TestClaimedOriginsDoNotCount(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		ask := func(n int) signin.Ask {
			return signin.Ask{Service: "site", Claimed: signin.Claimed{Origin: caller.Clean(fmt.Sprintf("192.0.2.%d", n))}}
		}
		r := d.by(web, ask(1))
		if v := r.View(); slices.Contains(v.Vouched, "origin") || !slices.Contains(v.Vouched, "user") {
			t.Errorf("vouched for: %q", v.Vouched)
		}
		if err := d.Report(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Reported)
		if _, err := d.tryBy(web, ask(2)); !errors.Is(err, throttle.ErrWaiting) {
			t.Errorf("with another claim: %v", err)
		}
		r = d.by(sshd, from("192.0.2.1", "")) // nobody can block an address for others by claiming it
		if v := r.View(); !slices.Contains(v.Vouched, "origin") || !slices.Contains(v.Vouched, "service") {
			t.Errorf("vouched for: %q", v.Vouched)
		}
	}, k)
}

func TestDecisionsRace(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for n := range 10 {
			r := d.by(sshd, from(fmt.Sprintf("192.0.2.%d", n), ""))
			p := d.numberPrompt(r)
			results := make(chan error, 40)
			for range 10 {
				go func() { results <- d.Deny(d.me, r.ID()) }()
				go func() { results <- d.Report(d.me, r.ID()) }()
				go func() { results <- d.Cancel(sshd, r.ID()) }()
				go func() {
					results <- d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Number: otherThan(r.Number(), 0)})
				}()
			}
			d.end(r)
			synctest.Wait()
			won := 0
			for range 40 {
				if err := <-results; err == nil {
					won++
				} else if !errors.Is(err, signin.ErrNotPending) && !errors.Is(err, signin.ErrNotFound) {
					t.Error(err)
				}
			}
			if won > 2 { // one decision, and one wrong number before it
				t.Errorf("%d calls were told that they had decided", won)
			}
			ends := 0
			for _, e := range d.everything() {
				if e.Request == r.ID() {
					ends++
				}
			}
			if ends != 1 {
				t.Errorf("the log has %d decisions of one request", ends)
			}
			if err := d.Deny(d.me, r.ID()); !errors.Is(err, signin.ErrNotFound) {
				t.Errorf("a late denial: %v", err)
			}
		}
	}, k)
}

func TestVerifiedFromElsewhereTakesNoPIN(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	host(t, func(t *testing.T, d *desk) {
		r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		a := from("192.0.2.7", "")
		a.Service = "pam:safe"
		r = d.by(sshd, a)
		if err := d.number(r, r.Number()); err != nil {
			t.Fatal(err)
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrPINPlace) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}
