package caller_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/fobproject/fob/internal/caller"
)

const (
	ann     uint32 = 1000 // the user asked
	bob     uint32 = 1001
	display uint32 = 110 // a display manager's greeter
	seat           = "seat0"
)

// session is one in front of which somebody sits, changed.
func session(uid uint32, changes ...func(*caller.Session)) *caller.Session {
	s := &caller.Session{ID: "2", UID: uid, Seat: seat, Active: true, Class: "user", Type: "wayland", State: "active"}
	for _, change := range changes {
		change(s)
	}
	return s
}

func ssh(s *caller.Session)    { s.Remote, s.Seat, s.Type = true, "", "tty" }
func behind(s *caller.Session) { s.Active, s.State = false, "online" }
func class(c string) func(*caller.Session) {
	return func(s *caller.Session) { s.Class = c }
}

func atDesk() []caller.Session { return []caller.Session{*session(ann)} }

func below(uid uint32) *uint32 { return &uid }

func TestStanding(t *testing.T) {
	const local, unknown, remote = caller.PlaceLocal, caller.PlaceUnknown, caller.PlaceRemote
	closing := func(s *caller.Session) { s.State = "closing" }
	elsewhere := func(s *caller.Session) { s.Seat = "seat1" }
	managed := func(s *caller.Session) { s.Class, s.Seat, s.Active = "manager", "", false }
	cases := []struct {
		name     string
		uid      uint32
		own      *caller.Session
		manager  *uint32
		sessions []caller.Session
		place    caller.Place
		sameUser bool
	}{
		{"a program at the desk", ann, session(ann), nil, atDesk(), local, true},
		{"sudo at the desk", 0, session(ann), nil, atDesk(), local, true},
		{"a greeter's root process while the user is away", 0, session(display, class("greeter")), nil, nil, local, false},
		{"a greeter's own program", display, session(display, class("greeter")), nil, nil, remote, false},
		{"a user's program in a greeter", ann, session(display, class("greeter")), nil, atDesk(), remote, true},
		{"a greeter on another seat", 0, session(display, class("greeter"), elsewhere), nil, nil, remote, false},
		{"a greeter in the background", 0, session(display, class("greeter"), behind), nil, nil, remote, false},
		{"a lock screen's session", 0, session(display, class("lock-screen")), nil, atDesk(), remote, false},
		{"a terminal of GNOME's", ann, nil, below(ann), atDesk(), unknown, true},
		{"sudo in a terminal of GNOME's", 0, nil, below(ann), atDesk(), unknown, true},
		{"the same where the manager has a session", 0, session(ann, managed), nil, atDesk(), unknown, true},
		{"a user's job", ann, session(ann, class("background"), behind), nil, atDesk(), unknown, true},
		{"a user's job of little weight", ann, session(ann, class("background-light"), behind), nil, atDesk(), unknown, true},
		{"a manager that starts early", ann, session(ann, class("manager-early"), behind), nil, atDesk(), unknown, true},
		{"a job that came over a network", ann, session(ann, class("background"), ssh), nil, atDesk(), remote, true},
		{"a system service that runs as the user", ann, nil, nil, atDesk(), unknown, true},
		{"sshd while the user is at the desk", 0, nil, nil, atDesk(), remote, false},
		{"another user's terminal of GNOME's", 0, nil, below(bob), atDesk(), remote, false},
		{"su to the user's in another's terminal", ann, nil, below(bob), atDesk(), remote, true},
		{"a program over ssh", ann, session(ann, ssh), nil, atDesk(), remote, true},
		{"sudo over ssh", 0, session(ann, ssh), nil, atDesk(), remote, true},
		{"an ssh session that claims the seat", ann, session(ann, func(s *caller.Session) { s.Remote = true }), nil, atDesk(), remote, true},
		{"an ssh session that claims to be a greeter", 0, session(ann, ssh, class("greeter")), nil, atDesk(), remote, true},
		{"the user's session behind another's", ann, session(ann, behind), nil, []caller.Session{*session(ann, behind)}, remote, true},
		{"a session that is closing", ann, session(ann, closing), nil, []caller.Session{*session(ann, closing)}, remote, true},
		{"a user's manager that lingers", ann, nil, below(ann), nil, remote, true},
		{"a user's manager, with sessions over ssh", ann, nil, below(ann), []caller.Session{*session(ann, ssh)}, remote, true},
		{"a user's manager, with a session on another seat", ann, nil, below(ann), []caller.Session{*session(ann, elsewhere)}, remote, true},
		{"a user's manager, with another's session", ann, nil, below(ann), []caller.Session{*session(bob)}, remote, true},
		{"another user at the desk", bob, session(bob), nil, nil, remote, false},
		{"another user's su at the desk", 0, session(bob), nil, nil, remote, false},
		{"another user's program in the user's session", bob, session(ann), nil, atDesk(), remote, true},
		{"another user's service", bob, nil, nil, atDesk(), remote, false},
		{"the invalid user", ^uint32(0), session(ann), nil, atDesk(), remote, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := caller.Facts{CallerUID: c.uid, OwnKnown: true, Own: c.own, Manager: c.manager,
				User: ann, SessionsKnown: true, UserSessions: c.sessions, Seat: seat}
			want := caller.Standing{Place: c.place, SameUser: c.sameUser}
			if got := f.Standing(); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			f.SessionsKnown = false
			if got := f.Standing(); got.Place != remote || got.SameUser != c.sameUser {
				t.Errorf("where sessions could not be asked: %+v", got)
			}
			f.SessionsKnown, f.OwnKnown = true, false
			if got := f.Standing(); got != (caller.Standing{Place: remote, SameUser: true}) {
				t.Errorf("where the caller could not be asked about: %+v", got)
			}
		})
	}
	t.Run("is remote and the same user's where nothing is known", func(t *testing.T) {
		if got := (caller.Facts{}).Standing(); got != (caller.Standing{Place: remote, SameUser: true}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("takes no session without a seat for one at keys without a seat", func(t *testing.T) {
		f := caller.Facts{CallerUID: ann, User: ann, OwnKnown: true, SessionsKnown: true, Own: session(ann, func(s *caller.Session) { s.Seat = "" })}
		if got := f.Standing().Place; got != remote {
			t.Error(got)
		}
	})
	t.Run("takes sshd that signs root in for remote", func(t *testing.T) {
		f := caller.Facts{OwnKnown: true, SessionsKnown: true, UserSessions: []caller.Session{*session(0)}, Seat: seat}
		if got := f.Standing().Place; got != remote {
			t.Error(got)
		}
	})
}

// allSessions yields every kind of session that tells something.
func allSessions(uids ...uint32) iter.Seq[caller.Session] {
	return func(yield func(caller.Session) bool) {
		for _, uid := range uids {
			for _, where := range []string{seat, "seat1", ""} {
				for _, class := range []string{"user", "greeter", "lock-screen", "background", "manager", ""} {
					for _, state := range []string{"active", "online", "closing"} {
						for bits := range 4 {
							if !yield(caller.Session{ID: "c1", UID: uid, Seat: where, Class: class, State: state, Active: bits&1 != 0, Remote: bits&2 != 0}) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// allFacts yields every combination of what tells something.
func allFacts() iter.Seq[caller.Facts] {
	owns := []*caller.Session{nil}
	for s := range allSessions(ann, bob, display, 0) {
		owns = append(owns, &s)
	}
	sets := [][]caller.Session{nil, atDesk(), {*session(ann, behind)}, {*session(ann, ssh), *session(ann)}, {*session(ann, ssh), *session(bob)}}
	return func(yield func(caller.Facts) bool) {
		for _, uid := range []uint32{0, ann, bob, display} {
			for _, own := range owns {
				for _, manager := range []*uint32{nil, below(ann), below(bob)} {
					for _, sessions := range sets {
						for bits := range 4 {
							if !yield(caller.Facts{CallerUID: uid, Own: own, Manager: manager, UserSessions: sessions,
								OwnKnown: bits&1 != 0, SessionsKnown: bits&2 != 0, User: ann, Seat: seat}) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// rule is a sentence on where a caller sits.
type rule struct {
	sentence string
	applies  func(caller.Facts) bool
	place    caller.Place
}

// rules are the places of everybody: the first that applies decides.
var rules = []rule{
	{"what could not be asked is remote", func(f caller.Facts) bool { return !(f.OwnKnown && f.SessionsKnown) }, caller.PlaceRemote},
	{"neither root nor the user is remote", func(f caller.Facts) bool { return f.CallerUID != 0 && f.CallerUID != ann }, caller.PlaceRemote},
	{"a session over a network is remote", func(f caller.Facts) bool { return f.Own != nil && f.Own.Remote }, caller.PlaceRemote},
	{"what nobody sits at is no session, and is unknown while the user is at the desk, if it is the user's", func(f caller.Facts) bool {
		return f.Own != nil && (f.Own.Class == "manager" || f.Own.Class == "background") && f.Own.UID == ann && annAtDesk(f)
	}, caller.PlaceUnknown},
	{"… and else remote", func(f caller.Facts) bool {
		return f.Own != nil && (f.Own.Class == "manager" || f.Own.Class == "background")
	}, caller.PlaceRemote},
	{"a session that is not in the foreground is remote", func(f caller.Facts) bool { return f.Own != nil && !(f.Own.Active && f.Own.State == "active") }, caller.PlaceRemote},
	{"a session that is not on the keys' seat is remote", func(f caller.Facts) bool { return f.Own != nil && f.Own.Seat != seat }, caller.PlaceRemote},
	{"the user's session is local", func(f caller.Facts) bool { return f.Own != nil && f.Own.Class == "user" && f.Own.UID == ann }, caller.PlaceLocal},
	{"root in a greeter is local", func(f caller.Facts) bool { return f.Own != nil && f.Own.Class == "greeter" && f.CallerUID == 0 }, caller.PlaceLocal},
	{"a greeter that runs as the user asked is local", func(f caller.Facts) bool { return f.Own != nil && f.Own.Class == "greeter" && f.Own.UID == ann }, caller.PlaceLocal},
	{"any other session is remote", func(f caller.Facts) bool { return f.Own != nil }, caller.PlaceRemote},
	{"nothing is unknown while the user is not at the desk", func(f caller.Facts) bool { return !annAtDesk(f) }, caller.PlaceRemote},
	{"below the user's manager is unknown", func(f caller.Facts) bool { return f.Manager != nil && *f.Manager == ann }, caller.PlaceUnknown},
	{"below another's manager is remote", func(f caller.Facts) bool { return f.Manager != nil }, caller.PlaceRemote},
	{"root in a system service is remote", func(f caller.Facts) bool { return f.CallerUID == 0 }, caller.PlaceRemote},
	{"the user in a system service is unknown", func(caller.Facts) bool { return true }, caller.PlaceUnknown},
}

func annAtDesk(f caller.Facts) bool { return slices.Contains(f.UserSessions, *session(ann)) }

func TestStandingOfEveryCombination(t *testing.T) {
	used := make([]bool, len(rules))
	for f := range allFacts() {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.applies(f) })
		used[i] = true
		if got := f.Standing().Place; got != rules[i].place {
			t.Fatalf("%s: is %s, but %s", describe(f), got, rules[i].sentence)
		}
		begunByAnn := !f.OwnKnown || f.CallerUID == ann || f.Own != nil && f.Own.UID == ann || f.Own == nil && f.Manager != nil && *f.Manager == ann
		if got := f.Standing().SameUser; got != begunByAnn {
			t.Fatalf("%s: the same user: %v", describe(f), got)
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("no combination shows that %s", r.sentence)
		}
	}
}

// TestWorseIsNeverNearer turns each fact for the worse.
func TestWorseIsNeverNearer(t *testing.T) {
	far := map[caller.Place]int{caller.PlaceLocal: 0, caller.PlaceUnknown: 1, caller.PlaceRemote: 2}
	own := func(change func(*caller.Session)) func(*caller.Facts) {
		return func(f *caller.Facts) {
			if f.Own != nil {
				s := *f.Own
				change(&s)
				f.Own = &s
			}
		}
	}
	all := func(change func(*caller.Session)) func(*caller.Facts) {
		return func(f *caller.Facts) {
			f.UserSessions = slices.Clone(f.UserSessions)
			for i := range f.UserSessions {
				change(&f.UserSessions[i])
			}
		}
	}
	worse := map[string]func(*caller.Facts){
		"the caller cannot be asked about":     func(f *caller.Facts) { f.OwnKnown = false },
		"the sessions cannot be asked for":     func(f *caller.Facts) { f.SessionsKnown = false },
		"the user has no sessions":             func(f *caller.Facts) { f.UserSessions = nil },
		"the caller is another user":           func(f *caller.Facts) { f.CallerUID = bob },
		"the keys are on another seat":         func(f *caller.Facts) { f.Seat = "seat9" },
		"the caller is below another user":     func(f *caller.Facts) { f.Manager = below(bob) },
		"the session is not active":            own(func(s *caller.Session) { s.Active = false }),
		"the session is closing":               own(func(s *caller.Session) { s.State = "closing" }),
		"the session is remote":                own(func(s *caller.Session) { s.Remote = true }),
		"the session is on no seat":            own(func(s *caller.Session) { s.Seat = "" }),
		"the session is a lock screen's":       own(class("lock-screen")),
		"the user's sessions are not active":   all(func(s *caller.Session) { s.Active = false }),
		"the user's sessions are closing":      all(func(s *caller.Session) { s.State = "closing" }),
		"the user's sessions are remote":       all(func(s *caller.Session) { s.Remote = true }),
		"the user's sessions are on no seat":   all(func(s *caller.Session) { s.Seat = "" }),
		"the user's sessions are another's":    all(func(s *caller.Session) { s.UID = bob }),
		"the user's sessions are lock screens": all(class("lock-screen")),
	}
	for f := range allFacts() {
		before := f.Standing()
		for name, change := range worse {
			g := f
			change(&g)
			if after := g.Standing(); far[after.Place] < far[before.Place] {
				t.Fatalf("%s is %s; where %s it is %s", describe(f), before.Place, name, after.Place)
			}
		}
		// A user's session that turns out to be another's is worse for the user's own programs; a greeter is
		// anybody's.
		if f.Own != nil && f.Own.Class != "greeter" {
			g := f
			own(func(s *caller.Session) { s.UID = bob })(&g)
			if after := g.Standing(); far[after.Place] < far[before.Place] {
				t.Fatalf("%s is %s; where its session is another's it is %s", describe(f), before.Place, after.Place)
			}
		}
	}
}

func describe(f caller.Facts) string {
	text := fmt.Sprintf("uid %d, own known %v, sessions known %v (%+v)", f.CallerUID, f.OwnKnown, f.SessionsKnown, f.UserSessions)
	if f.Own != nil {
		text += fmt.Sprintf(", own %+v", *f.Own)
	}
	if f.Manager != nil {
		text += fmt.Sprintf(", below %d", *f.Manager)
	}
	return text
}
