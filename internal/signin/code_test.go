package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

func TestCodeSignsIn(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		for _, kind := range []oath.Kind{oath.HOTP, oath.TOTP} {
			var approve func(*signin.Request)
			if kind == oath.TOTP {
				approve = nil
			}
			f := d.buy("fob-"+string(kind), kind)
			if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) > 0 {
				other := d.fobs[0]
				approve = func(r *signin.Request) { d.types(r, other.press()) }
			}
			d.activate(f, approve)
			d.fobs = append(d.fobs, f)

			r := d.ask(signin.Ask{Service: "mailer"})
			code := f.next()
			d.types(r, code)
			v := d.wants(r, signin.Approved)
			if v.Strength != policy.Code || !v.SelfAsserted {
				t.Errorf("%s: approved with %s", kind, v.Strength)
			}
			e := d.log()[v.LogSeq-1]
			if e.Request != v.ID || e.Decision != "approved" || e.Strength != "code" || e.MethodName != f.serial || e.Receipt != nil {
				t.Errorf("%s: the log says %+v", kind, e)
			}
			if _, err := d.verify(code); !errors.Is(err, oath.ErrUsed) {
				t.Errorf("%s: the same code again: %v", kind, err)
			}
		}
		for _, e := range d.log() {
			for _, f := range d.fobs {
				for n := range uint64(10) {
					if f.kind == oath.HOTP && strings.Contains(e.Reason, f.code(n)) {
						t.Errorf("a code stands in the log: %q", e.Reason)
					}
				}
			}
		}
	})
}

func TestCodeRacesTheKey(t *testing.T) {
	race := func(t *testing.T, test func(*testing.T, *desk, *fob, *fakeKey)) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			d.enrol(k, nil)
			f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
			test(t, d, f, k)
		}, k)
	}
	t.Run("the code wins, and the key is let go", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			r := d.ask(signin.Ask{})
			<-k.blinks
			if v := r.View(); !strings.Contains(v.Progress, "Touch the key") || !strings.Contains(v.Progress, "or type a code") || len(v.Offers) != 2 {
				t.Errorf("it says %q, with %+v", v.Progress, v.Offers)
			}
			d.types(r, f.press())
			d.wants(r, signin.Approved)
			select {
			case k.touches <- struct{}{}:
				t.Error("the key still waits for a touch")
			default:
			}
		})
	})
	t.Run("the tap wins, and the code is not asked for any more", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			r := d.ask(signin.Ask{})
			p := d.codePrompt(r)
			d.touch(k)
			if v := d.wants(r, signin.Approved); v.Strength != policy.Key {
				t.Errorf("strength %s", v.Strength)
			}
			if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); !errors.Is(err, signin.ErrNotFound) {
				t.Errorf("a late code: %v", err)
			}
			if _, err := d.verify(f.press()); err != nil {
				t.Errorf("the late code was spent: %v", err)
			}
		})
	})
	t.Run("a wrong code stands in nobody's way", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			r := d.ask(signin.Ask{})
			<-k.blinks
			d.types(r, "000000")
			if p := d.codePrompt(r); !strings.HasPrefix(p.Text, "That code is wrong. ") {
				t.Errorf("it asks %q", p.Text)
			}
			k.touches <- struct{}{}
			d.wants(r, signin.Approved)
		})
	})
	t.Run("a key that is away stands in nobody's way", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			d.unplug(k)
			r := d.ask(signin.Ask{})
			d.types(r, f.press())
			d.wants(r, signin.Approved)
		})
	})
	t.Run("a code proves no more than a code", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			r := d.ask(signin.Ask{Require: policy.Key})
			<-k.blinks
			if v := r.View(); len(v.Offers) != 1 || len(v.Prompts) != 1 {
				t.Errorf("offered are %+v, asked is %+v", v.Offers, v.Prompts)
			}
			k.touches <- struct{}{}
			d.wants(r, signin.Approved)
			_, err := d.VerifyCode(t.Context(), d.me, signin.Ask{Require: policy.Key, Code: typed(f.press())})
			if !errors.Is(err, signin.ErrWeaker) {
				t.Errorf("a code where a key is asked for: %v", err)
			}
			d.unplug(k)
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Require: policy.Key}); !errors.Is(err, signin.ErrNoKey) {
				t.Errorf("without the key: %v", err)
			}
		})
	})
	t.Run("a denial while a code is typed ends it", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			r := d.ask(signin.Ask{})
			p := d.codePrompt(r)
			if err := d.Deny(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(r, signin.Denied)
			if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); err == nil {
				t.Error("a code for a request that was denied is taken")
			}
		})
	})
}

