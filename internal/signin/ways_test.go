package signin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/signin"
)

// writesDown gives alice recovery codes.
func (d *desk) writesDown(k *fakeKey) (codes []string) {
	d.t.Helper()
	r := d.by(d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "recovery"}})
	d.touch(k)
	v := d.wants(r, signin.Approved)
	if len(v.Methods) != 1 || v.Methods[0].Type != method.TypeRecovery {
		d.t.Fatalf("added %+v", v.Methods)
	}
	for _, c := range r.Yield().RecoveryCodes {
		codes = append(codes, string(c.Reveal()))
	}
	return codes
}

func TestRecoveryCodes(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindAddMethod, Authorized: true, Method: signin.MethodAsk{Type: "recovery"}}); !errors.Is(err, signin.ErrNoCodesAlone) {
			t.Errorf("recovery codes alone: %v", err)
		}
		d.register(k)
		old := d.writesDown(k)
		codes := d.writesDown(k)
		ms, err := d.Methods(t.Context(), d.me, "")
		ms = method.Of(ms, method.TypeRecovery)
		if err != nil || len(ms) != 1 {
			t.Fatalf("there are %v, %v", ms, err)
		}
		if _, err := d.SetDefaultMethod(t.Context(), d.me, "", ms[0].ID); !errors.Is(err, signin.ErrBadRequest) {
			t.Errorf("recovery codes as the default: %v", err)
		}
		if len(codes) != recovery.Count {
			t.Fatalf("there are %d codes", len(codes))
		}
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 2 {
			t.Errorf("methods: %+v", ms)
		}
		verify := func(service, code string) (signin.View, error) {
			time.Sleep(time.Second)
			return d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: service, Code: typed(code)})
		}
		v, err := verify("pam:sshd", strings.ToUpper(codes[0]))
		if err != nil || v.Strength != policy.None || v.Decision != signin.Approved {
			t.Errorf("a code: %+v, %v", v, err)
		}
		for name, c := range map[string]struct {
			service, code string
			want          error
		}{
			"used":                 {"pam:sshd", codes[0], oath.ErrUsed},
			"of an earlier set":    {"pam:sshd", old[0], oath.ErrWrong},
			"where policy forbids": {"pam:safe", codes[1], signin.ErrWeaker},
			"with a sign too many": {"pam:sshd", codes[1] + "1", recovery.ErrMalformed},
			"for a program":        {"site", codes[1], signin.ErrNoRecovery},
		} {
			if _, err := verify(c.service, c.code); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := verify("site", codes[1]); err == nil || !strings.Contains(err.Error(), "policy does not let them stand in for app:0:site (fallback = ") {
			t.Errorf("for a program it says %v", err)
		}
		d.obey("[service.\"pam:sshd\"]\nrequire = \"code\"\nfallback = [\"recovery\"]\n")
		_, err = d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Require: policy.Code, Code: typed(codes[1])})
		if !errors.Is(err, signin.ErrNoRecovery) || strings.Contains(err.Error(), "policy") {
			t.Errorf("where a strength is asked for: %v", err)
		}
		d.obey(rule)
		r := d.by(sshd, from("192.0.2.7", ""))
		p := d.promptOf(r, signin.PromptCode)
		if !strings.Contains(p.Text, "a recovery code") {
			t.Errorf("the prompt says %q", p.Text)
		}
		if err := d.Answer(t.Context(), sshd, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(codes[1])}); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Approved)
		s, err := d.Status(t.Context(), d.me)
		if err != nil || s.CodesLeft != recovery.Count-2 {
			t.Errorf("%d are left, %v", s.CodesLeft, err)
		}
		d.anew()
		if _, err := verify("pam:sshd", codes[1]); !errors.Is(err, oath.ErrUsed) {
			t.Errorf("after a restart: %v", err)
		}
	}, k)
}

func TestGuessedRecoveryCodesLockOut(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		codes := d.writesDown(k)
		for range lockout.Tries {
			_, _ = d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed("0000-0000-0000-0000")})
		}
		if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(codes[0])}); !errors.Is(err, lockout.ErrLocked) {
			t.Errorf("after ten wrong ones: %v", err)
		}
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k) // a tap always works
		d.wants(r, signin.Approved)
	}, k)
}

