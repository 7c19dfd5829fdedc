package daemon_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	contract "github.com/fobproject/fob/packaging/dbus"
)

var updateAccess = flag.Bool("update", false, "write docs/access.md anew")

func TestAccessIsWrittenDown(t *testing.T) {
	const path = "../docs/access.md"
	want := accessDoc(socketRows(t), busRows(t), kindRows(t))
	if *updateAccess && !t.Failed() {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: write it anew with go test ./daemon -run TestAccess -update", path)
	}
}

// outcome is what an answer's code says of access.
func outcome(code api.Code) string {
	switch code {
	case api.CodeForbidden:
		return never
	case api.CodeNotFound:
		return missing
	case api.CodePlace, api.CodePINWrongPlace:
		return refused
	}
	return yes
}

// try calls a route and gives the outcome.
func (a *actor) try(t *testing.T, route, id, body string) string {
	t.Helper()
	method, path, _ := strings.Cut(strings.ReplaceAll(route, "{id}", id), " ")
	status, b := a.http(t, method, path, body)
	if status < 400 {
		return yes
	}
	return outcome(codeIn(t, b))
}

func TestAccessAtTheMachinesInstance(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	away := m.login.away(m.newActor(t, uidDaemon), uidDaemon)
	method := p.sudo.register(t, api.BeginRequest{User: "daemon"})
	m.polkit.set("no")
	imported, err := p.sshd.Import(limit(t), api.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := imported.Add(api.TokenSeed{Serial: "T1", Kind: "hotp", Algorithm: "SHA1", Digits: 6, Seed: make(api.Seed, 20), User: "daemon", Exact: true}); err != nil {
		t.Fatal(err)
	}
	if report, err := imported.Commit(); err != nil || report.Assigned != 1 {
		t.Fatal(report, err)
	}
	n := 0
	serial := func(s string) string { n++; return fmt.Sprint(s, n) }
	// grant gives the id of a new remembered approval.
	grant := func(t *testing.T) string {
		t.Helper()
		s := p.sshd.begin(t, ssh(serial("203.0.113."), serial("SHA256:")))
		v := first(t, s)
		if code := p.desk.call(t, "POST", "/requests/"+v.ID+"/remember", api.Remember{Remember: true}, nil); code != "" {
			t.Fatal(code)
		}
		p.desk.number(t, v.ID, v.Number)
		p.desk.tap(t)
		return decision(t, s).Grant
	}
	approved := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
	p.sudo.tap(t)
	receipt := decision(t, approved).ID
	keys, err := p.desk.Keys(limit(t))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	// thing gives the id of something of daemon's that a route is about. what ends it again.
	thing := func(t *testing.T, r row, begunBy *actor) (id string, end func()) {
		t.Helper()
		switch {
		case r.whose == aRequest || r.whose == aDecision:
			p.desk.settled(t)
			s := begunBy.begin(t, api.BeginRequest{User: "daemon", Service: serial("thing")})
			return first(t, s).ID, s.Close
		case strings.Contains(r.name, "/grants/{id}"):
			return grant(t), func() {}
		}
		for path, id := range map[string]string{"/keys/": keys[0].ID, "/methods/": method.ID, "/tokens/": "T1", "/receipts/": receipt} {
			if strings.Contains(r.name, path) {
				return id, func() {}
			}
		}
		return "none", func() {}
	}
	for _, r := range socketRows(t) {
		t.Run(r.name, func(t *testing.T) {
			check := func(who string, a *actor, id, want string) {
				t.Helper()
				user := ""
				if a.uid == uidRoot && r.whose == anItem {
					user = `,"user":"daemon"`
					if strings.HasPrefix(r.body, `{"user"`) {
						user = `daemon`
					}
				}
				body := strings.ReplaceAll(r.body, "SERVICE", serial("s"))
				body = strings.ReplaceAll(strings.ReplaceAll(body, `""USER`, `"`+user+`"`), "USER", user)
				if got := a.try(t, r.name, id, body); got != want {
					t.Errorf("to %s it is %q, not %q", who, got, want)
				}
			}
			id, end := thing(t, r, p.desk)
			check("another user", p.bin, id, r.other())
			check("the user", p.desk, id, r.user())
			end()
			id, end = thing(t, r, p.desk)
			check("root", p.sshd, id, r.root())
			end()
			if r.began() != "" {
				id, end = thing(t, r, p.sudo)
				check("who began it", p.sudo, id, r.began())
				check("another user", p.bin, id, missing)
				_ = p.desk.Cancel(limit(t), id) // it may have ended
				end()
			}
			id, end = thing(t, r, p.desk)
			if r.reach != codeAlone {
				check("the user elsewhere", away, id, r.elsewhere())
			}
			end()
			if r.whose != aRequest && r.whose != aDecision {
				return
			}
			id, end = thing(t, r, away)
			for body, want := range r.fromElsewhere() {
				r.body = body
				check("the user elsewhere, of what was begun there, with "+body, away, id, want)
			}
			end()
			p.lift(t)
		})
	}
	t.Run("another user's name", func(t *testing.T) {
		for _, path := range []string{"/methods?", "/grants?", "/policy/check?service=pam:sudo&", "/tokens?", "/log?"} {
			if got := p.bin.try(t, "GET "+path+"user=daemon", "", ""); got != never {
				t.Errorf("to another user %s is %q", path, got)
			}
			if got := p.sshd.try(t, "GET "+path+"user=daemon", "", ""); got != yes {
				t.Errorf("to root %s is %q", path, got)
			}
		}
	})
	t.Run("cards", func(t *testing.T) {
		for _, a := range []*actor{p.desk, p.bin, p.sshd} {
			if got := a.try(t, "GET /events?cards=true", "", ""); got != never {
				t.Errorf("to uid %d the events of cards are %q", a.uid, got)
			}
		}
	})
	for _, r := range busRows(t) {
		t.Run(r.name, func(t *testing.T) {
			mine := p.desk.connect(t)
			id := receipt
			p.desk.settled(t)
			if r.whose == begunHere {
				id = mine.verifyFor(t, serial("bus"), map[string]dbus.Variant{})
			}
			for _, c := range []struct {
				who  string
				prog *program
				want string
			}{{"another user", p.bin.connect(t), r.other()}, {"root", p.sshd.connect(t), r.root()}, {"the user", mine, r.user()}} {
				if got := c.prog.try(t, r.name, id, serial("bus")); got != c.want {
					t.Errorf("to %s it is %q, not %q", c.who, got, c.want)
				}
			}
			there := away.connect(t)
			if r.whose == begunHere {
				if got := there.try(t, r.name, mine.verifyFor(t, serial("bus"), nil), ""); got != missing {
					t.Errorf("to the user elsewhere, of the desk's, it is %q", got)
				}
				id = there.verifyFor(t, serial("bus"), nil)
			}
			if got := there.try(t, r.name, id, serial("bus")); got != r.elsewhere() {
				t.Errorf("to the user elsewhere it is %q, not %q", got, r.elsewhere())
			}
			_ = mine.conn.Close() // with what it began
			p.lift(t)
		})
	}
	for _, k := range kindRows(t) {
		t.Run("a request of the kind "+string(k.kind), func(t *testing.T) {
			for _, c := range []struct {
				who  string
				a    *actor
				user string
				want string
			}{
				{"a user for themselves", p.desk, "", k.self()}, {"another user", p.bin, "daemon", k.forOther()}, {"root for a user", p.sshd, "daemon", k.root()},
			} {
				p.desk.settled(t)
				body := fmt.Sprintf(`{"kind":%q,"user":%q,"service":%q}`, k.kind, c.user, serial("kind"))
				if got := c.a.try(t, "POST /requests", "", body); got == never != (c.want == never) {
					t.Errorf("to %s it is %q, not %q", c.who, got, c.want)
				}
			}
		})
	}
}

// lift has root take away that daemon's requests from elsewhere, which came to nothing, must wait.
func (p people) lift(t *testing.T) {
	t.Helper()
	p.desk.settled(t)
	if v := decision(t, p.sudo.begin(t, api.BeginRequest{Kind: api.KindUnblock, User: "daemon"})); v.Decision != api.Approved {
		t.Fatalf("root lifts the wait: %+v %v", v, v.Error)
	}
}

// try calls a method on the bus and gives the outcome.
func (p *program) try(t *testing.T, method, id, service string) string {
	t.Helper()
	none := map[string]dbus.Variant{}
	args := map[string][]any{
		"Verify": {"", service, none}, "VerifyCode": {"", service, "123456", none}, "Cancel": {id}, "Receipt": {id}, "Status": {}, "Authorize": {},
	}
	with, ok := args[method]
	if !ok {
		t.Fatalf("this test does not know how to call %s", method)
	}
	call := p.object.Call(contract.Interface+"."+method, 0, with...)
	if call.Err == nil && method == "Verify" {
		_ = p.object.Call(contract.Interface+".Cancel", 0, call.Body[0]).Err // it may have ended
	}
	return outcome(busCode(t, call.Err))
}

func TestAccessAtAUsersOwnInstance(t *testing.T) {
	m := newMachine(t, sshPolicy)
	u := m.newUsers(t, uidDaemon)
	owner := m.login.seat(u.newActor(t, uidDaemon), uidDaemon)
	away := m.login.away(u.newActor(t, uidDaemon), uidDaemon)
	info, err := os.Stat(u.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has the mode %v %v", info.Mode(), err)
	}
	home := strings.TrimSuffix(u.socket, "/fob/fob.sock")
	for path, mode := range map[string]os.FileMode{home: 0o755, home + "/fob": 0o755, u.socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	others := []*actor{u.newActor(t, uidBin), u.newActor(t, uidRoot)}
	for _, r := range socketRows(t) {
		t.Run(r.name, func(t *testing.T) {
			body := strings.NewReplacer("SERVICE", "name", "USER", "").Replace(r.body)
			for _, a := range others {
				if got := a.try(t, r.name, "none", body); got != never {
					t.Errorf("to uid %d it is %q", a.uid, got)
				}
			}
			if got := owner.try(t, r.name, "none", body); got == never != (r.owner() == never) {
				t.Errorf("to the owner it is %q, not %q", got, r.owner())
			}
		})
	}
	for _, r := range busRows(t) {
		t.Run(r.name, func(t *testing.T) {
			for _, a := range others {
				if got := a.connect(t).try(t, r.name, "none", "name"); got != never {
					t.Errorf("to uid %d it is %q", a.uid, got)
				}
			}
			if got := owner.connect(t).try(t, r.name, "none", "name"); got == never {
				t.Errorf("to the owner it is %q", got)
			}
		})
	}
	for _, k := range kindRows(t) {
		t.Run("a request of the kind "+string(k.kind), func(t *testing.T) {
			body := fmt.Sprintf(`{"kind":%q}`, k.kind)
			for _, a := range others {
				if got := a.try(t, "POST /requests", "", body); got != never {
					t.Errorf("to uid %d it is %q", a.uid, got)
				}
			}
			if got := owner.try(t, "POST /requests", "", body); got == never != (k.owner() == never) {
				t.Errorf("to the owner it is %q, not %q", got, k.owner())
			}
			if !k.Desk {
				return
			}
			if status, b := away.http(t, "POST", "/requests", body); status < 400 || codeIn(t, b) != api.CodePlace {
				t.Errorf("to the owner elsewhere it is %d %s", status, b)
			}
		})
	}
}
