package virtual

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newKey is a key on a pty, closed at the end.
func newKey(t *testing.T, o Options) *Key {
	t.Helper()
	k, err := NewKey(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// dial opens the device node as libfido2 does.
func dial(t *testing.T, path string) (*host, *os.File) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(f.Fd()), true); err != nil { // Fd made it blocking
		t.Fatal(err)
	}
	h := &host{t: t}
	h.send = func(r report) {
		t.Helper()
		if _, err := f.Write(append([]byte{0}, r[:]...)); err != nil {
			t.Fatal(err)
		}
	}
	h.receive = func() (r report) {
		t.Helper()
		if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Read(r[:]); err != nil || n != reportLen {
			t.Fatalf("reads %d bytes: %v", n, err)
		}
		return r
	}
	return h, f
}

// unread is how many bytes lie on the node.
func unread(t *testing.T, k *Key) (n int) {
	t.Helper()
	err := control(k.plug.port.slave, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKeyOnItsNode(t *testing.T) {
	t.Run("outlives the programs that open it, and they see only their own answers", func(t *testing.T) {
		k := newKey(t, Options{Touch: TouchManual})
		h, f := dial(t, k.Path())
		h.write(message{channel: h.open(), cmd: hidCBOR, payload: []byte{cmdSelection}})
		if err := k.WaitTouch(within(t)); err != nil {
			t.Fatal(err)
		}
		k.Touch()
		if _, err := k.WaitOp(within(t), func(o Op) bool { return o.Command == "selection" && o.Touched }); err != nil {
			t.Fatal(err)
		}
		// The kernel delivers, and tells of the end, soon but not at once.
		for unread(t, k) == 0 {
			runtime.Gosched()
		}
		_ = f.Close()
		for unread(t, k) > 0 {
			runtime.Gosched()
		}
		h, _ = dial(t, k.Path())
		ch := h.open()
		h.write(message{channel: ch, cmd: hidPing, payload: make([]byte, maxPayload)})
		if m := h.read(); len(m.payload) != maxPayload {
			t.Fatalf("PING brings %d bytes", len(m.payload))
		}
	})
	t.Run("sends nothing to a program that died while the key waited", func(t *testing.T) {
		k := newKey(t, Options{Touch: TouchManual})
		h, f := dial(t, k.Path())
		h.write(message{channel: h.open(), cmd: hidCBOR, payload: []byte{cmdSelection}})
		if err := k.WaitTouch(within(t)); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		k.Touch()
		if _, err := k.WaitOp(within(t), func(o Op) bool { return o.Touched }); err != nil {
			t.Fatal(err)
		}
		h, _ = dial(t, k.Path())
		h.open()
	})
	t.Run("goes on after half a report and one with another report id", func(t *testing.T) {
		k := newKey(t, Options{})
		h, f := dial(t, k.Path())
		if _, err := f.Write(append([]byte{1}, make([]byte, reportLen)...)); err != nil {
			t.Fatal(err)
		}
		h.open()
		if _, err := f.Write(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(staleReport + 100*time.Millisecond) // the kernel's pipe has no fake clock
		h.open()
	})
	t.Run("vanishes when it is unplugged, and comes back", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "key")
		k := newKey(t, Options{Touch: TouchManual})
		if err := k.Link(link); err != nil {
			t.Fatal(err)
		}
		if err := k.Link(filepath.Join(link+"s", "key")); err == nil || !strings.HasSuffix(err.Error(), "there is no folder "+link+"s") {
			t.Errorf("linked into a folder that is missing: %v", err)
		}
		h, f := dial(t, link)
		h.write(message{channel: h.open(), cmd: hidCBOR, payload: []byte{cmdSelection}})
		if err := k.WaitTouch(within(t)); err != nil {
			t.Fatal(err)
		}
		k.Unplug()
		k.Unplug()
		if k.IsWaiting() || k.Path() != "" {
			t.Fatal("it still waits")
		}
		for { // past the keepalives, to the end
			if n, err := f.Read(make([]byte, reportLen)); n == 0 || err != nil {
				break
			}
		}
		if _, err := os.Lstat(link); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("the link stays (%v)", err)
		}
		if err := k.Link(link); !errors.Is(err, ErrUnplugged) {
			t.Fatalf("linked: %v", err)
		}
		if ops := k.Ops(); len(ops) != 1 || !ops[0].Abandoned || ops[0].Touched {
			t.Fatalf("the journal says %+v", ops)
		}
		if err := k.Replug(); err != nil {
			t.Fatal(err)
		}
		h, _ = dial(t, link)
		h.open()
	})
	t.Run("is gone as soon as it waits, on demand", func(t *testing.T) {
		for _, o := range []Options{{}, {Touch: TouchManual}} {
			k := newKey(t, o)
			k.SetFault(FaultGone)
			h, f := dial(t, k.Path())
			h.write(message{channel: h.open(), cmd: hidCBOR, payload: []byte{cmdSelection}})
			if n, err := f.Read(make([]byte, reportLen)); n != 0 || err == nil {
				t.Fatalf("it answers %d bytes", n)
			}
			k.SetFault(NoFault)
			if err := k.Replug(); err != nil {
				t.Fatal(err)
			}
			h, _ = dial(t, k.Path())
			h.open()
		}
	})
	t.Run("does not come back once closed", func(t *testing.T) {
		k := newKey(t, Options{})
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err := k.Replug(); !errors.Is(err, ErrClosed) {
			t.Fatalf("plugged in: %v", err)
		}
	})
	t.Run("lifts the block after three wrong PINs when it is plugged in again", func(t *testing.T) {
		k := newKey(t, Options{PIN: "1234"})
		k.auth.pin.wrong = wrongInARow // no command runs
		if err := k.Replug(); err != nil {
			t.Fatal(err)
		}
		h, _ := dial(t, k.Path())
		ch := h.open()
		h.write(message{channel: ch, cmd: hidCBOR, payload: encode(t, cmdClientPIN, map[int]any{2: pinGetRetries})})
		var ans pinAnswer
		if err := decoding.Unmarshal(h.wantStatus(ch, StatusOK), &ans); err != nil || *ans.PowerCycle {
			t.Fatalf("it is still blocked (%v)", err)
		}
	})
}

