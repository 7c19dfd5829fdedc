package socketapi

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shortDir is a folder whose name leaves room for a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestListen(t *testing.T) {
	t.Run("makes a socket for the user alone, in a folder for the user alone, and removes it", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "run", "s")
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			info, err := os.Stat(p)
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v (%v), want %v", p, info.Mode(), err, want)
			}
		}
		_ = l.Close()
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	t.Run("replaces a socket that nobody answers on", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		first, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = first.Close() // as after a kill: the path stays
		second, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if err := first.Remove(); err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Errorf("the first one's Remove took the second one's path: %v", err)
		} else {
			_ = c.Close()
		}
	})
	t.Run("leaves a socket alone that somebody answers on", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		first, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if _, err := Listen(path); !errors.Is(err, ErrAnswered) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("leaves a file alone that is no socket", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path); !errors.Is(err, ErrNotSocket) {
			t.Errorf("got %v", err)
		}
		if b, _ := os.ReadFile(path); string(b) != "precious" {
			t.Error("the file was changed")
		}
	})
	t.Run("leaves a link alone", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		if err := os.Symlink("/nowhere", path); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path); !errors.Is(err, ErrNotSocket) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("says that a path is too long", func(t *testing.T) {
		_, err := Listen(filepath.Join(shortDir(t), strings.Repeat("x", 120)))
		if !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), "107") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a relative path", func(t *testing.T) {
		if _, err := Listen("s"); !errors.Is(err, ErrPath) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a folder that others write to", func(t *testing.T) {
		dir := shortDir(t)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(filepath.Join(dir, "s")); !errors.Is(err, ErrPath) {
			t.Errorf("got %v", err)
		}
	})
	if os.Geteuid() != 0 {
		return // only root can make another user's folder
	}
	t.Run("refuses another user's folder", func(t *testing.T) {
		dir := shortDir(t)
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(filepath.Join(dir, "s")); !errors.Is(err, ErrPath) {
			t.Errorf("got %v", err)
		}
	})
}
