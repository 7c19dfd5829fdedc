package signin_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
)

// What the design says, as a few rules over plain values. Nothing here looks at the engine's code.

// needs is what policy says of a service.
type needs struct {
	require  policy.Strength
	fallback []string
	place    []caller.Place
	remember time.Duration
}

func (n needs) takes(s string) bool { return slices.Contains(n.fallback, s) }

var (
	elsewhere = []caller.Place{caller.PlaceRemote}
	here      = []caller.Place{caller.PlaceLocal, caller.PlaceUnknown}
)

const day = 24 * time.Hour

// laws are the policies that come and go.
var laws = []map[string]needs{
	{
		"pam:sshd": {require: policy.Key, fallback: []string{"code", "recovery"}, remember: 90 * day},
		"pam:web":  {require: policy.Click, place: elsewhere},
		"pam:vpn":  {require: policy.Match, place: elsewhere},
		"pam:sudo": {require: policy.Key, place: here},
		"pam:safe": {require: policy.Verified, fallback: []string{"recovery"}},
	},
	{
		"pam:sshd": {require: policy.Key, remember: time.Hour},
		"pam:web":  {require: policy.Key, fallback: []string{"match"}, place: elsewhere},
		"pam:vpn":  {require: policy.Code, fallback: []string{"click", "recovery"}, place: elsewhere},
		"pam:sudo": {require: policy.Code, fallback: []string{"recovery"}},
		"pam:safe": {require: policy.Verified},
	},
	{
		"pam:sshd": {require: policy.Code},
		"pam:web":  {require: policy.Match, place: elsewhere},
		"pam:vpn":  {require: policy.Key, fallback: []string{"recovery"}, place: elsewhere},
		"pam:sudo": {require: policy.Key, fallback: []string{"code"}, place: here},
		"pam:safe": {require: policy.Verified, fallback: []string{"code", "recovery"}, remember: 30 * day},
	},
}

// lawText is a policy as administrators write it.
func lawText(law map[string]needs) string {
	var b strings.Builder
	quoted := func(name string, all []string) {
		if len(all) > 0 {
			fmt.Fprintf(&b, "%s = [\"%s\"]\n", name, strings.Join(all, `", "`))
		}
	}
	for service, n := range law {
		fmt.Fprintf(&b, "[service.%q]\nrequire = %q\n", service, n.require)
		quoted("fallback", n.fallback)
		var places []string
		for _, p := range n.place {
			places = append(places, string(p))
		}
		quoted("place", places)
		if n.remember > 0 {
			fmt.Fprintf(&b, "remember = \"%dh\"\n", n.remember/time.Hour)
		}
	}
	return b.String()
}

// rule is what holds for a service now.
func (m *model) rule(service string) needs {
	if n, ok := laws[m.law][service]; ok {
		return n
	}
	return needs{require: policy.Code}
}

// evidence is what somebody has done for one request.
type evidence struct {
	by       string // tap, code, recovery, match, click
	strength policy.Strength
	method   string
}

// enough says whether policy as it was when the request began lets it be approved by this.
func (q *asked) enough(e evidence) bool {
	if q.kind != "sign-in" {
		return e.by == "recovery" && q.kind == "add-method" || e.by != "recovery" && e.strength >= max(q.strongest, q.floor())
	}
	if e.by == "tap" && q.remote && !q.numbered {
		return false
	}
	if (e.by == "match" || e.by == "click") && (!q.remote || q.sameUser) {
		return false
	}
	if e.by == "recovery" {
		return !q.raised && q.rule.takes("recovery")
	}
	return e.strength >= q.need || !q.raised && q.rule.takes(e.strength.String())
}

// floor is the least that lifts locks: a tap.
func (q *asked) floor() policy.Strength {
	if q.kind == "unblock" {
		return policy.Key
	}
	return policy.Click
}

// remembered is an approval that need not be asked for again.
type remembered struct {
	id, service, origin, sshKey, method string
	from                                string // the address that origin stands for
	user                                uint32
	strength                            policy.Strength
	made                                time.Time
	spans                               time.Duration
	gone                                bool
}

