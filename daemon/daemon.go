// Package daemon is fobd's composition root: it reads the configuration, makes the store, the helper
// pool, the engine and the doors, says when they are ready, and takes them down in the right order.
//
//	socketapi ─┐                ┌─ store     one file, one writer
//	           ├─ signin.Engine ┼─ vault ── keyring: what opens it by itself
//	busapi ────┘                └─ fido ── helper pool ── fob-helper processes
//	socketapi ── codes.Book ─ account, vault, card ── the same pool (a user's instance alone)
//	socketapi ── card.Watch ── fob-helper watch, while somebody follows (as well)
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/daemon/busapi"
	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/daemon/logind"
	"github.com/fobproject/fob/daemon/socketapi"
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// stopTimeout bounds the whole shutdown; the unit file gives more.
const stopTimeout = 10 * time.Second

// Options say which instance to run. User or Dir must be set.
type Options struct {
	// User asks for the user's own instance, in the session's folders and on the session bus.
	User bool
	// System asks for the machine's own instance, which serves every user, on the system bus.
	System bool
	// Dir asks for a private instance below one folder, without a bus. It wins over User. Together with
	// System the machine's instance has everything below Dir, its bus where
	// DBUS_SYSTEM_BUS_ADDRESS says, and the journal where FOB_JOURNAL_SOCKET says; without these, none.
	Dir string
	// Renamed confirms that the user's id had another name before.
	Renamed bool
	// ClockWasWrong says that the clock is right now, although it has shown a later time.
	ClockWasWrong bool
	// Config is the configuration file; the instance's own if empty.
	Config string
	// Keys are absolute paths of devices that are keys although they are not found by themselves.
	Keys []string
	// LogLevel wins over the configuration file's.
	LogLevel string
	// Version is what the status says.
	Version string
	// Executable is fobd's own path, beside which fob-helper is looked for.
	Executable string
	// Env reads the environment; os.Getenv outside tests.
	Env func(string) string
	// Log is where the log goes.
	Log io.Writer
	// Reload makes Run read the policy anew with each signal; nil for never.
	Reload <-chan os.Signal
}

// Daemon is a running instance.
type Daemon struct {
	o      Options
	log    *slog.Logger
	layout layout
	store  *store.Store
	vault  *vault.Vault
	pool   *helper.Pool
	cards  *card.Watch // nil at the machine's instance
	engine *signin.Engine
	socket *socketapi.Socket
	server *socketapi.Server
	bus    *busapi.Door // nil without a bus
	failed chan error   // gets why a door broke

	logind    *logind.Logind   // nil where nobody is asked where callers sit
	authority *authz.Authority // nil but at the machine's instance
	tickets   *authz.Tickets
	policies  policies

	ctx     context.Context // ends when the instance stops
	end     context.CancelFunc
	decided context.Context // ends when the last decision is on disk
	settle  context.CancelFunc
	running sync.WaitGroup // what goes on beside the doors
}

// Run runs an instance until ctx ends, and then shuts it down.
func Run(ctx context.Context, o Options) error {
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	for {
		select {
		case <-o.Reload:
			_ = d.Reload(ctx) // it is in the log
			continue
		case <-ctx.Done():
		case err = <-d.failed:
		}
		d.Stop()
		return err
	}
}

// Start starts an instance. When it returns, the doors are open and the service manager knows. ctx
// bounds the start alone.
func Start(ctx context.Context, o Options) (_ *Daemon, err error) {
	owner, err := nss.Lookup{}.ByUID(ctx, uint32(os.Getuid()))
	if err != nil {
		return nil, fmt.Errorf("cannot find out whose daemon this is: %w", err)
	}
	d := &Daemon{o: o, failed: make(chan error, 1)}
	d.ctx, d.end = context.WithCancel(context.Background())
	d.decided, d.settle = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			d.end()
			d.settle()
			d.running.Wait()
		}
	}()
	if d.layout, err = o.layout(owner.Home); err != nil {
		return nil, err
	}
	config, err := d.configure()
	if err != nil {
		return nil, err
	}
	if err := ownDir(d.layout.state, o.System && filepath.Dir(d.layout.socket) == d.layout.state); err != nil {
		return nil, err
	}
	if d.store, err = store.Open(d.layout.database, store.Options{Log: d.log}); err != nil {
		return nil, err // it says of itself that it is the database
	}
	d.policies = policies{dir: d.layout.policy, system: o.System, log: d.log}
	if err := d.policies.load(ctx); err != nil {
		_ = d.store.Close()
		return nil, err
	}
	helpers := helper.Options{Path: findHelper(config.Helper, o.Executable), Log: d.log}
	d.pool = helper.NewPool(helpers)
	if !o.System {
		d.cards = card.NewWatch(helpers)
	}
	if err := d.open(config, signin.Person{UID: owner.UID, Name: owner.Name}); err != nil {
		_ = d.pool.Close()
		_ = d.store.Close() // nothing was written: the first error says more
		return nil, err
	}
	if err := notify(o.Env("NOTIFY_SOCKET"), "READY=1"); err != nil {
		d.log.Warn("the service manager was not told", slog.Any("error", err))
	}
	d.log.Info("ready", slog.String("socket", d.layout.socket), slog.String("bus", d.busState()),
		slog.String("user", owner.Name), slog.String("version", o.Version))
	return d, nil
}

