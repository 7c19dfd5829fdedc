package signin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

func TestNobodyElsewhereMakesTheDeskWait(t *testing.T) {
	t.Run("not by denying the desk's own request", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			for range 5 {
				r, err := d.tryBy(sudo, signin.Ask{Service: "pam:sudo"})
				if err != nil {
					t.Fatalf("the desk is refused: %v", err)
				}
				<-k.blinks
				if err := d.Deny(ssh, r.ID()); err == nil {
					d.wants(r, signin.Denied)
				} else {
					_ = d.Cancel(d.me, r.ID())
					d.end(r)
				}
			}
		}, k)
	})
	t.Run("not by reporting where the user signs in from", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			d.remembers(k, from("192.0.2.7", fingerprint))
			r := d.by(sshd, from("192.0.2.7", "")) // hers, begun without that key
			_ = d.Report(ssh, r.ID())
			d.end(r)
			if gs, _ := d.Grants(t.Context(), d.me, ""); len(gs) != 1 {
				t.Errorf("a session elsewhere has taken back %d grants", 1-len(gs))
			}
			time.Sleep(time.Hour + time.Minute)
			if _, err := d.tryBy(sshd, from("192.0.2.7", fingerprint)); errors.Is(err, throttle.ErrBlocked) {
				t.Errorf("a session elsewhere has blocked her laptop: %v", err)
			}
		}, k)
	})
}

func TestOnePlaceIsTheDesks(t *testing.T) {
	one, two := signin.Ask{Service: "one"}, signin.Ask{Service: "two"}
	type begins struct {
		by  caller.Caller
		ask signin.Ask
	}
	me := caller.Caller{UID: uid, Door: caller.DoorSocket}
	for name, tt := range map[string]struct {
		first []begins // of whom some may find no place
		then  begins   // who has to
	}{
		"for sudo, beside two of her programs and one from elsewhere": {[]begins{{me, one}, {me, two}, {sshd, from("203.0.113.9", "")}}, begins{sudo, signin.Ask{Service: "pam:sudo"}}},
		"for her programs, beside two of hers from elsewhere":         {[]begins{{ssh, one}, {ssh, two}}, begins{me, signin.Ask{Service: "mailer"}}},
		"for her programs, beside two strangers'":                     {[]begins{{bob, one}, {web, two}}, begins{me, signin.Ask{Service: "mailer"}}},
		"strangers do not keep her out from elsewhere":                {[]begins{{bob, one}, {web, two}}, begins{sshd, from("192.0.2.7", fingerprint)}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.register(k)
				for _, b := range tt.first {
					_, _ = d.tryBy(b.by, b.ask)
				}
				if _, err := d.tryBy(tt.then.by, tt.then.ask); err != nil {
					t.Error(err)
				}
			}, k)
		})
	}
}

// Whoever has a range of subordinate ids (/etc/subuid) has 65536 uids.
func TestUidsWithoutAnAccountAreNobody(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		asked := 0
		for n := range 4 {
			sub := caller.Caller{UID: uint32(100_000 + n), PID: int32(500 + n), Door: caller.DoorSocket}
			if _, err := d.tryBy(sub, signin.Ask{Service: "site"}); err == nil {
				asked++
			}
		}
		if asked > 0 {
			t.Errorf("%d uids without an account ask alice", asked)
		}
		if _, err := d.tryBy(sshd, from("192.0.2.7", fingerprint)); err != nil {
			t.Errorf("her sign-in by ssh: %v", err)
		}
	}, k)
}

