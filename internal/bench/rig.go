package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/testbus"
)

const (
	busName   = "io.github.fobproject.Fob1"
	busObject = "/io/github/fobproject/Fob1"
	service   = "bench"
)

// rig is a daemon with both doors open and one registered key, which needs no human.
type rig struct {
	key    string      // the software key's device
	proof  api.Receipt // of one approval: credential and public key
	client *client.Client
	bus    *dbus.Conn
	events chan *dbus.Signal

	closers []func() error
}

// close takes the rig down, last thing first.
func (r *rig) close() (err error) {
	for len(r.closers) > 0 {
		last := len(r.closers) - 1
		err = errors.Join(err, r.closers[last]())
		r.closers = r.closers[:last]
	}
	return err
}

// newRig starts everything in dir. The caller must close the rig, also after an error.
func newRig(ctx context.Context, o options, dir string) (*rig, error) {
	r := &rig{key: filepath.Join(dir, "key"), events: make(chan *dbus.Signal, 64)}
	for _, start := range []func() error{
		func() error { return r.startKey(ctx, o) },
		func() error { return r.startDaemon(ctx, o, dir) },
		func() error { return r.register(ctx) },
	} {
		if err := start(); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *rig) startKey(ctx context.Context, o options) error {
	p := &process{cmd: exec.CommandContext(ctx, filepath.Join(o.bin, "fob-virtual"), "key", "--link", r.key, "--touch", "auto")}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot start the software key: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the software key: %w", err)
	}
	r.closers = append(r.closers, p.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		return fmt.Errorf("the software key did not become ready: it said %q", line)
	}
	return nil
}

func (r *rig) startDaemon(ctx context.Context, o options, dir string) error {
	bus, err := testbus.Start(dir, "")
	if err != nil {
		return err
	}
	r.closers = append(r.closers, func() error { bus.Close(); return nil })
	env := []string{
		"HOME=" + dir, "DBUS_SESSION_BUS_ADDRESS=" + bus.Address,
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + filepath.Join(dir, "none"), // where this machine's session manager sees us is no matter
	}
	for name, sub := range map[string]string{"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o700); err != nil {
			return fmt.Errorf("cannot make a folder: %w", err)
		}
		env = append(env, name+"="+path)
	}
	fobd, err := filepath.Abs(filepath.Join(o.bin, "fobd"))
	if err != nil {
		return fmt.Errorf("cannot find fobd: %w", err)
	}
	p, err := startDaemon(ctx, fobd, dir, env, "--user", "--key", r.key)
	if err != nil {
		return err
	}
	r.closers = append(r.closers, p.stop)
	if r.client, err = client.New(client.Default(filepath.Join(dir, "run", "fob", "fob.sock"))); err != nil {
		return err
	}
	r.closers = append(r.closers, func() error { r.client.Close(); return nil })
	if r.bus, err = dbus.Connect(bus.Address, dbus.WithContext(ctx)); err != nil {
		return fmt.Errorf("cannot connect to the bus: %w", err)
	}
	r.closers = append(r.closers, r.bus.Close)
	r.bus.Signal(r.events)
	return nil
}

// register enrols the key and keeps the receipt of a first sign-in.
func (r *rig) register(ctx context.Context) error {
	begin := api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key", Name: "bench"}}
	if _, err := r.ask(ctx, begin); err != nil {
		return fmt.Errorf("cannot register the software key: %w", err)
	}
	done, err := r.ask(ctx, api.BeginRequest{Service: service})
	if err != nil {
		return err
	}
	page, err := r.client.Receipts(ctx, done.ID)
	if err != nil {
		return fmt.Errorf("cannot read the receipt: %w", err)
	}
	for _, e := range page.Entries {
		if e.Receipt != nil {
			r.proof = *e.Receipt
			return nil
		}
	}
	return errors.New("the sign-in left no receipt")
}

// ask begins a request over the socket and waits for its approval.
func (r *rig) ask(ctx context.Context, begin api.BeginRequest) (api.RequestState, error) {
	stream, err := r.client.Begin(ctx, begin)
	if err != nil {
		return api.RequestState{}, err
	}
	defer stream.Close()
	for {
		state, err := stream.Next()
		switch {
		case err != nil:
			return state, err
		case state.Pending:
		case state.Decision != api.Approved:
			return state, fmt.Errorf("the request was %s: %v", state.Decision, state.Error)
		default:
			return state, nil
		}
	}
}

// askBus does the same over D-Bus.
func (r *rig) askBus(ctx context.Context) error {
	var id, number string
	object := r.bus.Object(busName, busObject)
	call := object.CallWithContext(ctx, busName+".Verify", 0, "", service, map[string]dbus.Variant{})
	if err := call.Store(&id, &number); err != nil {
		return fmt.Errorf("cannot ask over D-Bus: %w", err)
	}
	late := time.NewTimer(startLimit)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return errors.New("no decision came over D-Bus")
		case s := <-r.events:
			if s.Name != busName+".Decided" || len(s.Body) < 2 || s.Body[0] != id {
				continue
			}
			if s.Body[1] != api.Approved {
				return fmt.Errorf("the request was %v over D-Bus", s.Body)
			}
			return nil
		}
	}
}
