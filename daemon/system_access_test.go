package daemon_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/daemon/busapi"
	"github.com/fobproject/fob/daemon/socketapi"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// What becomes of a call, as far as access goes.
const (
	yes     = "yes"
	missing = "no such thing"
	never   = "forbidden"
	refused = "at the desk alone"
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

// reach says what a method is to the user who calls from a session elsewhere, at the machine's instance.
type reach int

const (
	anywhere  reach = iota // the same as at the desk
	deskAlone              // nothing
	sameSide               // a request that was begun elsewhere is theirs there too, the desk's is not
	codeAlone              // what is typed at a prompt: a code, but no number, plain yes or PIN
)

// row is one method of a door.
type row struct {
	name   string
	access caller.Access
	whose  whose
	reach  reach
	// note says what else counts from where.
	note string
	// body is what the test sends.
	body string
}

// socketRows adds to the routes what their code does not say beside them.
func socketRows(t *testing.T) []row {
	t.Helper()
	const named = `{"user":"USER"}`
	about := map[string]row{
		"POST /requests":               {whose: theirOwn, body: `{"service":"SERVICE"}`, note: "policy says from where; see the kinds below"},
		"GET /requests":                {whose: theirOwn},
		"GET /requests/{id}":           {whose: aRequest, note: "the number is told to the call that began it alone"},
		"POST /requests/{id}/answer":   {whose: aRequest, reach: codeAlone, body: `{"prompt":"none"}`, note: "a number and a plain yes are the user's"},
		"POST /requests/{id}/pick":     {whose: aRequest, reach: sameSide},
		"POST /requests/{id}/remember": {whose: aDecision, reach: deskAlone, body: `{"remember":false}`},
		"POST /requests/{id}/deny":     {whose: aDecision, reach: sameSide},
		"POST /requests/{id}/report":   {whose: aDecision, reach: sameSide, note: "from elsewhere it is a denial, and blocks nothing"},
		"POST /requests/{id}/cancel":   {whose: aRequest, reach: sameSide},
		"GET /keys":                    {whose: everybodys},
		"GET /keys/{id}":               {whose: everybodys, reach: deskAlone, note: "whoever calls, as it keeps the key busy"},
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
		"GET /cards":                   {whose: everybodys},
		"POST /cards/{id}/unlock":      {whose: everybodys, body: `{"password":"x"}`},
		"POST /cards/{id}/forget":      {whose: everybodys},
		"POST /cards/{id}/password":    {whose: everybodys, body: `{"password":"x"}`},
		"POST /cards/{id}/reset":       {whose: everybodys},
		"GET /accounts":                {whose: everybodys},
		"POST /accounts":               {whose: everybodys, body: `{"name":"x","kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":"AAAA","on":["nowhere"]}`},
		"PATCH /accounts/{id}":         {whose: everybodys, body: `{"pinned":true}`},
		"POST /accounts/{id}/delete":   {whose: everybodys},
		"POST /codes":                  {whose: everybodys, body: `{}`},
		"POST /codes/{id}":             {whose: everybodys},
		"GET /log":                     {whose: theirOwn},
		"GET /log/verify":              {whose: everybodys},
		"GET /receipts/{id}":           {whose: anItem},
		"GET /status":                  {whose: theirOwn},
		"GET /events":                  {whose: theirOwn, note: "of cards (`cards=true`) at a user's own instance alone"},
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
		"Verify":     {whose: theirOwn, note: "as the kind sign-in; the number is in the reply alone, and no PIN is taken"},
		"VerifyCode": {whose: theirOwn, note: "as the kind sign-in"},
		"Cancel":     {whose: begunHere},
		"Receipt":    {whose: anItem},
		"Status":     {whose: theirOwn},
		"Authorize":  {whose: theirOwn, note: "polkit asks at the desk"},
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

// elsewhere is what the method is to the user who calls from a session elsewhere, about what was begun at
// the desk.
func (r row) elsewhere() string {
	if r.user() != yes || r.reach == anywhere {
		return r.user()
	}
	return refused
}

// fromElsewhere is what a method that is about a request is to the user elsewhere, about what was begun
// there too, by the body that is sent.
func (r row) fromElsewhere() map[string]string {
	switch r.reach {
	case deskAlone:
		return map[string]string{r.body: refused, `{"remember":true}`: refused}
	case codeAlone:
		return map[string]string{
			`{"prompt":"none","number":"12"}`: refused, `{"prompt":"none","approve":true}`: refused,
			`{"prompt":"none","pin":"123456"}`: refused, `{"prompt":"none","code":"123456"}`: yes,
		}
	}
	return map[string]string{r.body: yes}
}

// elsewhereWords says that for people.
func (r row) elsewhereWords() string {
	if r.user() == yes {
		switch r.reach {
		case sameSide:
			return "what was begun elsewhere"
		case codeAlone:
			return "a code alone"
		}
	}
	return r.elsewhere()
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
	if r.access == caller.AccessUser {
		return never
	}
	switch r.whose {
	case aRequest, aDecision, begunHere:
		return missing
	case everybodys:
		if r.reach == deskAlone { // root's programs that ask sit nowhere
			return refused
		}
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
	if k.UserOnly || k.Access == caller.AccessUser {
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
		if k.Access == caller.AccessUser {
			return "the strongest registered"
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
daemon as its user, at the desk and from a session elsewhere, as another user and as root, and every approval
by going without it.

A caller is who the kernel or the bus says it is. At a user's own instance the owner does what the last column
says, and everybody else, root too, is forbidden everything. At the machine's instance, “` + missing + `” is the
answer that a caller gets who asks for what does not exist; “who began it” is root, for whose programs the user
is asked. “` + never + `” to who began it means that only the user decides. “The user elsewhere” is a session of the
same user's that came over the network: it may be somebody else's, and ends or picks nothing of the desk's.

`)
	for _, door := range []struct {
		title string
		rows  []row
	}{{"The socket", socket}, {"D-Bus", bus}} {
		fmt.Fprintf(&b, "## %s\n\n", door.title)
		head("method", "about what is", "the user", "the user elsewhere", "another user", "root", "who began it", "user's own instance", "note")
		for _, r := range door.rows {
			line("`"+r.name+"`", words[r.whose], r.user(), r.elsewhereWords(), r.other(), r.root(), r.began(), r.owner(), r.note)
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