func TestTypedAsPeopleType(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		code := f.press()
		if _, err := d.verify(code[:3] + " " + code[3:] + "\n"); err != nil {
			t.Errorf("with a space: %v", err)
		}
		wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, f.press())
		if _, err := d.verify(wide); err != nil {
			t.Errorf("in full width: %v", err)
		}
		before := len(d.log())
		for _, bad := range []string{"12345a", "abcdef", "12345", "123456789", " "} {
			if _, err := d.verify(bad); !errors.Is(err, oath.ErrMalformed) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		r := d.ask(signin.Ask{})
		p := d.codePrompt(r)
		if err := d.Answer(d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed("letters")}); !errors.Is(err, oath.ErrMalformed) {
			t.Errorf("letters at the prompt: %v", err)
		}
		if d.codePrompt(r).ID != p.ID {
			t.Error("what is no code closed the prompt")
		}
		if len(d.log()) != before {
			t.Error("what is no code was counted")
		}
		d.types(r, f.press())
		d.wants(r, signin.Approved)
	})
}

func TestOneCodeForSixtyFour(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		code := f.press()
		var right, used atomic.Int32
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				switch _, err := d.verify(code); {
				case err == nil:
					right.Add(1)
				case errors.Is(err, oath.ErrUsed):
					used.Add(1)
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if right.Load() != 1 || used.Load() != 63 {
			t.Errorf("%d were approved, %d told that it is used", right.Load(), used.Load())
		}
		approved := 0
		for _, e := range d.log() {
			if e.Kind == "sign-in" && e.Decision == "approved" {
				approved++
			}
		}
		if approved != 1 {
			t.Errorf("the log has %d approvals", approved)
		}
	})
}

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
		over := caller.Caller{UID: uid, Door: caller.DoorBus, Place: caller.PlaceLocal}
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

func TestClockSetBack(t *testing.T) {
	for name, back := range map[string]time.Duration{"an hour": time.Hour, "a year": 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("k1")
			sit(t, func(t *testing.T, d *desk) {
				d.jump = 30 * 365 * 24 * time.Hour
				d.enrol(k, nil)
				f := d.carry("fob", oath.TOTP, func(*signin.Request) { d.touch(k) })
				h := d.carry("presses", oath.HOTP, func(*signin.Request) { d.touch(k) })
				old := f.next()
				if _, err := d.verify(old); err != nil {
					t.Fatal(err)
				}
				at := d.jump
				for range 4 { // the seen codes of that hour
					time.Sleep(back / 4)
				}
				if _, err := d.verify(f.show()); err != nil {
					t.Fatal(err)
				}
				d.mu.Lock()
				d.jump = at - back
				d.mu.Unlock()
				if _, err := d.verify(old); !errors.Is(err, clock.ErrBack) && !errors.Is(err, oath.ErrWrong) {
					t.Errorf("a code of then: %v", err)
				}
				if _, err := d.verify(f.show()); err == nil {
					t.Error("the fob's code is accepted by a clock that went back")
				}
				if _, err := d.verify(h.press()); err != nil {
					t.Errorf("a fob that counts presses: %v", err)
				}
				r := d.ask(signin.Ask{})
				d.touch(k)
				d.wants(r, signin.Approved)
				if s, _ := d.Status(t.Context(), d.me); len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "clock went back") {
					t.Errorf("the status says %q", s.Problems)
				}
				if err := d.ForgetClock(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := d.verify(old); err == nil {
					t.Error("an old code is accepted once the clock is believed again")
				}
			}, k)
		})
	}
}

