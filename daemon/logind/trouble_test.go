package logind_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon/logind"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/testbus"
)

// within fails the test unless f takes less than the whole budget of a question and a little.
func within(t *testing.T, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	if took := time.Since(begin); took > 1500*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestTrouble(t *testing.T) {
	t.Run("is remote without a bus, and without its address", func(t *testing.T) {
		d := open(t, "unix:path="+filepath.Join(t.TempDir(), "none"), nil)
		d.want(by(ann), remote)
		d.wantState("cannot reach the system bus")
		d = open(t, "unixexec:path=/bin/true", nil)
		d.want(by(ann), remote)
		d.wantState("does not begin with")
	})
	t.Run("is remote without a session manager, at once", func(t *testing.T) {
		address := testbus.New(t).Address
		d := open(t, address, nil)
		begin := time.Now()
		d.want(by(ann), remote)
		d.wantState("no session manager")
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		f := atDesk()
		f.serve(t, address)
		d.want(by(ann), local)
		d.wantState("connected")
	})
	t.Run("believes no session manager that runs as another user", func(t *testing.T) {
		f := atDesk()
		address := testbus.New(t).Address
		d := open(t, address, f)
		l := logind.Open(address, slog.New(slog.DiscardHandler), logind.Options{OwnerUID: uint32(os.Getuid()) + 1, Proc: d.proc})
		defer l.Close()
		for range 2 {
			if got := l.Standing(t.Context(), by(ann), ann); got != remote || !strings.Contains(l.State(), "another user") {
				t.Errorf("%+v, %s", got, l.State())
			}
		}
		if pids, _, _ := f.seen(); len(pids) > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("waits a second for a session manager that hangs", func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		var hung atomic.Bool
		f := atDesk()
		f.during = func() {
			if !hung.Swap(true) {
				<-end
			}
		}
		d := open(t, testbus.New(t).Address, f)
		within(t, func() { d.want(by(ann), remote) })
		d.wantState("did not answer within 1s")
		d.want(by(ann), local)
		d.wantState("connected")
	})
	t.Run("waits a second for a bus that says nothing, however many ask", func(t *testing.T) {
		path := filepath.Join(socketDir(t), "bus")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		d := open(t, "unix:path="+path, nil)
		within(t, func() {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { d.want(by(0), remote) })
			}
			all.Wait()
		})
		d.wantState("did not answer within 1s")
	})
	t.Run("waits a second for a connection that is stuck, and then takes another", func(t *testing.T) {
		bus := testbus.New(t)
		gate := newGate(t, strings.Split(strings.TrimPrefix(bus.Address, "unix:path="), ",")[0])
		d := open(t, bus.Address, atDesk())
		l := logind.Open("unix:path="+gate.path, slog.New(slog.DiscardHandler), logind.Options{OwnerUID: uint32(os.Getuid()), Proc: d.proc})
		defer l.Close()
		if got := l.Standing(t.Context(), by(ann), ann); got != local {
			t.Fatalf("%+v (%s)", got, l.State())
		}
		gate.stop()
		within(t, func() {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if got := l.Standing(t.Context(), by(0), ann); got != remote {
						t.Errorf("%+v", got)
					}
				})
			}
			all.Wait()
		})
		if got := l.Standing(t.Context(), by(ann), ann); got != local {
			t.Errorf("afterwards: %+v (%s)", got, l.State())
		}
	})
	t.Run("asks the session manager that comes after one that leaves before it answers", func(t *testing.T) {
		address := testbus.New(t).Address
		first, second := atDesk(), atDesk()
		first.during = func() { first.conn.Close() }
		d := open(t, address, first)
		second.serve(t, address) // waits for the name
		d.want(by(ann), local)
		asked, _, _ := first.seen()
		again, _, _ := second.seen()
		if len(asked) != 1 || len(again) != 1 {
			t.Errorf("asked the first %d times, the second %d times", len(asked), len(again))
		}
	})
	t.Run("believes no session manager that has lost its name", func(t *testing.T) {
		address := testbus.New(t).Address
		first, second := atDesk(), atDesk()
		ssh(second.sessions[second.pids[pid]])
		d := open(t, address, first)
		d.want(by(ann), local)
		if _, err := first.conn.ReleaseName(name); err != nil {
			t.Fatal(err)
		}
		second.serve(t, address)
		d.want(by(ann), remote)
		d.wantState("connected")
	})
	t.Run("says so when the session manager has left", func(t *testing.T) {
		f := atDesk()
		d := open(t, testbus.New(t).Address, f)
		d.want(by(ann), local)
		f.conn.Close()
		d.want(by(ann), remote)
		d.wantState("no session manager")
	})
	t.Run("finds the session manager again after a restart of the bus", func(t *testing.T) {
		dir := socketDir(t)
		start := func() *testbus.Bus {
			b, err := testbus.Start(dir, "")
			if errors.Is(err, testbus.ErrMissing) && os.Getenv("CI") == "" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		bus := start()
		d := open(t, "unix:path="+filepath.Join(dir, "bus"), nil)
		atDesk().serve(t, bus.Address)
		d.want(by(ann), local)
		bus.Close()
		d.want(by(ann), remote)
		d.wantState("cannot reach the system bus")
		bus = start()
		defer bus.Close()
		atDesk().serve(t, bus.Address)
		d.want(by(ann), local)
	})
	t.Run("lets a caller who gives up disturb nobody else", func(t *testing.T) {
		asked, end := make(chan struct{}), make(chan struct{})
		defer close(end)
		var hung atomic.Bool
		f := atDesk()
		f.during = func() {
			if !hung.Swap(true) {
				close(asked)
				<-end
			}
		}
		d := open(t, testbus.New(t).Address, f)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		if got := d.Standing(ctx, by(ann), ann); got != remote {
			t.Errorf("%+v", got)
		}
		d.wantState("not asked yet")
		d.want(by(ann), local)
		if _, _, connections := f.seen(); connections != 1 {
			t.Errorf("%d connections", connections)
		}
	})
	t.Run("is remote once it is closed", func(t *testing.T) {
		d := open(t, testbus.New(t).Address, atDesk())
		d.want(by(ann), local)
		d.Close()
		d.want(by(ann), remote)
		d.wantState("closed")
		d.Close()
	})
	t.Run("logs that it cannot ask once, and that it can again", func(t *testing.T) {
		var out bytes.Buffer
		address := testbus.New(t).Address
		d := open(t, address, nil)
		l := logind.Open(address, slog.New(slog.NewTextHandler(&out, nil)), logind.Options{OwnerUID: uint32(os.Getuid()), Proc: d.proc})
		defer l.Close()
		for range 3 {
			l.Standing(t.Context(), by(ann), ann)
		}
		atDesk().serve(t, address)
		for range 3 {
			l.Standing(t.Context(), by(ann), ann)
			l.Standing(t.Context(), caller.Caller{UID: ann}, ann) // says nothing of the session manager
		}
		if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 ||
			!strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[1], "level=INFO") {
			t.Errorf("logged:\n%s", out.String())
		}
	})
}

// socketDir is a folder for sockets: t.TempDir's names are too long, and may hold what an address may not.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob-logind")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// gate passes on what goes to and from a bus.
type gate struct {
	path string

	mu      sync.Mutex
	stopped *atomic.Bool // of the connections made now
}

// stop makes the connections that there are stuck: nothing is read of them any more.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped.Store(true)
	g.stopped = new(atomic.Bool)
}

func newGate(t *testing.T, bus string) *gate {
	t.Helper()
	g := &gate{path: filepath.Join(socketDir(t), "gate"), stopped: new(atomic.Bool)}
	ln, err := net.Listen("unix", g.path)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	t.Cleanup(func() { ln.Close(); close(end) })
	pass := func(to, from net.Conn, stopped *atomic.Bool) {
		defer to.Close()
		b := make([]byte, 4096)
		for {
			n, err := from.Read(b)
			if stopped.Load() {
				<-end
			}
			if err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", bus)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			stopped := g.stopped
			g.mu.Unlock()
			go pass(out, in, stopped)
			go pass(in, out, stopped)
		}
	}()
	return g
}
