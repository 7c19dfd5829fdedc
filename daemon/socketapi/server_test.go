package socketapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// noDevices runs no operation: these tests have no key.
type noDevices struct{}

func (noDevices) Run(context.Context, helper.Call, any) error { return helper.ErrStart }

type server struct {
	*Server
	path   string
	client *http.Client
	logged *lockedBuffer
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

// serve serves a door on a real engine without keys. more adds routes.
func serve(t testing.TB, more ...route) *server {
	t.Helper()
	dir := shortDir(t)
	db, err := store.Open(filepath.Join(dir, "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	logged := new(lockedBuffer)
	log := slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	owner := uint32(os.Getuid())
	v, err := vault.New(vault.Options{Store: db, Keepers: []vault.Keeper{keyring.File{Path: filepath.Join(dir, "vault.key")}}})
	if err == nil {
		err = v.Open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	engine, err := signin.New(signin.Config{
		Vault: v, Users: func(context.Context, []string) (map[string]signin.Person, error) { return nil, nil },
		Store: db, Owner: signin.Person{UID: owner, Name: "ada"}, Devices: fido.NewDevices(noDevices{}),
		Discover: func() ([]fido.Key, []fido.Problem, error) { return nil, nil, nil }, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Engine: engine, Instance: caller.Instance{Owner: owner}, Errors: wire.NewErrors(log), Log: log})
	s.http.Handler = s.handler(append(s.routes(), more...))
	l, err := Listen(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l.UnixListener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		engine.Shutdown(ctx)
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", l.Path()) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &server{Server: s, path: l.Path(), client: &http.Client{Transport: transport, Timeout: 10 * time.Second}, logged: logged}
}

// do sends a request and gives the answer's status and error code.
func (s *server) do(t *testing.T, method, path, body string, header ...string) (int, api.Code, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://fob"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body = nil
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("the answer to %s %s is %q, not JSON: %s", method, path, kind, b)
	}
	var e api.ErrorBody
	if answer.StatusCode >= 400 {
		if err := json.Unmarshal(b, &e); err != nil || e.Error == nil || e.Error.Message == "" {
			t.Errorf("the answer to %s %s is no error body: %s", method, path, b)
			return answer.StatusCode, "", string(b)
		}
		return answer.StatusCode, e.Error.Code, e.Error.Message
	}
	return answer.StatusCode, "", string(b)
}

func TestRoutes(t *testing.T) {
	t.Run("declare who may use them", func(t *testing.T) {
		for _, r := range (&Server{}).routes() {
			if !r.access.Declared() {
				t.Errorf("%s %s declares no access: it lets nobody in", r.method, r.pattern)
			}
		}
	})
	t.Run("that declare nothing let nobody in", func(t *testing.T) {
		s := serve(t, route{method: "GET", pattern: "/forgotten", handle: func(c *call) { c.done(nil) }})
		if status, code, _ := s.do(t, "GET", "/v1/forgotten", ""); status != 403 || code != api.CodeForbidden {
			t.Errorf("got %d %s", status, code)
		}
	})
	t.Run("of root are closed to others", func(t *testing.T) {
		s := serve(t, route{"GET", "/root", caller.AccessRoot, func(c *call) { c.done(nil) }})
		if status, _, _ := s.do(t, "GET", "/v1/root", ""); status != 403 { // a user instance has no root
			t.Errorf("got %d", status)
		}
	})
	t.Run("that panic answer, and the log has the reason", func(t *testing.T) {
		s := serve(t, route{"GET", "/panic", caller.AccessOwner, func(*call) { panic("ouch") }})
		status, code, text := s.do(t, "GET", "/v1/panic", "")
		if status != 500 || code != api.CodeInternal || strings.Contains(text, "ouch") || !strings.Contains(s.logged.String(), "ouch") {
			t.Errorf("got %d %s %s", status, code, text)
		}
	})
}

func TestBadInput(t *testing.T) {
	s := serve(t)
	big := `{"service":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code                     api.Code
	}{
		{"an unknown route", "GET", "/v1/nothing", "", nil, 404, api.CodeNotFound},
		{"a path that is not clean", "GET", "/v1//status", "", nil, 404, api.CodeNotFound},
		{"another version", "GET", "/v2/status", "", nil, 404, api.CodeNotFound},
		{"a method that the route has not", "DELETE", "/v1/status", "", nil, 405, api.CodeBadRequest},
		{"a web page", "GET", "/v1/status", "", []string{"Origin", "https://example.org"}, 403, api.CodeForbidden},
		{"a name that was rebound", "GET", "/v1/status", "", []string{"Host", "example.org"}, 403, api.CodeForbidden},
		{"a form", "POST", "/v1/requests", "{}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, api.CodeBadRequest},
		{"plain text", "POST", "/v1/requests", "{}", []string{"Content-Type", "text/plain"}, 415, api.CodeBadRequest},
		{"another charset", "POST", "/v1/requests", "{}", []string{"Content-Type", "application/json; charset=latin1"}, 415, api.CodeBadRequest},
		{"an oversized body", "POST", "/v1/requests", big, nil, 413, api.CodeTooLarge},
		{"a malformed body", "POST", "/v1/requests", `{"kind"`, nil, 400, api.CodeBadRequest},
		{"an unknown field", "POST", "/v1/requests", `{"colour":"red"}`, nil, 400, api.CodeBadRequest},
		{"trailing data", "POST", "/v1/requests", `{}{}`, nil, 400, api.CodeBadRequest},
		{"deep nesting", "POST", "/v1/requests", `{"claimed":` + strings.Repeat("[", 5000), nil, 400, api.CodeBadRequest},
		{"an unknown kind", "POST", "/v1/requests", `{"kind":"dance"}`, nil, 400, api.CodeBadRequest},
		{"an unknown user", "POST", "/v1/requests", `{"user":"bob"}`, nil, 404, api.CodeUnknownUser},
		{"a control character in a service", "POST", "/v1/requests", `{"service":"a\nb"}`, nil, 400, api.CodeBadRequest},
		{"another user's service", "POST", "/v1/requests", `{"service":"app:4242:mail"}`, nil, 403, api.CodeForbidden},
		{"no method registered", "POST", "/v1/requests", `{"service":"mail"}`, nil, 404, api.CodeNoMethod},
		{"no key plugged in", "POST", "/v1/requests", `{"kind":"reset"}`, nil, 409, api.CodeNoKey},
		{"an unknown request", "GET", "/v1/requests/abc", "", nil, 404, api.CodeNotFound},
		{"an unknown request to deny", "POST", "/v1/requests/abc/deny", "", nil, 404, api.CodeNotFound},
		{"a body where none belongs", "POST", "/v1/requests/abc/deny", "{}", nil, 400, api.CodeBadRequest},
		{"an answer to nothing", "POST", "/v1/requests/abc/answer", `{"prompt":"p","pin":"1234"}`, nil, 404, api.CodeNotFound},
		{"an answer without a prompt", "POST", "/v1/requests/abc/answer", `{"pin":"1234"}`, nil, 400, api.CodeBadRequest},
		{"a device path where an id belongs", "GET", "/v1/keys/%2Fdev%2Fhidraw0", "", nil, 404, api.CodeNotFound},
		{"a control character in an id", "GET", "/v1/keys/%00", "", nil, 400, api.CodeBadRequest},
		{"an unknown method to rename", "PATCH", "/v1/methods/abc", `{"name":"x"}`, nil, 404, api.CodeNotFound},
		{"a patch of nothing", "PATCH", "/v1/methods/abc", `{}`, nil, 400, api.CodeBadRequest},
		{"a default taken away", "PATCH", "/v1/methods/abc", `{"default":false}`, nil, 400, api.CodeBadRequest},
		{"an unknown query field", "GET", "/v1/log?page=2", "", nil, 400, api.CodeBadRequest},
		{"a query field twice", "GET", "/v1/log?limit=2&limit=3", "", nil, 400, api.CodeBadRequest},
		{"a limit that is no number", "GET", "/v1/log?limit=many", "", nil, 400, api.CodeBadRequest},
		{"a limit out of bounds", "GET", "/v1/log?limit=1001", "", nil, 400, api.CodeBadRequest},
		{"a receipt of nothing", "GET", "/v1/receipts/abc", "", nil, 404, api.CodeNotFound},
	} {
		t.Run("answers "+c.name, func(t *testing.T) {
			status, code, text := s.do(t, c.method, c.path, c.body, c.header...)
			if status != c.status || code != c.code {
				t.Errorf("got %d %s (%s), want %d %s", status, code, text, c.status, c.code)
			}
		})
	}
	t.Run("answers pam: from root alone", func(t *testing.T) {
		status, code, _ := s.do(t, "POST", "/v1/requests", `{"service":"pam:sudo"}`)
		if os.Getuid() == 0 && code != api.CodeNoMethod || os.Getuid() != 0 && status != 403 {
			t.Errorf("got %d %s", status, code)
		}
	})
	t.Run("never logs a PIN", func(t *testing.T) {
		for _, body := range []string{`{"prompt":"p","pin":"97531864"}`, `{"prompt":"p","pin":97531864}`, `{"prompt":"p","pin":"97531864"`, `{"97531864":1}`} {
			_, _, text := s.do(t, "POST", "/v1/requests/abc/answer", body)
			if body[2] == 'p' && strings.Contains(text, "97531864") {
				t.Errorf("the answer has the PIN: %s", text)
			}
		}
		if strings.Contains(s.logged.String(), "97531864") {
			t.Error("the log has the PIN")
		}
	})
	t.Run("is still up", func(t *testing.T) {
		if status, _, _ := s.do(t, "GET", "/v1/status", ""); status != 200 {
			t.Errorf("got %d", status)
		}
	})
}

func TestPeers(t *testing.T) {
	t.Run("serves a bounded number of connections and says so", func(t *testing.T) {
		s := serve(t)
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}()
		for range maxConns {
			c, err := net.Dial("unix", s.path)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 503") {
			t.Errorf("got %q", b)
		}
		_ = conns[0].Close()
		freed := false
		for deadline := time.Now().Add(5 * time.Second); !freed && time.Now().Before(deadline); {
			freed = !s.full()
		}
		if !freed {
			t.Error("a freed place was not given away")
		}
	})
	if os.Geteuid() != 0 {
		return // only root can become another user
	}
	t.Run("turns another user away, by the socket's mode and by who they are", func(t *testing.T) {
		s := serve(t)
		if err := os.Chmod(filepath.Dir(s.path), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := dialAs(t, s.path, 65534); err == nil {
			t.Error("the socket's mode lets another user in")
		}
		if err := os.Chmod(s.path, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := dialAs(t, s.path, 65534)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: fob\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b, err := io.ReadAll(c) // ends: the connection is closed
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 403") || !strings.Contains(string(b), `"code":"forbidden"`) {
			t.Errorf("got %s (%v)", b, err)
		}
		if status, _, _ := s.do(t, "GET", "/v1/status", ""); status != 200 {
			t.Errorf("the owner got %d", status)
		}
	})
}

// full reports whether a new connection is turned away.
func (s *server) full() bool {
	c, err := net.Dial("unix", s.path)
	if err != nil {
		return true
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /v1/nothing HTTP/1.1\r\nHost: fob\r\n\r\n"); err != nil {
		return true
	}
	b := make([]byte, 12)
	_, err = io.ReadFull(c, b)
	return err != nil || string(b) == "HTTP/1.1 503"
}

// dialAs connects as another user: on a thread of its own, which dies with the goroutine.
func dialAs(t *testing.T, path string, uid int) (c net.Conn, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			err = e
			return
		}
		c, err = net.Dial("unix", path)
	}()
	<-done
	return c, err
}
