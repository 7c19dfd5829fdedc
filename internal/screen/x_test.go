package screen_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/xproto"

	"github.com/fobproject/fob/internal/provision/qr"
	"github.com/fobproject/fob/internal/provision/qr/qrtest"
	"github.com/fobproject/fob/internal/screen"
)

// desk sets the environment that Grab looks at.
func desk(t *testing.T, set map[string]string) {
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY"} {
		t.Setenv(name, set[name])
	}
}

// missing skips the test on a desk where a program is missing, and fails otherwise.
func missing(t testing.TB, err error) {
	t.Helper()
	if (errors.Is(err, qrtest.ErrMissing) || errors.Is(err, exec.ErrNotFound)) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// xvfb starts an X server and gives its display.
func xvfb(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("Xvfb")
	missing(t, err)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(path, append([]string{"-displayfd", "3", "-nolisten", "tcp", "-noreset"}, args...)...)
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it removes its socket
		_ = cmd.Wait()
	})
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("cannot start Xvfb: %v", err)
	}
	return ":" + strings.TrimSpace(line)
}

// show opens a window with a picture at a place, for as long as the test runs.
func show(t *testing.T, display string, img image.Image, at image.Point) {
	t.Helper()
	conn, err := xgb.NewConnDisplay(display)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	root := xproto.Setup(conn).DefaultScreen(conn)
	window, err := xproto.NewWindowId(conn)
	if err != nil {
		t.Fatal(err)
	}
	gc, err := xproto.NewGcontextId(conn)
	if err != nil {
		t.Fatal(err)
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	xproto.CreateWindow(conn, root.RootDepth, window, root.Root, int16(at.X), int16(at.Y), uint16(w), uint16(h), 0,
		xproto.WindowClassInputOutput, root.RootVisual, xproto.CwOverrideRedirect, []uint32{1})
	xproto.CreateGC(conn, gc, xproto.Drawable(window), 0, nil)
	if err := xproto.MapWindowChecked(conn, window).Check(); err != nil {
		t.Fatal(err)
	}
	for y := range h {
		row := make([]byte, 0, 4*w)
		for x := range w {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			row = append(row, c.B, c.G, c.R, 0)
		}
		if err := xproto.PutImageChecked(conn, xproto.ImageFormatZPixmap, xproto.Drawable(window), gc, uint16(w), 1, 0, int16(y), 0, root.RootDepth, row).Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// monitor makes a part of the screen a monitor, for as long as the X server runs; output: the one that is plugged in.
func monitor(t *testing.T, display, name string, place image.Rectangle, output bool) {
	t.Helper()
	conn, err := xgb.NewConnDisplay(display)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := randr.Init(conn); err != nil {
		t.Fatal(err)
	}
	atom, err := xproto.InternAtom(conn, false, uint16(len(name)), name).Reply()
	if err != nil {
		t.Fatal(err)
	}
	root := xproto.Setup(conn).DefaultScreen(conn).Root
	info := randr.MonitorInfo{Name: atom.Atom, X: int16(place.Min.X), Y: int16(place.Min.Y), Width: uint16(place.Dx()), Height: uint16(place.Dy())}
	if output { // or it would be a monitor of its own too
		r, err := randr.GetScreenResources(conn, root).Reply()
		if err != nil {
			t.Fatal(err)
		}
		info.NOutput, info.Outputs = 1, r.Outputs[:1]
	}
	if err := randr.SetMonitorChecked(conn, root, info).Check(); err != nil {
		t.Fatal(err)
	}
}

func code(t *testing.T, text string) image.Image {
	t.Helper()
	img, err := qrtest.Encode(text, 4)
	missing(t, err)
	return img
}

// seen is what is read off pictures.
func seen(t *testing.T, images []image.Image) (texts []string) {
	t.Helper()
	for _, img := range images {
		codes, err := qr.Find(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range codes {
			texts = append(texts, string(c.Text))
		}
	}
	return texts
}

func TestGrabX(t *testing.T) {
	t.Run("takes a picture of a monitor", func(t *testing.T) {
		display := xvfb(t, "-screen", "0", "640x480x24")
		desk(t, map[string]string{"DISPLAY": display})
		want := color.RGBA{10, 100, 200, 255}
		red := image.NewRGBA(image.Rect(0, 0, 20, 20))
		for i := 0; i < len(red.Pix); i += 4 {
			copy(red.Pix[i:], []byte{want.R, want.G, want.B, want.A})
		}
		show(t, display, red, image.Pt(600, 30))
		show(t, display, code(t, "fob"), image.Pt(100, 200))
		images, err := screen.Grab(t.Context())
		if err != nil || len(images) != 1 {
			t.Fatal(len(images), err)
		}
		if size := images[0].Bounds(); size != image.Rect(0, 0, 640, 480) {
			t.Error(size)
		}
		if got := images[0].At(610, 40); got != want {
			t.Errorf("the picture has the colour %v, want %v", got, want)
		}
		if texts := seen(t, images); !slices.Equal(texts, []string{"fob"}) {
			t.Errorf("read %q", texts)
		}
	})
	t.Run("takes a picture of each of two monitors", func(t *testing.T) {
		display := xvfb(t, "-screen", "0", "1440x600x24")
		monitor(t, display, "left", image.Rect(0, 0, 640, 480), true)
		monitor(t, display, "right", image.Rect(640, 0, 1440, 600), false)
		desk(t, map[string]string{"DISPLAY": display})
		show(t, display, code(t, "one"), image.Pt(100, 200))
		show(t, display, code(t, "two"), image.Pt(900, 100))
		images, err := screen.Grab(t.Context())
		if err != nil || len(images) != 2 {
			t.Fatal(len(images), err)
		}
		if size := images[1].Bounds().Size(); size != image.Pt(800, 600) {
			t.Error(size)
		}
		if texts := seen(t, images); !slices.Equal(texts, []string{"one", "two"}) {
			t.Errorf("read %q", texts)
		}
	})
	t.Run("says so of a screen of few colours", func(t *testing.T) {
		desk(t, map[string]string{"DISPLAY": xvfb(t, "-screen", "0", "320x200x16")})
		fails(t, screen.ErrNone)
	})
	t.Run("says so where there is no X server", func(t *testing.T) {
		desk(t, map[string]string{"DISPLAY": ":4711"})
		fails(t, screen.ErrNone)
	})
	t.Run("says so where there is no screen", func(t *testing.T) {
		desk(t, nil)
		fails(t, screen.ErrNone)
	})
	t.Run("does not wait for an X server that hangs", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "fob-x") // t.TempDir's names are too long for a socket's path
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l, err := net.Listen("unix", filepath.Join(dir, "X:0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		desk(t, map[string]string{"DISPLAY": l.Addr().String()})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := screen.Grab(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "--image") {
			t.Error(err)
		}
	})
}

// fails checks an error of Grab, and that it says what to do.
func fails(t *testing.T, want error) {
	t.Helper()
	images, err := screen.Grab(t.Context())
	if images != nil || !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), "--image") {
		t.Errorf("gives %d pictures, %v, want %v and what to do", len(images), err, want)
	}
}