func TestAnotherNameIsNoOtherAsker(t *testing.T) {
	t.Run("a denial is not got round", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			heard := 0
			for n := range 20 {
				if r, err := d.tryBy(web, signin.Ask{Service: fmt.Sprint("s", n)}); err == nil {
					heard++
					_ = d.Report(d.me, r.ID())
					d.end(r)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if heard > 1 {
				t.Errorf("in two seconds she reports the same program %d times", heard)
			}
		}, k)
	})
	t.Run("nobody else's wait is pushed out", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			r := d.by(sshd, from("203.0.113.9", ""))
			_ = d.Deny(d.me, r.ID())
			d.wants(r, signin.Denied)
			for n := range throttle.MaxPerKind + 20 {
				if r, err := d.tryBy(web, signin.Ask{Service: fmt.Sprint("s", n)}); err == nil {
					_ = d.Cancel(web, r.ID())
					d.end(r)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if _, err := d.tryBy(sshd, from("203.0.113.9", "")); !errors.Is(err, throttle.ErrWaiting) {
				t.Errorf("8 seconds after a denial that holds 30: %v", err)
			}
		}, k)
	})
	t.Run("her log is not filled", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			before := len(d.everything())
			for n := range 400 {
				if r, err := d.tryBy(web, signin.Ask{Service: fmt.Sprint("s", n)}); err == nil {
					_ = d.Cancel(web, r.ID())
					d.end(r)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if n := len(d.everything()) - before; n > 40 {
				t.Errorf("a stranger writes %d entries into her log in 20 seconds", n)
			}
		}, k)
	})
}

func TestStrangersLearnNothingByCodes(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		guess := func(c caller.Caller) error {
			_, err := d.VerifyCode(t.Context(), c, signin.Ask{User: "alice", Service: "site", Code: typed("123456")})
			return err
		}
		none := guess(bob)
		d.register(k)
		key := guess(bob)
		f := d.supply("77")
		token := guess(bob)
		if none.Error() != key.Error() || key.Error() != token.Error() {
			t.Errorf("a stranger tells apart:\n no method: %v\n a key: %v\n a token: %v", none, key, token)
		}
		var last error
		for n := range 12 {
			time.Sleep(time.Second)
			last = guess([]caller.Caller{bob, web}[n%2])
		}
		if errors.Is(last, lockout.ErrLocked) {
			t.Errorf("a stranger hears that she is locked out: %v", last)
		}
		if _, err := d.VerifyCode(t.Context(), sshd, func() signin.Ask {
			a := from("192.0.2.7", "")
			a.User, a.Code = "alice", typed(f.press())
			return a
		}()); err != nil {
			t.Errorf("strangers on this machine have locked her out from elsewhere: %v", err)
		}
	}, k)
}

func TestGrantsAreNotWide(t *testing.T) {
	rsa := func(end string) string {
		return "publickey ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ" + strings.Repeat("C", 250) + end
	}
	for name, c := range map[string]struct{ made, used signin.Ask }{
		"of another long SSH key":                {from("192.0.2.7", rsa("AAAA")), from("192.0.2.7", rsa("BBBB"))},
		"from another link-local neighbour":      {from("fe80::1%eth0", fingerprint), from("fe80::bad%wlan0", fingerprint)},
		"from another IPv4 address behind NAT64": {from("64:ff9b::c000:207", fingerprint), from("64:ff9b::cb00:7109", fingerprint)},
		"from another host of strange letters":   {from("пример.example", fingerprint), from("другие.example", fingerprint)},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.register(k)
				r := d.by(sshd, c.made)
				_ = d.Remember(t.Context(), d.me, r.ID(), true) // may be refused
				d.approves(k, r)
				if !d.isAsked(sshd, c.used) {
					t.Error("not asked")
				}
			}, k)
		})
	}
	t.Run("by a key that may have been cloned", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			m := d.register(k)
			d.remembers(k, from("192.0.2.7", fingerprint))
			if err := d.config.Store.Update(t.Context(), func(tx *store.Tx) error { return method.MarkSuspect(tx, uid, m.ID) }); err != nil {
				t.Fatal(err)
			}
			if !d.isAsked(sshd, from("192.0.2.7", fingerprint)) {
				t.Error("not asked")
			}
		}, k)
	})
	t.Run("a report blocks one neighbour and not the internet", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			r := d.by(sshd, from("64:ff9b::cb00:7109", ""))
			_ = d.Report(d.me, r.ID())
			d.end(r)
			if _, err := d.tryBy(sshd, from("64:ff9b::c000:207", "")); err != nil {
				t.Errorf("another IPv4 address through the same NAT64 prefix: %v", err)
			}
		}, k)
	})
}

