package signin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
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
			q.gone = true
			q.leave()
		}
	}},
	{"revoke", 1, (*model).revoke},
	{"start anew", 2, func(m *model, _, _, _ int) { m.restart() }},
	{"change policy", 4, func(m *model, a, _, _ int) { m.obey(a % len(laws)) }},
	{"set the clock", 3, func(m *model, a, _, _ int) {
		m.d.mu.Lock()
		m.d.jump = []time.Duration{0, 0, 0, 0, time.Minute, -20 * time.Second, -time.Hour, time.Hour, 2 * time.Hour, 40 * day}[a%10]
		m.d.mu.Unlock()
		m.say("the clock is off by %v", m.d.jump)
	}},
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
	q.grantOK = m.spared(q)
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
	q.raised = q.require > q.rule.require
	q.strongest = m.users[q.user].strongest()
	q.methods = map[string]bool{}
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
	pending, remote, apps := m.pending(q.user)
	if !code && (pending >= 3 || q.remote && remote >= 2 || q.by.UID != 0 && apps >= 2) && forbidden == "" {
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
		m.wrong("%s finds no place beside %d: %v", q, pending, err)
	}
	if errors.Is(err, throttle.ErrWaiting) {
		w := m.waits[q.sort()]
		w.most = max(w.most, m.boot()+10*time.Minute)
		m.waits[q.sort()] = w
	}
	return true
}

func (m *model) tap(a, b, _ int) {
	k := m.keys[a%len(m.keys)]
	for range m.keys { // rather one that blinks
		if now, _ := m.watch.of(k); len(now) > 0 {
			break
		}
		a++
		k = m.keys[a%len(m.keys)]
	}
	now, _ := m.watch.of(k)
	if len(now) == 0 {
		return
	}
	if b%2 == 0 {
		time.Sleep(300 * time.Millisecond) // as a person does
		synctest.Wait()
		if now, _ = m.watch.of(k); len(now) == 0 {
			return
		}
	}
	q := m.tapped(k, now[0])
	select {
	case k.touches <- struct{}{}:
	default:
		return
	}
	if q == nil {
		return
	}
	m.say("tap on %s for %s", k.id, q.id)
	m.expect(q)
}

// tapped notes what a tap on a key that blinks is to the request that it blinks for.
func (m *model) tapped(k *fakeKey, op blinking) *asked {
	for _, q := range m.all {
		if q.over || offerState(q.r.View(), k) != signin.OfferTouch {
			continue
		}
		x, ok := m.users[q.user].keyOf(k)
		if op.op == fido.OpAssert && ok && q.methods[x.ID] {
			e := evidence{by: "tap", strength: policy.Key, method: x.ID}
			if op.pin {
				e.strength = policy.Verified
			}
			q.evidence = append(q.evidence, e)
		}
		return q
	}
	return nil
}

func (m *model) typeNumber(a, b, c int) {
	q := m.one(a)
	if q == nil {
		return
	}
	p, ok := q.prompt(signin.PromptNumber)
	if !ok {
		return
	}
	by, mine := m.answerer(q, b)
	number := q.number
	if c%5 == 0 {
		number = otherThan(q.number, c)
	}
	if c%5 != 0 && mine {
		q.evidence = append(q.evidence, evidence{by: "match", strength: policy.Match})
		q.willBe = true
	}
	err := m.d.Answer(context.Background(), by.Caller, q.id, signin.Answer{Prompt: p.ID, Number: number})
	switch {
	case err == nil && !mine:
		m.wrong("%s types the number of %s", by.name, q)
	case err != nil:
		if mine && q.over == false && q.r.View().Pending() {
			m.wrong("the number of %s is not taken: %v", q, err)
		}
	case c%5 == 0:
		if q.misses++; q.misses == 3 {
			q.mayDeny = true
		}
	default:
		q.numbered = true
		m.expect(q)
	}
	m.say("%s types a number for %s: %v %v", by.name, q.id, number == q.number, err)
}