func TestTwoKeysInOneProcess(t *testing.T) {
	one, two := newKey(t, Options{Touch: TouchManual}), newKey(t, Options{Touch: TouchManual})
	if one.Path() == two.Path() {
		t.Fatal("they share a node")
	}
	h1, _ := dial(t, one.Path())
	h2, _ := dial(t, two.Path())
	c1, c2 := h1.open(), h2.open()
	h1.write(message{channel: c1, cmd: hidCBOR, payload: []byte{cmdSelection}})
	h2.write(message{channel: c2, cmd: hidCBOR, payload: []byte{cmdSelection}})
	for _, k := range []*Key{one, two} {
		if err := k.WaitTouch(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !two.Touch() || two.Touch() {
		t.Fatal("the touch does not count once")
	}
	h2.wantStatus(c2, StatusOK)
	if !one.IsWaiting() {
		t.Fatal("the other key took the touch")
	}
	h1.write(message{channel: c1, cmd: hidCancel})
	h1.wantStatus(c1, StatusKeepaliveCancel)
}

func TestConcurrentUse(t *testing.T) {
	k := newKey(t, Options{Delay: time.Millisecond})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				k.Touch()
				k.SetTouch(TouchAuto, time.Millisecond)
				k.SetFault(NoFault)
				k.Ops()
				k.Path()
				k.IsWaiting()
			}
		}
	}()
	h, _ := dial(t, k.Path())
	for range 20 {
		ch := h.open()
		h.write(message{channel: ch, cmd: hidCBOR, payload: []byte{cmdSelection}})
		h.wantStatus(ch, StatusOK)
	}
	close(stop)
	<-done
}