func TestSealedVault(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
		if err := d.LockVault(d.me); err != nil {
			t.Fatal(err)
		}
		if _, err := d.verify(f.press()); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("a code: %v", err)
		}
		r := d.ask(signin.Ask{})
		<-k.blinks
		if len(r.View().Prompts) != 1 {
			t.Errorf("asked is %+v", r.View().Prompts)
		}
		k.touches <- struct{}{}
		d.wants(r, signin.Approved)
		d.unplug(k)
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{}); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("with the fob alone: %v", err)
		}
		if err := d.UnlockVault(t.Context(), d.me, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := d.verify(f.press()); err != nil {
			t.Errorf("after it was opened: %v", err)
		}
	}, k)
}

func TestNothingOfAWrongCodeIsKeptWhereTheStoreFails(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		code := f.press()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.VerifyCode(ctx, d.me, signin.Ask{Code: typed(code)}); err == nil {
			t.Fatal("a caller that is gone is told that it was approved")
		}
		if _, err := d.verify(code); err != nil {
			t.Errorf("its code was spent: %v", err)
		}
	})
}

func TestWhoseTokenItIs(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		other := d.carry("other", oath.HOTP, func(r *signin.Request) { d.types(r, f.press()) })

		{ // a disabled one proves nothing
			r := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "FOB", Action: signin.TokenDisable}})
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
				t.Errorf("got %v", err)
			}
			r = d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenEnable}})
			d.types(r, f.press())
			if p := d.codePrompt(r); !strings.Contains(p.Text, "wrong") {
				t.Errorf("the disabled one approves that it is enabled: %q", p.Text)
			}
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); err != nil {
				t.Errorf("enabled again: %v", err)
			}
		}
		{ // one that was removed proves nothing, and its codes stay spent
			spent := f.press()
			if _, err := d.verify(spent); err != nil {
				t.Fatal(err)
			}
			r := d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
				t.Errorf("got %v", err)
			}
			r = d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			d.types(r, other.press())
			d.types(r, spent)
			d.types(r, f.press())
			d.codePrompt(r) // not these two
			d.types(r, f.press())
			d.types(r, f.press())
			d.wants(r, signin.Approved)
		}
		{ // the last one goes only by force
			r := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "other", Action: signin.TokenUnassign}})
			d.types(r, f.press())
			d.wants(r, signin.Approved)
			if tok, err := d.Token(t.Context(), d.me, "other"); err != nil || tok.Owner != nil || tok.Method != "" {
				t.Errorf("%+v, %v", tok, err)
			}
			ask := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenUnassign}}
			if _, err := d.Begin(t.Context(), d.me, ask); err == nil {
				t.Error("the last method goes")
			}
			ask.Token.Force = true
			r = d.ask(ask)
			d.types(r, f.press())
			d.wants(r, signin.Approved)
			if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 0 {
				t.Errorf("methods left: %+v", ms)
			}
		}
		{ // another user's does not exist
			if _, err := d.AssignToken(t.Context(), d.me, "other", "bob"); err != nil {
				t.Fatal(err)
			}
			_, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "other"}})
			if !errors.Is(err, token.ErrNotFound) {
				t.Errorf("got %v", err)
			}
			if _, err := d.AssignToken(t.Context(), d.me, "other", ""); !errors.Is(err, token.ErrAssigned) {
				t.Errorf("taken from another: %v", err)
			}
			if _, err := d.AssignToken(t.Context(), d.me, "fob", "mallory"); !errors.Is(err, signin.ErrUnknownUser) {
				t.Errorf("given to nobody: %v", err)
			}
		}
	})
}

