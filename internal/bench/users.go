package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/daemon"
	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/daemon/socketapi"
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// userRows measure sign-ins by codes of 64 users at once beside those of one. Here as many engines and sockets stand on one store, in this process, and each client's thread
// connects as another user. That takes root.
func userRows(ctx context.Context, _ options, dir string) (rows []Row, err error) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: 64 users are measured by root alone")
		return nil, nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(daemon.GCPercent)) // as fobd has it
	const users, each = 64, 300
	h, err := newHouse(ctx, dir, users)
	if h != nil {
		defer func() { err = errors.Join(err, h.close()) }()
	}
	if err != nil {
		return nil, err
	}
	one, err := h.rate(h.lodgers[:1], 4*each)
	if err != nil {
		return nil, err
	}
	all, err := h.rate(h.lodgers, each)
	if err != nil {
		return nil, err
	}
	return []Row{
		newRow("code over the socket, 64 clients", "/s", all, &Bound{What: "one client", Value: one, Budget: 8, AtLeast: true}, nil),
	}, nil
}

// house is one store with an engine and a socket for each of its users.
type house struct {
	store   *store.Store
	lodgers []*lodger
}

// lodger is a user with a fob.
type lodger struct {
	engine *signin.Engine
	server *socketapi.Server
	conn   net.Conn
	// answers are read off conn. net/http's client would take as much of the two processors as fobd does.
	answers *bufio.Reader
	fob     fob
}

func newHouse(ctx context.Context, dir string, users int) (*house, error) {
	if err := letIn(dir); err != nil {
		return nil, err
	}
	h := &house{}
	var err error
	if h.store, err = store.Open(filepath.Join(dir, "fob.db"), store.Options{}); err != nil {
		return nil, fmt.Errorf("cannot open a store: %w", err)
	}
	v, err := vault.New(vault.Options{Store: h.store, Keepers: []vault.Keeper{keyring.File{Path: filepath.Join(dir, "vault.key")}}})
	if err == nil {
		err = v.Open(ctx)
	}
	if err != nil {
		return h, err
	}
	for n := range users {
		l, err := h.moveIn(ctx, v, dir, n)
		if l != nil {
			h.lodgers = append(h.lodgers, l)
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// firstUID is a user id that nobody has here.
const firstUID = 3_000_000

func (h *house) moveIn(ctx context.Context, v *vault.Vault, dir string, n int) (l *lodger, err error) {
	uid := uint32(firstUID + n)
	owner := signin.Person{UID: uid, Name: fmt.Sprintf("user%d", n)}
	l = &lodger{fob: fob{n: n}}
	l.engine, err = signin.New(signin.Config{
		Store: h.store, Owner: owner, Vault: v,
		Users: func(context.Context, []string) (map[string]signin.Person, error) {
			return map[string]signin.Person{owner.Name: owner}, nil
		},
		Devices:  fido.NewDevices(noDevices{}),
		Discover: func() ([]fido.Key, []fido.Problem, error) { return nil, nil, nil },
	})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	l.server = socketapi.New(socketapi.Config{Engine: l.engine, Instance: caller.Instance{Owner: uid}, Errors: wire.NewErrors(log), Log: log})
	path := filepath.Join(dir, fmt.Sprintf("%d.sock", n))
	listener, err := listenForAll(path)
	if err != nil {
		return l, err
	}
	go func() { _ = l.server.Serve(listener) }()
	if l.conn, err = dialAs(ctx, uid, path); err != nil {
		return l, err
	}
	l.answers = bufio.NewReader(l.conn)
	who := caller.Caller{UID: uid, Door: caller.DoorSocket}
	imp, err := l.engine.BeginImport(who, signin.ImportOptions{})
	if err != nil {
		return l, err
	}
	row := wire.ImportRow(&api.TokenSeed{Serial: l.fob.serial(), Kind: "hotp", Algorithm: "SHA1", Digits: 6, Seed: l.fob.seed(), User: owner.Name})
	if err := imp.Add(row); err != nil {
		return l, err
	}
	if _, err := imp.Commit(ctx); err != nil {
		return l, err
	}
	return l, l.fob.activateAt(ctx, l.engine, who)
}

// activateAt makes the fob a method of the caller. The caller needs nobody's approval for a first one.
func (f *fob) activateAt(ctx context.Context, e *signin.Engine, who caller.Caller) error {
	ask := signin.Ask{Kind: signin.KindAddMethod, Authorized: true, Method: signin.MethodAsk{Type: "token", Serial: f.serial()}}
	r, err := e.Begin(ctx, who, ask)
	if err != nil {
		return fmt.Errorf("cannot register the fob: %w", err)
	}
	states, stop := r.Watch()
	defer stop()
	answered := ""
	for v := range states {
		if v.Decision == signin.Approved {
			return nil
		}
		for _, p := range v.Prompts {
			if p.ID == answered {
				continue
			}
			answered = p.ID
			code, err := f.press()
			if err == nil {
				err = e.Answer(ctx, who, r.ID(), signin.Answer{Prompt: p.ID, Code: secret.New([]byte(code))})
			}
			if err != nil {
				return fmt.Errorf("cannot register the fob: %w", err)
			}
		}
	}
	return errors.New("cannot register the fob")
}

// signIn signs in with the next code.
func (l *lodger) signIn() error {
	code, err := l.fob.press()
	if err != nil {
		return err
	}
	body, err := json.Marshal(api.BeginRequest{Service: service, Code: api.Secret(code)})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.conn, "POST /v1/requests HTTP/1.1\r\nHost: fob\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return err
	}
	resp, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"decision":"approved"`))) {
		err = fmt.Errorf("the code was not accepted: status %d: %s", resp.StatusCode, text)
	}
	return err
}

// dialAs connects as another user: the kernel notes who a thread is when it connects.
func dialAs(ctx context.Context, uid uint32, path string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return nil, fmt.Errorf("cannot become user %d: %w", uid, errno)
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 0, ^uintptr(0)); errno != 0 {
		panic(fmt.Sprintf("cannot become root again: %v", errno)) // no thread may go on as somebody else
	}
	return c, err
}

// rate lets lodgers sign in at once, each so many times, and gives how many end in a second.
func (h *house) rate(lodgers []*lodger, each int) (float64, error) {
	var all sync.WaitGroup
	failures := make(chan error, len(lodgers))
	start := time.Now()
	for _, l := range lodgers {
		all.Go(func() {
			for range each {
				if err := l.signIn(); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	close(failures)
	return float64(len(lodgers)*each) / took.Seconds(), <-failures
}

func (h *house) close() error {
	for _, l := range h.lodgers {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		if l.conn != nil {
			l.conn.Close()
		}
		l.engine.Shutdown(ctx)
		l.server.Shutdown(ctx)
		cancel()
	}
	return h.store.Close()
}

// noDevices has no key.
type noDevices struct{}

func (noDevices) Run(context.Context, helper.Call, any) error { return helper.ErrStart }
