package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
)

// Where the machine's daemon is on the system bus.
const (
	busName      = "io.github.fobproject.Fob1"
	busPath      = "/io/github/fobproject/Fob1"
	busInterface = "io.github.fobproject.Fob1"
)

// ErrNoBus says that the system bus, or the machine's daemon on it, cannot be reached.
var ErrNoBus = errors.New("cannot reach the machine's fobd over the system bus")

// Authorize lets polkit ask the person at the desk for the caller's password, and gives a ticket with which
// the caller registers their first method at the machine's daemon (api.BeginRequest.Ticket). It waits for
// the person, until ctx ends: leaving the bus closes the dialog. It fails with ErrNoBus, or with an
// *api.Error.
//
// Nothing secret is sent: whoever else might own the name can give no ticket that counts.
func Authorize(ctx context.Context) (api.Secret, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	defer conn.Close()
	var ticket string
	err = conn.Object(busName, busPath).CallWithContext(ctx, busInterface+".Authorize", 0).Store(&ticket)
	if failed, ok := errors.AsType[dbus.Error](err); ok {
		return nil, ofBus(failed)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	return api.Secret(ticket), nil
}

// ofBus makes of a D-Bus error what the socket would have said.
func ofBus(err dbus.Error) error {
	if api.CodeOfBusName(err.Name).Meaning().DBus != err.Name {
		return fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	return &api.Error{Code: api.CodeOfBusName(err.Name), Message: err.Error()}
}