func TestActivation(t *testing.T) {
	t.Run("a fob whose clock is off is asked for two in a row, and followed", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			d.jump = 30 * 365 * 24 * time.Hour
			f := d.buy("fob", oath.TOTP)
			f.ahead = 20 * time.Minute
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "token", Serial: "fob", Name: "Belt"}})
			d.types(r, f.show())
			if p := d.codePrompt(r); !strings.Contains(p.Text, "Type the next code") {
				t.Errorf("it asks %q", p.Text)
			}
			d.types(r, f.next())
			if v := d.wants(r, signin.Approved); v.Methods[0].Name != "Belt" || !v.Methods[0].Default {
				t.Errorf("registered is %+v", v.Methods[0])
			}
			if _, err := d.verify(f.next()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a slip costs nothing: the right code after it counts alone", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			f := d.buy("fob", oath.TOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			d.types(r, "123456")
			d.types(r, f.show())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.show()); !errors.Is(err, oath.ErrUsed) {
				t.Errorf("the same code once more: %v", err)
			}
		})
	})
	t.Run("wrong codes are counted", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			d.buy("fob", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			for range 20 {
				if !r.View().Pending() {
					break
				}
				d.types(r, "000000")
			}
			if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, lockout.ErrLocked) {
				t.Errorf("it ended with %v", v.Err)
			}
		})
	})
	t.Run("a second method needs the first", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			d.enrol(k, nil)
			d.buy("fob", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			<-k.blinks
			synctest.Wait()
			for _, p := range r.View().Prompts {
				if p.Type == signin.PromptCode {
					t.Errorf("a code is asked for before the tap: %+v", p)
				}
			}
			d.Cancel(d.me, r.ID())
			d.wants(r, signin.Cancelled)
		}, k)
	})
	t.Run("a weaker method cannot add a stronger one's equal", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			d.enrol(k, nil)
			f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
			d.buy("second", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "second"}})
			<-k.blinks
			if v := r.View(); v.Require != policy.Key || len(v.Offers) != 1 {
				t.Errorf("a code may approve it: %+v", v)
			}
			d.Cancel(d.me, r.ID())
			d.end(r)
			d.unplug(k)
			_ = f
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "second"}}); err == nil {
				t.Error("without the key it begins")
			}
		}, k)
	})
}

func TestResync(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		for range 50 { // pressed in a pocket
			f.press()
		}
		if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
			t.Fatalf("got %v", err)
		}
		r := d.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
		d.types(r, f.press())
		d.types(r, f.press())
		d.wants(r, signin.Approved)
		if _, err := d.verify(f.press()); err != nil {
			t.Error(err)
		}
	})
	t.Run("needs the key where there is one", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			key := d.enrol(k, nil)
			f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: key.ID}}); !errors.Is(err, signin.ErrBadRequest) {
				t.Errorf("of a key: %v", err)
			}
			r := d.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
			d.touch(k)
			d.types(r, f.press())
			d.types(r, f.press())
			d.wants(r, signin.Approved)
		}, k)
	})
}

