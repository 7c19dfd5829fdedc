package daemon_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/virtual"
)

// programs builds fobd and fob-helper once, side by side as they are installed, and gives fobd's path.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fob-bin")
	if err != nil {
		return "", err
	}
	binDir = dir
	for name, cgo := range map[string]string{"fobd": "0", "fob-helper": "1"} {
		cmd := exec.Command("go", "build", "-o", dir+"/", "../cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &buildError{name: name, out: string(out), err: err}
		}
	}
	return filepath.Join(dir, "fobd"), nil
})

var binDir string

type buildError struct {
	name, out string
	err       error
}

func (e *buildError) Error() string {
	return "cannot build " + e.name + ": " + e.err.Error() + "\n" + e.out
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binDir != "" {
		_ = os.RemoveAll(binDir)
	}
	os.Exit(code)
}

// needPrograms gives fobd's path. Where they cannot be built (no C compiler, no libfido2) the test is
// skipped on a desk and fails where CI is set.
func needPrograms(t *testing.T) string {
	t.Helper()
	fobd, err := programs()
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fobd
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is a daemon in this process, with a software key, and a client of its socket.
type instance struct {
	*client.Client
	dir  string
	key  *virtual.Key
	log  *lockedBuffer
	stop func()
}

// tempDir is a folder for the user alone, whose name leaves room for a socket's.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newKey makes a software key that waits for Touch.
func newKey(t *testing.T, o virtual.Options) *virtual.Key {
	t.Helper()
	o.Touch = virtual.TouchManual
	key, err := virtual.NewKey(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = key.Close() })
	return key
}

// start starts an instance with keys, or with one that waits for Touch. bus is the address of a
// session bus; empty for a private instance.
func start(t *testing.T, bus string, keys ...*virtual.Key) *instance {
	t.Helper()
	return startIn(t, tempDir(t), bus, keys...)
}

// startIn is start with all state below dir.
func startIn(t *testing.T, dir, bus string, keys ...*virtual.Key) *instance {
	t.Helper()
	fobd := needPrograms(t)
	if len(keys) == 0 {
		keys = append(keys, newKey(t, virtual.Options{}))
	}
	i := &instance{dir: dir, key: keys[0], log: new(lockedBuffer)}
	var paths []string
	for n, k := range keys {
		link := filepath.Join(i.dir, fmt.Sprintf("key%d", n+1)) // a key keeps its link when it is plugged in again
		if err := k.Link(link); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, link)
	}
	env := map[string]string{}
	o := daemon.Options{
		Dir: i.dir, Keys: paths, LogLevel: "debug", Version: "test", Executable: fobd,
		Env: func(name string) string { return env[name] }, Log: i.log,
	}
	if bus != "" {
		o.Dir, o.User = "", true
		env["XDG_RUNTIME_DIR"], env["XDG_STATE_HOME"], env["XDG_CONFIG_HOME"] = i.dir, i.dir, i.dir
		env["DBUS_SESSION_BUS_ADDRESS"] = bus
	}
	d, err := daemon.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	i.stop = sync.OnceFunc(d.Stop)
	t.Cleanup(i.stop)
	t.Cleanup(func() {
		if t.Failed() {
			pending, err := i.Requests(context.Background())
			page, _ := i.Log(context.Background(), client.LogQuery{}) // the daemon may have stopped
			for _, e := range page.Entries {
				t.Logf("%s %s: %s", e.Request, e.Decision, e.Reason)
			}
			t.Logf("pending: %+v %v\nthe daemon's log:\n%s\nthe key's commands: %+v", pending, err, i.log, i.key.Ops())
		}
	})
	i.Client = dial(t, d.Socket())
	return i
}

func dial(t *testing.T, socket string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Socket: socket, UID: uint32(os.Geteuid()), Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// limit bounds what a test waits for.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// begin starts a request.
func (i *instance) begin(t *testing.T, r api.BeginRequest) *client.Stream {
	t.Helper()
	s, err := i.Begin(limit(t), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// waiting waits until the key blinks.
func (i *instance) waiting(t *testing.T) {
	t.Helper()
	if err := i.key.WaitTouch(limit(t)); err != nil {
		t.Fatal(err)
	}
}

// tap touches the key once it blinks.
func (i *instance) tap(t *testing.T) {
	t.Helper()
	i.waiting(t)
	i.key.Touch()
}

// decision reads a stream to its end.
func decision(t *testing.T, s *client.Stream) api.RequestState {
	t.Helper()
	for {
		v, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !v.Pending {
			return v
		}
	}
}

// blinking reads a stream until the key blinks for its request.
func (i *instance) blinking(t *testing.T, s *client.Stream) api.RequestState {
	t.Helper()
	v, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	i.waiting(t)
	return v
}

// enrol registers the key.
func (i *instance) enrol(t *testing.T) api.Method {
	t.Helper()
	s := i.begin(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key", Name: "blue"}})
	v := i.blinking(t, s)
	i.key.Touch()
	if err := i.key.WaitIdle(limit(t)); err != nil {
		t.Fatal(err)
	}
	i.tap(t)
	v = decision(t, s)
	if v.Decision != api.Approved || len(v.Methods) != 1 {
		t.Fatalf("the key was not registered: %+v %v", v, v.Error)
	}
	return v.Methods[0]
}

// decided waits until the log has the request's decision.
func (i *instance) decided(t *testing.T, id string) api.LogEntry {
	t.Helper()
	ctx := limit(t)
	for {
		page, err := i.Log(ctx, client.LogQuery{Request: id})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Entries); n > 0 {
			return page.Entries[n-1]
		}
		if ctx.Err() != nil {
			t.Fatal("the log has no decision")
		}
	}
}
