package logind_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/daemon/logind"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/testbus"
)

const (
	ann     uint32 = 1000 // the user asked
	bob     uint32 = 1001
	display uint32 = 110 // a display manager's greeter

	pid      = 4242
	began    = 500 * time.Second // when the process did
	accepted = 501 * time.Second
)

var (
	local  = caller.Standing{Place: caller.PlaceLocal, SameUser: true}
	remote = caller.Standing{Place: caller.PlaceRemote, SameUser: true} // what cannot be told, too
)

// desk is a client with a fake session manager and one process, which runs as ann.
type desk struct {
	*logind.Logind
	t    testing.TB
	proc string
}

func open(t testing.TB, address string, f *fake) *desk {
	t.Helper()
	if f != nil {
		f.serve(t, address)
	}
	d := &desk{t: t, proc: t.TempDir()}
	d.process(began, ann)
	d.Logind = logind.Open(address, slog.New(slog.DiscardHandler), logind.Options{OwnerUID: uint32(os.Getuid()), Proc: d.proc})
	t.Cleanup(d.Close)
	return d
}

// process makes the process, or puts another into its place.
func (d *desk) process(start time.Duration, uid uint32) {
	dir := filepath.Join(d.proc, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		d.t.Fatal(err)
	}
	zeros := strings.Repeat("0 ", 17)
	stat := fmt.Sprintf("%d (a) b) S 1 %s%d 0 0\n", pid, zeros, start/(10*time.Millisecond))
	status := fmt.Sprintf("Name:\ta) b\nUmask:\t0022\nUid:\t%d\t0\t0\t0\nGid:\t0\t0\t0\t0\n", uid)
	for name, text := range map[string]string{"stat": stat, "status": status} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
}

// alias gives the process another id as well.
func (d *desk) alias(id string) {
	if err := os.Symlink(strconv.Itoa(pid), filepath.Join(d.proc, id)); err != nil {
		d.t.Fatal(err)
	}
}

// by is the process as the door saw it.
func by(uid uint32) caller.Caller {
	return caller.Caller{UID: uid, PID: pid, Accepted: accepted, Door: caller.DoorSocket}
}

func (d *desk) want(c caller.Caller, want caller.Standing) {
	d.t.Helper()
	if got := d.Standing(d.t.Context(), c, ann); got != want {
		d.t.Errorf("%+v, want %+v (%s)", got, want, d.State())
	}
}

// wantState wants a state that holds a text.
func (d *desk) wantState(text string) {
	d.t.Helper()
	if got := d.State(); !strings.Contains(got, text) {
		d.t.Errorf("the state is %q, want %q", got, text)
	}
}

// atDesk is a session manager with ann at the desk, where the process is too.
func atDesk() *fake {
	f := &fake{}
	f.pids = map[uint32]dbus.ObjectPath{pid: f.add("2", ann, "seat0", nil)}
	return f
}