func TestAWayBackAfterALostKey(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		f := d.supply("77")
		codes := d.writesDown(k)
		v := d.remembers(k, from("192.0.2.7", fingerprint))
		_ = v
		d.unplug(k)
		lost := signin.Ask{Kind: signin.KindLost, Timeout: 5 * time.Minute, Method: signin.MethodAsk{ID: m.ID}}
		r := d.by(d.me, lost)
		p := d.promptOf(r, signin.PromptConfirm)
		for _, word := range []string{m.Name, "security key", "One sign-in", "hardware token", "recovery codes"} {
			if !strings.Contains(p.Text, word) {
				t.Errorf("what goes and what remains: %q does not say %q", p.Text, word)
			}
		}
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Confirm: "yes"}); err != nil {
			t.Fatal(err)
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrNotConfirmed) {
			t.Errorf("ended with %v", v.Err)
		}

		r = d.by(d.me, lost)
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptConfirm).ID, Confirm: "LOST"}); err != nil {
			t.Fatal(err)
		}
		// Whoever has stolen the weaker method cannot take the stronger one away with it.
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptCode).ID, Code: typed(f.press())}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !r.View().Pending() {
			t.Fatal("a token's code takes a key away")
		}
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptCode).ID, Code: typed(codes[0])}); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Approved)
		ms, _ := d.Methods(t.Context(), d.me, "")
		for _, left := range ms {
			if left.ID == m.ID {
				t.Error("the lost key is still there")
			}
		}
		if gs, _ := d.Grants(t.Context(), d.me, ""); len(gs) != 0 {
			t.Errorf("its grants are still there: %+v", gs)
		}
		k2 := newFakeKey("bb")
		d.plug(k2)
		r = d.by(d.me, signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "key"}})
		d.types(r, f.press())
		d.touch(k2)
		d.touch(k2)
		d.wants(r, signin.Approved)
	}, k)
}

// With nothing left but the codes, one more of them approves the new key.
func TestRecoveryCodesAloneLeadBack(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		codes := d.writesDown(k)
		d.unplug(k)
		r := d.by(d.me, signin.Ask{Kind: signin.KindLost, Method: signin.MethodAsk{ID: m.ID}})
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptConfirm).ID, Confirm: "LOST"}); err != nil {
			t.Fatal(err)
		}
		d.types(r, codes[0])
		d.wants(r, signin.Approved)
		k2 := newFakeKey("bb")
		d.plug(k2)
		r = d.by(d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.quiet(k2)
		d.types(r, codes[1])
		d.touch(k2)
		d.touch(k2)
		d.wants(r, signin.Approved)
	}, k)
}

// What is shown to go and to remain is what goes and remains, also where the last of any use goes.
func TestALossSaysAllThatGoes(t *testing.T) {
	// lose begins the loss of the key, confirms it, and hands back what was shown.
	lose := func(d *desk, c caller.Caller, m method.Method) (string, *signin.Request) {
		d.t.Helper()
		r := d.by(c, signin.Ask{Kind: signin.KindLost, User: "alice", Method: signin.MethodAsk{ID: m.ID}})
		p := d.promptOf(r, signin.PromptConfirm)
		if err := d.Answer(d.t.Context(), c, r.ID(), signin.Answer{Prompt: p.ID, Confirm: "LOST"}); err != nil {
			d.t.Fatal(err)
		}
		return p.Text, r
	}
	for _, tt := range []struct {
		name string
		lose func(d *desk, k *fakeKey, m method.Method) (shown string)
		says string
		left int
	}{
		{"a disabled token goes too", func(d *desk, _ *fakeKey, m method.Method) string {
			d.supply("77")
			d.wants(d.by(root, signin.Ask{Kind: signin.KindChangeToken, User: "alice", Token: signin.TokenAsk{Serial: "77", Action: signin.TokenDisable}}), signin.Approved)
			shown, r := lose(d, root, m)
			d.wants(r, signin.Approved)
			return shown
		}, "“77” (hardware token) will be removed too. No method remains", 0},
		{"codes go with the last of them", func(d *desk, k *fakeKey, m method.Method) string {
			codes := d.writesDown(k)
			for _, code := range codes[1:] {
				time.Sleep(time.Second)
				if _, err := d.VerifyCode(d.t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(code)}); err != nil {
					d.t.Fatal(err)
				}
			}
			d.unplug(k)
			shown, r := lose(d, d.me, m)
			d.types(r, codes[0])
			d.wants(r, signin.Approved)
			return shown
		}, "“Recovery codes” (recovery codes) will be removed too. No method remains", 0},
		{"codes stay while there are some", func(d *desk, k *fakeKey, m method.Method) string {
			codes := d.writesDown(k)
			d.unplug(k)
			shown, r := lose(d, d.me, m)
			d.types(r, codes[0])
			d.wants(r, signin.Approved)
			return shown
		}, "What remains: “Recovery codes” (recovery codes). ", 1},
		{"nothing else was there", func(d *desk, _ *fakeKey, m method.Method) string {
			shown, r := lose(d, root, m)
			d.wants(r, signin.Approved)
			return shown
		}, "approves nothing any more. No method remains", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				m := d.register(k)
				if shown := tt.lose(d, k, m); !strings.Contains(shown, tt.says) || strings.Contains(shown, "What remains") != (tt.left > 0) {
					t.Errorf("shown: %s", shown)
				}
				if ms, err := d.Methods(t.Context(), d.me, ""); err != nil || len(ms) != tt.left {
					t.Errorf("left: %+v, %v", ms, err)
				}
			}, k)
		})
	}
}

