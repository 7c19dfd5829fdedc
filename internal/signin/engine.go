// Package signin is the engine: it takes requests in which a person has a part, offers the ways in
// which each can be satisfied, lets them race, and puts the decision on disk before anybody hears
// of it.
//
// A request lives in a goroutine of its own, which runs the steps of its kind (sign-in, add-method,
// …) from top to bottom. Three things are shared: the board, which shows what is pending; the
// turns, which decide for which request a key blinks; and the store. No lock is held while a person
// is waited for.
//
// The rules that the engine keeps stand with the code that keeps them: one tap for one request in
// turns, "approved" only when it is on disk in record, the PIN for one key alone in pin, no key for who
// may be elsewhere in desk, asker is not approver in begin and click, what is remembered in grants, the
// ways back in ways and lost, whose is what in people, and what one user may ask of others in begin and load.
package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// Person is a user of this machine.
type Person struct {
	UID  uint32
	Name string
}

func (p Person) uid() uint32 { return p.UID }

// Config is what an engine is made of. All fields but Owner, Person, Groups, Standing, Reported, Accounts,
// Policy, Rand, Clock and Log must be set.
type Config struct {
	Store *store.Store
	// System is set for the machine's own instance, which serves every user. Without it the instance
	// belongs to Owner, whose program could have faked it: its approvals are marked self-asserted.
	System bool
	Owner  Person
	// Standing says where a caller sits as seen by a user; all sit at the desk if nil, which suits a
	// private instance alone. What it cannot tell is remote.
	Standing func(ctx context.Context, c caller.Caller, user uint32) caller.Standing
	Devices  *fido.Devices
	// Discover lists the keys that are plugged in now.
	Discover func() ([]fido.Key, []fido.Problem, error)
	// Vault seals what is secret in Store.
	Vault *vault.Vault
	// Users finds users by their exact names; those who do not exist are left out.
	Users func(ctx context.Context, names []string) (map[string]Person, error)
	// Person finds a user by id. Only a system instance needs it.
	Person func(ctx context.Context, uid uint32) (Person, error)
	// People lists those who have an account here, as far as that is known. Where it is nil, nobody is told of
	// who has no method at all.
	People func(ctx context.Context) ([]Person, error)
	// Groups names a user's groups. Where it is nil or fails, every rule of policy that names groups
	// holds.
	Groups func(ctx context.Context, name string) ([]string, error)
	// OwnAddress reports whether an address is one of this machine's; nil: only loopback's are.
	OwnAddress func(netip.Addr) bool
	// Accounts gives the accounts of the vault with these ids in their order, or all without any, and their seeds
	// where those are wanted. It is nil where there are none to export: the machine's instance has no accounts.
	Accounts func(tx *store.Tx, ids []string, seeds bool) ([]Account, error)
	// AccountsOpen fails with store.ErrBadCopy unless the seed of every account of the vault opens: opens gives what
	// opens those of a purpose. It goes with Accounts.
	AccountsOpen func(tx *store.Tx, opens func(purpose string) (func(name, sealed []byte) bool, error)) error
	// Policy may be replaced later by SetPolicy; it is policy.Builtin if nil.
	Policy *policy.Policy
	// Reported hears of each sign-in that was reported, once that is on disk. It must not block.
	Reported func(audit.Entry)
	Clock    clock.Clock
	Rand     io.Reader
	Log      *slog.Logger
}

// Engine runs requests. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	policy  atomic.Pointer[policy.Policy]
	started time.Time
	people  people
	board   board
	turns   turns
	// restoring is held for writing while a backup takes the place of everything, and for reading while
	// something that was sealed before is written.
	restoring sync.RWMutex

	mu       sync.Mutex
	requests map[string]*Request
	loads    map[uint32]*load // by the uid that began requests
	closed   bool
	running  sync.WaitGroup
}

// New makes an engine. Call Shutdown when it is no longer needed.
func New(c Config) (*Engine, error) {
	if c.Store == nil || c.Devices == nil || c.Discover == nil || c.Vault == nil || c.Users == nil ||
		c.System == (c.Owner.Name != "") || c.System && (c.Person == nil || c.Standing == nil) {
		return nil, errors.New("cannot make an engine: the configuration is incomplete")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Clock.Now == nil || c.Clock.Boot == nil {
		c.Clock = clock.System()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Standing == nil {
		c.Standing = func(_ context.Context, c caller.Caller, user uint32) caller.Standing {
			return caller.Standing{Place: caller.PlaceLocal, SameUser: c.UID == user}
		}
	}
	if c.OwnAddress == nil {
		c.OwnAddress = netip.Addr.IsLoopback
	}
	if c.Policy == nil {
		c.Policy = policy.Builtin()
	}
	e := &Engine{
		cfg:      c,
		started:  c.Clock.Now(),
		requests: make(map[string]*Request),
		loads:    make(map[uint32]*load),
	}
	e.people = people{e: e, known: make(map[uint32]knownPerson)}
	e.policy.Store(c.Policy)
	return e, nil
}

// SetPolicy puts a new policy in force, for requests that begin from now on and for each use of a grant.
func (e *Engine) SetPolicy(p *policy.Policy) { e.policy.Store(p) }

// Policy is the policy in force.
func (e *Engine) Policy() *policy.Policy { return e.policy.Load() }

// Shutdown refuses new requests, cancels those that are pending, and waits until their decisions
// are on disk and their keys let go, or until ctx ends.
func (e *Engine) Shutdown(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	pending := slices.Collect(func(yield func(*Request) bool) {
		for _, r := range e.requests {
			if !yield(r) {
				return
			}
		}
	})
	e.mu.Unlock()
	for _, r := range pending {
		r.end(ErrShuttingDown)
	}
	over := make(chan struct{})
	go func() { e.running.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
	}
	e.board.close()
}