// spared says whether some remembered approval lets q go without a question now.
func (m *model) spared(q *asked) bool {
	if q.by.UID != 0 || !q.remote || q.require != policy.None || q.kind != "sign-in" {
		return false
	}
	now, rule := m.wall(), m.rule(q.service)
	return slices.ContainsFunc(m.remembered, func(g *remembered) bool {
		return !g.gone && g.user == q.user && g.service == q.service && g.origin == site(q.origin) && g.sshKey == q.sshKey && q.sshKey != "" &&
			now.Sub(g.made) <= rule.remember && now.Sub(g.made) < g.spans && (g.strength >= rule.require || rule.takes(g.strength.String())) &&
			g.strength >= policy.Code && m.users[g.user].names[g.method] && !now.Before(m.latest.Add(-5*time.Minute-30*time.Second))
	})
}

// forgetsAll notes that what is remembered of q's user is gone, if it was looked for while the clock was back:
// then nobody can tell how old it is, and setting the clock right does not help.
func (m *model) forgetsAll(q *asked) {
	a, err := netip.ParseAddr(q.origin)
	looked := q.by.UID == 0 && q.remote && q.require == policy.None && q.kind == "sign-in" && q.sshKey != "" && q.rule.remember > 0
	if !looked || err != nil || a.IsLoopback() || m.broken != nil || !m.wall().Before(m.latest.Add(-5*time.Minute-30*time.Second)) {
		return
	}
	for _, g := range m.remembered {
		g.gone = g.gone || g.user == q.user
	}
}

