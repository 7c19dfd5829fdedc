// Package busapi is the D-Bus door: one object on the session bus, through which a program asks for
// an approval and hears how it went.
//
// A caller is who the bus daemon says it is. Each method declares who may call it; one that declares
// nothing lets nobody in. Signals go to the connection that began the request and to no other, and
// that connection's leaving the bus cancels its requests.
package busapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
)

// What may keep the door shut.
var (
	// ErrNameTaken says that another program has Fob's name on the bus.
	ErrNameTaken = errors.New("another program owns the name on this bus")
	// ErrNoBus says that the bus cannot be reached.
	ErrNoBus = errors.New("cannot reach the bus")
)

// connectTimeout bounds connecting, and each call of the bus daemon.
const connectTimeout = 2 * time.Second

// The pauses before the bus is tried again.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Config is what a Door needs. All fields but Status are required.
type Config struct {
	// Address of the bus, as in DBUS_SESSION_BUS_ADDRESS.
	Address string
	Engine  *signin.Engine
	// Instance says whom the daemon serves.
	Instance caller.Instance
	// Authorize lets a caller, by its unique name on the bus, prove with the user's password that it is
	// them, and gives a ticket; nil where nobody need to.
	Authorize func(ctx context.Context, c caller.Caller, sender string) (*secret.Secret, error)
	Errors    *wire.Errors
	Log       *slog.Logger
	// Status adds to a status what the engine does not know.
	Status func(ctx context.Context, s *api.Status)
}

// Door is the D-Bus door. It stays up when the bus goes away, and comes back with it. Its methods are
// safe for concurrent use.
type Door struct {
	Config

	mu      sync.Mutex
	problem error    // why the door is shut; nil while it is open
	session *session // nil while it is shut
	closing bool
	pumps   sync.WaitGroup // counted up under mu, and not once closing is set

	end     context.CancelFunc
	stopped chan struct{}
}

// Open tries to connect, and goes on trying until Close. It returns after the first try; State says
// how that went.
func Open(c Config) *Door {
	ctx, end := context.WithCancel(context.Background())
	d := &Door{Config: c, end: end, stopped: make(chan struct{})}
	s := d.try(ctx)
	go d.keep(ctx, s)
	return d
}

// State is "connected", or why the door is shut.
func (d *Door) State() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.problem != nil {
		return d.problem.Error()
	}
	return "connected"
}

// Close waits until the callers have heard of all decisions, or until ctx ends, and leaves the bus.
func (d *Door) Close(ctx context.Context) {
	d.mu.Lock()
	d.closing = true
	d.mu.Unlock()
	told := make(chan struct{})
	go func() { d.pumps.Wait(); close(told) }()
	select {
	case <-told:
	case <-ctx.Done():
	}
	d.end()
	<-d.stopped
}

// hold makes Close wait for a request's signals, until pumps.Done; false if the door is closing.
func (d *Door) hold() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.pumps.Add(1)
	return true
}

// keep waits for a session's end and tries for the next.
func (d *Door) keep(ctx context.Context, s *session) {
	defer close(d.stopped)
	pause := firstPause
	for {
		if s != nil {
			<-s.ctx.Done()
			s.close()
			if ctx.Err() != nil {
				return
			}
			d.set(nil, fmt.Errorf("%w: the connection was lost", ErrNoBus))
			d.Log.Warn("lost the bus: requests that came by it are cancelled")
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		s = d.try(ctx)
	}
}

// try opens a session, and logs where the state changes; nil if it cannot.
func (d *Door) try(ctx context.Context) *session {
	s, err := connect(ctx, d)
	if changed := d.set(s, err); changed && err != nil {
		d.Log.Warn("the D-Bus door is shut", slog.Any("error", err))
	} else if changed {
		d.Log.Info("the D-Bus door is open")
	}
	return s
}

// set notes the state and reports whether it says something new.
func (d *Door) set(s *session, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	same := d.session != nil && s != nil || d.problem != nil && err != nil && d.problem.Error() == err.Error()
	d.session, d.problem = s, err
	return !same
}
