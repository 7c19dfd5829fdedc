package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/testbus"
)

// door answers Authorize as the machine's daemon does.
type door struct {
	answer func() (string, *dbus.Error)
}

func (d door) Authorize() (string, *dbus.Error) { return d.answer() }

func TestAuthorize(t *testing.T) {
	bus := testbus.New(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.Address)
	if _, err := client.Authorize(t.Context()); !errors.Is(err, client.ErrNoBus) {
		t.Errorf("without the machine's daemon: %v", err)
	}
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	serve := func(answer func() (string, *dbus.Error)) {
		t.Helper()
		if err := conn.Export(door{answer}, "/io/github/fobproject/Fob1", "io.github.fobproject.Fob1"); err != nil {
			t.Fatal(err)
		}
	}
	serve(func() (string, *dbus.Error) { return "a ticket", nil })
	if reply, err := conn.RequestName("io.github.fobproject.Fob1", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	if ticket, err := client.Authorize(t.Context()); err != nil || string(ticket) != "a ticket" {
		t.Errorf("got %s, %v", ticket, err)
	}
	serve(func() (string, *dbus.Error) {
		return "", dbus.NewError(api.CodeNotFirst.Meaning().DBus, []any{"the dialog was closed"})
	})
	_, err = client.Authorize(t.Context())
	if said := (*api.Error)(nil); !errors.As(err, &said) || said.Code != api.CodeNotFirst || said.Message != "the dialog was closed" {
		t.Errorf("refused: %v", err)
	}
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	serve(func() (string, *dbus.Error) { <-hold; return "", nil })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.Authorize(ctx); err == nil {
		t.Error("a dialog that nobody answers gave a ticket")
	}
}
