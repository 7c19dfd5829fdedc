package signin_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
)

func (m *model) stop(a, b, c int) {
	q := m.one(a)
	if q == nil {
		return
	}
	by, atDesk := m.answerer(q, b)
	mine := by.UID == q.user
	there := mine && !atDesk // it may be somebody else who sits elsewhere
	var err error
	what := "cancel"
	switch {
	case q.over:
	case c%3 == 2:
		q.mayCancel = by.UID == q.by.UID && !mine || mine && (!there || q.remote)
	case !mine:
	case there:
		if q.remote {
			q.mayDeny, q.quiet = true, true
		}
	default:
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
		if mine && !q.over && (!there || q.remote) {
			m.wrong("%s cannot %s %s: %v", by.name, what, q, err)
		}
		return
	}
	if there && !q.remote {
		m.wrong("%s, elsewhere, may %s %s of the desk", by.name, what, q)
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
		m.say("%s picked by %s", q.id, by.name)
		m.foremost(q)
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

// foremost notes that q was picked: whatever it wants blinks for it.
func (m *model) foremost(q *asked) {
	m.picked, q.parked, q.lit = q, map[string]bool{}, map[string]time.Time{}
}

// opens lets the user type the number of q, and pick it, where they sit.
func (m *model) opens(q *asked) {
	m.observe()
	if p, ok := q.prompt(signin.PromptNumber); ok && !q.over {
		q.evidence = append(q.evidence, evidence{by: "match", strength: policy.Match})
		m.looksForKeys(q)
		q.numbered = m.d.Answer(context.Background(), desks[q.user].Caller, q.id, signin.Answer{Prompt: p.ID, Number: q.number}) == nil
		m.observe()
	}
	if q.over {
		return
	}
	if err := m.d.Pick(desks[q.user].Caller, q.id); err == nil {
		m.say("%s opened and picked by %s", q.id, desks[q.user].name)
		m.foremost(q)
	}
	time.Sleep(1100 * time.Millisecond) // while a key stays dark
	m.observe()
}

// touches taps a key that blinks for q, if one does.
func (m *model) touches(q *asked) {
	for i, k := range m.keys {
		if now, _ := m.watch.of(k); len(now) > 0 && !q.over && offerState(q.r.View(), k) == signin.OfferTouch {
			m.tap(i, 1, 0)
			m.observe()
		}
	}
}

// wantPIN is what is asked for from elsewhere and takes a PIN. There it is not to be had.
func (m *model) wantPIN(a, b, c int) {
	q := &asked{by: callers[[]int{0, 0, 4, 6}[a%4]], kind: "sign-in", service: "mailer", origin: origins[c%8], user: uid, require: policy.Verified}
	if q.by.UID == 0 {
		q.service = []string{"pam:safe", "pam:sshd"}[b%2]
	}
	if m.start(q, signin.Ask{}); q.r == nil {
		return
	}
	m.opens(q)
	for range 2 { // one to choose it, one with the PIN
		m.touches(q)
		m.typePIN(0, 0, 1)
		m.observe()
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
	if b/3%6 == 0 { // more than policy, which nobody is spared
		q.require = policy.Key
	}
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
	m.looksForKeys(q)
	if err := m.d.Answer(context.Background(), desks[q.user].Caller, q.id, signin.Answer{Prompt: p.ID, Number: q.number}); err == nil {
		q.numbered = true
	}
	m.observe()
	if q.over || c/16%4 == 0 {
		return
	}
	if c/64%3 == 0 { // by a code, where that is enough
		code := m.write(q.user, 0)
		if p, ok := q.prompt(signin.PromptCode); ok && code.right && !m.uncertain(q.user) {
			if e, right, _ := m.weigh(q, code); right {
				q.evidence = append(q.evidence, e)
			}
			_ = m.d.Answer(context.Background(), desks[q.user].Caller, q.id, signin.Answer{Prompt: p.ID, Code: typed(code.text)})
			m.observe()
			return
		}
	}
	m.opens(q)
	m.touches(q)
}

// comeBack is a sign-in like one that is remembered while the clock is an hour back, and once more when it is right.
func (m *model) comeBack(a, _, _ int) {
	var some []*remembered
	for _, g := range m.remembered {
		if !g.gone && m.rule(g.service).remember > 0 {
			some = append(some, g)
		}
	}
	if len(some) == 0 {
		return
	}
	g, right := some[a%len(some)], m.d.jump
	for _, jump := range []time.Duration{right - time.Hour, right} {
		m.setClock(jump)
		q := &asked{by: callers[0], kind: "sign-in", service: g.service, origin: g.from, sshKey: g.sshKey, user: g.user}
		if m.start(q, signin.Ask{}); q.r != nil {
			m.opens(q)
			m.touches(q)
		}
	}
}

// takeAway is root's removal of a method, of which others may be waiting for a proof.
func (m *model) takeAway(a, b, _ int) {
	by := callers[[]int{1, 1, 7}[a%3]]
	q := &asked{by: by, kind: "remove-method", user: by.desk}
	ids := slices.Sorted(maps.Keys(m.users[q.user].names))
	if len(ids) < 2 {
		return
	}
	m.start(q, signin.Ask{Method: signin.MethodAsk{ID: ids[b%len(ids)]}})
}

// giveBack is root's registration of a key that a user no longer has as a method.
func (m *model) giveBack(a, b, _ int) {
	by := callers[[]int{1, 1, 7}[a%3]]
	for i, k := range m.keys {
		if _, ok := m.users[by.desk].keyOf(k); ok || (k.id[0] == 'a') != (by.desk == uid) {
			continue
		}
		q := &asked{by: by, kind: "add-method", user: by.desk}
		m.start(q, signin.Ask{KeyID: k.id, Method: signin.MethodAsk{Type: "key"}})
		for n := 0; q.r != nil && !q.over && n < 4; n++ {
			m.typePIN(0, 0, 1)
			if err := m.d.Pick(desks[q.user].Caller, q.id); err == nil {
				m.foremost(q)
			}
			time.Sleep(1100 * time.Millisecond)
			if m.observe(); !q.over {
				m.tap(i, 1, 0)
				m.observe()
			}
		}
		return
	}
}

// reportSSH reports a sign-in by ssh as soon as it is there.
func (m *model) reportSSH(a, b, c int) {
	q := &asked{by: callers[0], kind: "sign-in", service: "pam:sshd", origin: origins[4+c%4], sshKey: prints[a%3], user: []uint32{uid, uid, bobUID}[b%3]}
	m.start(q, signin.Ask{})
	m.observe()
	if q.r == nil || q.over {
		return
	}
	q.mayReport = true
	if err := m.d.Report(desks[q.user].Caller, q.id); err == nil {
		q.mustEnd = true
	}
}

// waitOut is somebody who was reported, and comes back a minute before the block ends and a minute after.
func (m *model) waitOut(a, _, _ int) {
	ats := slices.DeleteFunc(slices.Sorted(maps.Keys(m.blocks)), func(at string) bool { return m.blocks[at] < m.boot() })
	if len(ats) == 0 {
		return
	}
	at := ats[a%len(ats)]
	user, origin, _ := strings.Cut(at, " ")
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		time.Sleep(m.blocks[at] + off - m.boot())
		m.observe()
		q := &asked{by: callers[0], kind: "sign-in", service: "pam:sshd", origin: origin, user: uid}
		if user == fmt.Sprint(bobUID) {
			q.user = bobUID
		}
		m.start(q, signin.Ask{})
	}
}

// denyOver denies the same thing over and over, as soon as it may be asked for again, or some time after.
func (m *model) denyOver(a, b, _ int) {
	for n := range 7 { // the sixth wait is the first that does not double
		ask := func() *asked {
			q := &asked{by: callers[[]int{1, 7, 2, 0}[a%4]], kind: "sign-in", service: []string{"pam:sudo", "pam:sudo", "mailer", "pam:sshd"}[a%4], user: uid}
			if q.by.desk != 0 {
				q.user = q.by.desk
			}
			m.start(q, signin.Ask{})
			m.observe()
			return q
		}
		q := ask()
		if q.r == nil || q.over || m.broken != nil {
			return
		}
		q.mayDeny, q.mustEnd = true, true
		if err := m.d.Deny(desks[q.user].Caller, q.id); err != nil {
			m.wrong("cannot deny %s: %v", q, err)
		}
		m.observe()
		if !q.remote { // who asks again from elsewhere may wait on for that
			time.Sleep(m.waits[q.sort()].least - time.Second - m.boot())
			ask()
		}
		time.Sleep(m.waits[q.sort()].most + []time.Duration{time.Second, time.Second, 45 * time.Minute, time.Hour}[b>>(2*n)%4] - m.boot())
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

// setClock puts the wall clock off by so much.
func (m *model) setClock(jump time.Duration) {
	m.d.mu.Lock()
	m.d.jump = jump
	m.d.mu.Unlock()
	m.say("the clock is off by %v", jump)
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
	q.mayDeny, q.mayReport, q.mayCancel, q.raced = true, true, true, true
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
		m.looksForKeys(q)
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
