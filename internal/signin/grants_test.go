package signin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

const fingerprint = "SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

// remembers signs alice in from an address, by ssh, and lets that be remembered.
func (d *desk) remembers(k *fakeKey, a signin.Ask) signin.View {
	d.t.Helper()
	r := d.by(sshd, a)
	if err := d.Remember(d.t.Context(), d.me, r.ID(), true); err != nil {
		d.t.Fatal(err)
	}
	return d.approves(k, r)
}

// remembersCode is remembers with a token's code for the tap.
func (d *desk) remembersCode(f *fob, a signin.Ask) {
	d.t.Helper()
	r := d.by(sshd, a)
	if err := d.Remember(d.t.Context(), d.me, r.ID(), true); err != nil {
		d.t.Fatal(err)
	}
	d.types(r, f.press())
	if v := d.wants(r, signin.Approved); v.Grant == "" {
		d.t.Fatal("not remembered")
	}
}

// approves types the number and touches the key.
func (d *desk) approves(k *fakeKey, r *signin.Request) signin.View {
	d.t.Helper()
	if err := d.number(r, r.Number()); err != nil {
		d.t.Fatal(err)
	}
	d.touch(k)
	return d.wants(r, signin.Approved)
}

// isAsked reports whether a sign-in is asked for, and gives it up if so.
func (d *desk) isAsked(c caller.Caller, a signin.Ask) bool {
	d.t.Helper()
	r := d.by(c, a)
	synctest.Wait()
	if v := r.View(); !v.Pending() {
		if v.Decision != signin.Approved || v.Grant == "" || v.Strength != policy.None {
			d.t.Fatalf("ended as %+v", v)
		}
		return false
	}
	_ = d.Cancel(c, r.ID())
	d.end(r)
	time.Sleep(time.Hour + time.Second) // what was given up is forgotten
	return true
}

func TestRemembered(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		m := d.register(k)
		a := from("192.0.2.7", fingerprint)
		if v := d.approves(k, d.by(sshd, a)); v.Grant != "" {
			t.Fatal("what nobody chose to remember is remembered")
		}
		v := d.remembers(k, a)
		gs, err := d.Grants(t.Context(), d.me, "")
		if err != nil || len(gs) != 1 || gs[0].ID != v.Grant || gs[0].Method != m.ID || gs[0].Strength != policy.Key || gs[0].Origin != "192.0.2.7" {
			t.Fatalf("remembered: %+v, %v", gs, err)
		}
		if d.isAsked(sshd, a) {
			t.Error("asked although it is remembered")
		}
		all := d.everything()
		if e := all[len(all)-1]; e.Grant != v.Grant || e.Strength != "none" || e.Receipt != nil {
			t.Errorf("the record says %+v", e)
		}
		d.anew()
		if d.isAsked(sshd, a) {
			t.Error("forgotten by a restart")
		}
		for name, other := range map[string]signin.Ask{
			"another address":   from("192.0.2.8", fingerprint),
			"another key":       from("192.0.2.7", strings.Replace(fingerprint, "a", "b", 1)),
			"no key":            from("192.0.2.7", ""),
			"another service":   {Service: "pam:safe", Claimed: a.Claimed},
			"more is asked for": {Service: "pam:sshd", Claimed: a.Claimed, Require: policy.Key},
		} {
			if !d.isAsked(sshd, other) {
				t.Errorf("%s: not asked", name)
			}
		}
		if !d.isAsked(web, signin.Ask{Service: "pam-sshd", Claimed: a.Claimed}) {
			t.Error("not asked by a program that only claims all that")
		}
		time.Sleep(90 * 24 * time.Hour)
		if !d.isAsked(sshd, a) {
			t.Error("remembered for longer than 90 days")
		}
		if gs, _ := d.Grants(t.Context(), d.me, ""); len(gs) != 0 {
			t.Errorf("listed although over: %+v", gs)
		}
	}, k)
}

func TestWhatIsNotRemembered(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		for name, begin := range map[string]struct {
			c caller.Caller
			a signin.Ask
		}{
			"from the desk":          {sudo, signin.Ask{Service: "pam:sudo"}},
			"by an ordinary program": {web, signin.Ask{Service: "site", Claimed: from("192.0.2.7", fingerprint).Claimed}},
			"without a key":          {sshd, from("192.0.2.7", "")},
			"without an address":     {sshd, from("", fingerprint)},
			"where policy says no":   {sshd, signin.Ask{Service: "pam:safe", Claimed: from("192.0.2.7", fingerprint).Claimed}},
		} {
			r := d.by(begin.c, begin.a)
			if v := r.View(); v.Rememberable != 0 {
				t.Errorf("%s: may be remembered for %v", name, v.Rememberable)
			}
			if err := d.Remember(t.Context(), d.me, r.ID(), true); !errors.Is(err, signin.ErrNotRemembered) {
				t.Errorf("%s: %v", name, err)
			}
			_ = d.Cancel(begin.c, r.ID())
			d.end(r)
			time.Sleep(time.Minute)
		}
		r := d.by(sshd, from("192.0.2.9", fingerprint))
		if v := r.View(); v.Rememberable != 90*24*time.Hour {
			t.Errorf("may be remembered for %v", v.Rememberable)
		}
		if err := d.Remember(t.Context(), ssh, r.ID(), true); !errors.Is(err, signin.ErrNumberPlace) {
			t.Errorf("chosen from elsewhere: %v", err)
		}
	}, k)
}