// A token that an administrator takes away is its user's method, not the administrator's.
func TestAdministratorsTakeTokensFromTheirUsers(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.supply("77")
		for _, c := range []caller.Caller{d.me, bob} {
			if _, err := d.Begin(t.Context(), c, signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "77", Action: signin.TokenUnassign}}); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("uid %d: %v", c.UID, err)
			}
		}
		r, err := d.Begin(t.Context(), root, signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "77", Action: signin.TokenUnassign}})
		if err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Approved)
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 1 || ms[0].Token != nil {
			t.Errorf("left: %+v", ms)
		}
		all := d.everything()
		if e := all[len(all)-1]; e.User != "alice" || e.CallerUID != 0 {
			t.Errorf("the record says %+v", e)
		}
	}, k)
}

func TestPolicyMayForbidTheWayBack(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		d.writesDown(k)
		d.obey(rule + "[recovery]\nstep_up = false\n")
		d.unplug(k)
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindLost, Method: signin.MethodAsk{ID: m.ID}}); err == nil {
			t.Error("recovery codes approve what policy says they do not")
		}
	}, k)
}

func TestHelpdesk(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		issue := func(valid time.Duration) string {
			code, issued, err := d.IssueHelpdesk(t.Context(), root, "alice", valid)
			if err != nil || issued.User != "alice" {
				t.Fatal(issued, err)
			}
			return string(code.Reveal())
		}
		for _, c := range []caller.Caller{d.me, bob, web} {
			if _, _, err := d.IssueHelpdesk(t.Context(), c, "alice", time.Hour); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("issued by uid %d: %v", c.UID, err)
			}
		}
		if _, _, err := d.IssueHelpdesk(t.Context(), root, "carol", time.Hour); !errors.Is(err, signin.ErrUnknownUser) {
			t.Errorf("for nobody: %v", err)
		}
		if _, _, err := d.IssueHelpdesk(t.Context(), root, "alice", 25*time.Hour); !errors.Is(err, recovery.ErrValid) {
			t.Errorf("for longer than a day: %v", err)
		}
		d.unplug(k)
		k2 := newFakeKey("bb")
		d.plug(k2)
		added := 0
		add := func(code string) *signin.Request {
			added++
			return d.by(d.me, signin.Ask{Kind: signin.KindAddMethod, Helpdesk: typed(code), Method: signin.MethodAsk{Type: "key", Name: fmt.Sprint("New ", added)}})
		}
		code := issue(time.Hour)
		if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(code)}); err == nil {
			t.Fatal("an administrator's code signs in")
		}
		if v := d.wants(add("0000-0000-0000-0000"), signin.Cancelled); !errors.Is(v.Err, signin.ErrHelpdesk) {
			t.Errorf("a wrong one: %v", v.Err)
		}
		r := add(code) // nothing is used up where nothing is added
		<-k2.blinks
		_ = d.Cancel(d.me, r.ID())
		d.wants(r, signin.Cancelled)
		r = add(code)
		d.touch(k2)
		d.touch(k2)
		d.wants(r, signin.Approved)
		if v := d.wants(add(code), signin.Cancelled); !errors.Is(v.Err, signin.ErrHelpdesk) {
			t.Errorf("a second time: %v", v.Err)
		}
		code = issue(time.Hour)
		time.Sleep(time.Hour)
		if v := d.wants(add(code), signin.Cancelled); !errors.Is(v.Err, signin.ErrHelpdesk) {
			t.Errorf("too late: %v", v.Err)
		}
		for _, e := range d.everything() {
			if strings.Contains(e.Reason, code) {
				t.Error("the code stands in the log")
			}
		}
	}, k)
}
