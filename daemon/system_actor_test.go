package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// Accounts that every Debian has, beside root.
const (
	uidRoot   uint32 = 0
	uidDaemon uint32 = 1
	uidBin    uint32 = 2
	uidSys    uint32 = 3
	uidNobody uint32 = 65534
)

// actor is a process of some user. What the test does through it, that process does at fobd's doors: they
// see its uid and its pid.
type actor struct {
	*instance
	uid  uint32
	pid  uint32
	bus  string // address at which the process passes on to the bus; empty without one
	path string // of the socket at which it passes on to fobd's
	in   io.WriteCloser
	out  *bufio.Reader
}

// standInEnv makes the test's program an actor: the socket of fobd, and the bus's.
const standInEnv = "FOB_TEST_STAND_IN"

// TestStandIn is what an actor's process runs; it tests nothing by itself.
func TestStandIn(t *testing.T) {
	socket, bus, ok := strings.Cut(os.Getenv(standInEnv), "|")
	if !ok {
		return
	}
	for n, to := range []string{socket, bus} {
		l, err := net.FileListener(os.NewFile(uintptr(3+n), "door"))
		if err != nil {
			t.Fatal(err)
		}
		go passOn(l, to)
	}
	fmt.Println("here")
	var held []net.Conn
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() { // until the test ends
		var word string
		var n int
		_, _ = fmt.Sscan(lines.Text(), &word, &n)
		switch word {
		case "flood":
			fmt.Println(flood(socket, n))
		case "hold":
			held = append(held, hold(socket, n)...)
			fmt.Println(len(held))
		}
	}
	runtime.KeepAlive(held)
}

// passOn connects to a socket once for each connection that comes in, and carries what either side says.
func passOn(l net.Listener, to string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("unix", to)
			if err != nil {
				return
			}
			defer out.Close()
			var both sync.WaitGroup
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				both.Go(func() {
					_, _ = io.Copy(way[1], way[0])
					_ = way[0].Close() // who leaves takes the other side along
					_ = way[1].Close()
				})
			}
			both.Wait()
		}()
	}
}