// A grant that cannot be read has ended, and stands in nobody's way.
func TestDamagedGrants(t *testing.T) {
	damaged := func(t *testing.T, d *desk) {
		t.Helper()
		err := d.config.Store.Update(t.Context(), func(tx *store.Tx) error {
			return store.NewBucket[any]("grants").Put(tx, []byte{0, 0, 3, 0xe8, 'g', '1'}, 5)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a report blocks, and is in the log", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			d.register(k)
			r := d.by(sshd, from("192.0.2.7", fingerprint))
			damaged(t, d)
			if err := d.Report(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			if v := d.wants(r, signin.Reported); v.LogSeq == 0 {
				t.Error("it is not in the log")
			}
			time.Sleep(time.Hour)
			if _, err := d.tryBy(sshd, from("192.0.2.7", "")); !errors.Is(err, throttle.ErrBlocked) {
				t.Errorf("from there again: %v", err)
			}
		}, k)
	})
	t.Run("a lost method goes", func(t *testing.T) {
		k := newFakeKey("aa")
		host(t, func(t *testing.T, d *desk) {
			m := d.register(k)
			codes := d.writesDown(k)
			damaged(t, d)
			r := d.by(d.me, signin.Ask{Kind: signin.KindLost, Method: signin.MethodAsk{ID: m.ID}})
			p := d.promptOf(r, signin.PromptConfirm)
			if !strings.Contains(p.Text, "cannot be read") {
				t.Errorf("asked: %s", p.Text)
			}
			if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Confirm: "LOST"}); err != nil {
				t.Fatal(err)
			}
			d.types(r, codes[0])
			d.wants(r, signin.Approved)
			if gs, err := d.Grants(t.Context(), d.me, ""); err != nil || len(gs) != 0 {
				t.Errorf("left: %v, %v", gs, err)
			}
		}, k)
	})
}

func TestNotRememberedAnyMore(t *testing.T) {
	a := from("192.0.2.7", fingerprint)
	for name, forget := range map[string]func(*testing.T, *desk, *fakeKey, signin.View){
		"one is taken back": func(t *testing.T, d *desk, _ *fakeKey, v signin.View) {
			if err := d.RevokeGrant(t.Context(), bob, "", v.Grant); !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("by another user: %v", err)
			}
			if err := d.RevokeGrant(t.Context(), d.me, "", v.Grant); err != nil {
				t.Fatal(err)
			}
		},
		"all are taken back": func(t *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			if n, err := d.RevokeGrants(t.Context(), root, "alice"); err != nil || n != 1 {
				t.Fatal(n, err)
			}
		},
		"a sign-in from there is reported": func(t *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			other := from("192.0.2.7", strings.ToLower(fingerprint))
			r := d.by(sshd, other)
			if err := d.Report(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(r, signin.Reported)
			time.Sleep(25 * time.Hour)
		},
		"one with that key is reported": func(t *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			r := d.by(sshd, from("192.0.2.99", fingerprint))
			if !r.View().Pending() {
				t.Fatal("not asked")
			}
			if err := d.Report(d.me, r.ID()); err != nil {
				t.Fatal(err)
			}
			d.wants(r, signin.Reported)
		},
		"its method is removed": func(t *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			k2 := newFakeKey("bb")
			d.plug(k2)
			d.register2(k2)
			gs, err := d.Grants(t.Context(), d.me, "")
			if err != nil || len(gs) != 1 {
				t.Fatal(gs, err)
			}
			d.wants(d.by(root, signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: gs[0].Method}}), signin.Approved)
		},
		"the clock is set back": func(t *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			d.mu.Lock()
			d.jump -= time.Hour
			d.mu.Unlock()
			if !d.isAsked(sshd, a) {
				t.Error("honoured while the clock is back")
			}
			d.mu.Lock()
			d.jump += time.Hour
			d.mu.Unlock()
		},
		"policy no longer remembers": func(_ *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			d.obey(strings.Replace(rule, "remember = \"90d\"\n", "", 1))
		},
		"policy remembers less": func(_ *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			d.obey(strings.Replace(rule, "90d", "1d", 1))
			time.Sleep(25 * time.Hour)
		},
		"policy wants more": func(_ *testing.T, d *desk, _ *fakeKey, _ signin.View) {
			d.obey(rule + "[[restrict]]\nrequire = \"verified\"\nfallback = []\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("aa")
			host(t, func(t *testing.T, d *desk) {
				d.register(k)
				v := d.remembers(k, a)
				forget(t, d, k, v)
				if !d.isAsked(sshd, a) {
					t.Error("not asked")
				}
			}, k)
		})
	}
}

func (d *desk) register2(k *fakeKey) {
	d.t.Helper()
	r := d.by(root, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key", Name: fmt.Sprint("Second ", k.id)}})
	if err := d.number(r, r.Number()); err != nil {
		d.t.Fatal(err)
	}
	d.touch(k)
	d.touch(k)
	d.wants(r, signin.Approved)
}
