package busapi

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/vault"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// noDevices runs no operation: these tests have no key. Those with one are the daemon's.
type noDevices struct{}

func (noDevices) Run(context.Context, helper.Call, any) error { return helper.ErrStart }

// bench is a door on a real bus and a client beside it.
type bench struct {
	bus    *testbus.Bus
	config Config
	door   *Door
	client *dbus.Conn
	object dbus.BusObject
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{bus: testbus.New(t)}
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	owner := uint32(os.Getuid())
	v, err := vault.New(vault.Options{Store: db, Keepers: []vault.Keeper{keyring.File{Path: filepath.Join(t.TempDir(), "vault.key")}}})
	if err == nil {
		err = v.Open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	engine, err := signin.New(signin.Config{
		Vault: v, Users: func(context.Context, []string) (map[string]signin.Person, error) { return nil, nil },
		Store: db, Owner: signin.Person{UID: owner, Name: "ada"}, Devices: fido.NewDevices(noDevices{}),
		Discover: func() ([]fido.Key, []fido.Problem, error) { return nil, nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b.config = Config{
		Address: b.bus.Address, Engine: engine, Instance: caller.Instance{Owner: owner}, Errors: wire.NewErrors(log), Log: log,
		Status: func(_ context.Context, s *api.Status) { s.Version = "test" },
	}
	b.door = b.open(t, b.config)
	b.client, b.object = b.connect(t)
	return b
}

func (b *bench) open(t *testing.T, c Config) *Door {
	t.Helper()
	d := Open(c)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d.Close(ctx)
	})
	return d
}

func (b *bench) connect(t *testing.T) (*dbus.Conn, dbus.BusObject) {
	t.Helper()
	conn, err := dbus.Connect(b.bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.Object(contract.Name, contract.Path)
}

// errorName is the D-Bus name of a call's error; empty for none.
func errorName(err error) string {
	e, ok := errors.AsType[dbus.Error](err)
	if !ok && err != nil {
		return err.Error()
	}
	return e.Name
}

func TestDoor(t *testing.T) {
	b := newBench(t)
	const own, std = contract.Interface + ".", "org.freedesktop.DBus.Error."
	none := map[string]dbus.Variant{}

	t.Run("says how it is", func(t *testing.T) {
		var st map[string]dbus.Variant
		if err := b.object.Call(own+"Status", 0).Store(&st); err != nil {
			t.Fatal(err)
		}
		if st["version"].Value() != "test" || st["uid"].Value() != uint32(os.Getuid()) || len(st["log_head"].Value().([]byte)) != 32 {
			t.Errorf("got %v", st)
		}
		if b.door.State() != "connected" {
			t.Error(b.door.State())
		}
	})
	for _, c := range []struct {
		name, method string
		args         []any
		want         string
	}{
		{"no method registered", "Verify", []any{"", "mailer", none}, own + "Error.NoMethod"},
		{"an unknown user", "Verify", []any{"bob", "mailer", none}, own + "Error.UnknownUser"},
		{"a control character in a service", "Verify", []any{"", "ma\til", none}, own + "Error.BadRequest"},
		{"an unknown detail", "Verify", []any{"", "mailer", variants(map[string]any{"x": "y"})}, own + "Error.BadRequest"},
		{"too long a time", "Verify", []any{"", "mailer", variants(map[string]any{"timeout_ms": uint64(1 << 60)})}, own + "Error.BadRequest"},
		{"no arguments", "Verify", nil, std + "InvalidArgs"},
		{"too few arguments", "Verify", []any{"", "mailer"}, std + "InvalidArgs"},
		{"too many arguments", "Verify", []any{"", "mailer", none, "x"}, std + "InvalidArgs"},
		{"a number for a text", "Verify", []any{uint32(0), "mailer", none}, std + "InvalidArgs"},
		{"a path for a text", "Verify", []any{dbus.ObjectPath("/x"), "mailer", none}, std + "InvalidArgs"},
		{"a map of texts", "Verify", []any{"", "mailer", map[string]string{"require": "key"}}, std + "InvalidArgs"},
		{"an argument where none belongs", "Status", []any{"x"}, std + "InvalidArgs"},
		{"a number for an id", "Cancel", []any{int32(1)}, std + "InvalidArgs"},
		{"an unknown request to cancel", "Cancel", []any{"abc"}, own + "Error.NotFound"},
		{"an empty id", "Cancel", []any{""}, own + "Error.BadRequest"},
		{"a receipt of nothing", "Receipt", []any{"abc"}, own + "Error.NotFound"},
		{"an unknown method", "Approve", nil, std + "UnknownMethod"},
		{"a listing", "List", nil, std + "UnknownMethod"},
	} {
		t.Run("answers "+c.name, func(t *testing.T) {
			if got := errorName(b.object.Call(own+c.method, 0, c.args...).Err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("answers calls that name no interface", func(t *testing.T) {
		if got := errorName(b.object.Call("Verify", 0, uint32(1), "x", none).Err); got != std+"InvalidArgs" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("has no other object", func(t *testing.T) {
		for _, path := range []dbus.ObjectPath{"/", "/io", contract.Path + "/x"} {
			if err := b.client.Object(contract.Name, path).Call(own+"Status", 0).Err; err == nil {
				t.Errorf("%s answers", path)
			}
		}
	})
	t.Run("forgets a caller that left", func(t *testing.T) {
		conn, object := b.connect(t)
		name := conn.Names()[0]
		if err := object.Call(own+"Status", 0).Err; err != nil {
			t.Fatal(err)
		}
		s := b.door.current()
		p := s.peer(name)
		if p == nil {
			t.Fatal("the caller is not known")
		}
		_ = conn.Close()
		select {
		case <-p.ctx.Done():
		case <-time.After(5 * time.Second):
			t.Fatal("the caller left, and its life goes on")
		}
		if s.peer(name) != nil {
			t.Error("the caller is still known")
		}
	})
	t.Run("survives a flood of calls", func(t *testing.T) {
		calls := make(chan *dbus.Call, 1000)
		for range cap(calls) {
			b.object.Go(own+"Status", 0, calls)
		}
		for range cap(calls) {
			if got := errorName((<-calls).Err); got != "" && got != std+"LimitsExceeded" {
				t.Fatalf("got %q", got)
			}
		}
		if err := b.object.Call(own+"Status", 0).Err; err != nil {
			t.Error(err)
		}
	})
}

func (d *Door) current() *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session
}

func (s *session) peer(name string) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[name]
}

func TestAccess(t *testing.T) {
	t.Run("keeps out all but the owner", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b.door.Close(ctx)
		c := b.config
		c.Instance.Owner++ // to this daemon the test's user is somebody else
		b.open(t, c)
		for _, m := range (&session{}).table() {
			var args []any
			switch m.in() {
			case "s":
				args = []any{"x"}
			case "ssa{sv}":
				args = []any{"", "x", map[string]dbus.Variant{}}
			case "sssa{sv}":
				args = []any{"", "x", "123456", map[string]dbus.Variant{}}
			}
			if got := errorName(b.object.Call(contract.Interface+"."+m.name, 0, args...).Err); got != contract.Interface+".Error.Forbidden" {
				t.Errorf("%s: got %q", m.name, got)
			}
		}
	})
	t.Run("of a method that declares nothing is nobody's", func(t *testing.T) {
		b := newBench(t)
		s := b.door.current()
		for _, m := range []member{
			{name: "Forgotten", fn: func(*call) *dbus.Error { return nil }},
			{name: "Panics", access: caller.AccessOwner, fn: func(*call) *dbus.Error { panic("ouch") }},
		} {
			if err := s.conn.ExportMethodTable(map[string]any{m.name: s.guard(m)}, "/test/"+dbus.ObjectPath(m.name), "test.Iface"); err != nil {
				t.Fatal(err)
			}
		}
		call := func(name string) string {
			return errorName(b.client.Object(contract.Name, "/test/"+dbus.ObjectPath(name)).Call("test.Iface."+name, 0).Err)
		}
		if got := call("Forgotten"); got != contract.Interface+".Error.Forbidden" {
			t.Errorf("got %q", got)
		}
		if got := call("Panics"); got != contract.Interface+".Error.Internal" {
			t.Errorf("a panic gave %q", got)
		}
	})
}

func TestBusTroubles(t *testing.T) {
	t.Run("a name that another program has is named, and the daemon stays up", func(t *testing.T) {
		b := newBench(t)
		second := b.open(t, b.config)
		if s := second.State(); !strings.Contains(s, "another program owns the name") || !strings.Contains(s, contract.Name) {
			t.Errorf("got %q", s)
		}
		if b.door.State() != "connected" {
			t.Error(b.door.State())
		}
	})
	t.Run("a bus that is not there is no reason to fail", func(t *testing.T) {
		b := newBench(t)
		for _, address := range []string{"unix:path=/nonexistent/bus", "tcp:host=localhost,port=1", "autolaunch:", ""} {
			c := b.config
			c.Address = address
			if s := b.open(t, c).State(); !strings.Contains(s, "cannot reach the bus") {
				t.Errorf("%q: got %q", address, s)
			}
		}
	})
	t.Run("a bus that goes away and comes back is used again", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "fob-bus")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		b := newBench(t) // skips where there is no dbus-daemon
		first, err := testbus.Start(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		c := b.config
		c.Address = "unix:path=" + filepath.Join(dir, "bus")
		d := b.open(t, c)
		if d.State() != "connected" {
			t.Fatal(d.State())
		}
		lost := d.current().ctx
		first.Close()
		<-lost.Done()
		_ = os.Remove(filepath.Join(dir, "bus"))
		second, err := testbus.Start(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(second.Close)
		conn, err := dbus.Connect(c.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		owned := make(chan *dbus.Signal, 8)
		conn.Signal(owned)
		if err := conn.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, contract.Name)); err != nil {
			t.Fatal(err)
		}
		var has bool
		if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, contract.Name).Store(&has); err != nil {
			t.Fatal(err)
		}
		for late := time.After(10 * time.Second); !has; {
			select {
			case sig := <-owned:
				has = sig.Name == "org.freedesktop.DBus.NameOwnerChanged" // not our own NameAcquired
			case <-late:
				t.Fatal("the door did not come back")
			}
		}
		if err := conn.Object(contract.Name, contract.Path).Call(contract.Interface+".Status", 0).Err; err != nil {
			t.Error(err)
		}
	})
}
