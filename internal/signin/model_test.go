package signin_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

// op is one step of a sequence.
type op struct{ step, a, b, c int }

func (o op) String() string { return fmt.Sprintf("%s %d %d %d", steps[o.step].name, o.a, o.b, o.c) }

// themes say what is done more often than else in some of the sequences.
var themes = []map[string]int{
	{},
	{"be remembered": 60, "change policy": 12, "take a method away": 8, "give a key back": 10, "report what comes by ssh": 8, "set the clock": 6},
	{"hand a code in": 50, "guess": 4, "type a code": 25, "change policy": 8},
	{"begin at the desk": 30, "pick": 25, "tap": 30, "all at once": 8},
}

// sequence makes the steps of a seed.
func sequence(seed uint64) []op {
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	theme, total := themes[seed%uint64(len(themes))], 0
	often := make([]int, len(steps))
	for i, s := range steps {
		if often[i] = s.often; theme[s.name] > 0 {
			often[i] = theme[s.name]
		}
		total += often[i]
	}
	ops := make([]op, 150)
	for i := range ops {
		n := r.IntN(total)
		for ops[i].step = 0; n >= often[ops[i].step]; ops[i].step++ {
			n -= often[ops[i].step]
		}
		ops[i].a, ops[i].b, ops[i].c = r.IntN(1<<16), r.IntN(1<<16), r.IntN(1<<16)
	}
	return ops
}

// TestModel does what people, programs and attackers may do, at random, and compares what comes of it with
// what the design lets come of it. FOB_MODEL_SEEDS says how many sequences, FOB_MODEL_SEED which one alone,
// FOB_MODEL_TALK that they are told, FOB_MODEL_COUNT that no shorter one is looked for.
func TestModel(t *testing.T) {
	from, to := uint64(1), uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("FOB_MODEL_SEEDS"), 10, 64); err == nil {
		to = n
	}
	alone := false
	if n, err := strconv.ParseUint(os.Getenv("FOB_MODEL_SEED"), 10, 64); err == nil {
		from, to, alone = n, n, true
	}
	shown := false
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := play(t, seed, sequence(seed))
			if alone || os.Getenv("FOB_MODEL_TALK") != "" {
				t.Log("\n" + strings.Join(m.said, "\n"))
			}
			if len(m.problems) == 0 {
				return
			}
			if shown || os.Getenv("FOB_MODEL_COUNT") != "" { // one at a time is enough to read
				t.Error(m.problems[0])
				return
			}
			shown = true
			ops, m := smaller(t, seed, sequence(seed)[:m.at+1], m)
			t.Errorf("seed %d: %s\nafter these %d steps:\n%s\nwhich went:\n%s", seed, strings.Join(m.problems, "\n"), len(ops), strings.Trim(fmt.Sprint(ops), "[]"), strings.Join(m.said, "\n"))
		})
	}
}

// smaller leaves out steps without which it goes wrong all the same.
func smaller(t *testing.T, seed uint64, ops []op, m *model) ([]op, *model) {
	for size, tries := len(ops)/2, 150; size > 0; size /= 2 {
		for at := 0; at+size <= len(ops) && tries > 0; tries-- {
			fewer := append(append([]op(nil), ops[:at]...), ops[at+size:]...)
			if n := play(t, seed, fewer); len(n.problems) > 0 {
				ops, m = fewer, n
			} else {
				at += size
			}
		}
	}
	return ops, m
}

// play does one sequence in a house of its own.
func play(t *testing.T, seed uint64, ops []op) (m *model) {
	t.Helper()
	house(t, seed%3 == 0, func(in *model) {
		m = in
		for i, o := range ops {
			m.at = i
			if i > m.brokeAt+2 {
				m.mends()
			}
			steps[o.step].do(m, o.a, o.b, o.c)
			if m.observe(); len(m.problems) > 0 {
				break
			}
		}
		m.close()
	})
	return m
}

type randomness struct{}

func (randomness) Read(b []byte) (int, error) { return rand.Read(b) }

// model is what the outside knows of a house, and what the design says of that.
type model struct {
	t     *testing.T
	d     *desk
	watch *watched
	keys  []*fakeKey
	out   map[*fakeKey]bool
	pin   bool // one of alice's keys has a PIN
	users map[uint32]*person
	subs  map[uint32]*signin.Subscription
	law   int
	at    int

	all        []*asked
	known      map[string]*asked // by id, those of codes that were handed in too
	picked     *asked
	locks      map[string]*lock
	waits      map[string]wait
	denials    map[string][]time.Duration
	blocks     map[string]time.Duration
	remembered []*remembered
	broken     func() // mends the disk
	brokeAt    int
	latest     time.Time
	seq        uint64
	entries    map[string][]audit.Entry

	mu       sync.Mutex
	problems []string
	said     []string
}

