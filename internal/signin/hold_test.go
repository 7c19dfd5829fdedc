package signin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

// An approval by a key that stands in for "verified" signs what it had to prove.
func TestAKeyThatStandsInKeepsTheLogWhole(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.obey("[service.\"pam:safe\"]\nrequire = \"verified\"\nfallback = [\"key\"]\n")
		r := d.by(sudo, signin.Ask{Service: "pam:safe"})
		d.touch(k)
		if v := d.wants(r, signin.Approved); v.Strength != policy.Key {
			t.Errorf("approved by %s", v.Strength)
		}
		if _, err := d.VerifyLog(t.Context(), root, nil, nil); err != nil {
			t.Errorf("the log: %v", err)
		}
	}, k)
}

// Where the use of a grant cannot be written the person is asked, and can still deny.
func TestAGrantThatCannotBeWrittenIsAskedFor(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		a := from("192.0.2.7", fingerprint)
		d.remembers(k, a)
		mend, err := breakDisk(d.config.Store.Path())
		if err != nil {
			t.Fatal(err)
		}
		r := d.by(sshd, a)
		synctest.Wait()
		mend()
		if !r.View().Pending() {
			t.Fatalf("ended as %+v", r.View())
		}
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Errorf("a pending request cannot be denied: %v", err)
		}
		if err := d.Cancel(sshd, r.ID()); err != nil && !errors.Is(err, signin.ErrNotFound) && !errors.Is(err, signin.ErrNotPending) {
			t.Errorf("nor cancelled: %v", err)
		}
	}, k)
}

// A grant ends when policy no longer allows the model of key that approved it.
func TestAGrantEndsWithTheModelOfItsKey(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		a := from("192.0.2.7", fingerprint)
		d.remembers(k, a)
		d.supply("77") // so that somebody can be asked
		d.obey(rule + "\n[keys]\nallow_aaguids = [\"00000000-0000-0000-0000-0000000000ff\"]\n")
		if !d.isAsked(sshd, a) {
			t.Error("not asked, although the key that approved could not approve any more")
		}
	}, k)
}

// A grant that a code approved ends when its token is disabled.
func TestAGrantEndsWithItsToken(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		a := from("192.0.2.7", fingerprint)
		d.remembersCode(f, a)
		d.wants(d.by(root, signin.Ask{Kind: signin.KindChangeToken, User: "alice", Token: signin.TokenAsk{Serial: "77", Action: signin.TokenDisable}}), signin.Approved)
		if !d.isAsked(sshd, a) {
			t.Error("not asked, although the token was disabled (lost, say)")
		}
	}, k)
}

// Users of whom nothing is pending take no memory.
func TestWhoBeganSomethingOnceIsForgotten(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.config.Person = func(_ context.Context, id uint32) (signin.Person, error) {
			return signin.Person{UID: id, Name: fmt.Sprint("user", id)}, nil
		}
		d.anew()
		for n := range uint32(5000) {
			c := web
			c.UID = 100_000 + n
			if _, err := d.Begin(t.Context(), c, signin.Ask{Service: "x"}); err == nil {
				t.Fatal("begun")
			}
		}
		time.Sleep(time.Hour)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
		synctest.Wait()
		if n := d.Loads(); n > 100 {
			t.Errorf("%d loads are kept of users of whom nothing is pending", n)
		}
	}, k)
}

// A grant is used under the policy that is in force when it is used.
func TestAGrantObeysThePolicyOfNow(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		a := from("192.0.2.7", fingerprint)
		d.remembers(k, a)
		release, held := make(chan struct{}), make(chan struct{})
		go d.config.Store.Update(t.Context(), func(*store.Tx) error { close(held); <-release; return nil })
		<-held
		r := d.by(sshd, a)
		synctest.Wait() // it waits for the disk
		d.obey("[service.\"pam:sshd\"]\nrequire = \"verified\"\n")
		close(release)
		synctest.Wait()
		if v := r.View(); !v.Pending() && v.Decision == signin.Approved {
			t.Errorf("approved by grant %q after policy forbade it", v.Grant)
		}
	}, k)
}

// An end that could not be written names no entry of the log: the next one gets its number.
func TestWhatIsNotWrittenHasNoNumber(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		synctest.Wait()
		mend, err := breakDisk(d.config.Store.Path())
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Deny(d.me, r.ID())
		v := d.wants(r, signin.Denied)
		mend()
		if v.LogSeq != 0 {
			t.Errorf("it says that it is entry %d, and the log has %d entries", v.LogSeq, len(d.everything()))
		}
	}, k)
}

// The caller hears of a registration what the log says.
func TestARegistrationIsHeardAsItIsLogged(t *testing.T) {
	k := newFakeKey("aa")
	k.pin = "1234"
	host(t, func(t *testing.T, d *desk) {
		r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		v := d.wants(r, signin.Approved)
		all := d.everything()
		if last := all[len(all)-1]; last.Strength != v.Strength.String() {
			t.Errorf("heard as %s, and the log has %s", v.Strength, last.Strength)
		}
	}, k)
}

// A key with a PIN and then one without leave a log that holds.
func TestASecondKeyKeepsTheLogWhole(t *testing.T) {
	k, k2 := newFakeKey("aa"), newFakeKey("bb")
	k.pin = "1234"
	host(t, func(t *testing.T, d *desk) {
		r := d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
		d.typePIN(r, "1234")
		d.touch(k)
		d.touch(k)
		d.wants(r, signin.Approved)
		if _, err := d.VerifyLog(t.Context(), root, nil, nil); err != nil {
			t.Fatalf("after the first: %v", err)
		}
		d.unplug(k)
		d.plug(k2)
		r = d.by(sudo, signin.Ask{Kind: signin.KindAddMethod, KeyID: k2.id, Method: signin.MethodAsk{Type: "key", Name: "Two"}})
		d.touch(k2)
		d.touch(k2)
		d.wants(r, signin.Approved)
		if _, err := d.VerifyLog(t.Context(), root, nil, nil); err != nil {
			t.Errorf("after the second: %v", err)
		}
	}, k)
}
