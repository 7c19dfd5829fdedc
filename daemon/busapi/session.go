package busapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// session is one connection to the bus, from connect to close. ctx ends with the connection.
type session struct {
	d       *Door
	conn    *dbus.Conn
	ctx     context.Context
	members []member
	busy    atomic.Int32

	mu    sync.Mutex
	peers map[string]*peer // by unique name
	users map[uint32]int   // calls under way, by user
}

// peer is a connection on the bus that has called. It is known only while it is on the bus.
type peer struct {
	name string
	// ctx is the peer's life: it ends when it leaves the bus, or we do.
	ctx   context.Context
	leave context.CancelFunc

	known chan struct{} // closed when who and err are set
	who   caller.Caller
	err   error

	mu       sync.Mutex
	requests map[string]bool // begun and not decided
}

// connect opens a session: it connects, shows the object, and only then takes the name.
func connect(ctx context.Context, d *Door) (*session, error) {
	if !strings.HasPrefix(d.Address, "unix:") {
		return nil, fmt.Errorf("%w: its address does not begin with “unix:”", ErrNoBus)
	}
	s := &session{d: d, peers: make(map[string]*peer)}
	s.members = s.table()
	life, end := context.WithCancel(ctx)
	deadline := time.AfterFunc(connectTimeout, end)
	conn, err := dbus.Connect(d.Address, dbus.WithContext(life),
		dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))),
		dbus.WithSignalHandler(s), dbus.WithIncomingInterceptor(s.inspect))
	if err != nil {
		end()
		return nil, fmt.Errorf("%w: %w", ErrNoBus, err)
	}
	s.conn, s.ctx = conn, conn.Context()
	if err := s.export(); err != nil {
		end()
		return nil, err
	}
	reply, err := conn.RequestName(contract.Name, dbus.NameFlagDoNotQueue)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: cannot take the name %s: %w", ErrNoBus, contract.Name, err)
	case reply != dbus.RequestNameReplyPrimaryOwner && reply != dbus.RequestNameReplyAlreadyOwner:
		err = fmt.Errorf("%w: %s", ErrNameTaken, contract.Name)
	case !deadline.Stop():
		err = fmt.Errorf("%w: it did not answer in time", ErrNoBus)
	}
	if err != nil {
		end()
		return nil, err
	}
	context.AfterFunc(s.ctx, end)
	return s, nil
}

// export shows the object and its introspection data.
func (s *session) export() error {
	table := make(map[string]any, len(s.members))
	for _, m := range s.members {
		table[m.name] = s.guard(m)
	}
	err := s.conn.ExportMethodTable(table, contract.Path, contract.Interface)
	if err == nil {
		introspect := func() (string, *dbus.Error) { return contract.XML, nil }
		err = s.conn.ExportMethodTable(map[string]any{"Introspect": introspect}, contract.Path, "org.freedesktop.DBus.Introspectable")
	}
	if err != nil {
		return fmt.Errorf("cannot show the D-Bus object: %w", err)
	}
	return nil
}

func (s *session) close() {
	_ = s.conn.Close() // it may be closed already
}

// identify finds out who a sender is, once for as long as it is on the bus. It fails closed: without
// a user id from the bus daemon there is no caller.
func (s *session) identify(name string) (*peer, error) {
	s.mu.Lock()
	p := s.peers[name]
	first := p == nil
	if first {
		p = &peer{name: name, known: make(chan struct{}), requests: make(map[string]bool)}
		p.ctx, p.leave = context.WithCancel(s.ctx)
		s.peers[name] = p
	}
	s.mu.Unlock()
	if first {
		p.who, p.err = s.ask(p)
		close(p.known)
		if p.err != nil {
			s.forget(name)
		}
	}
	select {
	case <-p.known:
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	return p, p.err
}

// ask asks the bus daemon to tell of the sender's leaving, and who it is: in this order, so that a
// sender that is gone by now is not asked about in vain.
func (s *session) ask(p *peer) (caller.Caller, error) {
	ctx, cancel := context.WithTimeout(p.ctx, connectTimeout)
	defer cancel()
	bus := s.conn.BusObject()
	match := bus.GoWithContext(ctx, "org.freedesktop.DBus.AddMatch", 0, make(chan *dbus.Call, 1), leaving(p.name))
	creds := bus.GoWithContext(ctx, "org.freedesktop.DBus.GetConnectionCredentials", 0, make(chan *dbus.Call, 1), p.name)
	var got map[string]dbus.Variant
	if err := errors.Join((<-match.Done).Err, (<-creds.Done).Store(&got)); err != nil {
		return caller.Caller{}, fmt.Errorf("%w: the bus does not know the caller: %w", caller.ErrForbidden, err)
	}
	uid, ok := got["UnixUserID"].Value().(uint32)
	if !ok {
		return caller.Caller{}, fmt.Errorf("%w: the bus does not know the caller's user id", caller.ErrForbidden)
	}
	pid, _ := got["ProcessID"].Value().(uint32) // says where the caller sits, and never who it is
	return caller.Caller{UID: uid, PID: int32(pid), Door: caller.DoorBus, Accepted: clock.System().Boot()}, nil
}

// leaving is the match rule for a name's leaving the bus.
func leaving(name string) string {
	return "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" + name + "',arg2=''"
}

// DeliverSignal implements dbus.SignalHandler. It runs in the connection's reading goroutine and must
// not wait.
func (s *session) DeliverSignal(_, _ string, sig *dbus.Signal) {
	if sig.Sender != "org.freedesktop.DBus" || sig.Name != "org.freedesktop.DBus.NameOwnerChanged" || len(sig.Body) != 3 {
		return
	}
	name, _ := sig.Body[0].(string)
	if owner, ok := sig.Body[2].(string); ok && owner == "" {
		s.forget(name)
	}
}

// forget ends what a peer began.
func (s *session) forget(name string) {
	s.mu.Lock()
	p := s.peers[name]
	delete(s.peers, name)
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.leave()
	go s.conn.BusObject().Go("org.freedesktop.DBus.RemoveMatch", dbus.FlagNoReplyExpected, nil, leaving(name))
}
