package daemon_test

import (
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
	contract "github.com/fobproject/fob/packaging/dbus"
)

func TestSystemFirstMethod(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	add := api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key"}}
	authorize := func(pr *program) (ticket string, err error) {
		err = pr.object.Call(contract.Interface+".Authorize", 0).Store(&ticket)
		return ticket, err
	}
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	bin := p.bin.connect(t)

	t.Run("a password that is not given gives no ticket", func(t *testing.T) {
		m.polkit.set("no")
		ticket, err := authorize(bin)
		if code := busCode(t, err); code != api.CodeNotFirst || ticket != "" {
			t.Errorf("got %q %s", ticket, code)
		}
	})
	t.Run("a ticket is its user's, and good once", func(t *testing.T) {
		m.polkit.set("yes")
		with := add
		for range 2 { // one that is shown by another user is spent
			ticket, err := authorize(bin)
			if err != nil || ticket == "" {
				t.Fatal(ticket, err)
			}
			for _, a := range []*actor{p.sys, p.bin} {
				with.Ticket = api.Secret(ticket)
				if code := a.refused(t, with); code != api.CodeNotFirst {
					t.Errorf("shown by uid %d: %s", a.uid, code)
				}
			}
		}
		ticket, err := authorize(bin)
		if err != nil {
			t.Fatal(err)
		}
		p.bin.register(t, api.BeginRequest{Ticket: api.Secret(ticket)})
		with.Ticket = api.Secret(ticket)
		if code := p.bin.refused(t, with); code != api.CodeNotFirst {
			t.Errorf("again: %s", code)
		}
		if strings.Contains(m.log.String(), ticket) {
			t.Error("the log has the ticket")
		}
		ms, err := p.bin.Methods(limit(t), "")
		if err != nil || len(ms) != 1 {
			t.Errorf("the user has %+v %v", ms, err)
		}
	})
	t.Run("a password is no step-up", func(t *testing.T) {
		ticket, err := authorize(bin)
		if err != nil {
			t.Fatal(err)
		}
		s := p.bin.begin(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "recovery"}, Ticket: api.Secret(ticket)})
		v := p.bin.blinking(t, s)
		if !v.Pending {
			t.Errorf("it is %+v", v)
		}
		s.Close()
	})
	t.Run("nothing waits while a password is asked for, and leaving ends the question", func(t *testing.T) {
		m.polkit.set("")
		for len(m.polkit.asked) > 0 {
			<-m.polkit.asked
		}
		waiting := p.desk.connect(t)
		asked := waiting.object.Go(contract.Interface+".Authorize", 0, nil)
		soon(t, "the question", m.polkit.asked)
		for range 4 { // more than a user has places
			s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
			p.sudo.tap(t)
			if v := decision(t, s); v.Decision != api.Approved {
				t.Fatalf("meanwhile it ends %+v %v", v, v.Error)
			}
		}
		st, err := p.desk.Status(limit(t))
		if err != nil || st.Pending != 0 {
			t.Errorf("%d are pending %v", st.Pending, err)
		}
		select {
		case <-asked.Done:
			t.Errorf("the question is answered: %v", asked.Err)
		default:
		}
		_ = waiting.conn.Close()
		soon(t, "the end of the question", m.polkit.cancelled)
		m.polkit.set("yes")
		if _, err := authorize(p.desk.connect(t)); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
	t.Run("root's one-time code registers a key, once and for its user", func(t *testing.T) {
		for _, a := range []*actor{p.desk, p.sys} {
			if code := a.call(t, "POST", "/helpdesk", api.HelpdeskIssue{User: "sys", ValidS: 600}, nil); code != api.CodeForbidden {
				t.Errorf("uid %d issues one: %q", a.uid, code)
			}
		}
		var issued api.HelpdeskCode
		if code := p.sshd.call(t, "POST", "/helpdesk", api.HelpdeskIssue{User: "sys", ValidS: 600}, &issued); code != "" || issued.User != "sys" || len(issued.Code) == 0 {
			t.Fatal(issued.User, code)
		}
		text := string(issued.Code)
		sys := m.login.seat(m.newActor(t, uidSys), uidSys)
		nobody := m.newActor(t, uidNobody)
		with := add
		with.Helpdesk = api.Secret(text)
		if s, err := nobody.Begin(limit(t), with); err == nil { // who sits nowhere cannot type the number either
			if v, err := s.Next(); err != nil || !v.Pending || v.Number == "" {
				t.Errorf("another user's: %+v, %v", v, err)
			}
			s.Close()
		} else if code := codeOf(t, err); code != api.CodeHelpdesk {
			t.Errorf("another user's: %s", code)
		}
		sys.register(t, api.BeginRequest{Helpdesk: api.Secret(text)})
		with.Helpdesk = api.Secret(text)
		s := sys.begin(t, with)
		if v := decision(t, s); v.Decision == api.Approved || v.Error == nil || v.Error.Code != api.CodeHelpdesk {
			t.Errorf("again: %+v", v)
		}
		if strings.Contains(m.log.String(), text) {
			t.Error("the log has the code")
		}
	})
}
