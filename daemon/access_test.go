package daemon_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/busapi"
	"github.com/fobproject/fob/daemon/socketapi"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
	contract "github.com/fobproject/fob/packaging/dbus"
)

var updateAccess = flag.Bool("update", false, "write docs/access.md anew")

// What becomes of a call, as far as access goes.
const (
	yes     = "yes"
	missing = "no such thing"
	never   = "forbidden"
)

// whose says whose things a method is about, and so what it is to whom at the machine's instance.
type whose int

// The zero value is not declared.
const (
	undeclared whose = iota
	theirOwn         // whoever calls gets what is theirs; root may name another user
	everybodys       // the same for whoever calls
	anItem           // a thing of one user's; root reaches it by the user's name
	aRequest         // a pending request, of the user who is asked and of whoever began it
	aDecision        // a pending request, which the user who is asked decides
	begunHere        // a request that the same connection began
)

var words = map[whose]string{
	theirOwn: "the caller's own", everybodys: "everybody's", anItem: "one user's",
	aRequest: "the user's and who began it", aDecision: "the user's to decide", begunHere: "who began it, on the same connection",
}

// row is one method of a door.
type row struct {
	name   string
	access caller.Access
	whose  whose
	// place says what counts from where.
	place string
	// elsewhere is a body that the user sitting elsewhere is refused.
	elsewhere string
	// body is what the test sends.
	body string
}

// socketRows adds to the routes what their code does not say beside them.
func socketRows(t *testing.T) []row {
	t.Helper()
	const named = `{"user":"USER"}`
	about := map[string]row{
		"POST /requests":               {whose: theirOwn, body: `{"service":"SERVICE"}`, place: "policy says from where; see the kinds below"},
		"GET /requests":                {whose: theirOwn},
		"GET /requests/{id}":           {whose: aRequest, place: "the number is told to the call that began it alone"},
		"POST /requests/{id}/answer":   {whose: aRequest, body: `{"prompt":"none"}`, place: "a number and a plain yes by the user at the desk alone, a PIN never from elsewhere", elsewhere: `{"prompt":"none","number":"12"}`},
		"POST /requests/{id}/pick":     {whose: aRequest},
		"POST /requests/{id}/remember": {whose: aDecision, body: `{"remember":false}`, place: "at the desk alone", elsewhere: `{"remember":true}`},
		"POST /requests/{id}/deny":     {whose: aDecision},
		"POST /requests/{id}/report":   {whose: aDecision},
		"POST /requests/{id}/cancel":   {whose: aRequest},
		"GET /keys":                    {whose: everybodys},
		"GET /keys/{id}":               {whose: everybodys, place: "at the desk alone, at the machine's instance: it keeps the key busy"},
		"GET /methods":                 {whose: theirOwn},
		"PATCH /methods/{id}":          {whose: anItem, body: `{"name":"SERVICE"USER}`},
		"POST /confirm-name":           {whose: everybodys, body: named},
		"GET /grants":                  {whose: theirOwn},
		"POST /grants/revoke":          {whose: theirOwn, body: `{}`},
		"POST /grants/{id}/revoke":     {whose: anItem, body: `{"user":""USER}`},
		"POST /helpdesk":               {whose: everybodys, body: `{"user":"daemon","valid_s":600}`},
		"GET /policy":                  {whose: everybodys},
		"GET /policy/check":            {whose: theirOwn},
		"GET /tokens":                  {whose: theirOwn},
		"POST /tokens":                 {whose: everybodys, body: `{}`},
		"GET /tokens/{id}":             {whose: anItem},
		"PATCH /tokens/{id}":           {whose: everybodys, body: `{"name":"SERVICE"}`},
		"GET /vault":                   {whose: everybodys},
		"POST /vault/lock":             {whose: everybodys},
		"POST /vault/unlock":           {whose: everybodys, body: `{}`},
		"POST /vault/restore":          {whose: everybodys, body: `{}`},
		"GET /log":                     {whose: theirOwn},
		"GET /log/verify":              {whose: everybodys},
		"GET /receipts/{id}":           {whose: anItem},
		"GET /status":                  {whose: theirOwn},
		"GET /events":                  {whose: theirOwn},
	}
	var rows []row
	for _, r := range socketapi.Routes() {
		rows = append(rows, declared(t, r.Method+" "+r.Pattern, r.Access, about))
	}
	nothingElse(t, about)
	return rows
}

// busRows adds to the methods on the bus what their code does not say beside them.
func busRows(t *testing.T) []row {
	t.Helper()
	about := map[string]row{
		"Verify":     {whose: theirOwn, place: "as the kind sign-in; the number is in the reply alone, and no PIN is taken"},
		"VerifyCode": {whose: theirOwn, place: "as the kind sign-in"},
		"Cancel":     {whose: begunHere},
		"Receipt":    {whose: anItem},
		"Status":     {whose: theirOwn},
		"Authorize":  {whose: theirOwn, place: "polkit asks at the desk"},
	}
	var rows []row
	for _, m := range busapi.Methods() {
		rows = append(rows, declared(t, m.Name, m.Access, about))
	}
	nothingElse(t, about)
	return rows
}

func declared(t *testing.T, name string, access caller.Access, about map[string]row) row {
	t.Helper()
	r := about[name]
	delete(about, name)
	r.name, r.access = name, access
	if !access.Declared() {
		t.Errorf("%s declares no access", name)
	}
	if r.whose == undeclared {
		t.Errorf("%s is not in the table of access: say there whose things it is about", name)
	}
	return r
}

