package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// dial opens another connection of an actor's to the bus.
func (a *actor) dial(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(a.bus, dbus.WithAuth(dbus.AuthExternal(fmt.Sprint(a.uid))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// floodBus calls a method over a few connections of an actor's, many times at once, until stop.
func (a *actor) floodBus(t *testing.T, method string, connections, each int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range connections {
		o := a.dial(t).Object(contract.Name, contract.Path)
		for range each {
			all.Go(func() {
				for ctx.Err() == nil {
					_ = o.CallWithContext(ctx, contract.Interface+"."+method, 0).Err
				}
			})
		}
	}
	time.Sleep(300 * time.Millisecond) // it is at its height
	return func() { cancel(); all.Wait() }
}

func TestBusUnderAFlood(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	mine := p.desk.connect(t)
	t.Run("one user's calls leave room for another's", func(t *testing.T) {
		defer p.sys.floodBus(t, "Status", 4, 40)()
		for range 40 {
			if err := mine.object.Call(contract.Interface+".Status", 0).Err; err != nil {
				t.Errorf("another user's call: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Run("three users' calls leave another at their desk", func(t *testing.T) {
		for _, a := range []*actor{p.sys, p.bin, m.newActor(t, uidNobody)} {
			defer a.floodBus(t, "Status", 2, 20)()
		}
		for range 20 {
			s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
			v := first(t, s)
			_ = p.sudo.Cancel(limit(t), v.ID)
			decision(t, s)
			if v.Place != "local" {
				t.Fatalf("sudo at the desk is taken for %s", v.Place)
			}
		}
	})
	t.Run("connections leave room for others'", func(t *testing.T) {
		for _, a := range []*actor{p.sys, p.bin, m.newActor(t, uidNobody)} {
			for n := range 220 { // the bus lets a connection watch for 512 things
				conn := a.dial(t)
				if err := conn.Object(contract.Name, contract.Path).Call(contract.Interface+".Status", 0).Err; err != nil {
					t.Fatalf("connection %d: %v", n, err)
				}
			}
		}
		fresh := p.desk.connect(t)
		if err := fresh.object.Call(contract.Interface+".Status", 0).Err; err != nil {
			t.Errorf("another user's connection: %v", err)
		}
	})
}

func TestDialogsUnderAFlood(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	m.polkit.set("no")
	go func() {
		for {
			select {
			case <-m.polkit.asked:
			case <-m.polkit.cancelled:
			case <-t.Context().Done():
				return
			}
		}
	}()
	t.Run("one user's questions leave room for another's", func(t *testing.T) {
		defer p.sys.floodBus(t, "Authorize", 40, 1)()
		desk := p.bin.connect(t)
		for range 20 {
			if err := desk.object.Call(contract.Interface+".Authorize", 0).Err; err == nil || !strings.Contains(err.Error(), "polkit did not allow it") {
				t.Errorf("another user's question: %v", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}
