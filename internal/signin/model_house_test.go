package signin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/signin"
)

// The house in which the model runs: alice and bob sit each at a desk of their own, with keys, a token
// and recovery codes. Others come from elsewhere.

const bobUID = uid + 1

// who is a caller and where they sit.
type who struct {
	caller.Caller
	name  string
	desk  uint32       // whose desk it is; 0: nobody's
	place caller.Place // seen by the desk's user; remote for all others
}

var callers = []who{
	{caller.Caller{UID: 0, PID: 22, Door: caller.DoorSocket}, "sshd", 0, ""},
	{caller.Caller{UID: 0, PID: 5, Door: caller.DoorSocket}, "sudo of alice", uid, caller.PlaceLocal},
	{caller.Caller{UID: uid, PID: 0, Door: caller.DoorSocket}, "alice", uid, caller.PlaceLocal},
	{caller.Caller{UID: bobUID, PID: 41, Door: caller.DoorSocket}, "bob", bobUID, caller.PlaceLocal},
	{caller.Caller{UID: uid, PID: 23, Door: caller.DoorSocket}, "alice by ssh", 0, ""},
	{caller.Caller{UID: uid, PID: 50, Door: caller.DoorSocket}, "alice's terminal", uid, caller.PlaceUnknown},
	{caller.Caller{UID: 33, PID: 80, Door: caller.DoorSocket}, "web", 0, ""},
	{caller.Caller{UID: 0, PID: 6, Door: caller.DoorSocket}, "sudo of bob", bobUID, caller.PlaceLocal},
	{caller.Caller{UID: bobUID, PID: 42, Door: caller.DoorSocket}, "bob by ssh", 0, ""},
}

var (
	atAlices = callers[2]
	atBobs   = callers[3]
)

// desks are where each user answers.
var desks = map[uint32]who{uid: atAlices, bobUID: atBobs}

func houseStanding(_ context.Context, c caller.Caller, user uint32) caller.Standing {
	s := caller.Standing{Place: caller.PlaceRemote, SameUser: c.UID == user}
	for _, w := range callers {
		if w.PID == c.PID && w.UID == c.UID && w.desk == user {
			s.Place, s.SameUser = w.place, true
		}
	}
	return s
}

// blinking is an operation that makes a key blink.
type blinking struct {
	op  string
	pin bool
}

// watched notes which keys blink, and passes operations on.
type watched struct {
	*fakeKeys
	mu   sync.Mutex
	on   map[string][]blinking // by path
	most int
}

func (w *watched) Run(ctx context.Context, c helper.Call, result any) error {
	var a struct {
		fido.Target
		Silent bool
		PIN    fido.PIN
	}
	if raw, err := json.Marshal(c.Args); err != nil || json.Unmarshal(raw, &a) != nil {
		return fmt.Errorf("cannot read an operation: %w", err)
	}
	if a.Silent || c.Op == fido.OpInfo || c.Op == fido.OpSetPIN {
		return w.fakeKeys.Run(ctx, c, result)
	}
	w.mu.Lock()
	w.on[a.Path] = append(w.on[a.Path], blinking{c.Op, a.PIN != nil})
	w.most = max(w.most, len(w.on[a.Path]))
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.on[a.Path] = w.on[a.Path][:len(w.on[a.Path])-1]
	}()
	return w.fakeKeys.Run(ctx, c, result)
}

// of gives what makes a key blink now, and how many did at once at most.
func (w *watched) of(k *fakeKey) (now []blinking, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(now, w.on[k.key().Path]...), w.most
}

// numbered is a source of randomness that draws numbers which stand nowhere else by chance.
type numbered struct {
	io.Reader
	mu sync.Mutex
	n  byte
}

