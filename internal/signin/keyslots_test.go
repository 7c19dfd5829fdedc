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
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// safe makes a recovery key for the vault.
func (d *desk) safe() {
	d.t.Helper()
	d.slot(vault.TypeRecovery)
}

func (d *desk) slot(t vault.SlotType) {
	d.t.Helper()
	c, err := d.config.Vault.PrepareAdd(d.t.Context(), vault.SlotSpec{Type: t})
	if err != nil {
		d.t.Fatal(err)
	}
	err = d.config.Store.Update(d.t.Context(), c.Apply)
	c.Done(d.t.Context(), err == nil)
	if err != nil {
		d.t.Fatal(err)
	}
}

// keySlot asks for a slot for the key.
func keySlot(k *fakeKey) signin.Ask {
	return signin.Ask{Kind: signin.KindChangeVault, KeyID: k.id, Vault: signin.VaultAsk{Action: signin.SlotAdd, Type: "security-key", Name: "Slot " + k.id}}
}

// addSlot lets a key open the vault.
func (d *desk) addSlot(k *fakeKey) {
	d.t.Helper()
	r := d.ask(keySlot(k))
	d.touch(k)
	d.touch(k)
	d.wants(r, signin.Approved)
}

// sealed reports whether the vault is.
func (d *desk) sealed() bool {
	_, err := d.config.Vault.Sealer(token.Purpose)
	return errors.Is(err, vault.ErrSealed)
}

func (d *desk) lock() {
	d.t.Helper()
	if err := d.LockVault(d.me); err != nil || !d.sealed() {
		d.t.Fatalf("the vault is not locked: %v", err)
	}
}

func TestKeySlot(t *testing.T) {
	a, b, c := newFakeKey("aa"), newFakeKey("bb"), newFakeKey("cc")
	sit(t, func(t *testing.T, d *desk) {
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindUnlock}); !errors.Is(err, signin.ErrNoKeySlot) {
			t.Errorf("without a slot: %v", err)
		}
		if _, err := d.Begin(t.Context(), d.me, keySlot(a)); !errors.Is(err, vault.ErrNoRecovery) {
			t.Errorf("without a recovery key: %v", err)
		}
		d.safe()
		d.addSlot(a)
		d.addSlot(b)
		d.lock()

		// Of three keys those that have a slot blink; the first that is touched opens it.
		r := d.ask(signin.Ask{Kind: signin.KindUnlock})
		d.touch(b)
		v := d.wants(r, signin.Approved)
		if d.sealed() || v.Strength != 0 {
			t.Errorf("a tap gives %+v", v)
		}
		d.quiet(c)
		last := d.log()[len(d.log())-1]
		if last.Kind != "unlock" || !strings.Contains(last.Reason, "Slot bb") || last.Receipt != nil {
			t.Errorf("the log has %+v", last)
		}

		// It locks by itself, sleep included.
		d.mu.Lock()
		d.sleep += vault.DefaultLockAfter
		d.mu.Unlock()
		if !d.sealed() {
			t.Error("it does not lock by itself")
		}

		// Denied, given up and never touched, it stays sealed.
		for name, end := range map[string]func(*signin.Request){
			"denied":  func(r *signin.Request) { d.Deny(d.me, r.ID()) },
			"expired": func(*signin.Request) { time.Sleep(2 * time.Minute) },
		} {
			r := d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: a.id})
			synctest.Wait()
			<-a.blinks
			end(r)
			if v := d.end(r); v.Decision == signin.Approved || !d.sealed() {
				t.Errorf("%s: %+v", name, v)
			}
			time.Sleep(11 * time.Minute) // what was denied waits
		}

		// Locked while it is waited for, it opens by the tap all the same: that came later.
		r = d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: a.id})
		synctest.Wait()
		d.config.Vault.Lock()
		d.touch(a)
		if d.wants(r, signin.Approved); d.sealed() {
			t.Error("a tap after a lock does not open it")
		}

		// A key that lost what it held, and one that never had it.
		d.lock()
		clear(a.creds)
		r = d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: c.id})
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyNoSlot) || !d.sealed() {
			t.Errorf("a key without a slot: %v", v.Err)
		}
		r = d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: a.id})
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyNoSlot) || !d.sealed() {
			t.Errorf("a key that was reset: %v", v.Err)
		}
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindUnlock, KeyID: "zz"}); !errors.Is(err, signin.ErrKeyNotFound) {
			t.Errorf("a key that is not there: %v", err)
		}
		elsewhere := d.me
		elsewhere.UID++
		if _, err := d.Begin(t.Context(), elsewhere, signin.Ask{Kind: signin.KindUnlock}); !errors.Is(err, caller.ErrForbidden) {
			t.Errorf("another user: %v", err)
		}
	}, a, b, c)
}

