package signin_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

func TestVerifyLog(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		d.remembers(k, from("192.0.2.7", fingerprint))
		d.isAsked(sshd, from("192.0.2.7", fingerprint))
		if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(f.press())}); err != nil {
			t.Fatal(err)
		}
		r := d.by(sudo, signin.Ask{Service: "pam:sudo", Claimed: signin.Claimed{Command: caller.Clean("TOKEN=1 /usr/bin/apt install x"), Host: caller.Clean("desk")}})
		d.touch(k)
		d.wants(r, signin.Approved)
		for _, c := range []caller.Caller{d.me, bob, web} {
			if _, err := d.VerifyLog(t.Context(), c, nil, nil); !errors.Is(err, caller.ErrForbidden) {
				t.Errorf("uid %d: %v", c.UID, err)
			}
		}
		head, hash, err := d.LogHead()
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.VerifyLog(t.Context(), root, &audit.KnownHead{Seq: head, Hash: hash}, nil)
		if err != nil || v.Last != head || v.Receipts != 3 || v.SignedUpTo != head {
			t.Errorf("got %+v, %v", v, err)
		}
		if _, err := d.VerifyLog(t.Context(), root, &audit.KnownHead{Seq: head, Hash: [32]byte{1}}, nil); err == nil {
			t.Error("a head that never was is found")
		}
	}, k)
}

// A receipt belongs to one entry: what the key did not sign is found.
func TestReceiptOfAnotherEntry(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
		all := d.everything()
		e := all[len(all)-1]
		if err := signin.CheckReceipt(e); err != nil || e.UID != uid {
			t.Fatalf("as it was signed: uid %d, %v", e.UID, err)
		}
		for name, change := range map[string]func(*audit.Entry){
			"another uid":      func(e *audit.Entry) { e.UID++ },
			"root":             func(e *audit.Entry) { e.UID = 0 },
			"another user":     func(e *audit.Entry) { e.User = "bob" },
			"another place":    func(e *audit.Entry) { e.Place = "remote" },
			"another service":  func(e *audit.Entry) { e.Service = "pam:su" },
			"another strength": func(e *audit.Entry) { e.Strength = "verified" },
		} {
			changed := e
			change(&changed)
			if err := signin.CheckReceipt(changed); err == nil {
				t.Errorf("%s: the receipt holds", name)
			}
		}
	}, k)
}

func TestTheLogKeeps400Days(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		old := d.everything()
		time.Sleep(300 * 24 * time.Hour)
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		d.touch(k)
		d.wants(r, signin.Approved)
		time.Sleep(101 * 24 * time.Hour)
		if n, err := d.PruneLog(t.Context(), audit.DefaultKeep); err != nil || n != 0 {
			t.Fatalf("%d entries are pruned by a clock that nothing confirms, %v", n, err)
		}
		d.wants(d.by(root, signin.Ask{Kind: signin.KindUnblock}), signin.Approved)
		n, err := d.PruneLog(t.Context(), audit.DefaultKeep)
		if err != nil || int(n) != len(old) {
			t.Fatalf("%d of %d entries are pruned, %v", n, len(old), err)
		}
		v, err := d.VerifyLog(t.Context(), root, nil, nil)
		if err != nil || v.First != uint64(len(old))+1 {
			t.Errorf("the rest: %+v, %v", v, err)
		}
		all := d.everything()
		if all[0].Request != r.ID() || all[len(all)-1].Kind != "prune-log" {
			t.Errorf("left: %+v", all)
		}
		if n, err := d.PruneLog(t.Context(), audit.DefaultKeep); err != nil || n != 0 {
			t.Errorf("again: %d, %v", n, err)
		}
	}, k)
}

func TestLogFilters(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		time.Sleep(time.Hour)
		since := d.config.Clock.Now()
		r := d.by(sudo, signin.Ask{Service: "pam:sudo"})
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Denied)
		for name, q := range map[string]signin.LogQuery{
			"since": {Since: since}, "by service": {Service: "pam:sudo"}, "by decision": {Decision: "denied"},
			"by kind": {Kind: "sign-in"}, "by request": {Request: r.ID()}, "newest": {Newest: true, Limit: 1},
		} {
			page, err := d.Log(t.Context(), d.me, q)
			if err != nil || len(page.Entries) != 1 || page.Entries[0].Request != r.ID() {
				t.Errorf("%s: %+v, %v", name, page.Entries, err)
			}
		}
		if page, err := d.Log(t.Context(), d.me, signin.LogQuery{Until: since}); err != nil || len(page.Entries) != 1 || page.Entries[0].Kind != "add-method" {
			t.Errorf("until: %+v, %v", page.Entries, err)
		}
	}, k)
}