// site is what counts as one origin: an address, or the /64 of one.
func site(origin string) string {
	a, err := netip.ParseAddr(origin)
	if err != nil {
		return origin
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// fromHere says whether code of this machine may have begun what root says comes from there.
func fromHere(origin string) bool {
	a, err := netip.ParseAddr(origin)
	return err != nil || a.Unmap().IsLoopback() || a == netip.MustParseAddr("192.0.2.100")
}

// lock is a user's wrong codes from one side.
type lock struct {
	wrong, locks int
	until        time.Duration
}

func (m *model) lock(q *asked) *lock {
	at := fmt.Sprint(q.user, " ", q.remote)
	if q.isForeign() { // what another user hands in is that user's own
		at = fmt.Sprint(q.user, " by ", q.by.UID)
	}
	if m.locks[at] == nil {
		m.locks[at] = new(lock)
	}
	return m.locks[at]
}

// miss counts a wrong code: the tenth locks for 15 minutes, doubling to an hour.
func (l *lock) miss(now time.Duration) {
	if l.wrong++; l.wrong < 10 {
		return
	}
	l.wrong = 0
	l.until = now + min(15*time.Minute<<l.locks, time.Hour)
	l.locks++
}

// wait is what holds after a denial.
type wait struct {
	least, most time.Duration // it holds until the one surely, and until the other perhaps
	loose       bool          // something from elsewhere has ended, which may have counted too
}

// sort says under what a request is counted after a denial: where no address is vouched for, what comes from
// elsewhere is counted apart, so that nobody there makes the desk wait.
func (q *asked) sort() string {
	from := fmt.Sprintf("uid %d, remote %v", q.by.UID, q.remote)
	if q.by.UID == 0 && (q.origin != "" || !q.remote) {
		from = site(q.origin)
	}
	if q.by.UID != 0 && q.by.UID != q.user { // a stranger under whatever name
		return fmt.Sprintf("%d %s", q.user, from)
	}
	return fmt.Sprintf("%d %s %s %s", q.user, q.service, q.kind, from)
}

// origin is where q is blocked if it is reported; empty where it cannot be.
func (q *asked) blockable() string {
	if q.by.UID != 0 || !q.remote || q.origin == "" {
		return ""
	}
	return fmt.Sprint(q.user, " ", site(q.origin))
}

// typedCode is what somebody types.
type typedCode struct {
	text  string
	token bool // looks like a token's
	right bool
	used  bool
	step  uint64
	paper *paper
	sort  string
}

// paper is one printed recovery code.
type paper struct {
	text string
	used bool
}

// write makes something to type for a user: n says what.
func (m *model) write(user uint32, n int) (c typedCode) {
	u := m.users[user]
	c.token = true
	switch n % 10 {
	case 0, 1, 2: // right
		c.sort = "a token's right code"
		c.step, c.right = u.next, true
		if u.totp() {
			now := uint64(max(m.wall().Unix(), 0) / 30)
			c.step, c.right = now, now >= u.next
			c.used = !c.right
		} else {
			c.step += uint64(n/10) % 3 // presses that nobody sent
		}
		c.text = u.fob.code(c.step)
	case 3: // one that was accepted
		c.sort = "a token's used code"
		c.step, c.used = u.next-1, true
		if now := uint64(max(m.wall().Unix(), 0) / 30); u.totp() && (c.step+1 < now || c.step > now+1) {
			c.used = false // long past
		}
		c.text = u.fob.code(c.step)
	case 4: // another user's
		c.sort = "another user's code"
		other := m.users[uid+bobUID-user]
		c.text = other.fob.code(other.next)
		if u.near(c.text) {
			c.text = u.no()
		}
	case 5:
		c.sort = "a wrong code"
		c.text = u.no()
	case 6, 7:
		c.sort, c.token = "a recovery code", false
		for _, p := range u.codes {
			if !p.used {
				c.text, c.paper, c.right = p.text, p, true
				return c
			}
		}
		c.text = "0000-0000-0000-0000"
	default:
		c.sort, c.token = "a used recovery code", false
		for _, p := range u.codes {
			if p.used {
				c.text, c.used = p.text, true
				return c
			}
		}
		c.text = "0000-0000-0000-0000"
	}
	return c
}

func (u *person) totp() bool { return u.fob.kind == "totp" }

// near says whether a text is a code of the token that could count by chance.
func (u *person) near(text string) bool {
	for n := range uint64(60) {
		if u.fob.code(u.next+n-min(u.next, 30)) == text {
			return true
		}
	}
	return false
}

// no is a code that is none.
func (u *person) no() string {
	for n := 123456; ; n++ {
		if text := fmt.Sprintf("%06d", n); !u.near(text) {
			return text
		}
	}
}

// weigh says what a typed code is to a request, and counts it: evidence if it is right, an error's word if
// it is not.
func (m *model) weigh(q *asked, c typedCode) (e evidence, right bool, word string) {
	defer func() {
		if q.refused == nil {
			q.refused = map[string]bool{}
		}
		q.refused[word] = true
		if word == "wrong" || word == "used" {
			q.mistyped++
		}
	}()
	u, l := m.users[q.user], m.lock(q)
	if m.boot() < l.until {
		return e, false, "locked"
	}
	if m.broken != nil {
		return e, false, "broken"
	}
	e = evidence{by: "code", strength: policy.Code, method: u.token}
	if !c.token {
		e = evidence{by: "recovery", method: u.recovery}
	}
	offered := e.method != "" && (q.methods[e.method] || !c.token) && q.enough(e)
	switch {
	case c.token && q.token != "" && q.token != u.token && q.enough(e):
		return e, false, "gone" // no code of a token that was taken away can be right: nothing to count
	case offered && c.right && q.kind != "sign-in" && !maps.Equal(u.names, q.methods):
		return e, false, "changed"
	case offered && c.token && u.totp() && m.wall().Before(m.latest.Add(-5*time.Minute)):
		return e, false, "back"
	case offered && c.right:
		if c.paper != nil {
			c.paper.used = true
		} else {
			u.next = c.step + 1
		}
		*l = lock{}
		return e, true, ""
	case offered && c.used:
		return e, false, "used"
	}
	l.miss(m.boot())
	if m.boot() < l.until {
		return e, false, "locked"
	}
	return e, false, "wrong"
}

// strongest is the best that a user's methods prove.
func (u *person) strongest() policy.Strength {
	s := policy.None
	if u.token != "" {
		s = policy.Code
	}
	for _, k := range u.keys {
		s = max(s, k.Strength())
	}
	return s
}

// keyOf gives the method of the user that a key holds.
func (u *person) keyOf(k *fakeKey) (method.Method, bool) { x, ok := u.keys[k.id]; return x, ok }
