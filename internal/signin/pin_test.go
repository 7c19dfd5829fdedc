package signin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
)

func TestPINTriesSpentMeanwhile(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		k.retries = 4
		r = d.ask(signin.Ask{Require: policy.Verified})
		synctest.Wait()
		k.retries = 3 // somebody else tried
		d.typePIN(r, "9999")
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrFewRetries) || k.retries != 3 {
			t.Errorf("ended with %v, %d tries left", v.Err, k.retries)
		}
	}, k)
}

// typePIN answers the request's PIN prompt.
func (d *desk) typePIN(r *signin.Request, pin string) signin.Prompt {
	d.t.Helper()
	time.Sleep(1100 * time.Millisecond) // the key may have to stay dark before
	synctest.Wait()
	for _, p := range r.View().Prompts {
		if p.Type == signin.PromptPIN {
			if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p.ID, PIN: secret.New([]byte(pin))}); err != nil {
				d.t.Fatal(err)
			}
			return p
		}
	}
	d.t.Fatalf("no PIN is asked for: %+v", r.View())
	return signin.Prompt{}
}

func TestVerified(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)

		r = d.ask(signin.Ask{Require: policy.Verified})
		d.typePIN(r, "9999")
		if p := d.typePIN(r, "1234"); p.Retries == nil || *p.Retries != 7 || !strings.Contains(p.Text, "wrong") {
			t.Errorf("after a wrong PIN the prompt is %+v", p)
		}
		d.touch(k)
		if v := d.wants(r, signin.Approved); v.Strength != policy.Verified {
			t.Errorf("strength is %v", v.Strength)
		}

		bus := d.me
		bus.Door = caller.DoorBus
		r = d.ask(signin.Ask{Require: policy.Verified})
		synctest.Wait()
		if err := d.Answer(context.Background(), bus, r.ID(), signin.Answer{Prompt: r.View().Prompts[0].ID, PIN: secret.New([]byte("1234"))}); !errors.Is(err, signin.ErrPINPlace) {
			t.Errorf("a PIN over D-Bus: %v", err)
		}
		for range 5 {
			d.typePIN(r, "9999")
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrFewRetries) {
			t.Errorf("with few retries left: %v", v.Err)
		}
		if k.retries != 3 {
			t.Errorf("%d retries are left, want 3", k.retries)
		}
	}, k)
}

func TestVerifiedNeedsAPIN(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Require: policy.Verified})
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, fido.ErrPINNotSet) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}

func TestChosenKeyGetsThePIN(t *testing.T) {
	k1, k2 := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k1, nil)
		d.plug(k2)
		d.enrol(k2, k1)
		k1.pin, k2.pin = "1111", "2222"
		r := d.ask(signin.Ask{Require: policy.Verified})
		<-k1.blinks
		d.touch(k2) // chooses it
		if p := d.typePIN(r, "2222"); p.KeyID != k2.id {
			t.Errorf("the PIN of %s is asked for", p.KeyID)
		}
		d.touch(k2)
		d.wants(r, signin.Approved)
		if k1.retries != 8 {
			t.Error("the PIN went to another key")
		}
	}, k1)
}

func TestSetPIN(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		r := d.ask(signin.Ask{Kind: signin.KindSetPIN})
		if p := d.typePIN(r, "123"); !p.New || p.MinLength != 4 {
			t.Errorf("prompt is %+v", p)
		}
		d.typePIN(r, strings.Repeat("x", 64))
		d.typePIN(r, "123456")
		d.wants(r, signin.Approved)
		r = d.ask(signin.Ask{Kind: signin.KindSetPIN})
		d.typePIN(r, "000000")
		d.typePIN(r, "654321")
		if p := d.typePIN(r, "123456"); !strings.Contains(p.Text, "wrong") || *p.Retries != 7 {
			t.Errorf("prompt is %+v", p)
		}
		d.typePIN(r, "654321")
		d.wants(r, signin.Approved)
		if k.pin != "654321" {
			t.Errorf("the PIN is %q", k.pin)
		}
	}, k)
}

func TestReset(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		confirm := func(r *signin.Request, word string) signin.Prompt {
			synctest.Wait()
			p := r.View().Prompts[0]
			if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Confirm: word}); err != nil {
				t.Fatal(err)
			}
			return p
		}
		r := d.ask(signin.Ask{Kind: signin.KindReset})
		if p := confirm(r, "yes"); p.Expect != "RESET" || !strings.Contains(p.Text, "Key aa") {
			t.Errorf("prompt is %+v", p)
		}
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrNotConfirmed) {
			t.Errorf("ended with %v", v.Err)
		}
		d.quiet(k)
		r = d.ask(signin.Ask{Kind: signin.KindReset})
		confirm(r, "RESET")
		if p := confirm(r, ""); !strings.Contains(p.Text, "10 seconds") {
			t.Errorf("prompt is %+v", p)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
		k.fail = func(op string) error {
			if op == fido.OpReset {
				return opError(0x30, "FIDO_ERR_NOT_ALLOWED")
			}
			return nil
		}
		r = d.ask(signin.Ask{Kind: signin.KindReset})
		confirm(r, "RESET")
		confirm(r, "")
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, fido.ErrNotAllowed) {
			t.Errorf("ended with %v", v.Err)
		}
	}, k)
}
