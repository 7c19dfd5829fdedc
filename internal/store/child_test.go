package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/store"
)

// childEnv names the part that a process started by a test plays: this same program.
const childEnv = "FOB_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	parts := map[string]func(path string) error{
		"hold":   hold,
		"commit": commitForEver,
		"create": createForEver,
		"limit":  underALimit,
		"tmpfs":  onATinyDisk,
	}
	part, ok := parts[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := part(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// child makes, and does not start, a process that plays a part with path.
func child(t testing.TB, part, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), childEnv+"="+part, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// hold opens the database until its input ends.
func hold(path string) error {
	s, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Close()
}

// commitForEver prints each number that is on disk.
func commitForEver(path string) error {
	s, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	next := 0
	err = s.View(func(tx *store.Tx) error {
		for last, err := range numbers.Backward(tx, nil) {
			next = last.Value + 1
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	work := make(chan int)
	for range 4 {
		go func() {
			for n := range work {
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					// Values of several sizes, so that pages split and the file grows.
					err := blobs.Put(tx, numberKey(n), make([]byte, n*37%3000))
					return errors.Join(err, numbers.Put(tx, numberKey(n), n), blobs.Delete(tx, numberKey(n-50)))
				})
				if err != nil {
					panic(err)
				}
				fmt.Println(n)
			}
		}()
	}
	for ; ; next++ {
		work <- next
	}
}

var (
	numbers = store.NewBucket[int]("numbers")
	blobs   = store.NewBucket[[]byte]("blobs")
)

func numberKey(n int) []byte { return fmt.Appendf(nil, "%09d", n) }

// createForEver makes one database after the other in the directory.
func createForEver(dir string) error {
	fmt.Println("begin")
	for i := 0; ; i++ {
		s, err := store.Open(filepath.Join(dir, strconv.Itoa(i)), store.Options{})
		if err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
}

func TestKilled(t *testing.T) {
	// kill starts a part, waits for its first line and kills it after a while that differs each time.
	kill := func(t *testing.T, cmd *exec.Cmd, round int) []byte {
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		first, err := r.ReadBytes('\n')
		if err != nil {
			t.Fatalf("the child said %q: %v", first, err)
		}
		time.AfterFunc(time.Duration(round*7919%30_000)*time.Microsecond, func() { cmd.Process.Kill() })
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // killed: that is the point
		return append(first, rest...)
	}

	t.Run("has everything that was acknowledged, each of 60 times", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		acknowledged := map[int]bool{}
		for round := range 60 {
			out := kill(t, child(t, "commit", path), round)
			out = out[:bytes.LastIndexByte(out, '\n')+1]
			for line := range bytes.Lines(out) {
				n, err := strconv.Atoi(string(bytes.TrimSpace(line)))
				if err != nil {
					t.Fatalf("the child said %q", line)
				}
				acknowledged[n] = true
			}
			s, err := store.Open(path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = s.View(func(tx *store.Tx) error {
				for n := range acknowledged {
					if _, err := numbers.Get(tx, numberKey(n)); err != nil {
						return fmt.Errorf("number %d was acknowledged: %w", n, err)
					}
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d commits were acknowledged", len(acknowledged))
	})

	t.Run("leaves a whole database or none when killed while it makes one", func(t *testing.T) {
		whole := 0
		for round := range 20 {
			dir := t.TempDir()
			kill(t, child(t, "create", dir), round)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if filepath.Ext(e.Name()) != "" {
					continue // of another name: nobody takes it for a database
				}
				s, err := store.Open(filepath.Join(dir, e.Name()), store.Options{})
				if err != nil {
					t.Fatal(err)
				}
				whole++
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("%d databases were made", whole)
	})
}

func TestInUse(t *testing.T) {
	t.Run("refuses a database that another process has open, until it is closed", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		cmd := child(t, "hold", path)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "open\n" {
			t.Fatalf("the child said %q, %v", line, err)
		}
		if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrInUse) {
			t.Errorf("got %v", err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		open(t, path)
	})
}

// underALimit lets the file grow to a limit, and then lifts it.
func underALimit(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	return fillAndRecover(s, func() error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(info.Size()), Max: unix.RLIM_INFINITY})
	}, func() error {
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	})
}

// errNoMount says that this machine lets the test mount nothing.
var errNoMount = errors.New("no mount")

// onATinyDisk runs in a mount namespace of its own.
func onATinyDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		return fmt.Errorf("%w: %w", errNoMount, err)
	}
	s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		return err
	}
	ballast := filepath.Join(dir, "ballast")
	return fillAndRecover(s, func() error {
		f, err := os.Create(ballast)
		if err != nil {
			return err
		}
		defer f.Close()
		for {
			if _, err := f.Write(make([]byte, 4096)); errors.Is(err, unix.ENOSPC) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}, func() error { return os.Remove(ballast) })
}

// fillAndRecover commits, fails for lack of space, goes on reading, and commits again.
func fillAndRecover(s *store.Store, fill, free func() error) error {
	if err := put(s, "before", 1); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	big := func(key string) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			return blobs.Put(tx, []byte(key), bytes.Repeat([]byte{1}, 100_000))
		})
	}
	for range 3 {
		if err := big("big"); !errors.Is(err, store.ErrFull) || !errors.Is(err, store.ErrStorage) {
			return fmt.Errorf("on a full disk: %w", err)
		}
	}
	if _, err := get(s, "before"); err != nil {
		return fmt.Errorf("reading on a full disk: %w", err)
	}
	if err := free(); err != nil {
		return err
	}
	if err := errors.Join(big("big"), put(s, "after", 2)); err != nil {
		return fmt.Errorf("when there is space again: %w", err)
	}
	if _, err := get(s, "after"); err != nil {
		return err
	}
	path := s.Path()
	if err := s.Close(); err != nil {
		return err
	}
	s, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	if _, err = get(s, "after"); err != nil {
		return err
	}
	return s.Close()
}

func TestFullDisk(t *testing.T) {
	t.Run("fails at a file size limit and recovers", func(t *testing.T) {
		if out, err := child(t, "limit", filepath.Join(t.TempDir(), "fob.db")).Output(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	t.Run("fails on a full disk and recovers", func(t *testing.T) {
		cmd := child(t, "tmpfs", t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Geteuid() != 0 { // root need not, and in a chroot may not, have a user namespace
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
			}
		}
		out, err := cmd.Output()
		refused := errors.Is(err, os.ErrPermission) || bytes.Contains(out, []byte(errNoMount.Error())) || errors.Is(err, syscall.ENOSPC)
		if refused && os.Getenv("CI") == "" {
			t.Skipf("this machine allows no user namespaces (the limit above tests the same): %v %s", err, out)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}