// person is a user with what they have.
type person struct {
	fob      *fob
	next     uint64 // the least counter, or step of time, that was not accepted yet
	codes    []*paper
	keys     map[string]method.Method
	token    string // id of the method
	recovery string
	standard string          // the one that is offered first
	names    map[string]bool // ids of all methods
}

// asked is a request, as the outside knows it.
type asked struct {
	r                       *signin.Request
	id, kind                string
	by                      who
	user                    uint32
	service, origin, sshKey string
	place                   caller.Place
	remote, sameUser        bool
	rule                    needs           // when it began
	require, need           policy.Strength // of the caller; in all
	raised                  bool
	quiet                   bool // it was ended from elsewhere
	strongest               policy.Strength
	methods                 map[string]bool
	token                   string // the one among them
	number                  string
	timeout, until          time.Duration
	leave                   context.CancelFunc

	numbered, willBe, remember, grantOK, gone, mustEnd, mayDeny, mayReport, mayCancel, expected, raced bool
	shut                                                                                               bool            // the engine shut down meanwhile
	found, stray                                                                                       bool            // a key that holds one of its methods was there; another was touched
	refused                                                                                            map[string]bool // what typed codes were
	misses, mistyped                                                                                   int             // wrong numbers, and codes that did not count
	standard                                                                                           signin.Offer    // what the default is offered as
	open                                                                                               []signin.Offer  // what could be taken when it was looked at last
	evidence                                                                                           []evidence
	parked                                                                                             map[string]bool      // by key
	lit                                                                                                map[string]time.Time // since when a key blinks for it
	over                                                                                               bool
	decision                                                                                           signin.Decision
	unwritten                                                                                          bool // it ended while the disk was broken
}

func (q *asked) String() string {
	return fmt.Sprintf("%s %s %s for %d by %s from %q (%s, %v of %v %v)", q.id, q.kind, q.service, q.user, q.by.name, q.origin, q.place, q.need, q.rule.require, q.rule.fallback)
}

func newModel(t *testing.T, d *desk, w *watched, keys []*fakeKey) *model {
	return &model{
		t: t, d: d, watch: w, keys: keys, out: map[*fakeKey]bool{}, users: map[uint32]*person{uid: {}, bobUID: {}},
		subs: map[uint32]*signin.Subscription{}, known: map[string]*asked{}, locks: map[string]*lock{}, waits: map[string]wait{},
		denials: map[string][]time.Duration{}, blocks: map[string]time.Duration{}, entries: map[string][]audit.Entry{},
	}
}

func (m *model) wrong(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

func (m *model) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, fmt.Sprintf("%3d %s: %s", m.at, m.d.config.Clock.Now().Format("15:04:05.0"), fmt.Sprintf(format, args...)))
}

func (m *model) wall() time.Time     { return m.d.config.Clock.Now() }
func (m *model) boot() time.Duration { return m.d.config.Clock.Boot() }

func (m *model) obey(law int) {
	m.law = law
	m.d.obey(lawText(laws[law]))
}

