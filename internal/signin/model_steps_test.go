package signin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/throttle"
)

// steps are what can happen, with how often it does. Each takes three numbers, which mean something
// whatever went before: so a sequence stays one when some of it is left out.
var steps = []struct {
	name  string
	often int
	do    func(m *model, a, b, c int)
}{
	{"begin", 22, (*model).begin},
	{"begin at the desk", 6, func(m *model, a, b, c int) { m.beginAs([]int{1, 2, 3, 5, 7}[a%5], b, c) }},
	{"begin by ssh", 8, func(m *model, a, b, c int) { m.beginAs(0, []int{0, 0, 1, 2, 4}[b%5]+8*(a%2), c) }},
	{"begin what is no sign-in", 5, (*model).beginOther},
	{"tap", 20, (*model).tap},
	{"type the number", 18, (*model).typeNumber},
	{"type a code", 12, (*model).typeCode},
	{"hand a code in", 12, (*model).handIn},
	{"guess", 1, (*model).guess},
	{"say yes", 8, (*model).sayYes},
	{"type a PIN", 6, (*model).typePIN},
	{"stop", 7, (*model).stop},
	{"pick", 14, (*model).pick},
	{"remember", 8, (*model).remember},
	{"leave", 2, func(m *model, a, _, _ int) {
		if q := m.one(a); q != nil && !q.over {
			q.gone, q.mustEnd = true, true
			q.leave()
			m.say("who began %s leaves", q.id)
		}
	}},
	{"revoke", 1, (*model).revoke},
	{"start anew", 2, func(m *model, _, _, _ int) { m.restart() }},
	{"change policy", 4, func(m *model, a, _, _ int) { m.obey(a % len(laws)) }},
	{"set the clock", 3, func(m *model, a, _, _ int) {
		m.setClock([]time.Duration{0, 0, 0, 0, time.Minute, -20 * time.Second, -time.Hour, time.Hour, 2 * time.Hour, 40 * day}[a%10])
	}},
	{"come back while the clock is wrong", 2, (*model).comeBack},
	{"suspend", 2, func(m *model, a, _, _ int) {
		m.d.mu.Lock()
		m.d.sleep += []time.Duration{5 * time.Second, 2 * time.Minute, 20 * time.Minute}[a%3]
		m.d.mu.Unlock()
	}},
	{"wait", 14, func(m *model, a, _, _ int) {
		time.Sleep([]time.Duration{1500 * time.Millisecond, 1500 * time.Millisecond, 1500 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second, 5 * time.Second, 16 * time.Second, 31 * time.Second, 31 * time.Second, 2 * time.Minute, 16 * time.Minute}[a%11])
	}},
	{"unplug or plug in", 3, (*model).unplug},
	{"break the disk for a while", 2, func(m *model, _, _, _ int) { m.breaks() }},
	{"be remembered", 6, (*model).beRemembered},
	{"take a method away", 2, (*model).takeAway},
	{"give a key back", 2, (*model).giveBack},
	{"report what comes by ssh", 1, (*model).reportSSH},
	{"want a PIN from elsewhere", 2, (*model).wantPIN},
	{"set the default", 3, (*model).setDefault},
	{"switch half-way", 4, (*model).switchOver},
	{"wait a block out", 3, (*model).waitOut},
	{"deny over and over", 1, (*model).denyOver},
	{"all at once", 3, (*model).race},
}

