package daemon_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/testbus"
)

// onBus puts a service on the bus that hears each call raw and answers it itself, or never.
func onBus(t *testing.T, address, name string, hear func(conn *dbus.Conn, m *dbus.Message)) *dbus.Conn {
	t.Helper()
	var conn *dbus.Conn
	ready := make(chan struct{})
	conn, err := dbus.Connect(address, dbus.WithIncomingInterceptor(func(m *dbus.Message) {
		if m.Type != dbus.TypeMethodCall {
			return
		}
		m.Type = 0 // godbus drops it: it is answered here
		<-ready
		hear(conn, m)
	}))
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.RequestName(name, 0); err != nil {
		t.Fatal(err)
	}
	return conn
}

func reply(conn *dbus.Conn, to *dbus.Message, values ...any) {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: to.Headers[dbus.FieldSender],
		dbus.FieldReplySerial: dbus.MakeVariant(to.Serial()),
	}, Body: values}
	if len(values) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(values...))
	}
	conn.Send(m, nil)
}

func replyError(conn *dbus.Conn, to *dbus.Message, name string) {
	conn.Send(&dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: to.Headers[dbus.FieldSender],
		dbus.FieldReplySerial: dbus.MakeVariant(to.Serial()),
		dbus.FieldErrorName:   dbus.MakeVariant(name),
	}}, nil)
}

// sessions is a session manager: a session at the desk for each user who has one, and one from elsewhere.
type sessions struct {
	conn *dbus.Conn

	mu   sync.Mutex
	mood string             // "", "hangs" (answers nothing) or "lies" (about whose session it is)
	own  map[uint32]session // in which processes run
}

const (
	loginPath = dbus.ObjectPath("/org/freedesktop/login1")
	loginName = "org.freedesktop.login1"
)

// session is a login session of a user's.
type session struct {
	uid  uint32
	away bool // it came by ssh
}

func (s session) id() string {
	if s.away {
		return fmt.Sprint("r", s.uid)
	}
	return fmt.Sprint("s", s.uid)
}

func (s session) seat() string {
	if s.away {
		return ""
	}
	return "seat0"
}

func (s session) path() dbus.ObjectPath { return loginPath + "/session/" + dbus.ObjectPath(s.id()) }

func serveSessions(t *testing.T, bus *testbus.Bus) *sessions {
	t.Helper()
	s := &sessions{own: map[uint32]session{}}
	s.conn = onBus(t, bus.Address, loginName, s.hear)
	return s
}

// seat puts an actor's process into a user's session at the desk.
func (s *sessions) seat(a *actor, user uint32) *actor { return s.put(a, session{uid: user}) }

// away puts an actor's process into a user's session from elsewhere.
func (s *sessions) away(a *actor, user uint32) *actor {
	return s.put(a, session{uid: user, away: true})
}

func (s *sessions) put(a *actor, in session) *actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[a.pid] = in
	return a
}

func (s *sessions) set(mood string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = mood
}

func (s *sessions) hear(conn *dbus.Conn, m *dbus.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mood == "hangs" {
		return
	}
	all := map[session]bool{}
	for _, in := range s.own {
		all[in] = true
	}
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	switch m.Headers[dbus.FieldMember].Value() {
	case "GetSessionByPID":
		if in, ok := s.own[m.Body[0].(uint32)]; ok {
			reply(conn, m, in.path())
			return
		}
		replyError(conn, m, loginName+".NoSessionForPID")
	case "GetUserByPID":
		replyError(conn, m, loginName+".NoUserForPID")
	case "ListSessions":
		type row struct {
			ID         string
			UID        uint32
			Name, Seat string
			Path       dbus.ObjectPath
		}
		rows := []row{}
		for in := range all {
			rows = append(rows, row{in.id(), in.uid, fmt.Sprint("user", in.uid), in.seat(), in.path()})
		}
		reply(conn, m, rows)
	case "GetAll":
		for in := range all {
			if in.path() != path {
				continue
			}
			uid := in.uid
			if s.mood == "lies" {
				uid++
			}
			type uo struct {
				UID  uint32
				Path dbus.ObjectPath
			}
			type so struct {
				ID   string
				Path dbus.ObjectPath
			}
			reply(conn, m, map[string]dbus.Variant{
				"Id": dbus.MakeVariant(in.id()), "User": dbus.MakeVariant(uo{uid, loginPath + "/user/x"}),
				"Seat": dbus.MakeVariant(so{in.seat(), loginPath + "/seat/x"}), "Active": dbus.MakeVariant(true),
				"Remote": dbus.MakeVariant(in.away), "State": dbus.MakeVariant("active"), "Class": dbus.MakeVariant("user"),
				"Type": dbus.MakeVariant("wayland"),
			})
			return
		}
		replyError(conn, m, "org.freedesktop.DBus.Error.UnknownObject")
	default:
		replyError(conn, m, "org.freedesktop.DBus.Error.UnknownMethod")
	}
}

// password is polkit: it answers as it is told to, and tells what it is asked.
type password struct {
	mu        sync.Mutex
	answer    string        // "yes", "no" or "" (nobody answers)
	asked     chan struct{} // a question came
	cancelled chan struct{} // one was taken back
}

func servePassword(t *testing.T, bus *testbus.Bus) *password {
	t.Helper()
	p := &password{asked: make(chan struct{}, 100), cancelled: make(chan struct{}, 100)}
	onBus(t, bus.Address, "org.freedesktop.PolicyKit1", p.hear)
	return p
}

func (p *password) set(answer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *password) hear(conn *dbus.Conn, m *dbus.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Headers[dbus.FieldMember].Value() {
	case "CheckAuthorization":
		type result struct {
			Authorized, Challenge bool
			Details               map[string]string
		}
		if p.answer != "" {
			reply(conn, m, result{Authorized: p.answer == "yes", Details: map[string]string{}})
		}
		p.asked <- struct{}{}
	case "CancelCheckAuthorization":
		p.cancelled <- struct{}{}
	}
}

// soon waits for what must come.
func soon(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not come", what)
	}
}
