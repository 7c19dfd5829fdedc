package signin_test

import (
	"context"
	"errors"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
)

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
		delete(q.lit, k.id)
		if q.kind == "add-method" { // its next step is wanted by who has just touched a key for it
			q.parked = map[string]bool{}
		}
		x, ok := m.users[q.user].keyOf(k)
		q.stray = q.stray || !ok || !q.methods[x.ID]
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
		m.looksForKeys(q)
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
			q.mayDeny, q.mustEnd = true, true
		} else if b/8%3 == 0 { // and again
			m.say("%s types a wrong number for %s", by.name, q.id)
			synctest.Wait()
			m.typeNumber(a, b, c)
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
	by, _ := m.answerer(q, b)
	m.typesFor(q, by, c)
}

// typesFor lets somebody type a code for q: n says which.
func (m *model) typesFor(q *asked, by who, n int) {
	p, ok := q.prompt(signin.PromptCode)
	if !ok || m.uncertain(q.user) {
		return
	}
	code := m.write(q.user, n)
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

// uncertain says that the clock is so little behind what it has shown that nobody can tell whether that counts.
func (m *model) uncertain(user uint32) bool {
	behind := m.latest.Sub(m.wall())
	return m.users[user].totp() && behind > 5*time.Minute-31*time.Second && behind < 5*time.Minute+31*time.Second
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
	if m.uncertain(q.user) {
		return
	}
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