func nothingElse(t *testing.T, about map[string]row) {
	t.Helper()
	for name := range about {
		t.Errorf("the table of access has %s, which is no method", name)
	}
}

// user, other, root and began are what the method is to the user whose things it is about, to another
// user, to root, and to root who began the request, at the machine's instance.
func (r row) user() string {
	if r.access != caller.AccessOwner {
		return never
	}
	return yes
}

func (r row) other() string {
	switch {
	case r.access != caller.AccessOwner:
		return never
	case r.whose == theirOwn || r.whose == everybodys:
		return yes
	}
	return missing
}

func (r row) root() string {
	switch r.whose {
	case aRequest, aDecision, begunHere:
		return missing
	}
	return yes
}

func (r row) began() string {
	switch r.whose {
	case aRequest, begunHere:
		return yes
	case aDecision:
		return never
	}
	return ""
}

// owner is what the method is to the user at their own instance; all others are forbidden everything there.
func (r row) owner() string {
	if r.access == caller.AccessRoot {
		return never
	}
	return yes
}

// kindRow is one kind of request.
type kindRow struct {
	kind signin.Kind
	signin.Rules
}

func kindRows(t *testing.T) []kindRow {
	t.Helper()
	rules := signin.KindRules()
	var rows []kindRow
	for _, k := range slices.Sorted(maps.Keys(rules)) {
		if !rules[k].Access.Declared() || rules[k].StepUp == "" {
			t.Errorf("the kind %s declares no access or no step-up", k)
		}
		rows = append(rows, kindRow{k, rules[k]})
	}
	return rows
}

func (k kindRow) self() string {
	if k.UserOnly || k.Access != caller.AccessOwner {
		return never
	}
	return yes
}

func (k kindRow) forOther() string {
	if k.self() == yes && k.Foreign {
		return yes
	}
	return never
}

func (k kindRow) root() string {
	if k.UserOnly {
		return never
	}
	return yes
}

func (k kindRow) owner() string {
	if k.Access == caller.AccessRoot {
		return never
	}
	return yes
}

func (k kindRow) stepUp() string {
	switch k.StepUp {
	case signin.StepPolicy:
		return "as policy says"
	case signin.StepStrongest:
		if k.Recovers {
			return "the strongest registered, or a recovery code; root without"
		}
		return "the strongest registered; root without"
	}
	return "none: it approves nothing"
}

func (k kindRow) place() string {
	switch {
	case k.Desk:
		return "at the desk alone"
	case k.StepUp == signin.StepPolicy:
		return "where policy lets it begin; from elsewhere with a number"
	}
	return "from elsewhere with a number"
}

// accessDoc is docs/access.md.
func accessDoc(socket, bus []row, kinds []kindRow) string {
	var b strings.Builder
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	head := func(cells ...string) {
		line(cells...)
		fmt.Fprintf(&b, "|%s\n", strings.Repeat(" --- |", len(cells)))
	}
	b.WriteString(`# Who may do what

Every method of both doors and every kind of request. This page is made from the code
(` + "`go test ./daemon -run TestAccess -update`" + `); a test compares the two, and tries every row at a running
daemon as its user, as another user and as root.

A caller is who the kernel or the bus says it is. At a user's own instance the owner does what the last column
says, and everybody else, root too, is forbidden everything. At the machine's instance, “` + missing + `” is the
answer that a caller gets who asks for what does not exist; “who began it” is root, for whose programs the user
is asked. “` + never + `” to who began it means that only the user decides.

`)
	for _, door := range []struct {
		title string
		rows  []row
	}{{"The socket", socket}, {"D-Bus", bus}} {
		fmt.Fprintf(&b, "## %s\n\n", door.title)
		head("method", "about what is", "the user", "another user", "root", "who began it", "user's own instance", "place")
		for _, r := range door.rows {
			line("`"+r.name+"`", words[r.whose], r.user(), r.other(), r.root(), r.began(), r.owner(), r.place)
		}
		b.WriteString("\n")
	}
	b.WriteString(`Where what is asked for is the caller's own, root at the machine's instance may name another user (user=NAME in
the query, "user" in the body), and everybody else is forbidden to. The log of everybody (everybody=true) is root's,
or the owner's at their own instance. Names of services that begin with “pam:” are root's.

## Kinds of request

`)
	head("kind", "a user for themselves", "for another user", "root for anybody", "user's own instance", "approval", "place")
	for _, k := range kinds {
		line("`"+string(k.kind)+"`", k.self(), k.forOther(), k.root(), k.owner(), k.stepUp(), k.place())
	}
	b.WriteString(`
A request from elsewhere has a number, which the user types at the desk before a key blinks for it. A user's first
method at the machine's instance needs no approval, and somebody who vouches for the user: root, an administrator's
one-time code, or the user's password through polkit. Another user who has begun a sign-in for somebody hears of it
what root hears, without the user's methods and keys, and may take it back; it is not theirs to pick.
`)
	return b.String()
}

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
			if r.elsewhere != "" {
				method, path, _ := strings.Cut(strings.ReplaceAll(r.name, "{id}", id), " ")
				if status, b := away.http(t, method, path, r.elsewhere); status < 400 || codeIn(t, b) != api.CodePlace {
					t.Errorf("to the user elsewhere it is %d %s", status, b)
				}
			}
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
