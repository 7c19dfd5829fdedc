package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fobproject/fob/daemon"
	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/daemon/socketapi"
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// crowd says what a system instance is to have in it: users that this machine does not know, each with a
// token. Their uids begin with firstUID. Each sits at the desk, and so does root; whoever asks for another
// is elsewhere.
type crowd struct {
	Dir string
	// Users is how many there are. The last Waiting of them have a request that is pending for ever.
	Users, Waiting int
	// Key is the device of a key, and Helper who asks it; there is none if they are empty.
	Key, Helper string
}

func (c crowd) socket() string { return filepath.Join(c.Dir, "fob.sock") }

func (c crowd) person(n int) signin.Person {
	return signin.Person{UID: uint32(firstUID + n), Name: fmt.Sprintf("user%d", n)}
}

// startCrowd starts the instance in a process of its own. Its folder must be one that letIn was called for.
func startCrowd(ctx context.Context, o options, c crowd) (*child, error) {
	if err := os.Mkdir(c.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("cannot make a folder: %w", err)
	}
	arg, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return startChild(ctx, o, "crowd", string(arg))
}

// serveCrowd is the instance: fobd's own parts and its tuning, but for who the users are and where they sit.
func serveCrowd(args []string) (err error) {
	var c crowd
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &c) != nil {
		return errRole
	}
	daemon.TuneMemory()
	s, err := store.Open(filepath.Join(c.Dir, "fob.db"), store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var runner fido.Runner = noDevices{}
	var keys []string
	if c.Key != "" {
		pool := helper.NewPool(helper.Options{Path: c.Helper, Log: slog.New(slog.DiscardHandler)})
		defer func() { err = errors.Join(err, pool.Close()) }()
		runner, keys = pool, []string{c.Key}
	}
	e, err := c.engine(s, runner, keys)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = c.fill(ctx, e)
	if err == nil {
		err = c.wait(ctx, e)
	}
	if err != nil {
		return err
	}
	l, err := listenForAll(c.socket())
	if err != nil {
		return err
	}
	return serveUntilStdinEnds(e, l)
}

func serveUntilStdinEnds(e *signin.Engine, l *net.UnixListener) error {
	log := slog.New(slog.DiscardHandler)
	server := socketapi.New(socketapi.Config{Engine: e, Instance: caller.Instance{System: true}, Errors: wire.NewErrors(log), Log: log})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Println("ready")
	untilStdinEnds()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	err := l.Close()
	e.Shutdown(ctx)
	server.Shutdown(ctx)
	return errors.Join(err, <-served)
}

// engine makes the engine, without any user yet.
func (c crowd) engine(s *store.Store, runner fido.Runner, keys []string) (*signin.Engine, error) {
	v, err := vault.New(vault.Options{Store: s, Keepers: []vault.Keeper{keyring.File{Path: filepath.Join(c.Dir, "vault.key")}}})
	if err == nil {
		err = v.Open(context.Background())
	}
	if err != nil {
		return nil, err
	}
	root := signin.Person{Name: "root"}
	byName, byUID := map[string]signin.Person{root.Name: root}, map[uint32]signin.Person{0: root}
	for n := range c.Users {
		p := c.person(n)
		byName[p.Name], byUID[p.UID] = p, p
	}
	return signin.New(signin.Config{
		Store: s, System: true, Vault: v, Devices: fido.NewDevices(runner),
		Discover: func() ([]fido.Key, []fido.Problem, error) { return fido.Discover("/sys", "/dev", keys) },
		Users: func(_ context.Context, names []string) (map[string]signin.Person, error) {
			found := map[string]signin.Person{}
			for _, name := range names {
				if p, ok := byName[name]; ok {
					found[name] = p
				}
			}
			return found, nil
		},
		Person: func(_ context.Context, uid uint32) (signin.Person, error) {
			p, ok := byUID[uid]
			if !ok {
				return p, nss.ErrUnknown
			}
			return p, nil
		},
		Standing: func(_ context.Context, c caller.Caller, user uint32) caller.Standing {
			if c.UID == user || c.UID == 0 {
				return caller.Standing{Place: caller.PlaceLocal, SameUser: true}
			}
			return caller.Standing{Place: caller.PlaceRemote}
		},
	})
}

// fill gives each user a token.
func (c crowd) fill(ctx context.Context, e *signin.Engine) error {
	imp, err := e.BeginImport(caller.Caller{Door: caller.DoorSocket}, signin.ImportOptions{})
	if err != nil {
		return err
	}
	for n := range c.Users {
		f := fob{n: n}
		row := wire.ImportRow(&api.TokenSeed{Serial: f.serial(), Kind: "hotp", Algorithm: "SHA1", Digits: 6, Seed: f.seed(), User: c.person(n).Name})
		if err := imp.Add(row); err != nil {
			return err
		}
	}
	if _, err := imp.Commit(ctx); err != nil {
		return err
	}
	const atOnce = 64
	var all sync.WaitGroup
	failures := make(chan error, atOnce)
	for first := range atOnce {
		all.Go(func() {
			for n := first; n < c.Users; n += atOnce {
				f := fob{n: n}
				if err := f.activateAt(ctx, e, c.caller(n)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	return <-failures
}

// wait lets requests begin that nobody answers.
func (c crowd) wait(ctx context.Context, e *signin.Engine) error {
	for n := c.Users - c.Waiting; n < c.Users; n++ {
		r, err := e.Begin(ctx, c.caller(n), signin.Ask{Service: service, Timeout: policy.MaxTimeout})
		if err != nil {
			return fmt.Errorf("cannot begin the request of %s: %w", c.person(n).Name, err)
		}
		for len(r.View().Prompts) == 0 { // until then it is not at rest
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c crowd) caller(n int) caller.Caller {
	return caller.Caller{UID: c.person(n).UID, Door: caller.DoorSocket}
}
