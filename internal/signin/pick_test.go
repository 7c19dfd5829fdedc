package signin_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fobproject/fob/internal/signin"
)

// Who sits elsewhere makes no key blink for what the desk has begun: a tap could be meant for another.
func TestNobodyElsewherePicksForTheDesk(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		sudos := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		<-k.blinks
		apps := d.by(d.me, signin.Ask{Service: "mailer"})
		d.quiet(k) // both want it
		for _, r := range []*signin.Request{sudos, apps} {
			if err := d.Pick(ssh, r.ID()); !errors.Is(err, signin.ErrNumberPlace) {
				t.Errorf("picked from elsewhere: %v", err)
			}
			d.quiet(k)
			if got := offerState(r.View(), k); got != signin.OfferPick {
				t.Errorf("the offer is %q", got)
			}
		}
		if err := d.Pick(d.me, apps.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(apps, signin.Approved)
		if err := d.Cancel(d.me, sudos.ID()); err != nil {
			t.Fatal(err)
		}
		d.end(sudos)
		theirs := d.by(ssh, signin.Ask{Service: "mailer"})
		synctest.Wait()
		if err := d.Pick(ssh, theirs.ID()); err != nil {
			t.Errorf("what was begun elsewhere is picked there: %v", err)
		}
		d.quiet(k) // the number was not typed
	}, k)
}
