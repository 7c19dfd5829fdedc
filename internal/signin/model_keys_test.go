package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/signin"
)

// What the key signs is this request's and nobody else's: an answer made for another one is none.
func TestAReplayedTapIsNone(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		replay := &replaying{fakeKeys: d.fakes}
		d.config.Devices = fido.NewDevices(replay)
		d.anew()
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
		replay.on = true
		r = d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		if v := d.end(r); v.Decision == signin.Approved || !errors.Is(v.Err, fido.ErrBadAnswer) && !strings.Contains(fmt.Sprint(v.Err), "counter") {
			t.Errorf("ended %s, %v", v.Decision, v.Err)
		}
	}, k)
}

// replaying gives the first answer to an assertion again, once it is on.
type replaying struct {
	*fakeKeys
	on    bool
	first *fido.AssertResult
}

func (r *replaying) Run(ctx context.Context, c helper.Call, result any) error {
	err := r.fakeKeys.Run(ctx, c, result)
	if c.Op != fido.OpAssert || err != nil {
		return err
	}
	if r.on {
		b, err := json.Marshal(r.first)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, result)
	}
	got := *result.(*fido.AssertResult)
	r.first = &got
	return nil
}

// A key that took the PIN and does not say so has verified nobody.
func TestVerifiedIsWhatTheKeySigns(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	host(t, func(t *testing.T, d *desk) {
		careless := &careless{fakeKeys: d.fakes}
		d.config.Devices = fido.NewDevices(careless)
		d.anew()
		r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		for _, on := range []bool{false, true} {
			careless.on = on
			r = d.by(sudo, signin.Ask{Service: "pam:safe"})
			d.typePIN(r, "1234")
			d.touch(k)
			if v := d.end(r); (v.Decision == signin.Approved) == on || on && !errors.Is(v.Err, fido.ErrNotVerified) {
				t.Errorf("careless %v: ended %s by %s, %v", on, v.Decision, v.Strength, v.Err)
			}
			time.Sleep(time.Minute)
		}
	}, k)
}

// careless is a key that leaves the PIN unchecked, once it is on.
type careless struct {
	*fakeKeys
	on bool
}

func (c *careless) Run(ctx context.Context, call helper.Call, result any) error {
	if args, ok := call.Args.(fido.AssertArgs); ok && c.on {
		args.PIN = nil
		call.Args = args
	}
	return c.fakeKeys.Run(ctx, call, result)
}

// The counter of each tap is kept: a copy made after the registration is found out at its first use.
func TestACopyOfTheKeyIsFoundOut(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		copied := k.counter + 1
		for range 3 {
			r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
			d.touch(k)
			d.wants(r, signin.Approved)
		}
		d.anew()
		k.counter = copied
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		if v := d.end(r); v.Decision == signin.Approved || !strings.Contains(v.Err.Error(), "cloned") {
			t.Errorf("ended %s, %v", v.Decision, v.Err)
		}
		if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 1 || !ms[0].Suspect {
			t.Errorf("the methods are %+v", ms)
		}
	}, k)
}
