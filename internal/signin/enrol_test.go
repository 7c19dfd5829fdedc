package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/signin"
)

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
		if log := d.log(); !slices.ContainsFunc(log, func(e audit.Entry) bool {
			return e.Decision == "possible-clone" && strings.Contains(e.Reason, "cloned")
		}) {
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
		time.Sleep(31 * time.Second) // who was denied waits
		m2 := d.enrol(k2, k1)
		if m2.Default {
			t.Error("the second method became the default")
		}
		if _, err := d.SetDefaultMethod(t.Context(), d.me, "", m2.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.RenameMethod(t.Context(), d.me, "", m2.ID, "key AA"); !errors.Is(err, method.ErrNameTaken) {
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

func TestAlreadyRegistered(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k1, nil)
		again := signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "Again"}}
		refused := func(why string) {
			t.Helper()
			v := d.wants(d.ask(again), signin.Cancelled) // nothing was touched
			if want := why + ": this key is registered already: plug in the new one, and try again"; !errors.Is(v.Err, signin.ErrKeyRegistered) || v.Err.Error() != want {
				t.Errorf("ended with %v", v.Err)
			}
		}
		refused("Key aa")
		d.plug(k2)
		d.enrol(k2, k1)
		refused("Key aa, Key bb")
	}, k1)
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
		if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p[0].ID}); err != nil {
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
