package signin_test

import (
	"errors"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

// observe looks at everything once it has settled.
func (m *model) observe() {
	synctest.Wait()
	m.readLog()
	for _, q := range m.all {
		if q.over {
			continue
		}
		v := q.r.View()
		if !v.Pending() {
			m.ended(q, v)
		} else if q.mustEnd {
			m.wrong("%s was ended and is pending", q)
		}
		if q.expected && v.Decision != signin.Approved {
			m.wrong("%s has all that it needs and is %q (%v): %+v", q, v.Decision, v.Err, v.Offers)
		}
		q.expected = false
		if !q.over {
			q.open = leftOpen(v)
			m.inOrder(q, v)
		}
		if _, asked := q.prompt(signin.PromptPIN); asked && q.remote {
			m.wrong("%s, from elsewhere, asks for a PIN", q)
		}
		if q.numbered && q.r.Number() != "" {
			m.wrong("%s tells its number after it was typed", q)
		}
	}
	for _, k := range m.keys {
		m.lookAt(k)
	}
	m.hear()
	m.privacy()
}

// readLog takes in what the log has grown by.
func (m *model) readLog() {
	var page audit.Page
	err := m.d.config.Store.View(func(tx *store.Tx) (err error) {
		page, err = audit.List(tx, audit.Query{After: m.seq, Limit: 1000})
		return err
	})
	if err != nil {
		m.wrong("the log cannot be read: %v", err)
	}
	for _, e := range page.Entries {
		m.seq = e.Seq
		if e.Time.After(m.latest) {
			m.latest = e.Time
		}
		if e.Request != "" {
			m.entries[e.Request] = append(m.entries[e.Request], e)
		}
	}
}

// ended judges a decision.
func (m *model) ended(q *asked, v signin.View) {
	if q.r != nil {
		q.over, q.decision, q.unwritten = true, v.Decision, m.broken != nil
	} else {
		m.readLog()
	}
	m.say("%s ends %s by %s (%v)", q.id, v.Decision, v.Strength, v.Err)
	if all := m.entries[q.id]; q.r != nil && len(all) > 0 && m.broken == nil {
		m.recorded(q, all[len(all)-1])
	}
	now := m.boot()
	at := q.sort()
	switch v.Decision {
	case signin.Approved:
		m.approved(q, v)
		delete(m.waits, at)
		delete(m.denials, at)
		return
	case signin.Denied:
		if !q.mayDeny {
			m.wrong("%s is denied, and nobody did that", q)
		}
	case signin.Reported:
		if !q.mayReport {
			m.wrong("%s is reported, and nobody did that", q)
		}
	case signin.Expired:
		if now < q.until {
			m.wrong("%s expires %v early", q, q.until-now)
		}
	case signin.Cancelled:
		if why := m.whyCancelled(q, v.Err); why != "" {
			m.wrong("%s is cancelled (%v), %s", q, v.Err, why)
		}
	default:
		m.wrong("%s ends as %q", q, v.Decision)
	}
	if q.quiet { // nobody elsewhere makes anybody wait
		return
	}
	w := m.waits[at]
	if (v.Decision == signin.Denied || v.Decision == signin.Reported) && m.broken == nil {
		all := m.denials[at]
		if len(all) > 0 && now-all[len(all)-1] >= time.Hour {
			all = nil
		}
		m.denials[at] = append(all, now)
		w.least = now + min(30*time.Second<<len(all), 10*time.Minute)
	}
	if w.loose = w.loose || q.remote; w.loose {
		w.most = now + 10*time.Minute
	}
	w.most = max(w.most, w.least)
	m.waits[at] = w
	if v.Decision != signin.Reported || m.broken != nil {
		return
	}
	if at := q.blockable(); at != "" {
		m.blocks[at] = now + 24*time.Hour
	}
	for _, g := range m.remembered {
		if q.by.UID == 0 && g.user == q.user && (g.origin == site(q.origin) && q.origin != "" || g.sshKey == q.sshKey && q.sshKey != "") {
			g.gone = true
		}
	}
}

// approved says why an approval may be, or that it may not.
func (m *model) approved(q *asked, v signin.View) {
	if m.broken != nil {
		m.wrong("%s is approved while nothing can be written", q)
	}
	if m.boot() > q.until && q.r != nil {
		m.late(q)
	}
	all := m.entries[q.id]
	if len(all) == 0 || all[len(all)-1].Decision != "approved" || all[len(all)-1].Seq != v.LogSeq || all[len(all)-1].Strength != v.Strength.String() && q.kind != "add-method" {
		m.wrong("%s is approved by %s (entry %d), and the log has %+v", q, v.Strength, v.LogSeq, all)
		return
	}
	e := all[len(all)-1]
	if e.UID != q.user || e.CallerUID != q.by.UID || e.Service != q.service || e.Place != string(q.place) || e.SelfAsserted {
		m.wrong("%s is in the log as %+v", q, e)
	}
	because, ok := evidence{}, false
	for _, x := range q.evidence {
		if q.enough(x) && (x.strength == v.Strength || x.by == "recovery" && v.Strength == policy.None) && x.method == e.Method {
			because, ok = x, true
		}
	}
	without := q.kind != "sign-in" && q.by.UID == 0
	switch {
	case q.kind == "add-method":
		ok = ok || without || slices.ContainsFunc(q.evidence, q.enough)
	case without:
		ok = true
	case !ok && e.Grant != "" && v.Strength == policy.None:
		if ok = q.grantOK; !ok {
			m.wrong("%s goes by what is no longer remembered: %+v", q, e)
			return
		}
	}
	if !ok {
		m.wrong("%s is approved by %s, which nothing allows: %+v", q, v.Strength, q.evidence)
	}
	if because.by == "tap" && (e.Receipt == nil || !strings.Contains(string(e.Receipt.ClientData), q.id)) {
		m.wrong("%s is approved by a tap for something else", q)
	}
	m.after(q, v, e, because)
}

// late complains of an approval after the time was over.
func (m *model) late(q *asked) {
	at := m.entries[q.id]
	if len(at) > 0 && m.wall().Sub(at[len(at)-1].Time) < time.Second {
		m.wrong("%s is approved %v after its time", q, m.boot()-q.until)
	}
}

// after is what follows from an approval.
func (m *model) after(q *asked, v signin.View, e audit.Entry, because evidence) {
	switch {
	case because.by == "" || v.Grant == "":
	case !q.remember || q.by.UID != 0 || !q.remote || q.rule.remember == 0 || q.origin == "" || q.sshKey == "" || because.strength < policy.Code:
		m.wrong("%s is remembered, and may not be", q)
	default:
		m.remembered = append(m.remembered, &remembered{
			id: v.Grant, service: q.service, origin: site(q.origin), from: q.origin, sshKey: q.sshKey, method: because.method,
			user: q.user, strength: because.strength, made: e.Time, spans: q.rule.remember,
		})
	}
	switch q.kind {
	case "add-method", "remove-method":
		m.learn(q.user)
		if codes := q.r.Yield().RecoveryCodes; len(codes) > 0 {
			m.users[q.user].codes = nil
			for _, c := range codes {
				m.users[q.user].codes = append(m.users[q.user].codes, &paper{text: string(c.Reveal())})
			}
		}
	case "unblock":
		m.lifted(q, e)
	}
}

// lifted forgets what an approval has lifted.
func (m *model) lifted(q *asked, e audit.Entry) {
	user := strings.Fields(q.sort())[0]
	origin, one := strings.CutPrefix(e.Reason, "no longer blocked: ")
	for at := range m.waits {
		if f := strings.SplitN(at, " ", 4); f[0] == user && (!one || f[3] == origin) {
			delete(m.waits, at)
			delete(m.denials, at)
		}
	}
	for at := range m.blocks {
		if f := strings.SplitN(at, " ", 2); f[0] == user && (!one || f[1] == origin) {
			delete(m.blocks, at)
		}
	}
	for at := range m.locks {
		if !one && strings.HasPrefix(at, user+" ") {
			delete(m.locks, at)
		}
	}
}

// lookAt checks for whom a key blinks.
func (m *model) lookAt(k *fakeKey) {
	for len(k.blinks) > 0 {
		<-k.blinks
	}
	now, most := m.watch.of(k)
	if most > 1 {
		m.wrong("the key %s blinked for %d at once", k.id, most)
	}
	var wanted, shown []*asked
	for _, q := range m.all {
		if q.over {
			continue
		}
		state := offerState(q.r.View(), k)
		if state != signin.OfferTouch {
			delete(q.lit, k.id)
		}
		switch state {
		case signin.OfferTouch:
			if q.lit[k.id].IsZero() {
				q.lit[k.id] = time.Now()
			}
			if time.Since(q.lit[k.id]) > 15*time.Second && strings.HasPrefix(q.service, "app:") {
				m.wrong("the key %s blinks for %s for %v", k.id, q, time.Since(q.lit[k.id]))
			}
			shown = append(shown, q)
			wanted = append(wanted, q)
		case signin.OfferPaused: // it had its share
			q.parked[k.id] = true
			if m.picked == q {
				m.picked = nil
			}
			wanted = append(wanted, q)
		case signin.OfferPick, signin.OfferPIN, signin.OfferWaiting:
			wanted = append(wanted, q)
		}
	}
	if len(now) > 0 && len(shown) != 1 || len(shown) > 1 {
		m.wrong("the key %s blinks (%v), and that is shown for %v", k.id, now, shown)
		return
	}
	for _, q := range wanted {
		if q.remote && !q.numbered {
			m.wrong("the key %s is asked for %s before its number was typed", k.id, q)
		}
		if len(wanted) > 1 && q != m.picked {
			q.parked[k.id] = true
		}
	}
	for _, q := range shown {
		if q.remote && len(now) > 0 && now[0].pin {
			m.wrong("the key %s got a PIN for %s, from elsewhere", k.id, q)
		}
		if q.parked[k.id] {
			m.wrong("the key %s blinks for %s, which nobody picked, beside %v", k.id, q, wanted)
		}
	}
}

// hear reads what each user is told.
func (m *model) hear() {
	for id, sub := range m.subs {
		for len(sub.Events()) > 0 {
			ev, ok := <-sub.Events()
			if !ok {
				break
			}
			for _, x := range ev.Methods {
				if x.UID != id {
					m.wrong("%d hears of another's method %s", id, x.ID)
				}
			}
			if ev.Request == nil {
				continue
			}
			if ev.Request.UID != id {
				m.wrong("%d hears of another's request %s", id, ev.Request.ID)
			}
			if q := m.known[ev.Request.ID]; q != nil && q.number != "" {
				texts := []string{ev.Request.Progress}
				for _, p := range ev.Request.Prompts {
					texts = append(texts, p.Text, p.Expect)
				}
				for _, o := range ev.Request.Offers {
					texts = append(texts, o.Note, o.KeyName, o.MethodName)
				}
				for _, e := range m.entries[q.id] {
					texts = append(append(texts, e.Tried...), e.Reason)
				}
				if strings.Contains(strings.ReplaceAll(strings.Join(texts, "\n"), " 20", ""), " "+q.number) {
					m.wrong("the number %s of %s is told: %q", q.number, q, texts)
				}
			}
		}
		if sub.Lagged() {
			m.wrong("%d was told too much at once", id)
		}
	}
}

// privacy makes sure that a request is there for those alone whom it concerns.
func (m *model) privacy() {
	for _, w := range callers[2:] {
		if w.UID == 0 {
			continue
		}
		for _, v := range m.d.List(w.Caller) {
			if v.UID != w.UID {
				m.wrong("%s lists another's %s", w.name, v.ID)
			}
		}
		for _, q := range m.all {
			if q.over || q.user == w.UID || q.by.UID == w.UID {
				continue
			}
			if _, err := m.d.Get(w.Caller, q.id); !errors.Is(err, signin.ErrNotFound) {
				m.wrong("%s gets %s: %v", w.name, q, err)
			}
		}
	}
}