func TestImport(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		row := func(line int, serial, user string, change func(*signin.ImportRow)) signin.ImportRow {
			r := signin.ImportRow{
				Line: line, User: user, Seed: typed(strings.Repeat("s", 20)),
				Token: token.Token{Serial: serial, Params: oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30}},
			}
			if change != nil {
				change(&r)
			}
			return r
		}
		bad := func() []signin.ImportRow {
			return []signin.ImportRow{
				row(2, "A1", "alice", nil),
				row(3, "a1", "", nil),
				row(4, "A2", "alice@example.com", nil),
				row(5, "A3", "mallory", func(r *signin.ImportRow) { r.Exact = true }),
				row(6, "A4", "", func(r *signin.ImportRow) { r.Seed = typed("short") }),
				row(7, "A5", "", func(r *signin.ImportRow) { r.Seed = typed(strings.Repeat("s", 10_000)) }),
				row(8, "A6", "", func(r *signin.ImportRow) { r.Token.Digits = 99 }),
				row(9, "A7", "", func(r *signin.ImportRow) { r.Token.Period = 0 }),
				row(10, "A8", "bob", nil),
				row(11, "", "", nil),
				row(12, "A9", "", func(r *signin.ImportRow) { r.Counter = 5 }),
			}
		}
		count := func() int {
			t.Helper()
			s, err := d.Status(t.Context(), d.me)
			if err != nil {
				t.Fatal(err)
			}
			return s.Tokens
		}
		report, err := d.tryImport(signin.ImportOptions{}, bad()...)
		if !errors.Is(err, signin.ErrImport) || report.ProblemsTotal != 8 || report.Imported != 0 || count() != 0 {
			t.Errorf("all or nothing: %v, %+v, %d there", err, report, count())
		}
		var lines []int
		for _, p := range report.Problems {
			lines = append(lines, p.Line)
			if strings.Contains(p.Text, "ssss") || p.Text == "" {
				t.Errorf("line %d: %q", p.Line, p.Text)
			}
		}
		if len(lines) != 8 || lines[0] != 3 || lines[7] != 12 {
			t.Errorf("problems in lines %v", lines)
		}
		if report, err := d.tryImport(signin.ImportOptions{Partial: true, DryRun: true}, bad()...); err != nil || report.Imported != 3 || count() != 0 {
			t.Errorf("a dry run: %v, %+v, %d there", err, report, count())
		}
		report, err = d.tryImport(signin.ImportOptions{Partial: true}, bad()...)
		if err != nil || report.Imported != 3 || report.Assigned != 2 || report.UnassignedTotal != 1 || count() != 3 {
			t.Errorf("what can be: %v, %+v, %d there", err, report, count())
		}
		if report.Unassigned[0].Line != 4 || !strings.Contains(report.Unassigned[0].Text, "alice@example.com") {
			t.Errorf("unassigned: %+v", report.Unassigned)
		}
		report, err = d.tryImport(signin.ImportOptions{}, row(2, "a1", "", nil), row(3, "B1", "", nil))
		if !errors.Is(err, signin.ErrImport) || report.ProblemsTotal != 1 || count() != 3 {
			t.Errorf("one that is there: %v, %+v, %d there", err, report, count())
		}
		if tok, _ := d.Token(t.Context(), d.me, "A8"); tok.Owner == nil || tok.Owner.User != "bob" {
			t.Errorf("bob's: %+v", tok)
		}
		entries := d.log()
		if e := entries[len(entries)-1]; e.Kind != "import-tokens" || !strings.Contains(e.Reason, "imported 3 tokens") {
			t.Errorf("the log says %+v", e)
		}
	})
}

func TestExport(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		f := d.buy("fob", oath.HOTP)
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindExportTokens}); !errors.Is(err, signin.ErrNoMethod) {
			t.Errorf("without any method: %v", err)
		}
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Kind: signin.KindExportTokens})
		<-k.blinks
		if r.Yield().Tokens != nil {
			t.Error("seeds before the approval")
		}
		k.touches <- struct{}{}
		v := d.wants(r, signin.Approved)
		n := 0
		for e, err := range r.Yield().Tokens {
			if n++; err != nil || e.Serial != "fob" || string(e.Seed.Reveal()) != string(f.seed) {
				t.Errorf("exported: %+v, %v", e.Token, err)
			}
		}
		if e := d.log()[v.LogSeq-1]; n != 1 || e.Kind != "export-tokens" || e.Receipt == nil {
			t.Errorf("%d tokens, the log says %+v", n, e)
		}
		r = d.ask(signin.Ask{Kind: signin.KindExportTokens})
		<-k.blinks
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if r.Yield().Tokens != nil {
			t.Error("seeds after a denial")
		}
	}, k)
}

