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

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
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
			if e.Request != v.ID || e.Decision != "approved" || e.Strength != "code" || e.MethodName != f.serial || e.Receipt != nil || len(e.Tried) > 0 {
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
			synctest.Wait() // the offer of the code may come after that of the key
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
	t.Run("the default is offered first, in the list and in words", func(t *testing.T) {
		race(t, func(t *testing.T, d *desk, f *fob, k *fakeKey) {
			d.carry("second", oath.HOTP, func(*signin.Request) { d.touch(k) })
			for _, tt := range []struct {
				method, progress string
				offers           []signin.OfferType
				prompts          []signin.PromptType
			}{
				{"Key k1", "Touch the key “Key k1” to approve: sign-in for alice by app:1000:fob, or type a code", []signin.OfferType{signin.OfferByKey, signin.OfferByCode}, []signin.PromptType{signin.PromptTouch, signin.PromptCode}},
				{"fob", "Type the code that “fob” or “second” shows to approve: sign-in for alice by app:1000:fob, or touch the key “Key k1”", []signin.OfferType{signin.OfferByCode, signin.OfferByKey}, []signin.PromptType{signin.PromptCode, signin.PromptTouch}},
				{"second", "Type the code that “second” or “fob” shows to approve: sign-in for alice by app:1000:fob, or touch the key “Key k1”", []signin.OfferType{signin.OfferByCode, signin.OfferByKey}, []signin.PromptType{signin.PromptCode, signin.PromptTouch}},
			} {
				ms, err := d.Methods(t.Context(), d.me, "")
				at := slices.IndexFunc(ms, func(m method.Method) bool { return m.Name == tt.method })
				if err != nil || at < 0 {
					t.Fatal(ms, err)
				}
				if _, err := d.SetDefaultMethod(t.Context(), d.me, "", ms[at].ID); err != nil {
					t.Fatal(err)
				}
				r := d.ask(signin.Ask{})
				<-k.blinks
				synctest.Wait()
				v := r.View()
				var offers []signin.OfferType
				for _, o := range v.Offers {
					offers = append(offers, o.Type)
				}
				var prompts []signin.PromptType
				for _, p := range v.Prompts {
					prompts = append(prompts, p.Type)
				}
				if v.Progress != tt.progress || !slices.Equal(offers, tt.offers) || !slices.Equal(prompts, tt.prompts) {
					t.Errorf("%s is the default, and it says %q, offers %v and asks %v", tt.method, v.Progress, offers, prompts)
				}
				_ = d.Cancel(d.me, r.ID())
				d.wants(r, signin.Cancelled)
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
			if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); !errors.Is(err, signin.ErrNotFound) {
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
			if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.press())}); err == nil {
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
		if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Code: typed("letters")}); !errors.Is(err, oath.ErrMalformed) {
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