func TestAUidThatIsAnothersNow(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.remembers(k, from("192.0.2.7", fingerprint))
		d.config.Person = func(_ context.Context, id uint32) (signin.Person, error) {
			return signin.Person{UID: id, Name: "mallory"}, nil
		}
		d.anew()
		page, err := d.Log(t.Context(), d.me, signin.LogQuery{})
		if err == nil && len(page.Entries) > 0 {
			t.Errorf("reads %d entries of alice's", len(page.Entries))
		}
		if gs, err := d.Grants(t.Context(), d.me, ""); err == nil && len(gs) > 0 {
			t.Errorf("sees where alice signs in from: %s", gs[0].Origin)
		}
		st, err := d.Status(t.Context(), d.me)
		if err == nil && st.Grants > 0 {
			t.Errorf("the status counts alice's %d grants", st.Grants)
		}
	}, k)
}

func TestHelpdeskFromElsewhereIsNumbered(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		first := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "recovery"}})
		d.wants(first, signin.Approved)
		code, _, err := d.IssueHelpdesk(t.Context(), root, "alice", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		add := func(kind string) (*signin.Request, error) {
			return d.tryBy(ssh, signin.Ask{Kind: signin.KindAddMethod, Helpdesk: typed(string(code.Reveal())), Method: signin.MethodAsk{Type: kind, Name: ""}})
		}
		if _, err := add("recovery"); !errors.Is(err, signin.ErrBadRequest) {
			t.Errorf("a code that adds one key or token makes recovery codes: %v", err)
		}
		r, err := add("key")
		if err != nil {
			t.Fatal(err)
		}
		d.quiet(k)
		if !r.View().Pending() {
			t.Errorf("ended without the number: %+v", r.View())
		}
	}, k)
}

func TestTheKeyIsDarkForElsewhere(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for name, c := range map[string]struct {
			c caller.Caller
			a signin.Ask
		}{
			"add-method":    {ssh, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "mine"}}},
			"unblock":       {ssh, signin.Ask{Kind: signin.KindUnblock}},
			"test":          {ssh, signin.Ask{Kind: signin.KindTest}},
			"stranger":      {web, signin.Ask{Service: "site", KeyID: k.id}},
			"picked before": {ssh, signin.Ask{Service: "mailer"}},
		} {
			r := d.by(c.c, c.a)
			_ = d.Pick(c.c, r.ID())
			d.quiet(k)
			p := d.numberPrompt(r)
			for _, who := range []caller.Caller{ssh, sshd, sudo, bob, web} {
				if d.Answer(t.Context(), who, r.ID(), signin.Answer{Prompt: p.ID, Number: r.Number()}) == nil {
					t.Errorf("%s: uid %d (pid %d) types the number", name, who.UID, who.PID)
				}
			}
			d.quiet(k)
			_ = d.Cancel(c.c, r.ID())
			d.end(r)
		}
		for _, e := range d.everything() {
			if e.Decision == string(signin.Approved) && e.Place == string(caller.PlaceRemote) {
				t.Errorf("approved from elsewhere: entry %d, %s", e.Seq, e.Kind)
			}
		}
	}, k)
}

// What comes from this machine, in whatever words, is no sign-in from elsewhere.
func TestFromHereInOtherWords(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for _, origin := range []string{
			"", "localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0", "127.1", "0x7f.1", "2130706433",
			"[::1]:22", "127.0.0.1:22", "::1%lo", "127.0.0.1%lo", "host.example", "192.0.2.7:22", "\u202e127.0.0.1", "192.0.2.07",
		} {
			for _, service := range []string{"pam:vpn", "pam:web"} {
				a := from(origin, "")
				a.Service = service
				r, err := d.tryBy(sshd, a)
				if err != nil {
					continue
				}
				synctest.Wait()
				if p := r.View().Prompts; len(p) > 0 {
					for _, one := range p {
						if one.Type == signin.PromptApprove {
							t.Errorf("%q, %s: a plain yes is offered", origin, service)
						}
						if one.Type == signin.PromptNumber {
							_ = d.number(r, r.Number())
						}
					}
				}
				synctest.Wait()
				if v := r.View(); v.Decision == signin.Approved {
					t.Errorf("%q, %s: approved as %s", origin, service, v.Strength)
				}
				_ = d.Cancel(sshd, r.ID())
				d.end(r)
				time.Sleep(2 * time.Hour)
			}
		}
	}, k)
}