func TestKeySlotLies(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		d.addSlot(k)
		d.lock()
		for id, private := range k.creds { // another key that says it holds the credential
			other := newFakeKey("xx")
			other.make("x", false, false)
			for _, p := range other.creds {
				k.creds[id] = p
			}
			r := d.ask(signin.Ask{Kind: signin.KindUnlock})
			d.touch(k)
			if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, vault.ErrWrongTap) || !d.sealed() {
				t.Errorf("a wrong secret: %v", v.Err)
			}
			k.creds[id] = private
		}
		r := d.ask(signin.Ask{Kind: signin.KindUnlock})
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

// Some keys wait for a touch where they are asked silently: they are asked aloud.
func TestKeySlotOfSlowKey(t *testing.T) {
	a, b := newFakeKey("aa"), newFakeKey("bb")
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		d.addSlot(a)
		d.lock()
		a.fail = func(op string) error {
			if op == fido.OpAssert && a.silent == 0 {
				a.silent++
				time.Sleep(2 * time.Second)
				return opError(0x2f, "FIDO_ERR_USER_ACTION_TIMEOUT")
			}
			return nil
		}
		r := d.ask(signin.Ask{Kind: signin.KindUnlock})
		d.touch(a)
		d.wants(r, signin.Approved)
		d.quiet(b)
	}, a, b)
}

func TestKeySlotWithMethod(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		d.enrol(k, nil)
		before := len(d.log())

		// What is denied in the middle leaves nothing.
		r := d.ask(keySlot(k))
		d.touch(k) // the step-up
		d.touch(k) // the credential
		<-k.blinks
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if slots, err := d.config.Vault.TapSlots(); err != nil || len(slots) != 0 {
			t.Errorf("after a denial there are %v, %v", slots, err)
		}
		if all := d.log()[before:]; len(all) != 2 || !strings.Contains(all[0].Reason, "step-up: may add a way to open the vault") || all[1].Decision != "denied" {
			t.Errorf("the log has %+v", all)
		}
		time.Sleep(11 * time.Minute)

		r = d.ask(keySlot(k))
		d.touch(k)
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		r = d.ask(keySlot(k))
		d.touch(k)
		d.touch(k)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyHasSlot) {
			t.Errorf("a second slot for one key: %v", v.Err)
		}

		// The credential that opens the vault signs nobody in, and the other way round.
		slots, err := d.config.Vault.TapSlots()
		if err != nil || len(slots) != 1 || !strings.HasPrefix(slots[0].RPID, "fob-vault:") {
			t.Errorf("the slots are %+v, %v", slots, err)
		}
		methods, err := d.Methods(t.Context(), d.me, "")
		if err != nil || len(methods) != 1 || string(methods[0].Key.CredentialID) == string(slots[0].Credential) {
			t.Errorf("the methods are %+v, %v", methods, err)
		}

		// A sign-in and an unlocking that want the same key wait until one is picked.
		d.lock()
		time.Sleep(time.Minute)
		unlock := d.ask(signin.Ask{Kind: signin.KindUnlock})
		<-k.blinks
		in := d.ask(signin.Ask{})
		d.quiet(k)
		if err := d.Pick(d.me, in.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(in, signin.Approved)
		if !d.sealed() {
			t.Error("a tap for a sign-in opens the vault")
		}
		if err := d.Pick(d.me, unlock.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(unlock, signin.Approved)
	}, k)
}

func TestKeySlotMode(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		ask := keySlot(k)
		ask.Vault.Verify = true
		r := d.ask(ask)
		d.typePIN(r, "1234")
		d.touch(k)
		d.typePIN(r, "1234")
		d.touch(k)
		d.wants(r, signin.Approved)
		d.lock()
		r = d.ask(signin.Ask{Kind: signin.KindUnlock})
		d.typePIN(r, "1111")
		d.typePIN(r, "1234")
		d.touch(k)
		if d.wants(r, signin.Approved); d.sealed() {
			t.Error("PIN and tap do not open it")
		}
	}, k)
}