var services = []string{"pam:sshd", "pam:web", "pam:vpn", "pam:sudo", "pam:safe", "mailer", "site", ""}
var origins = []string{"192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "127.0.0.1", "", "192.0.2.100", "desk.example"}
var prints = []string{"SHA256:one", "SHA256:one", "SHA256:two", ""}

func (m *model) begin(a, b, c int) { m.beginAs(a%len(callers), b, c) }

func (m *model) beginAs(by, b, c int) {
	w := callers[by]
	q := &asked{by: w, kind: "sign-in", service: services[b%8], origin: origins[c%8], sshKey: prints[c/8%4]}
	q.user = []uint32{uid, uid, bobUID}[b/8%3]
	if w.UID != 0 && w.UID != 33 {
		q.user = w.UID
		if b%11 == 0 { // another's
			q.user = uid + bobUID - w.UID
		}
	}
	if c/32%4 == 0 {
		q.require = policy.Strength(c / 128 % 6)
	}
	m.start(q, signin.Ask{})
}

func (m *model) beginOther(a, b, c int) {
	q := &asked{by: callers[[]int{2, 3, 1, 7, 2, 4}[a%6]], service: "", origin: origins[c%8]}
	q.user = q.by.UID
	if q.by.UID == 0 {
		q.user = q.by.desk
	}
	u := m.users[q.user]
	ask := signin.Ask{Timeout: []time.Duration{0, time.Minute}[b%2]}
	if a/8%16 == 0 {
		q.kind = "export-accounts"
		m.start(q, ask)
		return
	}
	switch b / 2 % 4 {
	case 0:
		q.kind, ask.Method.Type = "add-method", "recovery"
	case 1:
		q.kind = "unblock"
		if c/8%2 == 0 {
			ask.Block = "192.0.2.1"
		}
	case 2:
		q.kind = "remove-method"
		for id := range u.names {
			ask.Method.ID = max(id, ask.Method.ID)
		}
	default:
		q.kind, ask.Method.Type = "add-method", "key"
		for _, k := range m.keys {
			if _, ok := u.keyOf(k); !ok && (k.id[0] == 'a') == (q.user == uid) {
				ask.KeyID = k.id
			}
		}
	}
	m.start(q, ask)
}

// start begins a request, and checks that it may, or why it may not.
func (m *model) start(q *asked, ask signin.Ask) {
	m.describe(q)
	ask.Kind, ask.Service, ask.Require = signin.Kind(q.kind), q.service, q.require
	if q.by.UID == 0 || q.by.UID != q.user {
		ask.User = accounts[q.user]
	}
	ask.Claimed = signin.Claimed{Origin: caller.Clean(q.origin), SSHKey: caller.Clean(q.sshKey)}
	q.fullService()
	ctx, leave := context.WithCancel(context.Background())
	r, err := m.d.Begin(ctx, q.by.Caller, ask)
	if !m.mayStart(q, err, false) || err != nil {
		leave()
		return
	}
	q.r, q.id, q.leave, q.timeout = r, r.ID(), leave, ask.Timeout
	q.number = r.Number()
	if q.remote != (len(q.number) == 2) {
		m.wrong("%s has the number %q", q, q.number)
	}
	v := r.View()
	q.until = m.boot() + v.Deadline.Sub(v.Begun)
	m.all = append(m.all, q)
	m.looksForKeys(q)
	q.grantOK = m.spared(q)
	m.forgetsAll(q)
	m.say("%s begun: %s", q.id, q)
	m.listen(q)
}

// describe fills in what the design says of a request that begins now.
func (m *model) describe(q *asked) {
	s := houseStanding(context.Background(), q.by.Caller, q.user)
	q.place, q.remote = s.Place, s.Place == caller.PlaceRemote
	q.sameUser = s.SameUser || q.by.UID == 0 && fromHere(q.origin)
	q.rule = m.rule(q.service)
	q.need = max(q.require, q.rule.require)
	q.raised = q.require != policy.None
	q.strongest = m.users[q.user].strongest()
	q.methods, q.token = map[string]bool{}, m.users[q.user].token
	q.standard = m.users[q.user].standardOffer()
	for id := range m.users[q.user].names {
		q.methods[id] = true
	}
}

func (q *asked) fullService() {
	if q.service == "" {
		q.service = fmt.Sprintf("app:%d:fob", q.by.UID)
	} else if q.service[:min(4, len(q.service))] != "pam:" {
		q.service = fmt.Sprintf("app:%d:%s", q.by.UID, q.service)
	}
}

// mayStart compares what became of a beginning with what the design says.
func (m *model) mayStart(q *asked, err error, code bool) (ok bool) {
	signIn := q.kind == "sign-in"
	forbidden := ""
	switch {
	case q.by.UID != 0 && q.service[:4] == "pam:":
		forbidden = "a name of root's"
	case q.kind == "export-accounts":
		forbidden = "the machine's having no accounts"
	case !signIn && q.by.UID != 0 && q.by.UID != q.user:
		forbidden = "another's methods"
	case signIn && q.rule.place != nil && !slices.Contains(q.rule.place, q.place):
		forbidden = "a place that policy forbids"
	case signIn && q.require != policy.None && q.require < q.rule.require:
		forbidden = "less than policy"
	case signIn && q.need < policy.Code && (q.sameUser || !q.remote):
		forbidden = "the asker would approve"
	case q.by.desk != q.user && m.boot() < m.blocks[q.blockable()] && q.blockable() != "":
		forbidden = "a blocked origin"
	case !code && m.boot() < m.waits[q.sort()].least: // what was typed already disturbs nobody
		forbidden = "a wait"
	}
	if !code && m.full(q) && forbidden == "" {
		forbidden = "the bounds"
	}
	if err == nil && forbidden != "" {
		m.wrong("%s begins in spite of %s", q, forbidden)
		return false
	}
	switch wait := m.waits[q.sort()]; {
	case err == nil || forbidden != "":
	case errors.Is(err, signin.ErrAsker), errors.Is(err, signin.ErrPlace), errors.Is(err, caller.ErrForbidden),
		errors.Is(err, signin.ErrWeaker) && !code, errors.Is(err, throttle.ErrBlocked):
		m.wrong("%s may not begin: %v", q, err)
	case errors.Is(err, throttle.ErrWaiting) && m.boot() > wait.most:
		m.wrong("%s waits too long: %v", q, err)
	case errors.Is(err, signin.ErrTooMany) && !q.remote && q.by.UID == 0:
		m.wrong("%s finds no place: %v", q, err)
	}
	if errors.Is(err, throttle.ErrWaiting) && q.remote { // it may wait on for that
		w := m.waits[q.sort()]
		w.most = max(w.most, m.boot()+10*time.Minute)
		m.waits[q.sort()] = w
	}
	return true
}