// configure reads the configuration and starts the log.
func (d *Daemon) configure() (File, error) {
	path := d.o.Config
	if path == "" {
		path = d.layout.config
	}
	file, err := readFile(path, d.o.Config != "")
	if err != nil {
		return File{}, err
	}
	if file, err = file.merge(d.o); err != nil {
		return File{}, err
	}
	level, err := ParseLevel(file.LogLevel)
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	d.log = newLog(d.o.Log, d.o.Env("JOURNAL_STREAM") != "", level)
	for _, key := range file.Keys {
		if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			d.log.Warn("nothing is plugged in where a key was named", slog.String("path", key))
		}
	}
	return file, nil
}

// open makes the engine and opens the doors. After an error nothing of it is left.
func (d *Daemon) open(config File, owner signin.Person) error {
	instance := caller.Instance{System: d.o.System, Owner: owner.UID}
	if d.layout.logind != "" {
		d.logind = logind.Open(d.layout.logind, d.log, logind.Options{})
	}
	keepers := []vault.Keeper{keyring.File{Path: d.layout.vaultKey}}
	if d.layout.bus != "" && !d.o.System {
		keepers = slices.Insert(keepers, 0, vault.Keeper(keyring.SecretService{Address: d.layout.bus, InstanceID: d.layout.state}))
	}
	var err error
	if d.vault, err = vault.New(vault.Options{Store: d.store, Keepers: keepers, Log: d.log}); err != nil {
		return err
	}
	var mine signin.Person
	var accounts func(*store.Tx, []string, bool) ([]signin.Account, error)
	if !d.o.System {
		mine, accounts = owner, accountsOf(d.vault)
	}
	d.engine, err = signin.New(signin.Config{
		Store: d.store, System: d.o.System, Owner: mine, Standing: d.standing(), Vault: d.vault,
		Users: users, Person: person, People: everybody, Groups: nss.Lookup{}.GroupsOf, Policy: d.policies.current(), Reported: d.reported, OwnAddress: ownAddress,
		Accounts: accounts, AccountsOpen: accountsOpen,
		Devices: fido.NewDevices(d.pool),
		Discover: func() ([]fido.Key, []fido.Problem, error) {
			return fido.Discover("/sys", "/dev", config.Keys)
		},
		Log: d.log,
	})
	if err != nil {
		return err
	}
	if d.o.Renamed {
		if err := d.engine.ConfirmName(context.Background()); err != nil {
			return fmt.Errorf("cannot confirm the user's name: %w", err)
		}
	}
	if d.o.ClockWasWrong {
		if err := d.engine.ForgetClock(context.Background()); err != nil {
			return fmt.Errorf("cannot forget what the clock has shown: %w", err)
		}
	}
	listen := socketapi.Listen
	if d.o.System {
		listen = socketapi.ListenAll
	}
	if d.socket, err = listen(d.layout.socket); err != nil {
		return err
	}
	d.openVault()
	d.keepHouse(config)
	errs := wire.NewErrors(d.log)
	socketConfig := socketapi.Config{
		Engine: d.engine, Instance: instance, Errors: errs, Log: d.log, Status: d.status, Policy: d.policies.describe,
	}
	busConfig := busapi.Config{Address: d.layout.bus, Engine: d.engine, Instance: instance, Errors: errs, Log: d.log, Status: d.status}
	if !d.o.System {
		socketConfig.Cards = d.cards
		socketConfig.Codes = codes.Open(codes.Config{
			Store: d.store, Vault: d.vault, Cards: card.NewCards(d.pool), Note: d.engine.Note, Now: time.Now, Rand: rand.Reader, Log: d.log,
		})
	}
	if d.o.System && d.layout.bus != "" {
		d.authority = authz.Open(d.layout.bus, authz.Options{Log: d.log, Owners: d.polkitOwners()})
		d.tickets = authz.NewTickets(clock.System().Boot, rand.Reader)
		socketConfig.Tickets, busConfig.Authorize = redeemer{d.tickets}, d.authorize
	}
	d.server = socketapi.New(socketConfig)
	if d.layout.bus != "" {
		d.bus = busapi.Open(busConfig)
	}
	go func() {
		if err := d.server.Serve(d.socket.UnixListener); err != nil {
			d.failed <- err
		}
	}()
	return nil
}

