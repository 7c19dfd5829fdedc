package signin_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/signin"
)

// Ten thousand sign-ins from as many addresses in a second reach the person twice, and leave nothing behind.
func TestTenThousandFromElsewhere(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		entries := len(d.everything())
		var begun []*signin.Request
		for n := range 10_000 {
			r, err := d.tryBy(sshd, from(fmt.Sprintf("10.0.%d.%d", n/250, n%250), ""))
			switch {
			case err == nil:
				begun = append(begun, r)
			case !errors.Is(err, signin.ErrTooMany):
				t.Fatal(err)
			}
		}
		if len(begun) != 2 || len(d.List(d.me)) != 2 {
			t.Errorf("%d begin, and %d are listed", len(begun), len(d.List(d.me)))
		}
		if held := d.Left(); len(held) != 3 { // requests, a load, views
			t.Errorf("it holds %v", held)
		}
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
		for _, r := range begun {
			_ = d.Cancel(d.me, r.ID())
			d.end(r)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if held := d.Left(); len(held) != 0 {
			t.Errorf("afterwards it holds %v", held)
		}
		if n := len(d.everything()) - entries; n != 3 {
			t.Errorf("the log has grown by %d", n)
		}
	}, k)
}

// A reader who does not read is dropped, and costs no more than its backlog.
func TestASlowReaderIsDropped(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		sub, err := d.Subscribe(t.Context(), d.me)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
			d.touch(k)
			d.wants(r, signin.Approved)
		}
		if !sub.Lagged() || d.Subscriptions() != 0 {
			t.Errorf("lagged %v, and %d readers are left", sub.Lagged(), d.Subscriptions())
		}
	}, k)
}