// answerer is who answers: mostly the user at their desk.
func (m *model) answerer(q *asked, n int) (by who, mine bool) {
	switch n % 8 {
	case 0:
		by = q.by
	case 1:
		by = callers[n/8%len(callers)]
	default:
		by = desks[q.user]
	}
	s := houseStanding(context.Background(), by.Caller, q.user)
	return by, by.UID == q.user && s.Place != caller.PlaceRemote
}

func (m *model) sayYes(a, b, _ int) {
	q := m.one(a)
	if q == nil {
		return
	}
	p, ok := q.prompt(signin.PromptApprove)
	if !ok {
		return
	}
	by, mine := m.answerer(q, b)
	if mine {
		q.evidence = append(q.evidence, evidence{by: "click", strength: policy.Click})
	}
	err := m.d.Answer(context.Background(), by.Caller, q.id, signin.Answer{Prompt: p.ID, Approve: true})
	if err == nil && !mine {
		m.wrong("%s says yes to %s", by.name, q)
	}
	if mine && err == nil {
		m.expect(q)
	}
	m.say("%s says yes to %s: %v", by.name, q.id, err)
}

func (m *model) typePIN(a, _, c int) {
	for _, q := range m.all {
		p, ok := q.prompt(signin.PromptPIN)
		if q.over || !ok {
			continue
		}
		pin := "1234"
		if c%5 == 0 {
			pin = "9999"
		}
		_ = m.d.Answer(context.Background(), desks[q.user].Caller, q.id, signin.Answer{Prompt: p.ID, PIN: typed(pin)})
		m.say("the PIN %s for %s", pin, q.id)
		return
	}
}

func (m *model) typeCode(a, b, c int) {
	q := m.one(a)
	if q == nil {
		return
	}
	p, ok := q.prompt(signin.PromptCode)
	if !ok {
		return
	}
	by, _ := m.answerer(q, b)
	code := m.write(q.user, c)
	may := by.UID == q.user || by.UID == q.by.UID
	if over := m.boot() > q.until; over || !may {
		if err := m.d.Answer(context.Background(), by.Caller, q.id, signin.Answer{Prompt: p.ID, Code: typed(code.text)}); err == nil && !may {
			m.wrong("%s types a code for %s", by.name, q)
		}
		return
	}
	e, right, word := m.weigh(q, code)
	if right {
		q.evidence = append(q.evidence, e)
	}
	err := m.d.Answer(context.Background(), by.Caller, q.id, signin.Answer{Prompt: p.ID, Code: typed(code.text)})
	if err != nil {
		m.wrong("a code for %s is not taken: %v", q, err)
	}
	m.say("%s types %s for %s: %s", by.name, code.sort, q.id, word)
	if right {
		m.expect(q)
	}
}

func (m *model) handIn(a, b, c int) {
	q := &asked{by: callers[[]int{0, 0, 1, 2, 3, 4, 6, 7}[a%8]], kind: "sign-in", service: services[b%8], origin: origins[c/8%8], sshKey: ""}
	if q.user = []uint32{uid, bobUID}[b/8%2]; q.by.UID != 0 && q.by.UID != 33 {
		q.user = q.by.UID
	}
	m.handed(q, c)
}

