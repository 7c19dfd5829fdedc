package logind_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	name         = "org.freedesktop.login1"
	managerPath  = dbus.ObjectPath("/org/freedesktop/login1")
	managerIface = "org.freedesktop.login1.Manager"
)

// row is a session as a list tells it.
type row struct {
	ID   string
	UID  uint32
	User string
	Seat string
	Path dbus.ObjectPath
}

// told is a session as its properties tell it.
type told map[string]dbus.Variant

type uo struct {
	UID  uint32
	Path dbus.ObjectPath
}

type so struct {
	ID   string
	Path dbus.ObjectPath
}

// fake is a session manager that says what it is told to. Its fields are set before it serves; the
// methods may be replaced by any others.
type fake struct {
	pids     map[uint32]dbus.ObjectPath // sessions of processes
	users    map[uint32]uint32          // users below whose managers processes run
	rows     []row
	sessions map[dbus.ObjectPath]told
	methods  map[string]any // replaces methods of the manager
	userUID  any            // what every user object says of its id; nil: the truth
	during   func()         // runs before ListSessions is answered
	slow     time.Duration  // passes before a session's properties are told

	conn *dbus.Conn

	mu     sync.Mutex
	asked  []dbus.ObjectPath // objects whose properties were asked for
	pid    []uint32          // processes that were asked about
	asking map[string]bool   // connections that asked
}

// add makes a session, changed, and gives its object.
func (f *fake) add(id string, uid uint32, seat string, change func(told)) dbus.ObjectPath {
	path := managerPath + dbus.ObjectPath("/session/_3"+id)
	seatPath := dbus.ObjectPath("/")
	if seat != "" {
		seatPath = managerPath + "/seat/" + "seat0"
	}
	s := told{
		"Id": dbus.MakeVariant(id), "User": dbus.MakeVariant(uo{uid, userPath(uid)}), "Seat": dbus.MakeVariant(so{seat, seatPath}),
		"Active": dbus.MakeVariant(true), "Remote": dbus.MakeVariant(false), "State": dbus.MakeVariant("active"),
		"Class": dbus.MakeVariant("user"), "Type": dbus.MakeVariant("wayland"), "VTNr": dbus.MakeVariant(uint32(2)),
	}
	if change != nil {
		change(s)
	}
	if f.sessions == nil {
		f.sessions = make(map[dbus.ObjectPath]told)
	}
	f.sessions[path] = s
	f.rows = append(f.rows, row{id, uid, fmt.Sprint("user", uid), seat, path})
	return path
}

// seen gives the processes and the sessions that were asked about, and by how many connections.
func (f *fake) seen() (pids []uint32, sessions []dbus.ObjectPath, connections int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pid), slices.Clone(f.asked), len(f.asking)
}

func userPath(uid uint32) dbus.ObjectPath {
	return managerPath + dbus.ObjectPath(fmt.Sprint("/user/_", uid))
}

func ssh(s told) {
	s["Remote"], s["Type"] = dbus.MakeVariant(true), dbus.MakeVariant("tty")
}

func behind(s told) {
	s["Active"], s["State"] = dbus.MakeVariant(false), dbus.MakeVariant("online")
}

func class(c string) func(told) {
	return func(s told) { s["Class"] = dbus.MakeVariant(c) }
}

// serve puts the fake on the bus; behind another that is there already.
func (f *fake) serve(t testing.TB, address string) {
	t.Helper()
	f.asking = make(map[string]bool)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f.conn = conn
	methods := map[string]any{
		"GetSessionByPID": func(m dbus.Message, pid uint32) (dbus.ObjectPath, *dbus.Error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.pid = append(f.pid, pid)
			sender, _ := m.Headers[dbus.FieldSender].Value().(string)
			f.asking[sender] = true
			if path, ok := f.pids[pid]; ok {
				return path, nil
			}
			return "", dbus.NewError("org.freedesktop.login1.NoSessionForPID", []any{"PID does not belong to any known session"})
		},
		"GetUserByPID": func(pid uint32) (dbus.ObjectPath, *dbus.Error) {
			if uid, ok := f.users[pid]; ok {
				return userPath(uid), nil
			}
			return "", dbus.NewError("org.freedesktop.login1.NoUserForPID", []any{"PID does not belong to any known user"})
		},
		"ListSessions": func() ([]row, *dbus.Error) {
			if f.during != nil {
				f.during()
			}
			return f.rows, nil
		},
	}
	for name, m := range f.methods {
		methods[name] = m
	}
	f.export(t, managerPath, managerIface, methods)
	for path, s := range f.sessions {
		f.export(t, path, "org.freedesktop.DBus.Properties", map[string]any{"GetAll": func(iface string) (map[string]dbus.Variant, *dbus.Error) {
			time.Sleep(f.slow)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked = append(f.asked, path)
			if iface != "org.freedesktop.login1.Session" {
				return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownInterface", nil)
			}
			return s, nil
		}})
	}
	for _, uid := range f.users {
		f.export(t, userPath(uid), "org.freedesktop.DBus.Properties", map[string]any{"Get": func(iface, property string) (dbus.Variant, *dbus.Error) {
			if iface != "org.freedesktop.login1.User" || property != "UID" {
				return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", nil)
			}
			if f.userUID != nil {
				return dbus.MakeVariant(f.userUID), nil
			}
			return dbus.MakeVariant(uid), nil
		}})
	}
	if _, err := conn.RequestName(name, 0); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) export(t testing.TB, path dbus.ObjectPath, iface string, methods map[string]any) {
	t.Helper()
	if err := f.conn.ExportMethodTable(methods, path, iface); err != nil {
		t.Fatal(err)
	}
}
