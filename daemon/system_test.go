package daemon_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
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
	t.Run("three wrong numbers deny, and say so", func(t *testing.T) {
		s := p.sshd.begin(t, ssh("203.0.113.5", ""))
		v := first(t, s)
		wrong := "00"
		if v.Number == wrong {
			wrong = "01"
		}
		for range 3 {
			p.desk.number(t, v.ID, wrong)
		}
		if v = decision(t, s); v.Decision != api.Denied || v.Error == nil || v.Error.Code != api.CodeNumberWrong {
			t.Errorf("it ends %+v %v", v, v.Error)
		}
		m.silent(t)
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