// vaultTimeout bounds the opening of the vault at start: the secret service may be away.
const vaultTimeout = 15 * time.Second

// openVault opens the vault by itself, and makes it first where there is none. A private instance waits
// for its key file; the user's own does not wait for the secret service: until that has answered, what
// needs a secret fails as sealed. A vault that stays sealed is no reason not to start: keys work without
// it.
func (d *Daemon) openVault() {
	opening := func() {
		ctx, cancel := context.WithTimeout(d.ctx, vaultTimeout)
		defer cancel()
		if err := d.vault.Open(ctx); err != nil && d.ctx.Err() == nil {
			d.log.Warn("the vault is sealed", slog.Any("error", err))
		}
	}
	if d.layout.bus == "" {
		opening()
	} else {
		d.running.Go(opening)
	}
}

// person finds a user by id.
func person(ctx context.Context, uid uint32) (signin.Person, error) {
	u, err := nss.Lookup{}.ByUID(ctx, uid)
	return signin.Person{UID: u.UID, Name: u.Name}, err
}

// everybody lists the people who have an account here.
func everybody(ctx context.Context) ([]signin.Person, error) {
	found, err := nss.Lookup{}.People(ctx)
	people := make([]signin.Person, len(found))
	for i, u := range found {
		people[i] = signin.Person{UID: u.UID, Name: u.Name}
	}
	return people, err
}

// users finds users by their exact names.
func users(ctx context.Context, names []string) (map[string]signin.Person, error) {
	found, err := nss.Lookup{}.ByNames(ctx, names)
	if err != nil {
		return nil, err
	}
	owners := make(map[string]signin.Person, len(found))
	for name, u := range found {
		owners[name] = signin.Person{UID: u.UID, Name: u.Name}
	}
	return owners, nil
}

// status adds what the engine does not know.
func (d *Daemon) status(ctx context.Context, s *api.Status) {
	s.Version = d.o.Version
	s.Bus = d.busState()
	s.Places = "off"
	if d.logind != nil {
		if s.Places = d.logind.State(); s.Places != "connected" {
			follows := "the place of requests is unknown"
			if d.o.System {
				follows = "every request counts as from elsewhere, and nobody can answer one here"
			}
			s.Problems = append(s.Problems, "it cannot be told where callers sit, so "+follows+": "+s.Places)
		}
	}
	s.Policy = d.policies.state()
	s.Helper = "ready"
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := d.pool.Ready(ctx); err != nil {
		s.Helper = err.Error()
		s.Problems = append(s.Problems, "no key can be asked: "+err.Error())
	}
}

// busState is "off", "connected" or why the bus is not.
func (d *Daemon) busState() string {
	if d.bus == nil {
		return "off"
	}
	return d.bus.State()
}

// Socket is the path of the Unix socket.
func (d *Daemon) Socket() string { return d.layout.socket }

// Stop shuts the instance down: no new callers, pending requests cancelled and that on disk, each
// caller told, helpers ended, socket and lock gone. It must be called once.
func (d *Daemon) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := notify(d.o.Env("NOTIFY_SOCKET"), "STOPPING=1"); err != nil {
		d.log.Warn("the service manager was not told", slog.Any("error", err))
	}
	_ = d.socket.Close()
	d.end()
	d.engine.Shutdown(ctx)
	d.settle()
	d.server.Shutdown(ctx)
	if d.bus != nil {
		d.bus.Close(ctx)
	}
	d.running.Wait()
	if d.cards != nil {
		d.cards.Close()
	}
	if d.authority != nil {
		d.authority.Close()
	}
	if d.logind != nil {
		d.logind.Close()
	}
	d.vault.Lock()
	// The path goes before the lock: whoever gets the lock next makes a socket of its own there.
	for _, err := range []error{d.pool.Close(), d.socket.Remove(), d.store.Close()} {
		if err != nil {
			d.log.Error("the shutdown was not clean", slog.Any("error", err))
		}
	}
	d.log.Info("stopped")
}

// Exit codes of fobd. The unit file names those that a restart does not mend.
const (
	ExitFailure = 1
	ExitUsage   = 2
	ExitInUse   = 3
	ExitStorage = 4
)

// ExitCode is the exit code that fits what Run returned.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrConfig), errors.Is(err, socketapi.ErrPath), errors.Is(err, socketapi.ErrNotSocket):
		return ExitUsage
	case errors.Is(err, store.ErrInUse), errors.Is(err, socketapi.ErrAnswered):
		return ExitInUse
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrNewer):
		return ExitStorage
	default:
		return ExitFailure
	}
}

// Executable is the path of the running program with links resolved.
func Executable() (string, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find fobd's own path: %w", err)
	}
	return path, nil
}
