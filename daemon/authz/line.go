package authz

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// busTimeout bounds connecting, and each answer of the bus daemon itself.
	busTimeout = 2 * time.Second
	// startTimeout bounds the bus daemon's starting polkit.
	startTimeout = 15 * time.Second
	// maxSpent is after how many questions that were never answered a connection is given up: the bus
	// daemon keeps count of replies that are due, and refuses calls beyond its bound (128 if nothing
	// else is configured).
	maxSpent = 64
)

const busName = "org.freedesktop.DBus"

var errSilentBus = fmt.Errorf("%w: the system bus does not answer", ErrUnavailable)

// line is one connection to the bus. Several questions can be on it.
type line struct {
	a    *Authority
	conn *dbus.Conn

	users, spent int // questions on it, and those that ended before an answer; guarded by a.mu
}

// join puts a question on a line, which is made if there is none that works.
func (a *Authority) join(ctx context.Context) (*line, error) {
	select {
	case a.dialing <- struct{}{}:
		defer func() { <-a.dialing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a.mu.Lock()
	l := a.line
	if l != nil && l.conn.Connected() {
		l.users++
		a.mu.Unlock()
		return l, nil
	}
	a.mu.Unlock()
	l, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l.users++
	a.line = l
	return l, nil
}

// leave takes a question off its line, and ends a line that is of no more use.
func (a *Authority) leave(l *line, q *question) {
	a.mu.Lock()
	l.users--
	if q.ctx.Err() != nil {
		l.spent++
	}
	if l.spent >= maxSpent && a.line == l {
		a.line = nil
	}
	last := l.users == 0 && a.line != l
	a.mu.Unlock()
	if last {
		l.close()
	}
}

func (l *line) close() {
	_ = l.conn.Close() // it may be closed already
}

// dial connects to the bus, before ctx ends.
func (a *Authority) dial(ctx context.Context) (*line, error) {
	if !strings.HasPrefix(a.address, "unix:") {
		return nil, fmt.Errorf("%w: the bus's address does not begin with “unix:”", ErrUnavailable)
	}
	l := &line{a: a}
	// The line outlives the question for which it is made.
	life, end := context.WithCancel(a.ctx)
	early := context.AfterFunc(ctx, end)
	late := time.AfterFunc(busTimeout, end)
	conn, err := dbus.Connect(a.address, dbus.WithContext(life),
		dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))), dbus.WithSignalHandler(l))
	inTime := late.Stop()
	inTime = early() && inTime
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("%w: cannot reach the system bus. Is the package dbus installed and the bus running?", ErrUnavailable)
	case !inTime:
		err = errSilentBus
	}
	if err != nil {
		end()
		return nil, err
	}
	l.conn = conn
	context.AfterFunc(conn.Context(), end)
	return l, nil
}

// bus calls a method of the bus daemon and stores what it returns.
func (l *line) bus(ctx context.Context, bound time.Duration, method string, args []any, results ...any) error {
	ctx, stop := context.WithTimeoutCause(ctx, bound, errSilentBus)
	defer stop()
	err := l.conn.BusObject().CallWithContext(ctx, busName+"."+method, 0, args...).Store(results...)
	if err == nil || ctx.Err() == nil {
		return err
	}
	if context.Cause(ctx) == errSilentBus {
		l.close() // the next question is put on another
	}
	return context.Cause(ctx)
}

// watch makes a subject's leaving the bus end its question, and gives its uid. The order matters: a
// subject that is gone by now is not watched in vain.
func (l *line) watch(ctx context.Context, subject string) (uid uint32, err error) {
	if err := l.bus(ctx, busTimeout, "AddMatch", []any{leaving(subject)}); err != nil {
		return 0, l.failed(ctx, err)
	}
	err = l.bus(ctx, busTimeout, "GetConnectionUnixUser", []any{subject}, &uid)
	if err != nil {
		l.unwatch(subject)
	}
	if isError(err, "NameHasNoOwner") {
		return 0, ErrGone
	}
	return uid, l.failed(ctx, err)
}

func (l *line) unwatch(subject string) {
	l.conn.BusObject().Go(busName+".RemoveMatch", dbus.FlagNoReplyExpected, nil, leaving(subject))
}

// leaving is the match rule for a name's leaving the bus.
func leaving(name string) string {
	return "type='signal',sender='" + busName + "',interface='" + busName + "',member='NameOwnerChanged',arg0='" + name + "',arg2=''"
}

// DeliverSignal implements dbus.SignalHandler. It runs in the connection's reading goroutine and must
// not wait.
func (l *line) DeliverSignal(_, _ string, sig *dbus.Signal) {
	if sig.Sender != busName || sig.Name != busName+".NameOwnerChanged" || len(sig.Body) != 3 {
		return
	}
	name, _ := sig.Body[0].(string)
	if owner, ok := sig.Body[2].(string); ok && owner == "" {
		l.a.gone(name)
	}
}

// authority gives the connection that has polkit's name, if it is one of the owners'. Polkit is started
// where the bus can do that.
func (l *line) authority(ctx context.Context, owners []uint32) (owner string, err error) {
	err = l.bus(ctx, busTimeout, "GetNameOwner", []any{polkitName}, &owner)
	if isError(err, "NameHasNoOwner") {
		var how uint32
		if err = l.bus(ctx, startTimeout, "StartServiceByName", []any{polkitName, uint32(0)}, &how); err == nil {
			err = l.bus(ctx, busTimeout, "GetNameOwner", []any{polkitName}, &owner)
		}
	}
	if isError(err, "ServiceUnknown") {
		return "", fmt.Errorf("%w: it is not there. Install the package polkitd, or do this as root", ErrUnavailable)
	}
	var uid uint32
	if err == nil {
		err = l.bus(ctx, busTimeout, "GetConnectionUnixUser", []any{owner}, &uid)
	}
	if err != nil {
		return "", l.failed(ctx, err)
	}
	if !slices.Contains(owners, uid) {
		return "", fmt.Errorf("%w: a program of uid %d has its name on the bus, and that is not polkit's user. Tell your administrator", ErrUnavailable, uid)
	}
	return owner, nil
}

// failed is what a question ends with where the bus daemon did not do what it was asked.
func (l *line) failed(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrUnavailable), ctx.Err() != nil:
		return err
	}
	return unavailable(err)
}

// isError reports whether err is one of the bus's own errors.
func isError(err error, name string) bool {
	known, ok := errors.AsType[dbus.Error](err)
	return ok && known.Name == busName+".Error."+name
}