// one chooses a request: mostly one that is pending.
func (m *model) one(n int) *asked {
	some := m.all
	if n%8 != 0 {
		some = nil
		for _, q := range m.all {
			if !q.over {
				some = append(some, q)
			}
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[n/8%len(some)]
}

// full says whether q finds no place beside what is pending: three, one of them the desk's, and one more for
// what root begins there; two of programs, one of them from elsewhere; one of another user.
func (m *model) full(q *asked) bool {
	all, remote, apps, foreign, desk := 0, 0, 0, 0, 0
	for _, o := range m.all {
		if o.user != q.user || o.over {
			continue
		}
		all++
		if o.remote {
			remote++
		}
		if o.by.UID != 0 && o.remote == q.remote {
			apps++
		}
		if o.isForeign() {
			foreign++
		}
		if o.by.UID == 0 && !o.remote {
			desk++
		}
	}
	room, programs := 3, 2
	if q.by.UID == 0 && !q.remote && desk == 0 {
		room = 4
	}
	if q.remote {
		programs = 1
	}
	return all >= room || q.remote && remote >= 2 || q.by.UID != 0 && apps >= programs || q.isForeign() && foreign >= 1
}

// isForeign says whether another user asks.
func (q *asked) isForeign() bool { return q.by.UID != 0 && q.by.UID != q.user }

func (q *asked) prompt(want signin.PromptType) (signin.Prompt, bool) {
	for _, p := range q.r.View().Prompts {
		if p.Type == want {
			return p, true
		}
	}
	return signin.Prompt{}, false
}

// expect says that the last evidence for q must approve it, if it is enough.
func (m *model) expect(q *asked) {
	n := len(q.evidence)
	q.expected = n > 0 && q.kind == "sign-in" && q.enough(q.evidence[n-1]) && m.broken == nil && m.boot() <= q.until && !q.gone && !q.mayDeny && !q.mayReport
}

// listen makes sure that what is heard of q's end is on disk by then.
func (m *model) listen(q *asked) {
	m.known[q.id] = q
	q.parked, q.lit = map[string]bool{}, map[string]time.Time{}
	states, _ := q.r.Watch()
	go func() {
		for v := range states {
			if v.Decision != signin.Approved {
				continue
			}
			var page audit.Page
			err := m.d.config.Store.View(func(tx *store.Tx) (err error) {
				page, err = audit.List(tx, audit.Query{Request: q.id})
				return err
			})
			all := page.Entries
			if err != nil || len(all) == 0 || all[len(all)-1].Decision != string(signin.Approved) || all[len(all)-1].Seq != v.LogSeq {
				m.wrong("%s is heard of as approved and is not on disk: %v, %v", q, all, err)
			}
		}
	}()
}

func (m *model) subscribe() {
	for id, at := range desks {
		sub, err := m.d.Subscribe(m.t.Context(), at.Caller)
		if err != nil {
			m.wrong("cannot subscribe: %v", err)
			return
		}
		m.subs[id] = sub
	}
}

// breaks makes every writing fail for the next two steps.
func (m *model) breaks() {
	if m.broken != nil {
		return
	}
	m.brokeAt = m.at
	mend, err := breakDisk(m.d.config.Store.Path())
	if err != nil {
		m.wrong("%v", err)
		return
	}
	m.broken = mend
	m.say("the disk breaks")
}

func (m *model) mends() {
	if m.broken != nil {
		m.broken()
		m.broken = nil
	}
}

// restart ends the engine and begins another on the same database.
func (m *model) restart() {
	m.mends()
	for _, q := range m.all {
		q.shut = q.shut || !q.over
	}
	before, at := m.d.Engine, m.boot()
	m.d.anew()
	synctest.Wait()
	if m.boot() != at {
		m.wrong("the engine waited for %v before it shut down", m.boot()-at)
	}
	for _, q := range m.all {
		if !q.over && q.r.View().Pending() {
			m.wrong("%s survives a restart", q)
		}
	}
	time.Sleep(2 * time.Second)
	synctest.Wait() // what ends at this very moment has ended
	if held := before.Left(); len(held) > 0 {
		m.wrong("an engine that was shut down holds %v", held)
	}
	m.picked = nil
	m.subscribe()
	m.say("started anew")
}

// close ends what is pending, and looks at what is left.
func (m *model) close() {
	m.mends()
	if len(m.problems) > 0 {
		return
	}
	for _, q := range m.all {
		if !q.over {
			q.mayCancel = true
			_ = m.d.Cancel(desks[q.user].Caller, q.id)
		}
	}
	time.Sleep(2 * time.Second)
	m.observe()
	if held := m.d.Left(); len(held) > 0 {
		m.wrong("after all have ended the engine holds %v", held)
	}
	for _, q := range m.all {
		if v := q.r.View(); v.Decision != q.decision {
			m.wrong("%s was %s and is %s", q, q.decision, v.Decision)
		}
		m.decidedOnce(q)
	}
	_, err := audit.Verify(m.t.Context(), m.d.config.Store, audit.Check{})
	if err == nil && !m.pin {
		_, err = m.d.VerifyLog(m.t.Context(), root, nil, nil)
	}
	if err != nil {
		m.wrong("the log does not hold: %v", err)
	}
}

// decidedOnce compares what was heard of q with its record.
func (m *model) decidedOnce(q *asked) {
	var ends []string
	for _, e := range m.entries[q.id] {
		interim := e.Decision == "approved" && strings.HasPrefix(e.Reason, "step-up") && q.kind == "add-method"
		if e.Decision != "wrong-code" && !interim {
			ends = append(ends, e.Decision)
		}
	}
	if q.unwritten && len(ends) == 0 && q.decision != signin.Approved {
		return
	}
	if len(ends) != 1 || ends[0] != string(q.decision) {
		m.wrong("%s was heard of as %s, and its record says %q", q, q.decision, ends)
	}
}
