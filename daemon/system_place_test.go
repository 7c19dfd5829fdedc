package daemon_test

import (
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
)

// What the session manager does decides whether a key blinks at once, and never whether anything is
// answered.
func TestSystemWithATroubledSessionManager(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})

	// remote has a request of sudo begin, which must come back soon and be remote, and no key blink.
	remote := func(t *testing.T) {
		t.Helper()
		began := time.Now()
		s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo", Claimed: api.Claimed{Origin: "192.0.2.50"}})
		v := first(t, s)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it begins after %v", took)
		}
		if v.Place != "remote" || v.Number == "" {
			t.Errorf("it is %+v", v)
		}
		m.silent(t)
		began = time.Now()
		st, err := p.desk.Status(limit(t))
		if err != nil || st.Place == "local" || time.Since(began) > 2*time.Second {
			t.Errorf("the status has the place %s after %v: %v", st.Place, time.Since(began), err)
		}
		if st.Places == "connected" || !strings.Contains(strings.Join(st.Problems, "\n"), "where callers sit") {
			t.Errorf("the status says of places %q, and of problems %q", st.Places, st.Problems)
		}
		began = time.Now()
		if err := p.desk.Cancel(limit(t), v.ID); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("cancelled after %v: %v", time.Since(began), err)
		}
		decision(t, s)
		s = p.sudo.begin(t, api.BeginRequest{Kind: api.KindUnblock, User: "daemon"}) // after a remote one that came to nothing
		if v := decision(t, s); v.Decision != api.Approved {
			t.Fatalf("root lifts the wait: %+v %v", v, v.Error)
		}
	}
	local := func(t *testing.T) {
		t.Helper()
		s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
		if v := p.sudo.blinking(t, s); v.Place != "local" {
			t.Errorf("it is %+v", v)
		}
		m.key.Touch()
		if v := decision(t, s); v.Decision != api.Approved {
			t.Errorf("it ends %+v %v", v, v.Error)
		}
	}
	t.Run("one that hangs makes everybody remote, within two seconds", func(t *testing.T) {
		m.login.set("hangs")
		remote(t)
		m.login.set("")
		local(t)
	})
	t.Run("one that says two things of a session makes everybody remote", func(t *testing.T) {
		m.login.set("lies")
		remote(t)
		m.login.set("")
		local(t)
	})
	t.Run("one that is away makes everybody remote, and so does an impostor", func(t *testing.T) {
		_ = m.login.conn.Close()
		remote(t)
		impostor := p.bin.connect(t)
		if reply, err := impostor.conn.RequestName(loginName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
			t.Fatal(reply, err)
		}
		go func() {
			for range impostor.signals { // godbus answers nothing that it does not know
			}
		}()
		remote(t)
		_ = impostor.conn.Close()
		again := serveSessions(t, m.bus)
		again.seat(p.sudo, uidDaemon)
		local(t)
	})
}
