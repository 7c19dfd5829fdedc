package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const plenty = 20 * time.Second

// kept keeps the bytes that it is decoded from.
type kept struct{ raw []byte }

func (k *kept) UnmarshalJSON(b []byte) error {
	k.raw = b
	return nil
}

func TestRun(t *testing.T) {
	t.Run("gives back what the operation answered", func(t *testing.T) {
		p := pool(t, "serve")
		var got echo
		want := echo{Text: "hello", PIN: []byte("1234")}
		if err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: want, Timeout: plenty}, &got); err != nil {
			t.Fatal(err)
		}
		if got.Text != want.Text || string(got.PIN) != "1234" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("wipes what it decoded the answer from", func(t *testing.T) {
		p := pool(t, "serve")
		var got kept
		if err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: echo{PIN: []byte("1234")}, Timeout: plenty}, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.raw) == 0 || bytes.ContainsFunc(got.raw, func(r rune) bool { return r != 0 }) {
			t.Errorf("left is %q", got.raw)
		}
	})
	t.Run("runs each operation in a process of its own", func(t *testing.T) {
		p := pool(t, "serve")
		var pids []int
		for range 3 {
			var pid int
			if err := p.Run(t.Context(), Call{Op: "pid", Device: "k", Args: struct{}{}, Timeout: plenty}, &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		slices.Sort(pids)
		if len(slices.Compact(pids)) != 3 || slices.Contains(pids, os.Getpid()) {
			t.Errorf("processes %v", pids)
		}
	})
	t.Run("runs operations side by side", func(t *testing.T) {
		p := pool(t, "serve")
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				p.Run(ctx, Call{Op: "wait", Device: "k", Args: struct{}{}, Timeout: plenty}, nil)
			})
		}
		if err := p.Run(ctx, Call{Op: "echo", Device: "k", Args: echo{}, Timeout: plenty}, nil); err != nil {
			t.Error(err)
		}
		cancel()
		all.Wait()
	})
	t.Run("passes on the operation's own failure, cleaned", func(t *testing.T) {
		_, err := call(t, "serve", "fail", plenty)
		op, ok := errors.AsType[*OpError](err)
		if !ok || op.Code != 0x31 || op.Name != "FIDO_ERR_PIN_INVALID" || op.Cause != "pin" || strings.Contains(op.Text, "\x1b") {
			t.Fatalf("error %v", err)
		}
		for _, part := range []string{"Blue Key", "fail"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %q", err, part)
			}
		}
	})
	t.Run("passes on a failure without a code", func(t *testing.T) {
		_, err := call(t, "serve", "plain", plenty)
		if op, ok := errors.AsType[*OpError](err); !ok || op.Text != "cannot go on" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("says that an operation is unknown", func(t *testing.T) {
		_, err := call(t, "serve", "no-such-operation", plenty)
		if op, ok := errors.AsType[*OpError](err); !ok || op.Name != "FOB_UNKNOWN_OPERATION" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("refuses arguments with a field that the operation does not have", func(t *testing.T) {
		p := pool(t, "serve")
		err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: map[string]int{"x": 1}, Timeout: plenty}, nil)
		if op, ok := errors.AsType[*OpError](err); !ok || op.Name != "FOB_BAD_ARGUMENTS" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("fails one operation whose answer is too long", func(t *testing.T) {
		_, err := call(t, "serve", "large", plenty)
		if op, ok := errors.AsType[*OpError](err); !ok || op.Name != "FOB_BAD_RESULT" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("refuses a call that is too long", func(t *testing.T) {
		p := pool(t, "serve")
		err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: echo{PIN: make([]byte, MaxMessage)}, Timeout: plenty}, nil)
		if !errors.Is(err, errTooLong) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("refuses a call without a time limit", func(t *testing.T) {
		if _, err := call(t, "serve", "echo", 0); err == nil {
			t.Error("no error")
		}
	})
	t.Run("says that an answer of another shape is garbage", func(t *testing.T) {
		p := pool(t, "serve")
		var n int
		err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: echo{}, Timeout: plenty}, &n)
		if !errors.Is(err, ErrGarbage) {
			t.Errorf("error %v", err)
		}
	})
}

func TestBrokenHelper(t *testing.T) {
	for _, c := range []struct {
		name, behaviour string
		timeout         time.Duration
		want            error
		text            string
	}{
		{"that crashes says how it ended", "crash", plenty, ErrCrashed, "exit status 2"},
		{"that ends before it reads", "exit-at-once", plenty, ErrCrashed, "exit status 3"},
		{"that ends before it begins", "crash-before-begun", plenty, ErrCrashed, "exit status 4"},
		{"that hangs is killed", "hang", 50 * time.Millisecond, ErrHung, "killed"},
		{"that never reads is killed", "deaf", 50 * time.Millisecond, ErrHung, "killed"},
		{"that answers garbage", "garbage", plenty, ErrGarbage, ""},
		{"that prints something else", "noise", plenty, ErrGarbage, ""},
		{"that announces a huge message", "huge", plenty, ErrGarbage, "more than"},
		{"that sends half a message", "half", plenty, ErrGarbage, "half"},
		{"that sends an unknown field", "unknown-field", plenty, ErrGarbage, ""},
		{"that speaks out of turn", "no-begun", plenty, ErrGarbage, "out of turn"},
	} {
		t.Run("a helper "+c.name, func(t *testing.T) {
			t.Parallel()
			_, err := call(t, c.behaviour, "echo", c.timeout)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v, want %v with %q", err, c.want, c.text)
			}
			if !strings.Contains(err.Error(), "Blue Key") {
				t.Errorf("%q does not name the device", err)
			}
		})
	}
	t.Run("a helper that never reads a long call is killed, and the call wiped", func(t *testing.T) {
		p := pool(t, "deaf")
		err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: echo{PIN: make([]byte, 500<<10)}, Timeout: 50 * time.Millisecond}, nil)
		if !errors.Is(err, ErrHung) {
			t.Errorf("error %v", err)
		}
	})
	for _, behaviour := range []string{"writes-after-answer", "hang-after-answer"} {
		t.Run("an answer counts although the helper "+behaviour, func(t *testing.T) {
			if _, err := call(t, behaviour, "echo", plenty); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("what it wrote to stderr is in the debug log, cleaned", func(t *testing.T) {
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p := NewPool(Options{Path: os.Args[0], Args: []string{childArg, "exit-at-once"}, Log: log})
		if err := p.Ready(t.Context()); !errors.Is(err, ErrStart) {
			t.Errorf("error %v", err)
		}
		p.Close()
		if !strings.Contains(b.String(), "libfoo") || strings.Contains(b.String(), "\\x1b") {
			t.Errorf("log %q", b.String())
		}
	})
	t.Run("a program that does not exist is told at once", func(t *testing.T) {
		p := NewPool(Options{Path: filepath.Join(t.TempDir(), "missing")})
		defer p.Close()
		if err := p.Ready(t.Context()); !errors.Is(err, ErrStart) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Ready: %v", err)
		}
		if err := p.Run(t.Context(), Call{Op: "echo", Timeout: plenty}, nil); !errors.Is(err, ErrStart) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	run := func(t *testing.T, behaviour, op string, when func(cancel func())) error {
		p := pool(t, behaviour)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go when(cancel)
		return p.Run(ctx, Call{Op: op, Device: "k", Args: struct{}{}, Timeout: plenty}, nil)
	}
	soon := func(cancel func()) { time.Sleep(30 * time.Millisecond); cancel() }

	t.Run("before the operation begins", func(t *testing.T) {
		p := pool(t, "serve")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx, Call{Op: "echo", Device: "k", Timeout: plenty}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		err := run(t, "serve", "wait", func(cancel func()) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("while it waits, with its own last word", func(t *testing.T) {
		err := run(t, "serve", "wait", soon)
		op, ok := errors.AsType[*OpError](err)
		if !errors.Is(err, context.Canceled) || !ok || op.Code != 0x2d {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an answer that won the race counts", func(t *testing.T) {
		if err := run(t, "ignores-cancel", "echo", soon); err != nil {
			t.Error(err)
		}
	})
	t.Run("one that ignores it is killed", func(t *testing.T) {
		err := run(t, "serve", "stubborn", soon)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrHung) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("the call's own time is over", func(t *testing.T) {
		_, err := call(t, "serve", "wait", 30*time.Millisecond)
		if op, ok := errors.AsType[*OpError](err); !errors.Is(err, context.DeadlineExceeded) || !ok || op.Code != 0x2d {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a crash meanwhile is told beside it", func(t *testing.T) {
		err := run(t, "crash", "echo", func(cancel func()) {})
		if !errors.Is(err, ErrCrashed) || errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("the pool closes", func(t *testing.T) {
		p := pool(t, "serve")
		got := make(chan error, 1)
		go func() {
			got <- p.Run(t.Context(), Call{Op: "wait", Device: "k", Args: struct{}{}, Timeout: plenty}, nil)
		}()
		time.Sleep(20 * time.Millisecond)
		p.Close()
		if err := <-got; !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
		if err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Timeout: plenty}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
		if err := p.Ready(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
		p.Close()
	})
}

func TestSpare(t *testing.T) {
	t.Run("is used by the next operation", func(t *testing.T) {
		p := pool(t, "serve")
		if err := p.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		spare := sparePID(p)
		var pid int
		if err := p.Run(t.Context(), Call{Op: "pid", Device: "k", Args: struct{}{}, Timeout: plenty}, &pid); err != nil || pid != spare {
			t.Errorf("process %d, spare %d, error %v", pid, spare, err)
		}
	})
	t.Run("that was killed while it waited is replaced unnoticed", func(t *testing.T) {
		p := pool(t, "serve")
		for range 5 {
			if err := p.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(sparePID(p), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := p.Run(t.Context(), Call{Op: "echo", Device: "k", Args: echo{}, Timeout: plenty}, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("that was stopped while it waited costs one operation at most", func(t *testing.T) {
		p := pool(t, "serve")
		if err := p.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(sparePID(p), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c := Call{Op: "echo", Device: "k", Args: echo{}, Timeout: 100 * time.Millisecond}
		if err := p.Run(t.Context(), c, nil); !errors.Is(err, ErrHung) {
			t.Errorf("error %v", err)
		}
		c.Timeout = plenty
		if err := p.Run(t.Context(), c, nil); err != nil {
			t.Error(err)
		}
	})
}

func sparePID(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spare.cmd.Process.Pid
}

// lookAround reports what a helper sees of its own process.
func lookAround() (look, error) {
	dir, err := os.Getwd()
	if err != nil {
		return look{}, err
	}
	l := look{Dir: dir, Env: os.Environ(), PID: os.Getpid()}
	l.Group, _ = syscall.Getpgid(0)
	l.Session, _ = unix.Getsid(0)
	dumps, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	l.Dumps = dumps != 0 || err != nil
	for fd := range 64 {
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
			l.Files = append(l.Files, name)
		}
	}
	return l, nil
}

func TestSurroundings(t *testing.T) {
	t.Setenv("FOB_TEST_SECRET", "x")
	// As if it had been inherited: without the close-on-exec flag.
	null, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(null)
	p := pool(t, "serve")
	var l look
	if err := p.Run(t.Context(), Call{Op: "look", Device: "k", Args: struct{}{}, Timeout: plenty}, &l); err != nil {
		t.Fatal(err)
	}
	if l.Dir != "/" {
		t.Errorf("runs in %s", l.Dir)
	}
	if l.Group != l.PID || l.Session == l.PID {
		t.Errorf("process %d in group %d, session %d", l.PID, l.Group, l.Session)
	}
	if l.Dumps {
		t.Error("may be dumped")
	}
	for _, e := range l.Env {
		if name, _, _ := strings.Cut(e, "="); !slices.Contains([]string{"PATH", "LANG", "GOTRACEBACK"}, name) {
			t.Errorf("inherited %s", e)
		}
	}
	for _, f := range l.Files {
		if strings.HasPrefix(f, "/sys/fs/cgroup/") {
			continue // the Go runtime's own
		}
		if !strings.HasPrefix(f, "pipe:") && !strings.HasPrefix(f, "anon_inode:") {
			t.Errorf("inherited %s", f)
		}
	}
}

func TestParentGone(t *testing.T) {
	for _, op := range []string{"wait", "stubborn"} {
		t.Run("ends the helpers although the operation is to "+op, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], childArg, "parent", op)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := readLine(out)
			if err != nil {
				t.Fatal(err)
			}
			var busy, spare int
			if _, err := fmt.Sscan(line, &busy, &spare); err != nil {
				t.Fatal(err)
			}
			cmd.Process.Kill()
			cmd.Wait()
			for _, pid := range []int{busy, spare} {
				for end := time.Now().Add(lingering + 3*time.Second); !ended(pid); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("process %d is still there", pid)
					}
				}
			}
		})
	}
}

// ended reports whether a process that is not ours to wait for has ended.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestNothingLeaks(t *testing.T) {
	p := NewPool(Options{Path: os.Args[0], Args: []string{childArg, "serve"}, Grace: 200 * time.Millisecond})
	once := func(n int) {
		c := Call{Op: "echo", Device: "k", Args: echo{Text: "x"}, Timeout: plenty}
		switch n % 10 {
		case 3:
			c.Op = "fail"
		case 7:
			c.Op, c.Timeout = "wait", time.Millisecond
		}
		err := p.Run(context.Background(), c, new(json.RawMessage))
		if (err == nil) != (c.Op == "echo") {
			t.Errorf("%s: %v", c.Op, err)
		}
	}
	once(0)
	settle := func() (files, routines int) {
		p.work.Wait()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), runtime.NumGoroutine()
	}
	p.Close()
	files, routines := settle()
	p = NewPool(p.o)
	var all sync.WaitGroup
	for worker := range 2 {
		all.Go(func() {
			for n := worker; n < manyRuns; n += 2 {
				once(n)
			}
		})
	}
	all.Wait()
	p.Close()
	filesAfter, routinesAfter := settle()
	for end := time.Now().Add(2 * time.Second); routinesAfter > routines && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		filesAfter, routinesAfter = settle()
	}
	if filesAfter > files || routinesAfter > routines {
		t.Errorf("files %d → %d, goroutines %d → %d", files, filesAfter, routines, routinesAfter)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("child %d is left (%v)", pid, err)
	}
}
