package busapi

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	contract "github.com/fobproject/fob/packaging/dbus"
)

// session is one connection to the bus, from connect to close. ctx ends with the connection.
type session struct {
	d       *Door
	conn    *dbus.Conn
	ctx     context.Context
	members []member
	asking  chan struct{} // holds one for each peer that the bus daemon is asked about

	mu      sync.Mutex
	peers   map[string]*peer // by unique name
	users   map[uint32]usage
	busy    int // calls under way, but for those that wait for a person
	counted int // peers whose user is known
	unknown int // peers that are being asked about
}

const busName = "org.freedesktop.DBus"

// leaving is the match rule for a name's leaving the bus: one for all, since the bus daemon bounds how
// many a connection may have.
const leaving = "type='signal',sender='" + busName + "',interface='" + busName + "',member='NameOwnerChanged',arg2=''"

// connect opens a session: it connects, hears who leaves from then on, shows the object, and only then
// takes the name.
func connect(ctx context.Context, d *Door) (*session, error) {
	if !strings.HasPrefix(d.Address, "unix:") {
		return nil, fmt.Errorf("%w: its address does not begin with “unix:”", ErrNoBus)
	}
	s := &session{
		d: d, asking: make(chan struct{}, maxAsking),
		peers: make(map[string]*peer), users: make(map[uint32]usage),
	}
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
	if err := conn.BusObject().Call(busName+".AddMatch", 0, leaving).Err; err != nil {
		end()
		return nil, fmt.Errorf("%w: cannot hear who leaves it: %w", ErrNoBus, err)
	}
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

// DeliverSignal implements dbus.SignalHandler. It runs in the connection's reading goroutine and must
// not wait.
func (s *session) DeliverSignal(_, _ string, sig *dbus.Signal) {
	if sig.Sender != busName || sig.Name != busName+".NameOwnerChanged" || len(sig.Body) != 3 {
		return
	}
	name, _ := sig.Body[0].(string)
	if owner, ok := sig.Body[2].(string); ok && owner == "" {
		s.forget(name)
	}
}