func TestStanding(t *testing.T) {
	const here, unknown, away = caller.PlaceLocal, caller.PlaceUnknown, caller.PlaceRemote
	in := func(f *fake, path dbus.ObjectPath) { f.pids = map[uint32]dbus.ObjectPath{pid: path} }
	below := func(f *fake, uid uint32) { f.users = map[uint32]uint32{pid: uid} }
	cases := []struct {
		name string
		uid  uint32
		make func(f *fake)
		want caller.Standing
	}{
		{"a program at the desk", ann, func(f *fake) { in(f, f.add("2", ann, "seat0", nil)) }, local},
		{"sudo at the desk", 0, func(f *fake) { in(f, f.add("2", ann, "seat0", nil)) }, local},
		{"a greeter", 0, func(f *fake) { in(f, f.add("c1", display, "seat0", class("greeter"))) }, caller.Standing{Place: here}},
		{"a program over ssh", ann, func(f *fake) {
			f.add("2", ann, "seat0", nil)
			in(f, f.add("3", ann, "", ssh))
		}, remote},
		{"sudo over ssh", 0, func(f *fake) {
			f.add("2", ann, "seat0", nil)
			in(f, f.add("3", ann, "", ssh))
		}, remote},
		{"sshd", 0, func(f *fake) { f.add("2", ann, "seat0", nil) }, caller.Standing{Place: away}},
		{"tmux below the user's manager", ann, func(f *fake) { f.add("2", ann, "seat0", nil); below(f, ann) }, caller.Standing{Place: unknown, SameUser: true}},
		{"sudo below the user's manager", 0, func(f *fake) { f.add("2", ann, "seat0", nil); below(f, ann) }, caller.Standing{Place: unknown, SameUser: true}},
		{"sudo below another's manager", 0, func(f *fake) { f.add("2", ann, "seat0", nil); below(f, bob) }, caller.Standing{Place: away}},
		{"the manager's session, where it has one", 0, func(f *fake) {
			f.add("2", ann, "seat0", nil)
			in(f, f.add("9", ann, "", class("manager")))
		}, caller.Standing{Place: unknown, SameUser: true}},
		{"the manager's session, where it is not listed", ann, func(f *fake) {
			f.add("2", ann, "seat0", nil)
			in(f, f.add("9", ann, "", class("manager")))
			f.rows = f.rows[:1]
		}, caller.Standing{Place: unknown, SameUser: true}},
		{"a user who lingers only", ann, func(f *fake) { below(f, ann) }, remote},
		{"a user who is here over ssh only", ann, func(f *fake) { f.add("3", ann, "", ssh); below(f, ann) }, remote},
		{"a session behind another's", ann, func(f *fake) {
			in(f, f.add("2", ann, "seat0", behind))
			f.add("4", bob, "seat0", nil)
		}, remote},
		{"another user's session", bob, func(f *fake) { in(f, f.add("4", bob, "seat0", nil)) }, caller.Standing{Place: away}},
		{"another user's su", 0, func(f *fake) { in(f, f.add("4", bob, "seat0", nil)) }, caller.Standing{Place: away}},
		{"a session on another seat", ann, func(f *fake) { in(f, f.add("2", ann, "seat1", nil)) }, remote},
		{"a user with many sessions over ssh", 0, func(f *fake) {
			for i := range 200 {
				f.add(fmt.Sprint("9", i), ann, "", ssh)
			}
			f.add("2", ann, "seat0", nil)
			below(f, ann)
		}, caller.Standing{Place: unknown, SameUser: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{}
			c.make(f)
			d := open(t, testbus.New(t).Address, f)
			if c.uid == bob {
				d.process(began, bob)
			}
			d.wantState("not asked yet")
			d.want(by(c.uid), c.want)
			d.wantState("connected")
			pids, sessions, _ := f.seen()
			if len(pids) != 1 || pids[0] != pid {
				t.Errorf("asked about the processes %v", pids)
			}
			if len(sessions) > 2 {
				t.Errorf("asked about %d sessions", len(sessions))
			}
		})
	}
	t.Run("looks at 32 sessions on the seat and no more", func(t *testing.T) {
		f := &fake{users: map[uint32]uint32{pid: ann}}
		for i := range 40 {
			f.add(fmt.Sprint("9", i), ann, "seat0", behind)
		}
		d := open(t, testbus.New(t).Address, f)
		d.want(by(ann), remote)
		d.wantState("connected")
		if _, sessions, _ := f.seen(); len(sessions) != 32 {
			t.Errorf("looked at %d", len(sessions))
		}
	})
	t.Run("asks afresh each time, by one connection", func(t *testing.T) {
		f := atDesk()
		d := open(t, testbus.New(t).Address, f)
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() { d.want(by(ann), local) })
		}
		all.Wait()
		f.mu.Lock()
		ssh(f.sessions[f.pids[pid]])
		f.mu.Unlock()
		d.want(by(ann), remote)
		if pids, _, connections := f.seen(); connections != 1 || len(pids) != 33 {
			t.Errorf("%d questions by %d connections", len(pids), connections)
		}
	})
}