func (r *numbered) Read(b []byte) (int, error) {
	if len(b) != 1 {
		return r.Reader.Read(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	b[0] = 74 + r.n%6
	return 1, nil
}

// house runs a test in the house.
func house(t *testing.T, pin bool, test func(m *model)) {
	t.Helper()
	keys := []*fakeKey{newFakeKey("aa"), newFakeKey("ab"), newFakeKey("ba")}
	if pin {
		keys[1].pin = "1234"
	}
	host(t, func(t *testing.T, d *desk) {
		w := &watched{fakeKeys: d.fakes, on: map[string][]blinking{}}
		d.config.Standing, d.config.Devices = houseStanding, fido.NewDevices(w)
		d.config.Rand = &numbered{Reader: d.config.Rand}
		d.config.OwnAddress = func(a netip.Addr) bool { return a.IsLoopback() || a == netip.MustParseAddr("192.0.2.100") }
		if d.config.Rand.(*numbered).Reader == nil {
			d.config.Rand.(*numbered).Reader = randomness{}
		}
		m := newModel(t, d, w, keys)
		m.pin = pin
		m.obey(0)
		d.anew()
		m.settle(uid, "sudo of alice", keys[:2], "11", oath.HOTP)
		m.settle(bobUID, "sudo of bob", keys[2:], "22", oath.TOTP)
		m.subscribe()
		time.Sleep(2 * time.Second)
		test(m)
	}, keys...)
}

// settle gives a user keys, a token and recovery codes, as root does it.
func (m *model) settle(id uint32, by string, keys []*fakeKey, serial string, kind oath.Kind) {
	m.t.Helper()
	root, name := named(by).Caller, accounts[id]
	add := func(a signin.Ask, during func(*signin.Request)) signin.View {
		a.Kind, a.User, a.Timeout = signin.KindAddMethod, name, 5*time.Minute
		r, err := m.d.Begin(m.t.Context(), root, a)
		if err != nil {
			m.t.Fatal(err)
		}
		if during != nil {
			during(r)
		}
		v := m.d.wants(r, signin.Approved)
		for _, c := range r.Yield().RecoveryCodes {
			m.users[id].codes = append(m.users[id].codes, &paper{text: string(c.Reveal())})
		}
		return v
	}
	for _, k := range keys {
		add(signin.Ask{KeyID: k.id, Method: signin.MethodAsk{Type: "key"}}, func(r *signin.Request) {
			for range 2 {
				time.Sleep(1100 * time.Millisecond)
				synctest.Wait()
				for _, p := range r.View().Prompts {
					if p.Type == signin.PromptPIN {
						_ = m.d.Answer(m.t.Context(), desks[id].Caller, r.ID(), signin.Answer{Prompt: p.ID, PIN: typed(k.pin)})
					}
				}
				m.d.touch(k)
			}
		})
	}
	f := &fob{d: m.d, serial: serial, kind: kind, seed: []byte("1234567890123456789" + serial[:1])}
	imp, err := m.d.BeginImport(root, signin.ImportOptions{})
	if err == nil {
		row := f.row()
		row.User = name
		if err = imp.Add(row); err == nil {
			_, err = imp.Commit(m.t.Context())
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
	add(signin.Ask{Method: signin.MethodAsk{Type: "token", Serial: serial}}, func(r *signin.Request) {
		for range 2 {
			synctest.Wait()
			for _, p := range r.View().Prompts {
				if p.Type == signin.PromptCode {
					_ = m.d.Answer(m.t.Context(), desks[id].Caller, r.ID(), signin.Answer{Prompt: p.ID, Code: typed(f.next())})
				}
			}
			synctest.Wait()
		}
	})
	add(signin.Ask{Method: signin.MethodAsk{Type: "recovery"}}, nil)
	m.users[id].fob, m.users[id].next = f, f.counter
	if kind == oath.TOTP {
		m.users[id].next = uint64(m.wall().Unix()/30) + 1
	}
	m.learn(id)
}

func named(name string) who {
	for _, w := range callers {
		if w.name == name {
			return w
		}
	}
	panic(name)
}

// learn reads a user's methods after a change that was approved.
func (m *model) learn(id uint32) {
	ms, err := m.d.Methods(m.t.Context(), root, accounts[id])
	if err != nil {
		m.wrong("the methods of %s cannot be read: %v", accounts[id], err)
		return
	}
	u := m.users[id]
	was := u.standard
	u.keys, u.token, u.recovery, u.standard, u.names = map[string]method.Method{}, "", "", "", map[string]bool{}
	for _, x := range ms {
		u.names[x.ID] = true
		if x.Default {
			u.standard = x.ID
		}
		switch x.Type {
		case method.TypeKey:
			u.keys[x.Key.KeyID] = x
		case method.TypeToken:
			u.token = x.ID
		case method.TypeRecovery:
			u.recovery = x.ID
		}
	}
	if u.standard == "" && len(ms) > 0 || u.standard != was && u.names[was] && was != u.recovery { // recovery codes give way
		m.wrong("the default of %s was %s and is %s: %+v", accounts[id], was, u.standard, ms)
	}
	if u.recovery == "" {
		u.codes = nil
	}
}
