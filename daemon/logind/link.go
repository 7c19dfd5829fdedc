package logind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	busName      = "org.freedesktop.login1"
	busPath      = "/org/freedesktop/DBus"
	busInterface = "org.freedesktop.DBus"

	limitsExceeded = busInterface + ".Error.LimitsExceeded"
)

// link is one connection to the bus. Several questions can be on it.
type link struct {
	conn *dbus.Conn
	end  context.CancelFunc

	users int // questions on it; guarded by Logind.mu

	mu    sync.Mutex
	owner string // of the session manager's name, and known to run as the right user; empty: not asked
}

// visit is a question's stay on a link. It is guarded by Logind.mu.
type visit struct {
	link *link // nil while it is on none
}

// join puts a question on the link that there is, or connects. One connects at a time.
func (l *Logind) join(ctx context.Context, v *visit) (*link, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == nil || !l.link.conn.Connected() {
		l.mu.Unlock()
		k, err := connect(ctx, l.life, l.address)
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
		l.link = k
	}
	if ctx.Err() != nil { // it left already
		return nil, ctx.Err()
	}
	v.link = l.link
	v.link.users++
	return v.link, nil
}

// leave takes a question off its link. One that got no answer in time lets the next take another link,
// so that its replies are waited for no longer than by those who are still on this one.
func (l *Logind) leave(v *visit, late bool) {
	l.mu.Lock()
	k := v.link
	if k == nil {
		l.mu.Unlock()
		return
	}
	v.link = nil
	k.users--
	if late && l.link == k {
		l.link = nil
	}
	last := k.users == 0 && l.link != k
	l.mu.Unlock()
	if last {
		k.end()
	}
}

// connect connects before ctx ends; the link lasts until life ends.
func connect(ctx, life context.Context, address string) (*link, error) {
	if !strings.HasPrefix(address, "unix:") {
		return nil, fmt.Errorf("%w: its address does not begin with “unix:”", errNoBus)
	}
	life, end := context.WithCancel(life)
	stop := context.AfterFunc(ctx, end)
	conn, err := dbus.Connect(address, dbus.WithContext(life), dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))))
	if err != nil {
		end()
		return nil, fmt.Errorf("%w: %w", errNoBus, err)
	}
	if !stop() {
		return nil, ctx.Err() // the connection ends with it
	}
	context.AfterFunc(conn.Context(), end)
	return &link{conn: conn, end: end}, nil
}

// question begins a question to the session manager, which is found, and checked to run as uid, where
// that was not done yet. What it hears counts once confirm has passed.
func (k *link) question(ctx context.Context, uid uint32) (*question, error) {
	k.mu.Lock()
	owner := k.owner
	k.mu.Unlock()
	bus := &question{ctx: ctx, conn: k.conn, owner: busInterface}
	named := bus.call(busPath, busInterface+".GetNameOwner", busName)
	if owner != "" { // looked at again while the rest is asked
		return &question{ctx, k.conn, owner, named}, nil
	}
	if err := (<-named).Store(&owner); err != nil {
		if isError(err, "org.freedesktop.DBus.Error.NameHasNoOwner") {
			return nil, errAbsent
		}
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	var got uint32
	if err := (<-bus.call(busPath, busInterface+".GetConnectionUnixUser", owner)).Store(&got); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	if got != uid {
		return nil, fmt.Errorf("%w (uid %d)", errImpostor, got)
	}
	k.mu.Lock()
	k.owner = owner
	k.mu.Unlock()
	return &question{ctx, k.conn, owner, nil}, nil
}

// confirm fails if the session manager that was asked was not the one any more.
func (q *question) confirm() error {
	if q.named == nil {
		return nil
	}
	var owner string
	if err := (<-q.named).Store(&owner); err != nil || owner != q.owner {
		return fmt.Errorf("%w: another has its name", errLost)
	}
	return nil
}

// forget makes the next question look for the session manager anew.
func (k *link) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owner = ""
}

// isPassing reports whether an error may be gone at the next try: the bus, the session manager or a
// session left while it was asked, or the bus had too much to do.
func isPassing(err error) bool {
	return errors.Is(err, errLost) ||
		isError(err, limitsExceeded) ||
		isError(err, "org.freedesktop.DBus.Error.ServiceUnknown") ||
		isError(err, "org.freedesktop.DBus.Error.NameHasNoOwner") ||
		isError(err, "org.freedesktop.DBus.Error.NoReply") ||
		isError(err, "org.freedesktop.DBus.Error.Disconnected") ||
		isError(err, "org.freedesktop.DBus.Error.UnknownObject")
}

func isError(err error, name string) bool {
	var known dbus.Error
	return errors.As(err, &known) && known.Name == name
}