func TestProcess(t *testing.T) {
	cases := []struct {
		name   string
		change func(d *desk, f *fake, c *caller.Caller)
		want   caller.Standing
		asked  bool
	}{
		{"takes one that began just before it was seen", func(d *desk, _ *fake, _ *caller.Caller) { d.process(accepted, ann) }, local, true},
		{"takes root's whoever began it", func(_ *desk, _ *fake, c *caller.Caller) { c.UID = 0 }, local, true},
		{"refuses one that began later", func(d *desk, _ *fake, _ *caller.Caller) { d.process(accepted+10*time.Millisecond, ann) }, remote, false},
		{"refuses root's that began later", func(d *desk, _ *fake, c *caller.Caller) {
			d.process(accepted+10*time.Millisecond, 0)
			c.UID = 0
		}, remote, false},
		{"refuses one of another user", func(d *desk, _ *fake, _ *caller.Caller) { d.process(began, bob) }, remote, false},
		{"refuses one whose time was not noted", func(d *desk, _ *fake, c *caller.Caller) {
			d.process(0, ann)
			c.Accepted = 0
		}, remote, false},
		{"never asks about process 0, which would be itself", func(d *desk, f *fake, c *caller.Caller) {
			d.alias("0")
			c.PID, f.pids[0] = 0, f.pids[pid]
		}, remote, false},
		{"never asks about a negative id", func(d *desk, f *fake, c *caller.Caller) {
			d.alias("-1")
			c.PID, f.pids[^uint32(0)] = -1, f.pids[pid]
		}, remote, false},
		{"refuses one that is gone", func(d *desk, _ *fake, _ *caller.Caller) { os.RemoveAll(d.proc) }, remote, false},
		{"refuses one without a start time", func(d *desk, _ *fake, _ *caller.Caller) {
			os.WriteFile(filepath.Join(d.proc, strconv.Itoa(pid), "stat"), []byte("4242 (x) S 1"), 0o644)
		}, remote, false},
		{"refuses one whose id is another's by the time of the answer", func(d *desk, f *fake, _ *caller.Caller) {
			f.during = func() { d.process(began+10*time.Millisecond, ann) }
		}, remote, true},
		{"refuses one that ends before the answer", func(d *desk, f *fake, _ *caller.Caller) {
			f.during = func() { os.RemoveAll(d.proc) }
		}, remote, true},
		{"refuses one that makes way for one begun at the same time", func(d *desk, f *fake, _ *caller.Caller) {
			f.during = func() { os.RemoveAll(d.proc); d.process(began, ann) }
		}, remote, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := atDesk()
			address := testbus.New(t).Address
			d := open(t, address, nil)
			who := by(ann)
			c.change(d, f, &who)
			f.serve(t, address)
			d.want(who, c.want)
			if pids, _, _ := f.seen(); (len(pids) > 0) != c.asked {
				t.Errorf("asked about %v", pids)
			}
		})
	}
	t.Run("finds a real one", func(t *testing.T) {
		f := &fake{}
		f.pids = map[uint32]dbus.ObjectPath{uint32(os.Getpid()): f.add("2", uint32(os.Getuid()), "seat0", nil)}
		address := testbus.New(t).Address
		f.serve(t, address)
		l := logind.Open(address, slog.New(slog.DiscardHandler), logind.Options{OwnerUID: uint32(os.Getuid())})
		defer l.Close()
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
			t.Fatal(err)
		}
		me := caller.Caller{UID: uint32(os.Getuid()), PID: int32(os.Getpid()), Accepted: time.Duration(now.Nano()), Door: caller.DoorSocket}
		if got := l.Standing(t.Context(), me, me.UID); got != local {
			t.Errorf("%+v (%s)", got, l.State())
		}
		me.Accepted = time.Second // before this test began
		if got := l.Standing(t.Context(), me, me.UID); got != remote {
			t.Errorf("accepted before it began: %+v", got)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 25 100 200\n"))
	f.Add([]byte("1 (a) b 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22)"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ticks, ok := logind.ParseStat(b)
		if ok && (ticks < 0 || time.Duration(ticks)*10*time.Millisecond < 0) {
			t.Errorf("%d ticks", ticks)
		}
		// What the program is called changes nothing.
		if again, okAgain := logind.ParseStat(append([]byte("1 ( 1 ) 2 (\n"), b...)); ok && (!okAgain || again != ticks) {
			t.Errorf("%d ticks, then %d", ticks, again)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("Name:\tx\nUid:\t1000\t0\t0\t0\n"))
	f.Add([]byte("Name:\tx\\nUid:\t0\t0\t0\t0\nUid:\t1000\t0\t0\t0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		uid, ok := logind.ParseStatus(b)
		if ok && !strings.Contains(string(b), strconv.FormatUint(uint64(uid), 10)) {
			t.Errorf("uid %d in %q", uid, b)
		}
	})
}

func TestParse(t *testing.T) {
	tail := " S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "
	for text, want := range map[string]int64{
		"7 (x)" + tail + "1234 5": 1234, "7 (x" + tail + "99 5)" + tail + "1234 5": 1234, "7 (a\n)" + tail + "0": 0,
		"7 (x)" + tail: -1, "7 (x)" + tail + "-3": -1, "7 (x)" + tail + "9223372036854775807": -1, "": -1, "7 x" + tail + "5": -1,
	} {
		if got, ok := logind.ParseStat([]byte(text)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for text, want := range map[string]int64{
		"Name:\tx\nUid:\t1000\t0\t0\t0\n": 1000, "Uid:\t0\t1\t1\t1\n": 0,
		"Name:\tUid:\n": -1, "Uid:\t1000\n": -1, "Uid:\t4294967296\t0\t0\t0\n": -1, "Uid:\tx\t0\t0\t0\n": -1, "": -1,
	} {
		if got, ok := logind.ParseStatus([]byte(text)); ok != (want >= 0) || ok && int64(got) != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
}

func BenchmarkStanding(b *testing.B) {
	f := atDesk()
	f.add("3", ann, "", ssh)
	d := open(b, testbus.New(b).Address, f)
	for b.Loop() {
		if got := d.Standing(b.Context(), by(ann), ann); got.Place != caller.PlaceLocal {
			b.Fatal(d.State())
		}
	}
}
