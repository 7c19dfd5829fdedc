package screen_test

import (
	"context"
	"errors"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/screen"
	"github.com/fobproject/fob/internal/testbus"
)

const portalName, portalPath = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"

// portal is a desktop portal that answers as a test wants.
type portal struct {
	conn   *dbus.Conn
	answer func(conn *dbus.Conn, to string, request dbus.ObjectPath)
	closed chan bool
}

// Screenshot is org.freedesktop.portal.Screenshot's method.
func (p *portal) Screenshot(from dbus.Sender, parent string, options map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	token, _ := options["handle_token"].Value().(string)
	me := strings.ReplaceAll(strings.TrimPrefix(string(from), ":"), ".", "_")
	request := dbus.ObjectPath(portalPath + "/request/" + me + "/" + token)
	if !request.IsValid() || parent != "" || p.answer == nil {
		return "/", dbus.MakeFailedError(errors.New("no"))
	}
	_ = p.conn.Export(p, request, "org.freedesktop.portal.Request")
	p.answer(p.conn, string(from), request) // some portals are faster than their reply
	return request, nil
}

// Close is org.freedesktop.portal.Request's method.
func (p *portal) Close() *dbus.Error {
	close(p.closed)
	return nil
}

// respond sends a response, from conn.
func respond(conn *dbus.Conn, request dbus.ObjectPath, code uint32, results map[string]any) {
	values := map[string]dbus.Variant{}
	for k, v := range results {
		values[k] = dbus.MakeVariant(v)
	}
	_ = conn.Emit(request, "org.freedesktop.portal.Request.Response", code, values)
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wayland starts a bus with a portal, and sets the environment of a Wayland session there.
func wayland(t *testing.T, answer func(conn *dbus.Conn, to string, request dbus.ObjectPath)) *portal {
	t.Helper()
	bus := testbus.New(t)
	desk(t, map[string]string{"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":4711", "DBUS_SESSION_BUS_ADDRESS": bus.Address})
	p := &portal{conn: connect(t, bus.Address), answer: answer, closed: make(chan bool)}
	if err := p.conn.Export(p, portalPath, "org.freedesktop.portal.Screenshot"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.RequestName(portalName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return p
}

// picture writes a screenshot with a code into a folder.
func picture(t *testing.T, dir, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "Bildschirmfoto 1 ä.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, code(t, text)); err != nil {
		t.Fatal(err)
	}
	return path
}

func uriOf(path string) string {
	return "file://" + strings.NewReplacer(" ", "%20", "ä", "%C3%A4").Replace(path)
}

func TestGrabAsksThePortal(t *testing.T) {
	gives := func(uri any) func(*dbus.Conn, string, dbus.ObjectPath) {
		return func(conn *dbus.Conn, _ string, request dbus.ObjectPath) {
			respond(conn, request, 0, map[string]any{"uri": uri})
		}
	}
	t.Run("and reads and removes its picture", func(t *testing.T) {
		path := picture(t, t.TempDir(), "fob")
		wayland(t, gives(uriOf(path)))
		images, err := screen.Grab(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if texts := seen(t, images); !slices.Equal(texts, []string{"fob"}) {
			t.Errorf("read %q", texts)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the picture stays: %v", err)
		}
	})
	t.Run("and believes nobody else", func(t *testing.T) {
		dir, other := t.TempDir(), t.TempDir()
		right, wrong := picture(t, dir, "right"), picture(t, other, "wrong")
		var stranger atomic.Pointer[dbus.Conn]
		wayland(t, func(conn *dbus.Conn, to string, request dbus.ObjectPath) {
			// To everybody, and to the one who asked.
			respond(stranger.Load(), request, 0, map[string]any{"uri": uriOf(wrong)})
			m := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(request), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.portal.Request"),
				dbus.FieldMember: dbus.MakeVariant("Response"), dbus.FieldDestination: dbus.MakeVariant(to),
				dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(uint32(0), map[string]dbus.Variant{})),
			}, Body: []any{uint32(0), map[string]dbus.Variant{"uri": dbus.MakeVariant(uriOf(wrong))}}}
			stranger.Load().Send(m, nil)
			time.Sleep(100 * time.Millisecond)
			respond(conn, request, 0, map[string]any{"uri": uriOf(right)})
		})
		stranger.Store(connect(t, os.Getenv("DBUS_SESSION_BUS_ADDRESS")))
		images, err := screen.Grab(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if texts := seen(t, images); !slices.Equal(texts, []string{"right"}) {
			t.Errorf("read %q", texts)
		}
		if _, err := os.Stat(wrong); err != nil {
			t.Error(err)
		}
	})
	t.Run("and says that the user refused", func(t *testing.T) {
		wayland(t, func(conn *dbus.Conn, _ string, request dbus.ObjectPath) { respond(conn, request, 1, nil) })
		fails(t, screen.ErrRefused)
	})
	t.Run("and says that it failed", func(t *testing.T) {
		wayland(t, func(conn *dbus.Conn, _ string, request dbus.ObjectPath) { respond(conn, request, 2, nil) })
		fails(t, screen.ErrNone)
	})
	t.Run("and says that it does not answer in time, and takes the question back", func(t *testing.T) {
		p := wayland(t, func(*dbus.Conn, string, dbus.ObjectPath) {})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := screen.Grab(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "--image") {
			t.Error(err)
		}
		select {
		case <-p.closed:
		case <-time.After(10 * time.Second):
			t.Error("the request is still open")
		}
	})
	t.Run("and says that it refuses the call", func(t *testing.T) {
		wayland(t, nil)
		fails(t, screen.ErrNone)
	})
	t.Run("and says that it ended", func(t *testing.T) {
		wayland(t, func(conn *dbus.Conn, _ string, _ dbus.ObjectPath) { conn.Close() })
		fails(t, screen.ErrNone)
	})
	t.Run("and says that there is none", func(t *testing.T) {
		bus := testbus.New(t)
		desk(t, map[string]string{"XDG_SESSION_TYPE": "wayland", "DBUS_SESSION_BUS_ADDRESS": bus.Address})
		fails(t, screen.ErrNone)
	})
	t.Run("and says that there is no bus", func(t *testing.T) {
		t.Setenv("XDG_RUNTIME_DIR", "")
		desk(t, map[string]string{"XDG_SESSION_TYPE": "wayland"})
		fails(t, screen.ErrNone)
	})

	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("my diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(picture(t, dir, "fob"), link); err != nil {
		t.Fatal(err)
	}
	for name, uri := range map[string]any{
		"nothing":              "",
		"a number":             int32(1),
		"another machine":      "file://example.org/tmp/x.png",
		"the network":          "https://example.org/x.png",
		"a path alone":         text,
		"a query":              uriOf(text) + "?x",
		"no address":           "file://%zz",
		"a zero byte":          uriOf(text) + "%00",
		"a file of the system": "file:///etc/passwd",
		"a way out":            uriOf(dir) + "/../../../../../../etc/passwd",
		"a device":             "file:///dev/zero",
		"nothing there":        uriOf(dir) + "/none.png",
		"a folder":             uriOf(dir),
		"a FIFO":               uriOf(fifo),
		"a link":               uriOf(link),
		"no picture":           uriOf(text),
	} {
		t.Run("and does not take from it "+name, func(t *testing.T) {
			t.Setenv("HOME", dir)
			wayland(t, gives(uri))
			fails(t, screen.ErrNone)
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
				t.Errorf("something is gone from %v: %v", entries, err)
			}
		})
	}
}
