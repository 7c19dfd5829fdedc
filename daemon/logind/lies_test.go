package logind_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/testbus"
)

// textRow is a row whose user is a text.
type textRow struct {
	ID, UID, User, Seat string
	Path                dbus.ObjectPath
}

// TestLies shows that an answer that is not as it should be makes nobody local.
func TestLies(t *testing.T) {
	property := func(name string, value any) func(*fake) {
		return func(f *fake) { f.sessions[f.pids[pid]][name] = dbus.MakeVariant(value) }
	}
	without := func(name string) func(*fake) {
		return func(f *fake) { delete(f.sessions[f.pids[pid]], name) }
	}
	listed := func(change func(*row)) func(*fake) { return func(f *fake) { change(&f.rows[0]) } }
	method := func(name string, m any) func(*fake) { return func(f *fake) { f.methods = map[string]any{name: m} } }
	const garbled = "cannot be believed"
	cases := []struct {
		name  string
		lie   func(*fake)
		state string
	}{
		{"a session that its list gives to another user", listed(func(r *row) { r.UID = bob }), garbled},
		{"a session that its list puts on another seat", listed(func(r *row) { r.Seat = "seat1" }), garbled},
		{"a session that its list calls otherwise", listed(func(r *row) { r.ID = "77" }), garbled},
		{"a session that its list does not have", func(f *fake) { f.rows = nil }, garbled},
		{"a session that is listed twice", func(f *fake) { f.rows = append(f.rows, f.rows[0]) }, garbled},
		{"an id that is listed twice", func(f *fake) { f.add("8", bob, "", nil); f.rows[1].ID = "2" }, garbled},
		{"a seat with control characters", func(f *fake) {
			f.rows[0].Seat = "seat0\n"
			property("Seat", so{"seat0\n", "/"})(f)
		}, garbled},
		{"a seat with control characters in its list", listed(func(r *row) { r.Seat = "seat0\x1b" }), garbled},
		{"a seat of endless length", func(f *fake) {
			f.rows[0].Seat = strings.Repeat("s", 65)
			property("Seat", so{f.rows[0].Seat, "/"})(f)
		}, garbled},
		{"a session without an id", func(f *fake) {
			f.rows[0].ID = ""
			property("Id", "")(f)
		}, garbled},
		{"a session without an id in its properties", property("Id", ""), garbled},
		{"an id that is a number", property("Id", uint32(2)), garbled},
		{"an owner without an object", property("User", ann), garbled},
		{"an owner who is a text", property("User", so{"1000", "/"}), garbled},
		{"an owner of more bits", property("User", struct {
			UID  uint64
			Path dbus.ObjectPath
		}{uint64(ann), "/"}), garbled},
		{"an owner whose object is a text", property("User", struct {
			UID  uint32
			Path string
		}{ann, "/"}), garbled},
		{"a seat without an object", property("Seat", "seat0"), garbled},
		{"no seat at all", without("Seat"), garbled},
		{"nothing about remote", without("Remote"), garbled},
		{"a remote that is a number", property("Remote", uint32(0)), garbled},
		{"an active that is a text", property("Active", "yes"), garbled},
		{"no class", without("Class"), garbled},
		{"a class with a space", property("Class", "user "), garbled},
		{"a state that is a flag", property("State", true), garbled},
		{"no type", without("Type"), garbled},
		{"a list of something else", method("ListSessions", func() ([]string, *dbus.Error) { return []string{"2"}, nil }), garbled},
		{"a list of other rows", method("ListSessions", func() ([]uo, *dbus.Error) { return []uo{{ann, "/"}}, nil }), garbled},
		{"a list whose users are texts", method("ListSessions", func() ([]textRow, *dbus.Error) {
			return []textRow{{"2", "1000", "user1000", "seat0", "/org/freedesktop/login1/session/_32"}}, nil
		}), garbled},
		{"two lists", method("ListSessions", func() ([]row, []row, *dbus.Error) { return nil, nil, nil }), garbled},
		{"no list", method("ListSessions", func() *dbus.Error { return nil }), garbled},
		{"a session that is a text", method("GetSessionByPID", func(uint32) (string, *dbus.Error) { return "/org/freedesktop/login1/session/_32", nil }), garbled},
		{"a refusal to tell of the process", method("GetSessionByPID", func(uint32) (dbus.ObjectPath, *dbus.Error) {
			return "", dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no\x1b[31m"})
		}), "the session manager refused: no[31m"},
		{"a refusal to list", method("ListSessions", func() ([]row, *dbus.Error) {
			return nil, dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"})
		}), "refused"},
		{"a refusal to tell of the process's user", method("GetUserByPID", func(uint32) (dbus.ObjectPath, *dbus.Error) {
			return "", dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"})
		}), "refused"},
		{"an object that is not there", func(f *fake) { f.pids[pid] = "/nowhere" }, "refused"},
		{"a user's id that is a text", func(f *fake) {
			f.pids, f.users, f.userUID = nil, map[uint32]uint32{pid: ann}, "1000"
		}, garbled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := atDesk()
			c.lie(f)
			d := open(t, testbus.New(t).Address, f)
			d.want(by(ann), remote)
			d.want(by(0), remote)
			d.wantState(c.state)
		})
	}
	t.Run("what is told wrong of a session on another seat is not asked for", func(t *testing.T) {
		f := atDesk()
		f.add("9", ann, "", func(s told) { s["Active"] = dbus.MakeVariant("yes") })
		d := open(t, testbus.New(t).Address, f)
		d.want(by(ann), local)
	})
}