func TestBackupRestored(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.jump = 30 * 365 * 24 * time.Hour
		d.enrol(k, nil)
		f := d.carry("time", oath.TOTP, func(*signin.Request) { d.touch(k) })
		h := d.carry("presses", oath.HOTP, func(*signin.Request) { d.touch(k) })
		spare := d.buy("spare", oath.HOTP)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup
		if b == nil {
			t.Fatal("no backup")
		}
		later := []string{f.next(), h.press(), f.next(), h.press()} // accepted after the backup was made
		for _, code := range later {
			if _, err := d.verify(code); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Restore(t.Context(), d.me, copyOf(b)); !errors.Is(err, signin.ErrNotEmpty) {
			t.Errorf("over something: %v", err)
		}

		other := d.another(t)
		restored, err := other.Restore(t.Context(), other.me, copyOf(b))
		if err != nil || restored.Methods != 3 || restored.Tokens != 3 {
			t.Fatalf("restored: %+v, %v", restored, err)
		}
		for _, code := range append(later, f.show(), h.press()) {
			if _, err := other.verify(code); err == nil {
				t.Error("a code that was accepted, or could have been, is accepted again")
			}
		}
		remove := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: spare.serial, Action: signin.TokenRemove}}
		if _, err := other.Begin(t.Context(), other.me, remove); !errors.Is(err, token.ErrUsed) {
			t.Errorf("a token is removed of which nobody knows whether it was used: %v", err)
		}
		f.d, h.d = other, other
		time.Sleep(30 * time.Second)
		if _, err := other.verify(f.next()); err != nil {
			t.Errorf("the fob's next code: %v", err)
		}
		r = other.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: other.methodOf("presses").ID}})
		other.touch(k)
		other.types(r, h.press())
		other.types(r, h.press())
		other.wants(r, signin.Approved)
		if _, err := other.verify(h.press()); err != nil {
			t.Errorf("presses, in step again: %v", err)
		}
		if err := other.config.Store.View(func(tx *store.Tx) error { return audit.Verify(tx, 0) }); err != nil {
			t.Errorf("the log's chain: %v", err)
		}
		other.rename("alice")
		if _, err := other.verify(h.press()); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	}, k)
}

// TestImportAcrossRestore: seeds that were sealed before a backup was restored cannot be opened after it.
func TestImportAcrossRestore(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		other := d.another(t)
		imp, err := other.BeginImport(other.me, signin.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f := &fob{d: other, serial: "fob", kind: oath.HOTP, seed: []byte(strings.Repeat("s", 20))}
		if err := imp.Add(f.row()); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Restore(t.Context(), other.me, r.Yield().Backup); err != nil {
			t.Fatal(err)
		}
		if _, err := imp.Commit(t.Context()); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
	}, k)
}

func TestDamagedBackup(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup
		other := d.another(t)
		for name, change := range map[string]func(*signin.Backup){
			"a key that opens nothing":     func(b *signin.Backup) { b.DataKey = typed(strings.Repeat("x", 32)) },
			"no key":                       func(b *signin.Backup) { b.DataKey = typed("") },
			"a value that is none":         func(b *signin.Backup) { b.Records[0].Value = []byte("{") },
			"a bucket without a name":      func(b *signin.Backup) { b.Records[0].Bucket = "" },
			"the database's own bucket":    func(b *signin.Backup) { b.Records[0].Bucket = "\x00meta" },
			"a newer schema":               func(b *signin.Backup) { b.Schema = 99 },
			"no instance":                  func(b *signin.Backup) { b.Instance = "x" },
			"a token without its seed":     func(b *signin.Backup) { b.Records = without(b.Records, "token-seeds") },
			"a method that cannot be read": func(b *signin.Backup) { spoil(b.Records, "methods") },
		} {
			bad := copyOf(b)
			change(bad)
			if _, err := other.Restore(t.Context(), other.me, bad); err == nil {
				t.Errorf("%s is restored", name)
			}
		}
		if s, err := other.Status(t.Context(), other.me); err != nil || s.Tokens+s.Methods != 0 || s.LogSeq != 0 || s.Vault.State != vault.StateOpen {
			t.Errorf("something was left: %+v, %v", s, err)
		}
		if _, err := other.Restore(t.Context(), other.me, copyOf(b)); err != nil {
			t.Errorf("the whole one: %v", err)
		}
	}, k)
}