// newActor starts a process of a user.
func (m *machine) newActor(t *testing.T, uid uint32) *actor {
	t.Helper()
	a := &actor{uid: uid}
	dir := tempDir(t)
	var files []*os.File
	for _, name := range []string{"fob.sock", "bus"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
		defer f.Close()
		files = append(files, f)
	}
	a.path = filepath.Join(dir, "fob.sock")
	busPath := ""
	if m.bus != nil {
		busPath, a.bus = m.busPath(), "unix:path="+filepath.Join(dir, "bus")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStandIn$")
	cmd.Dir, cmd.Env, cmd.ExtraFiles = "/", []string{standInEnv + "=" + m.socket + "|" + busPath}, files
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Stderr = m.log
	var err error
	if a.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	a.pid, a.out = uint32(cmd.Process.Pid), bufio.NewReader(out)
	if said := a.hears(t); said != "here" {
		t.Fatalf("the process of uid %d says %q", uid, said)
	}
	a.instance = &instance{Client: dial(t, a.path), dir: m.dir, key: m.key, log: m.log}
	return a
}

// hears reads a line of what the process says.
func (a *actor) hears(t *testing.T) string {
	t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// tell gives the process something to do by itself, and waits for what it says of it.
func (a *actor) tell(t *testing.T, what string) string {
	t.Helper()
	if _, err := fmt.Fprintln(a.in, what); err != nil {
		t.Fatal(err)
	}
	return a.hears(t)
}

// http calls a route and gives the status and the body: of a stream its first line, with which it ends.
func (a *actor) http(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", a.path)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://fob/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s as uid %d: %v", method, path, a.uid, err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") == "application/x-ndjson" && path != "/log/verify" {
		line, _ := bufio.NewReader(answer.Body).ReadBytes('\n')
		return answer.StatusCode, line
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s as uid %d: %v", method, path, a.uid, err)
	}
	return answer.StatusCode, b
}

// call calls a route, decodes its answer into out, and gives the error's code; empty for none.
func (a *actor) call(t *testing.T, method, path string, body, out any) api.Code {
	t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	status, b := a.http(t, method, path, text)
	if status >= 400 {
		return codeIn(t, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return ""
}

func codeIn(t *testing.T, body []byte) api.Code {
	t.Helper()
	var e api.ErrorBody
	if err := json.Unmarshal(body, &e); err != nil || e.Error == nil {
		t.Fatalf("this is no error: %s", body)
	}
	return e.Error.Code
}

// refused is the code with which a request does not begin.
func (a *actor) refused(t *testing.T, r api.BeginRequest) api.Code {
	t.Helper()
	s, err := a.Begin(limit(t), r)
	if err == nil {
		v, _ := s.Next()
		s.Close()
		t.Fatalf("uid %d begins %+v", a.uid, v)
	}
	return codeOf(t, err)
}

// prompt waits until the user of a request is asked for something.
func (a *actor) prompt(t *testing.T, id, kind string) api.Prompt {
	t.Helper()
	for ctx := limit(t); ; time.Sleep(5 * time.Millisecond) {
		v, err := a.Request(ctx, id)
		if err != nil {
			t.Fatalf("waiting for the prompt %s: %v", kind, err)
		}
		for _, p := range v.Prompts {
			if p.Type == kind {
				return p
			}
		}
	}
}

// number types a number at the desk, at a prompt that nobody has answered yet: the one before may still be shown.
func (a *actor) number(t *testing.T, id, number string) {
	t.Helper()
	answered := ""
	for {
		p := a.prompt(t, id, api.PromptNumber)
		if p.ID == answered {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		err := a.Answer(limit(t), id, api.Answer{Prompt: p.ID, Number: number})
		if err == nil {
			return
		}
		if answered = p.ID; codeOf(t, err) != api.CodeNotPending {
			t.Fatal(err)
		}
	}
}

// settled waits until nothing of the user's is pending.
func (a *actor) settled(t *testing.T) {
	t.Helper()
	for ctx := limit(t); ; time.Sleep(2 * time.Millisecond) {
		pending, err := a.Requests(ctx)
		if err != nil {
			t.Fatalf("waiting for what is pending to end: %v", err)
		}
		if len(pending) == 0 {
			return
		}
	}
}

// register gives a user a key: with two taps.
func (a *actor) register(t *testing.T, r api.BeginRequest) api.Method {
	t.Helper()
	r.Kind, r.Method = api.KindAddMethod, api.MethodSpec{Type: "key", Name: "blue"}
	s := a.begin(t, r)
	a.blinking(t, s)
	a.key.Touch()
	if err := a.key.WaitIdle(limit(t)); err != nil {
		t.Fatal(err)
	}
	a.tap(t)
	v := decision(t, s)
	if v.Decision != api.Approved || len(v.Methods) != 1 {
		t.Fatalf("the key was not registered: %+v %v", v, v.Error)
	}
	return v.Methods[0]
}

// connect is a program of the actor's on the bus.
func (a *actor) connect(t *testing.T) *program {
	t.Helper()
	p := &program{signals: make(chan *dbus.Message, 100)}
	conn, err := dbus.Connect(a.bus, dbus.WithAuth(dbus.AuthExternal(fmt.Sprint(a.uid))),
		dbus.WithIncomingInterceptor(func(m *dbus.Message) { p.signals <- m }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p.conn, p.object = conn, conn.Object(contract.Name, contract.Path)
	return p
}

// busCode is the code of a call's error on the bus; empty for none.
func busCode(t *testing.T, err error) api.Code {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := err.(dbus.Error)
	if !ok || !strings.HasPrefix(e.Name, contract.Interface+".Error.") {
		t.Fatalf("this is no refusal of Fob's: %v", err)
	}
	return api.CodeOfBusName(e.Name)
}

// everyLine reads what a stream of lines holds until it ends or nothing comes for a while.
func (a *actor) everyLine(t *testing.T, path string, quiet time.Duration) []byte {
	t.Helper()
	c, err := net.Dial("unix", a.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1%s HTTP/1.1\r\nHost: fob\r\n\r\n", path)
	var all bytes.Buffer
	b := make([]byte, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(quiet))
		n, err := c.Read(b)
		all.Write(b[:n])
		if err != nil {
			return all.Bytes()
		}
	}
}