func TestKeySlotRefuses(t *testing.T) {
	k, plain := newFakeKey("aa"), newFakeKey("bb")
	plain.plain = true
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		if v := d.wants(d.ask(keySlot(plain)), signin.Cancelled); !errors.Is(v.Err, fido.ErrNoHMACSecret) {
			t.Errorf("a key without hmac-secret: %v", v.Err)
		}
		verify := keySlot(k)
		verify.Vault.Verify = true
		if v := d.wants(d.ask(verify), signin.Cancelled); !errors.Is(v.Err, fido.ErrPINNotSet) { // before it is touched
			t.Errorf("a key without a PIN that is to verify its user: %v", v.Err)
		}
		for name, spoil := range map[string]func(*signin.Ask){
			"locks too soon":          func(a *signin.Ask) { a.Vault.LockAfter = time.Second },
			"locks too late":          func(a *signin.Ask) { a.Vault.LockAfter = 25 * time.Hour },
			"locks before":            func(a *signin.Ask) { a.Vault.LockAfter = -time.Hour },
			"a recovery key verifies": func(a *signin.Ask) { a.Vault.Type, a.Vault.Verify = "recovery", true },
			"a recovery key locks":    func(a *signin.Ask) { a.Vault.Type, a.Vault.LockAfter = "recovery", time.Hour },
			"a key for a passphrase":  func(a *signin.Ask) { a.Vault.Type = "passphrase" },
		} {
			ask := keySlot(k)
			spoil(&ask)
			if _, err := d.Begin(t.Context(), d.me, ask); !errors.Is(err, signin.ErrBadRequest) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{" ", "Blue ", "a\u202eb", strings.Repeat("x", vault.MaxName+1)} { // before anybody touches anything
			ask := keySlot(k)
			ask.Vault.Name = name
			if _, err := d.Begin(t.Context(), d.me, ask); !errors.Is(err, vault.ErrBadName) {
				t.Errorf("a slot named %q: %v", name, err)
			}
		}
		d.lock()
		if _, err := d.Begin(t.Context(), d.me, keySlot(k)); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("sealed: %v", err)
		}
	}, k, plain)
	host(t, func(t *testing.T, d *desk) {
		root := caller.Caller{UID: 0, Door: caller.DoorSocket}
		d.safe()
		for _, ask := range []signin.Ask{keySlot(k), {Kind: signin.KindUnlock}} {
			if _, err := d.tryBy(root, ask); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("%s at the machine's instance: %v", ask.Kind, err)
			}
		}
	}, k)
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		d.addSlot(k)
		d.config.Standing = func(context.Context, caller.Caller, uint32) caller.Standing {
			return caller.Standing{Place: caller.PlaceRemote, SameUser: true}
		}
		d.rename("alice")
		for _, ask := range []signin.Ask{keySlot(k), {Kind: signin.KindUnlock}} {
			if _, err := d.Begin(t.Context(), d.me, ask); !errors.Is(err, signin.ErrNumberPlace) {
				t.Errorf("%s from elsewhere: %v", ask.Kind, err)
			}
		}
		d.quiet(k)
	}, k)
}

func TestKeySlotAmongMany(t *testing.T) {
	var keys []*fakeKey
	for _, id := range []string{"aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"} {
		keys = append(keys, newFakeKey(id))
	}
	last := keys[len(keys)-1]
	sit(t, func(t *testing.T, d *desk) {
		d.safe()
		for _, k := range keys {
			time.Sleep(time.Second) // the last is the youngest
			d.addSlot(k)
		}
		d.lock()

		// Each question takes a key its time, and there is one for each slot.
		last.answer = 200 * time.Millisecond
		r := d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: last.id})
		time.Sleep(5 * time.Second)
		d.touch(last)
		d.wants(r, signin.Approved)

		// One that says nothing is asked once, and then aloud.
		d.lock()
		last.answer, last.silent = 2*time.Second, 0
		r = d.ask(signin.Ask{Kind: signin.KindUnlock, KeyID: last.id})
		d.touch(last)
		if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, signin.ErrKeyNoSlot) || last.silent != 1 {
			t.Errorf("a key that says nothing: %v, asked %d times", v.Err, last.silent)
		}
	}, keys...)
}
