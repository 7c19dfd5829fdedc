package daemon_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/virtual"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// ssh is a sign-in by ssh as root begins it.
func ssh(origin, key string) api.BeginRequest {
	return api.BeginRequest{User: "daemon", Service: "pam:sshd", Claimed: api.Claimed{Origin: origin, SSHKey: key}}
}

// first reads the first state of a stream.
func first(t *testing.T, s *client.Stream) api.RequestState {
	t.Helper()
	v, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// allows types the number of a request from elsewhere, taps the key, and gives how it ends.
func (a *actor) allows(t *testing.T, s *client.Stream) api.RequestState {
	t.Helper()
	v := first(t, s)
	if v.Number == "" {
		t.Fatalf("there is no number: %+v %v", v, v.Error)
	}
	a.number(t, v.ID, v.Number)
	a.tap(t)
	if v = decision(t, s); v.Decision != api.Approved || v.Strength != "key" || v.Place != "remote" {
		t.Errorf("it ends %+v %v", v, v.Error)
	}
	return v
}

// silent fails if the key blinks.
func (m *machine) silent(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(150 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m.key.IsWaiting() {
			t.Fatal("a key blinks")
		}
	}
}

func TestSystemSignsIn(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)

	t.Run("nobody registers the first key by themselves", func(t *testing.T) {
		r := api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key"}}
		for _, a := range []*actor{p.desk, p.bin, p.sys} {
			if code := a.refused(t, r); code != api.CodeNotFirst {
				t.Errorf("uid %d gets %s", a.uid, code)
			}
		}
		r.User = "daemon"
		if code := p.bin.refused(t, r); code != api.CodeForbidden {
			t.Errorf("for another user: %s", code)
		}
	})
	method := p.sudo.register(t, api.BeginRequest{User: "daemon"})

	t.Run("root in the user's session is local, and a tap approves", func(t *testing.T) {
		s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo", Claimed: api.Claimed{Command: "/usr/bin/id"}})
		v := p.sudo.blinking(t, s)
		if v.Place != "local" || v.Number != "" || v.User != "daemon" || v.Caller != 0 || !slices.Contains(v.Vouched, "command") {
			t.Errorf("it is %+v", v)
		}
		m.key.Touch()
		if v = decision(t, s); v.Decision != api.Approved || v.Strength != "key" || v.SelfAsserted || v.LogSeq == 0 {
			t.Fatalf("it ends %+v %v", v, v.Error)
		}
		page, err := p.desk.Receipts(limit(t), v.ID)
		if err != nil || len(page.Entries) != 1 {
			t.Fatal(page, err)
		}
		if _, err := client.CheckReceipt(page.Entries[0]); err != nil {
			t.Error(err)
		}
	})
	t.Run("root without a session is remote: the number is typed at the desk, then the key is tapped", func(t *testing.T) {
		s := p.sshd.begin(t, ssh("192.0.2.1", "SHA256:one"))
		v := first(t, s)
		if v.Place != "remote" || len(v.Number) != 2 {
			t.Fatalf("it is %+v", v)
		}
		m.silent(t)
		quoted := []byte(`"` + v.Number + `"`)
		_, list := p.desk.http(t, "GET", "/requests", "")
		_, one := p.desk.http(t, "GET", "/requests/"+v.ID, "")
		_, roots := p.sshd.http(t, "GET", "/requests/"+v.ID, "")
		for what, b := range map[string][]byte{
			"the desk's list": list, "the desk's request": one, "another call of root": roots,
			"the desk's events": p.desk.everyLine(t, "/events", 100*time.Millisecond), "the log": []byte(m.log.String()),
		} {
			if bytes.Contains(b, quoted) || bytes.Contains(b, []byte(`"number":`)) {
				t.Errorf("%s has the number %s: %s", what, v.Number, b)
			}
		}
		for who, a := range map[string]*actor{"who asks": p.sshd, "root at the desk": p.sudo} {
			err := a.Answer(limit(t), v.ID, api.Answer{Prompt: p.desk.prompt(t, v.ID, api.PromptNumber).ID, Number: v.Number})
			if err == nil || codeOf(t, err) != api.CodePlace {
				t.Errorf("%s types the number: %v", who, err)
			}
		}
		p.desk.number(t, v.ID, v.Number)
		p.desk.tap(t)
		if v = decision(t, s); v.Decision != api.Approved || v.Strength != "key" || v.Place != "remote" || v.Grant != "" {
			t.Errorf("it ends %+v %v", v, v.Error)
		}
	})
	t.Run("the user elsewhere cannot type the number, nor a PIN", func(t *testing.T) {
		away := m.login.away(m.newActor(t, uidDaemon), uidDaemon)
		s := p.sshd.begin(t, ssh("192.0.2.2", ""))
		v := first(t, s)
		prompt := away.prompt(t, v.ID, api.PromptNumber)
		if err := away.Answer(limit(t), v.ID, api.Answer{Prompt: prompt.ID, Number: v.Number}); err == nil || codeOf(t, err) != api.CodePlace {
			t.Errorf("the number: %v", err)
		}
		if err := away.Answer(limit(t), v.ID, api.Answer{Prompt: prompt.ID, PIN: api.Secret("1234")}); err == nil || codeOf(t, err) != api.CodePINWrongPlace {
			t.Errorf("a PIN: %v", err)
		}
		m.silent(t)
		s.Close()
	})
	t.Run("leaving cancels, and the key stops blinking", func(t *testing.T) {
		s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
		v := p.sudo.blinking(t, s)
		s.Close()
		if err := m.key.WaitIdle(limit(t)); err != nil {
			t.Error("the key blinks on")
		}
		if e := p.desk.decided(t, v.ID); e.Decision != api.Cancelled {
			t.Errorf("it ends %+v", e)
		}
	})
	t.Run("what is remembered is not asked again, from there with that key alone", func(t *testing.T) {
		s := p.sshd.begin(t, ssh("192.0.2.3", "SHA256:three"))
		v := first(t, s)
		if v.RememberableS != 90*24*3600 {
			t.Fatalf("it may be remembered for %d s", v.RememberableS)
		}
		path := "/requests/" + v.ID + "/remember"
		if code := p.sshd.call(t, "POST", path, api.Remember{Remember: true}, nil); code != api.CodeForbidden {
			t.Errorf("who asks wants it remembered: %s", code)
		}
		if code := p.desk.call(t, "POST", path, api.Remember{Remember: true}, nil); code != "" {
			t.Fatal(code)
		}
		p.desk.number(t, v.ID, v.Number)
		p.desk.tap(t)
		v = decision(t, s)
		if v.Decision != api.Approved || v.Grant == "" {
			t.Fatalf("it ends %+v %v", v, v.Error)
		}
		for range 2 {
			again := decision(t, p.sshd.begin(t, ssh("192.0.2.3", "SHA256:three")))
			if again.Decision != api.Approved || again.Grant != v.Grant {
				t.Fatalf("again it ends %+v %v", again, again.Error)
			}
		}
		for _, r := range []api.BeginRequest{ssh("192.0.2.3", "SHA256:other"), ssh("192.0.2.4", "SHA256:three"), ssh("192.0.2.3", "")} {
			if v := p.desk.allows(t, p.sshd.begin(t, r)); v.Grant != "" {
				t.Errorf("%+v is not asked: %+v", r.Claimed, v)
			}
		}
		var gs []api.Grant
		if code := p.desk.call(t, "GET", "/grants", nil, &gs); code != "" || len(gs) != 1 || gs[0].Uses != 2 || gs[0].Method != method.ID {
			t.Errorf("the user sees %+v %s", gs, code)
		}
		if code := p.sshd.call(t, "GET", "/grants?user=daemon", nil, &gs); code != "" || len(gs) != 1 {
			t.Errorf("root sees %+v %s", gs, code)
		}
		if code := p.bin.call(t, "GET", "/grants", nil, &gs); code != "" || len(gs) != 0 {
			t.Errorf("another user sees %+v %s", gs, code)
		}
		if code := p.bin.call(t, "GET", "/grants?user=daemon", nil, nil); code != api.CodeForbidden {
			t.Errorf("another user asks for them: %s", code)
		}
		if code := p.desk.call(t, "POST", "/grants/"+v.Grant+"/revoke", api.ForUser{}, nil); code != "" {
			t.Fatal(code)
		}
		if v := p.desk.allows(t, p.sshd.begin(t, ssh("192.0.2.3", "SHA256:three"))); v.Grant != "" {
			t.Errorf("after it was taken back: %+v", v)
		}
	})
	t.Run("a report blocks where it came from, and a tap lifts that", func(t *testing.T) {
		s := p.sshd.begin(t, ssh("198.51.100.9", ""))
		v := first(t, s)
		if err := p.sshd.Report(limit(t), v.ID); err == nil || codeOf(t, err) != api.CodeForbidden {
			t.Errorf("who asks reports it: %v", err)
		}
		if err := p.desk.Report(limit(t), v.ID); err != nil {
			t.Fatal(err)
		}
		if v := decision(t, s); v.Decision != api.Reported {
			t.Errorf("it ends %+v", v)
		}
		if code := p.sshd.refused(t, ssh("198.51.100.9", "")); code != api.CodeBlocked {
			t.Errorf("from there again: %s", code)
		}
		s = p.sshd.begin(t, ssh("198.51.100.10", "")) // others go on
		first(t, s)
		s.Close()
		st, err := p.desk.Status(limit(t))
		if err != nil || !slices.ContainsFunc(st.Waits, func(w api.Wait) bool { return w.Kind == "block" && w.Origin == "198.51.100.9" }) {
			t.Errorf("the status has %+v %v", st.Waits, err)
		}
		s = p.desk.begin(t, api.BeginRequest{Kind: api.KindUnblock, Unblock: "198.51.100.9"})
		p.desk.tap(t)
		if v := decision(t, s); v.Decision != api.Approved {
			t.Fatalf("unblocking ends %+v %v", v, v.Error)
		}
		s = p.sshd.begin(t, ssh("198.51.100.9", ""))
		first(t, s)
		s.Close()
	})
	t.Run("a denial makes wait, from there", func(t *testing.T) {
		s := p.sshd.begin(t, ssh("198.51.100.20", ""))
		v := first(t, s)
		if err := p.desk.Deny(limit(t), v.ID); err != nil {
			t.Fatal(err)
		}
		if v := decision(t, s); v.Decision != api.Denied {
			t.Errorf("it ends %+v", v)
		}
		if code := p.sshd.refused(t, ssh("198.51.100.20", "")); code != api.CodeThrottled {
			t.Errorf("at once again: %s", code)
		}
	})
	t.Run("a recovery code is good once", func(t *testing.T) {
		s := p.desk.begin(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "recovery"}})
		p.desk.tap(t)
		v := decision(t, s)
		if v.Decision != api.Approved || len(v.RecoveryCodes) < 5 {
			t.Fatalf("it ends %+v %v", v, v.Error)
		}
		code := string(v.RecoveryCodes[0])
		for _, b := range [][]byte{p.desk.everyLine(t, "/events", 100*time.Millisecond), []byte(m.log.String())} {
			if bytes.Contains(b, []byte(code)) {
				t.Error("a recovery code stands elsewhere than in the answer")
			}
		}
		s = p.sshd.begin(t, ssh("192.0.2.30", ""))
		v = first(t, s)
		if err := p.sshd.Answer(limit(t), v.ID, api.Answer{Prompt: p.sshd.prompt(t, v.ID, api.PromptCode).ID, Code: api.Secret(code)}); err != nil {
			t.Fatal(err)
		}
		if v = decision(t, s); v.Decision != api.Approved || v.Strength == "key" {
			t.Fatalf("it ends %+v %v", v, v.Error)
		}
		s = p.sshd.begin(t, ssh("192.0.2.30", ""))
		v = first(t, s)
		asked := p.sshd.prompt(t, v.ID, api.PromptCode).ID
		if err := p.sshd.Answer(limit(t), v.ID, api.Answer{Prompt: asked, Code: api.Secret(code)}); err != nil {
			t.Fatal(err)
		}
		for ctx := limit(t); p.sshd.prompt(t, v.ID, api.PromptCode).ID == asked && ctx.Err() == nil; { // until it asks for another
			time.Sleep(5 * time.Millisecond)
		}
		if v, err := p.sshd.Request(limit(t), v.ID); err != nil || !v.Pending {
			t.Errorf("with a spent code it is %+v %v", v, err)
		}
		s.Close()
	})
	t.Run("the log of everybody, and its check, are root's", func(t *testing.T) {
		var page api.LogPage
		if code := p.sshd.call(t, "GET", "/log?everybody=true&limit=1000", nil, &page); code != "" || len(page.Entries) < 10 {
			t.Errorf("root reads %d entries %s", len(page.Entries), code)
		}
		if code := p.sshd.call(t, "GET", "/log?user=daemon&limit=1000", nil, &page); code != "" || len(page.Entries) < 10 {
			t.Errorf("root reads %d entries of the user %s", len(page.Entries), code)
		}
		for _, a := range []*actor{p.desk, p.bin, p.sys} {
			for _, path := range []string{"/log?everybody=true", "/log?user=root", "/log/verify"} {
				if code := a.call(t, "GET", path, nil, nil); code != api.CodeForbidden {
					t.Errorf("uid %d at %s: %q", a.uid, path, code)
				}
			}
		}
		if code := p.bin.call(t, "GET", "/log", nil, &page); code != "" || len(page.Entries) != 0 {
			t.Errorf("another user reads %+v %s", page.Entries, code)
		}
		end := p.sshd.verifyLog(t, "")
		if end.BrokenAt != 0 || end.Error != nil || end.Receipts < 4 || end.First != 1 || end.Last < 10 || end.Signatures == 0 {
			t.Errorf("the check ends %+v", end)
		}
		st, err := p.sshd.Status(limit(t))
		if err != nil || end.Head != st.LogHead || !bytes.Equal(end.Key, st.LogKey) {
			t.Errorf("the check has the head %s, the status %s %v", end.Head, st.LogHead, err)
		}
		if end := p.sshd.verifyLog(t, "?head=3:"+strings.Repeat("ab", 32)); end.BrokenAt == 0 && end.Error == nil {
			t.Errorf("a head that never was: %+v", end)
		}
	})
	t.Run("a restart forgets what is pending and keeps the rest", func(t *testing.T) {
		s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
		p.sudo.blinking(t, s)
		m.stop()
		if v := decision(t, s); v.Decision != api.Cancelled || v.Error == nil || v.Error.Code != api.CodeShuttingDown {
			t.Errorf("it ends %+v", v)
		}
		m.start(t, "--key", m.dir+"/key1")
		s = p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
		p.sudo.tap(t)
		if v := decision(t, s); v.Decision != api.Approved {
			t.Errorf("after it: %+v %v", v, v.Error)
		}
		if end := p.sshd.verifyLog(t, ""); end.BrokenAt != 0 || end.Error != nil {
			t.Errorf("after it the log's check ends %+v", end)
		}
	})
}