// handed hands one code in for q.
func (m *model) handed(q *asked, c int) {
	m.describe(q)
	code := m.write(q.user, c)
	ask := signin.Ask{User: accounts[q.user], Service: q.service, Require: q.require, Code: typed(code.text), Claimed: signin.Claimed{Origin: caller.Clean(q.origin)}}
	q.fullService()
	v, err := m.d.VerifyCode(context.Background(), q.by.Caller, ask)
	if !m.mayStart(q, err, true) {
		return
	}
	judged := err == nil
	for _, word := range []error{oath.ErrWrong, oath.ErrUsed, lockout.ErrLocked} {
		judged = judged || errors.Is(err, word)
	}
	if !judged {
		m.say("%s hands %s in for %s: %v", q.by.name, code.sort, q.service, err)
		if code.right && errors.Is(err, signin.ErrWeaker) && q.enough(evidence{by: "code", strength: policy.Code}) && code.token {
			m.wrong("a right code for %s: %v", q, err)
		}
		return
	}
	e, right, word := m.weigh(q, code)
	m.say("%s hands %s in for %s: %s, %v", q.by.name, code.sort, q.service, word, err)
	switch {
	case right != (err == nil):
		m.wrong("%s handed in for %s (%s): %v", code.sort, q, word, err)
	case word == "locked" && !errors.Is(err, lockout.ErrLocked), word == "wrong" && !errors.Is(err, oath.ErrWrong), word == "used" && !errors.Is(err, oath.ErrUsed):
		m.wrong("%s handed in for %s is %s: %v", code.sort, q, word, err)
	}
	if err != nil {
		return
	}
	q.id, q.evidence = v.ID, []evidence{e}
	m.ended(q, v)
}

// guess hands in one wrong code after the other.
func (m *model) guess(a, b, c int) {
	for range 9 {
		q := &asked{by: callers[[]int{0, 1, 2, 3}[a%4]], kind: "sign-in", service: "pam:sshd", origin: "192.0.2.1", user: uid}
		if q.by.UID != 0 {
			q.user, q.service = q.by.UID, "mailer"
		}
		m.handed(q, 5)
	}
}

func (m *model) stop(a, b, c int) {
	q := m.one(a)
	if q == nil {
		return
	}
	by, _ := m.answerer(q, b)
	mine := by.UID == q.user
	var err error
	what := "cancel"
	if !q.over && mine {
		switch c % 3 {
		case 0:
			q.mayDeny = true
		case 1:
			q.mayReport = true
		}
	}
	switch c % 3 {
	case 0:
		what, err = "deny", m.d.Deny(by.Caller, q.id)
	case 1:
		what, err = "report", m.d.Report(by.Caller, q.id)
	default:
		err = m.d.Cancel(by.Caller, q.id)
	}
	m.say("%s: %s %s: %v", by.name, what, q.id, err)
	if err != nil {
		if mine && !q.over {
			m.wrong("%s cannot %s %s: %v", by.name, what, q, err)
		}
		return
	}
	if q.over || !mine && (what != "cancel" || by.UID != q.by.UID) {
		m.wrong("%s may %s %s", by.name, what, q)
	}
	q.mustEnd = true
}

func (m *model) pick(a, b, _ int) {
	q := m.one(a)
	if q == nil {
		return
	}
	by, _ := m.answerer(q, b)
	err := m.d.Pick(by.Caller, q.id)
	may := by.UID == q.user || by.UID == 0 && q.by.UID == 0
	if err == nil && (!may || q.over) {
		m.wrong("%s picks %s", by.name, q)
	}
	if err == nil {
		m.picked = q
		q.parked = map[string]bool{}
		m.say("%s picked by %s", q.id, by.name)
		time.Sleep(1100 * time.Millisecond) // while a key stays dark
		synctest.Wait()
		if q.over || !q.r.View().Pending() {
			return
		}
		for _, o := range q.r.View().Offers {
			if o.Type == signin.OfferByKey && o.State == signin.OfferPick {
				m.wrong("%s was picked, and its key does not blink", q)
			}
		}
	}
}

func (m *model) remember(a, b, c int) {
	q := m.one(a)
	if q == nil || q.over {
		return
	}
	by, mine := m.answerer(q, b)
	err := m.d.Remember(context.Background(), by.Caller, q.id, c%4 != 0)
	if err == nil && !mine {
		m.wrong("%s lets %s be remembered", by.name, q)
	}
	if err == nil {
		q.remember = c%4 != 0
	}
}