// copyOf copies a backup, which Restore takes and wipes.
func copyOf(b *signin.Backup) *signin.Backup {
	c := *b
	c.DataKey = typed(string(b.DataKey.Reveal()))
	c.Records = slices.Clone(b.Records)
	return &c
}

func without(records []store.Record, bucket string) []store.Record {
	return slices.DeleteFunc(records, func(r store.Record) bool { return r.Bucket == bucket })
}

func spoil(records []store.Record, bucket string) {
	for i := range records {
		if records[i].Bucket == bucket {
			records[i].Value = []byte(`{"v":1,"d":7}`)
		}
	}
}

func TestVaultSlots(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		slots := func() []vault.Slot {
			t.Helper()
			s, err := d.Vault(t.Context(), d.me)
			if err != nil {
				t.Fatal(err)
			}
			return s.Slots
		}
		first := slots()[0]
		ask := func(a signin.VaultAsk) signin.Ask { return signin.Ask{Kind: signin.KindChangeVault, Vault: a} }

		// Before there is a method nobody can approve it; nobody else's is there to be read either.
		r := d.ask(ask(signin.VaultAsk{Action: signin.SlotAdd, Type: "recovery", Name: "Safe"}))
		v := d.wants(r, signin.Approved)
		key := r.Yield().RecoveryKey
		if key.Len() == 0 || len(slots()) != 2 {
			t.Fatalf("no recovery key, or no slot: %+v", slots())
		}
		if e := d.log()[v.LogSeq-1]; e.Kind != "change-vault" || strings.Contains(e.Reason, string(key.Reveal())) {
			t.Errorf("the log says %+v", e)
		}

		d.enrol(k, nil)
		sub, err := d.Subscribe(d.me)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotRemove, ID: first.ID}))
		d.touch(k)
		d.wants(r, signin.Approved)
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotRemove, ID: slots()[0].ID}))
		synctest.Wait()
		if v := d.end(r); v.Decision != signin.Cancelled || !errors.Is(v.Err, vault.ErrLastSlot) {
			t.Errorf("the last slot: %+v, %v", v.Decision, v.Err)
		}

		if err := d.LockVault(d.me); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "hunter2hunter2", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"} {
			if err := d.UnlockVault(t.Context(), d.me, typed(wrong)); err == nil {
				t.Errorf("%q opens it", wrong)
			}
		}
		if _, err := d.Begin(t.Context(), d.me, ask(signin.VaultAsk{Action: signin.SlotAdd, Type: "recovery"})); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("a slot for a sealed vault: %v", err)
		}
		if err := d.UnlockVault(t.Context(), d.me, typed(string(key.Reveal()))); err != nil {
			t.Fatal(err)
		}

		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotChange, ID: slots()[0].ID}))
		<-k.blinks
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if r.Yield().RecoveryKey != nil {
			t.Error("a recovery key that was denied")
		}
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotChange, ID: slots()[0].ID}))
		d.touch(k)
		d.wants(r, signin.Approved)
		d.LockVault(d.me)
		if err := d.UnlockVault(t.Context(), d.me, typed(string(key.Reveal()))); err == nil {
			t.Error("the recovery key of before opens it")
		}
		if err := d.UnlockVault(t.Context(), d.me, typed(string(r.Yield().RecoveryKey.Reveal()))); err != nil {
			t.Errorf("the new recovery key: %v", err)
		}
		for _, bad := range []signin.VaultAsk{{Action: "steal"}, {}, {Action: signin.SlotAdd, Type: "pigeon"}, {Action: signin.SlotRemove, ID: "none"}} {
			r, err := d.Begin(t.Context(), d.me, ask(bad))
			if err == nil {
				if v := d.end(r); v.Decision == signin.Approved {
					t.Errorf("%+v is approved", bad)
				}
			}
		}
	}, k)
}
