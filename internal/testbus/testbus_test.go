package testbus

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestBus(t *testing.T) {
	t.Run("answers a client and is gone after Close", func(t *testing.T) {
		b := New(t)
		conn, err := dbus.Connect(b.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var uid uint32
		err = conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixUser", 0, conn.Names()[0]).Store(&uid)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if c, err := dbus.Connect(b.Address); err == nil {
			_ = c.Close()
			t.Error("the bus still answers")
		}
	})
}