// beRemembered is a sign-in by ssh that is remembered where it can be: one that was remembered before ends at
// once.
func (m *model) beRemembered(a, b, c int) {
	q := &asked{by: callers[0], kind: "sign-in", service: services[[]int{0, 0, 0, 4}[a%4]], origin: origins[c%4], sshKey: prints[c/4%3], user: []uint32{uid, uid, bobUID}[b%3]}
	m.start(q, signin.Ask{})
	m.observe()
	if q.r == nil || q.over {
		return
	}
	if err := m.d.Remember(context.Background(), desks[q.user].Caller, q.id, true); err == nil {
		q.remember = true
	}
	p, ok := q.prompt(signin.PromptNumber)
	if !ok {
		return
	}
	q.evidence = append(q.evidence, evidence{by: "match", strength: policy.Match})
	if err := m.d.Answer(context.Background(), desks[q.user].Caller, q.id, signin.Answer{Prompt: p.ID, Number: q.number}); err == nil {
		q.numbered = true
	}
	m.observe()
	if q.over || c/16%4 == 0 {
		return
	}
	if err := m.d.Pick(desks[q.user].Caller, q.id); err == nil {
		m.picked, q.parked = q, map[string]bool{}
	}
	time.Sleep(1100 * time.Millisecond)
	m.observe()
	for i, k := range m.keys {
		if now, _ := m.watch.of(k); len(now) > 0 && !q.over && offerState(q.r.View(), k) == signin.OfferTouch {
			m.tap(i, 1, 0)
			m.observe()
		}
	}
}

func (m *model) revoke(a, _, _ int) {
	user := []uint32{uid, bobUID}[a%2]
	if m.broken != nil {
		return
	}
	if _, err := m.d.RevokeGrants(context.Background(), desks[user].Caller, ""); err != nil {
		m.wrong("cannot revoke: %v", err)
	}
	for _, g := range m.remembered {
		g.gone = g.gone || g.user == user
	}
}

func (m *model) unplug(a, _, _ int) {
	k := m.keys[a%len(m.keys)]
	if m.out[k] = !m.out[k]; m.out[k] {
		m.d.unplug(k)
		return
	}
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	m.d.plugged = append(m.d.plugged, k)
}

// race answers one request in every way at once.
func (m *model) race(a, b, c int) {
	q := m.one(a)
	if q == nil || q.over || m.broken != nil {
		return
	}
	at := desks[q.user].Caller
	acts := []func() error{
		func() error { return m.d.Deny(at, q.id) },
		func() error { return m.d.Report(at, q.id) },
		func() error { return m.d.Cancel(at, q.id) },
		func() error { return m.d.Deny(at, q.id) },
	}
	q.mayDeny, q.mayReport = true, true
	taps := 0
	for _, k := range m.keys {
		if now, _ := m.watch.of(k); len(now) > 0 && offerState(q.r.View(), k) == signin.OfferTouch {
			m.tapped(k, now[0])
			go func() {
				select {
				case k.touches <- struct{}{}:
				default:
				}
			}()
			taps++
		}
	}
	if p, ok := q.prompt(signin.PromptNumber); ok && b%2 == 0 {
		q.evidence = append(q.evidence, evidence{by: "match", strength: policy.Match})
		q.willBe = true
		go func() {
			_ = m.d.Answer(context.Background(), at, q.id, signin.Answer{Prompt: p.ID, Number: q.number})
		}()
	}
	var mu sync.Mutex
	done := 0
	var all sync.WaitGroup
	for i := range acts {
		all.Go(func() {
			if acts[(i+c)%len(acts)]() == nil {
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	synctest.Wait()
	v := q.r.View()
	if v.Pending() {
		m.wrong("%s is pending after it was denied", q)
	}
	if done > 1 || done == 1 && v.Decision == signin.Approved {
		m.wrong("%d calls were told that they ended %s, which is %s", done, q, v.Decision)
	}
	if q.willBe && q.r.Number() == "" {
		q.numbered = true
	}
	m.say("all at once for %s: %s", q.id, v.Decision)
}