// verifyLog has the log checked, and gives how that ends.
func (a *actor) verifyLog(t *testing.T, query string) (end api.LogCheck) {
	t.Helper()
	_, b := a.http(t, "GET", "/log/verify"+query, "")
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &end); err != nil || !end.End {
		t.Fatalf("the check ends with %s (%v)", lines[len(lines)-1], err)
	}
	return end
}

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
		if s, err := nobody.Begin(limit(t), with); err == nil {
			if v := decision(t, s); v.Decision == api.Approved || v.Error == nil || v.Error.Code != api.CodeHelpdesk {
				t.Errorf("another user's: %+v", v)
			}
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

func TestSystemBus(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	verify := func(pr *program, user, service string) (id, number string, err error) {
		err = pr.object.Call(contract.Interface+".Verify", 0, user, service, map[string]dbus.Variant{}).Store(&id, &number)
		return id, number, err
	}

	t.Run("another user's program gets a number, and learns nothing but the decision", func(t *testing.T) {
		web := p.sys.connect(t)
		id, number, err := verify(web, "daemon", "site")
		if err != nil || id == "" || len(number) != 2 {
			t.Fatal(id, number, err)
		}
		m.silent(t)
		p.desk.number(t, id, number)
		p.desk.tap(t)
		for {
			member, body := web.next(t)
			if member == "Decided" {
				if body[1] != api.Approved || body[2] != "key" {
					t.Errorf("it ends %v", body)
				}
				break
			}
			state := body[1].(map[string]dbus.Variant)
			if keys, _ := state["keys"].Value().([]string); len(keys) > 0 {
				t.Errorf("it hears of keys: %v", state)
			}
			if prompts, _ := state["prompts"].Value().([]string); len(prompts) > 0 {
				t.Errorf("it hears of prompts: %v", state)
			}
		}
	})
	t.Run("the user's own program at the desk gets none", func(t *testing.T) {
		mine := p.desk.connect(t)
		id, number, err := verify(mine, "", "mailer")
		if err != nil || number != "" {
			t.Fatal(id, number, err)
		}
		p.desk.tap(t)
		if d, _, _ := mine.decided(t, id); d != api.Approved {
			t.Errorf("it ends %s", d)
		}
	})
	t.Run("another user's requests and receipts do not exist", func(t *testing.T) {
		mine, other := p.desk.connect(t), p.bin.connect(t)
		id, _, err := verify(mine, "", "mailer")
		if err != nil {
			t.Fatal(err)
		}
		p.desk.waiting(t)
		if code := busCode(t, other.object.Call(contract.Interface+".Cancel", 0, id).Err); code != api.CodeNotFound {
			t.Errorf("cancel: %q", code)
		}
		m.key.Touch()
		mine.decided(t, id)
		if code := busCode(t, other.object.Call(contract.Interface+".Receipt", 0, id).Err); code != api.CodeNotFound {
			t.Errorf("receipt: %q", code)
		}
		if code := busCode(t, mine.object.Call(contract.Interface+".Receipt", 0, id).Err); code != "" {
			t.Errorf("the user's own receipt: %q", code)
		}
	})
	t.Run("another user who began a request takes it back, and decides nothing", func(t *testing.T) {
		s := p.sys.begin(t, api.BeginRequest{User: "daemon", Service: "elsewhere"})
		v := first(t, s)
		if v.Number == "" || len(v.Offers)+len(v.Prompts) > 0 || !strings.HasPrefix(v.Progress, "Waiting for ") || strings.Contains(v.Progress, "blue") {
			t.Errorf("it sees %+v", v)
		}
		prompt := p.desk.prompt(t, v.ID, api.PromptNumber).ID
		for verb, want := range map[string]api.Code{"deny": api.CodeForbidden, "report": api.CodeForbidden, "pick": api.CodeNotFound} {
			if code := p.sys.call(t, "POST", "/requests/"+v.ID+"/"+verb, nil, nil); code != want {
				t.Errorf("%s: %q", verb, code)
			}
		}
		if err := p.sys.Answer(limit(t), v.ID, api.Answer{Prompt: prompt, Number: v.Number}); err == nil || codeOf(t, err) != api.CodePlace {
			t.Errorf("types the number: %v", err)
		}
		if err := p.sys.Cancel(limit(t), v.ID); err != nil {
			t.Error(err)
		}
		if v := decision(t, s); v.Decision != api.Cancelled {
			t.Errorf("it ends %+v", v)
		}
	})
	t.Run("names of PAM are root's", func(t *testing.T) {
		if _, _, err := verify(p.desk.connect(t), "", "pam:sudo"); busCode(t, err) != api.CodeForbidden {
			t.Errorf("got %v", err)
		}
	})
}

func TestSystemKeepsUsersApart(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	method := p.sudo.register(t, api.BeginRequest{User: "daemon"})
	s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
	v := p.sudo.blinking(t, s)

	for _, c := range []struct {
		name, method, path string
		body               any
		want               api.Code
	}{
		{"the request", "GET", "/requests/" + v.ID, nil, api.CodeNotFound},
		{"an answer to it", "POST", "/requests/" + v.ID + "/answer", api.Answer{Prompt: "p1"}, api.CodeNotFound},
		{"picking it", "POST", "/requests/" + v.ID + "/pick", nil, api.CodeNotFound},
		{"remembering it", "POST", "/requests/" + v.ID + "/remember", api.Remember{Remember: true}, api.CodeNotFound},
		{"denying it", "POST", "/requests/" + v.ID + "/deny", nil, api.CodeNotFound},
		{"reporting it", "POST", "/requests/" + v.ID + "/report", nil, api.CodeNotFound},
		{"cancelling it", "POST", "/requests/" + v.ID + "/cancel", nil, api.CodeNotFound},
		{"its receipt", "GET", "/receipts/" + v.ID, nil, api.CodeNotFound},
		{"renaming the method", "PATCH", "/methods/" + method.ID, map[string]string{"name": "mine"}, api.CodeNotFound},
		{"renaming it by the user's name", "PATCH", "/methods/" + method.ID, map[string]string{"name": "mine", "user": "daemon"}, api.CodeForbidden},
		{"the methods by the user's name", "GET", "/methods?user=daemon", nil, api.CodeForbidden},
		{"the log by the user's name", "GET", "/log?user=daemon", nil, api.CodeForbidden},
		{"the policy for the user", "GET", "/policy/check?service=pam:sudo&user=daemon", nil, api.CodeForbidden},
	} {
		t.Run("does not give another user "+c.name, func(t *testing.T) {
			if code := p.bin.call(t, c.method, c.path, c.body, nil); code != c.want {
				t.Errorf("got %q, want %s", code, c.want)
			}
		})
	}
	t.Run("shows another user nothing in lists, events and counts", func(t *testing.T) {
		st, err := p.bin.Status(limit(t))
		if err != nil || st.Pending != 0 || st.Methods != 0 || st.Tokens != 0 || len(st.Short) != 0 {
			t.Errorf("the status is %+v %v", st, err)
		}
		for _, path := range []string{"/requests", "/methods", "/grants", "/log", "/log?request=" + v.ID} {
			if _, b := p.bin.http(t, "GET", path, ""); bytes.Contains(b, []byte(v.ID)) || bytes.Contains(b, []byte(method.ID)) {
				t.Errorf("%s has %s", path, b)
			}
		}
		heard := make(chan []byte, 1)
		go func() { heard <- p.bin.everyLine(t, "/events", 500*time.Millisecond) }()
		time.Sleep(50 * time.Millisecond)
		m.key.Touch()
		if v := decision(t, s); v.Decision != api.Approved {
			t.Errorf("it ends %+v", v)
		}
		if b := <-heard; bytes.Contains(b, []byte(v.ID)) || bytes.Contains(b, []byte("daemon")) || !bytes.Contains(b, []byte("snapshot")) {
			t.Errorf("the events are %s", b)
		}
	})
}

func TestSystemMakesItsFolder(t *testing.T) {
	needRoot(t)
	parent := tempDir(t)
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: filepath.Join(parent, "new"), log: new(lockedBuffer), bus: testbus.New(t), key: newKey(t, virtual.Options{})}
	m.socket = filepath.Join(m.dir, "fob.sock")
	m.start(t)
	t.Run("so that every user reaches the socket, and nobody its secrets", func(t *testing.T) {
		if _, err := m.newActor(t, uidSys).Status(limit(t)); err != nil {
			t.Error(err)
		}
		files, err := os.ReadDir(m.dir)
		if err != nil || len(files) < 2 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v %v", f.Name(), info.Mode(), err)
			}
		}
	})
}