// Whoever asks for a key is not content with a code, also where policy wants a key and falls back to one.
func TestWhatIsAskedForIsNotFallenBackFrom(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		a := from("192.0.2.7", "")
		a.User, a.Require, a.Code = "alice", policy.Key, typed(f.press())
		if v, err := d.VerifyCode(t.Context(), sshd, a); err == nil {
			t.Errorf("asked for %s, approved by %s", a.Require, v.Strength)
		}
		codes := d.writesDown(k)
		a.Code = typed(codes[0])
		if v, err := d.VerifyCode(t.Context(), sshd, a); err == nil {
			t.Errorf("asked for %s, approved by %s (a recovery code)", a.Require, v.Strength)
		}
	}, k)
}

func TestTheLogNamesTheProgramThatRuns(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo", Claimed: signin.Claimed{Command: caller.Clean("/tmp/a=b/evil /usr/bin/apt update")}})
		d.touch(k)
		d.wants(r, signin.Approved)
		all := d.everything()
		if e := all[len(all)-1]; e.Executable != "/tmp/a=b/evil" {
			t.Errorf("the log, and what the key signed, say that %q ran", e.Executable)
		}
	}, k)
}

// The desk's own request is not taken back from elsewhere, over and over.
func TestNobodyElsewhereTakesTheDesksRequestsBack(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		<-k.blinks
		if err := d.Cancel(ssh, r.ID()); err == nil {
			t.Errorf("a session elsewhere ends sudo at the desk: %s", d.end(r).Decision)
		}
	}, k)
}

func TestAStrangerHoldsNoPlaceForLong(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		began, held := time.Now(), time.Duration(0)
		for n := range 600 { // asks again each second, under another name
			at := time.Now()
			r, err := d.tryBy(web, signin.Ask{Service: fmt.Sprint("s", n), Timeout: 10 * time.Minute})
			if err == nil {
				d.end(r)
				held += time.Since(at)
			}
			time.Sleep(time.Second)
		}
		if held > time.Since(began)/5 {
			t.Errorf("a stranger has one of her two places for requests from elsewhere for %v of %v", held, time.Since(began))
		}
	}, k)
}

func TestWhatAProgramClaimsIsMarkedAsClaimed(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		const lie = "your office; checked by IT, approve it"
		r := d.by(web, signin.Ask{Service: "site", Claimed: signin.Claimed{Origin: caller.Clean(lie)}})
		p := d.numberPrompt(r)
		if strings.Contains(p.Text, lie) && !strings.Contains(p.Text, "claim") {
			t.Errorf("the prompt says, as if it were known: %q", p.Text)
		}
	}, k)
}

func TestTheWayOutOfAWaitIsNotShutFromElsewhere(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for range 2 {
			r, err := d.tryBy(d.me, signin.Ask{Kind: signin.KindUnblock})
			if err != nil {
				t.Fatalf("unblock at the desk: %v", err)
			}
			_ = d.Deny(ssh, r.ID())
			_ = d.Cancel(d.me, r.ID())
			d.end(r)
		}
	}, k)
}

func TestAStrongerRequireIsNotFallenBackFrom(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.obey("[service.\"pam:safe\"]\nrequire = \"verified\"\nfallback = [\"key\"]\n")
		d.register(k)
		r, err := d.tryBy(sudo, signin.Ask{Service: "pam:safe", Require: policy.Verified})
		if err != nil {
			return
		}
		if v := d.end(r); v.Decision == signin.Approved { // the key has no PIN
			t.Errorf("asked for verified, approved by %s", v.Strength)
		}
	}, k)
}
