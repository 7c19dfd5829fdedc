package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/internal/vault"
)

func TestFile(t *testing.T) {
	fresh := func(t *testing.T) keyring.File {
		return keyring.File{Path: filepath.Join(t.TempDir(), "vault.key")}
	}
	// names are the files beside the key file, itself included.
	names := func(t *testing.T, f keyring.File) (names []string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Dir(f.Path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	t.Run("keeps a key for its owner only, and gives it until it is deleted", func(t *testing.T) {
		f := fresh(t)
		if _, err := f.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
			t.Errorf("before, it gives %v", err)
		}
		if err := f.Put(t.Context(), aKey(1)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o600 {
			t.Errorf("its mode is %v, %v", info.Mode(), err)
		}
		if got := strings.Join(names(t, f), " "); got != "vault.key" {
			t.Errorf("there are %s", got)
		}
		for range 2 {
			if key, err := f.Get(t.Context()); err != nil || !bytes.Equal(key.Reveal(), aKey(1).Reveal()) {
				t.Errorf("it gives %v", err)
			}
		}
		for range 2 {
			if err := f.Delete(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if _, err := f.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
			t.Errorf("afterwards, it gives %v", err)
		}
	})
	t.Run("never replaces what is there", func(t *testing.T) {
		for name, place := range map[string]func(path string) error{
			"a key":        func(path string) error { return os.WriteFile(path, []byte(textOf(aKey(1))), 0o600) },
			"another file": func(path string) error { return os.WriteFile(path, []byte("mine"), 0o644) },
			"a link":       func(path string) error { return os.Symlink("/nowhere", path) },
			"a folder":     func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			f := fresh(t)
			if err := place(f.Path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(f.Path)
			if err := f.Put(t.Context(), aKey(2)); !errors.Is(err, vault.ErrKept) {
				t.Errorf("%s: %v", name, err)
			}
			if after, _ := os.ReadFile(f.Path); !bytes.Equal(before, after) || len(names(t, f)) != 1 {
				t.Errorf("%s: it was replaced, or something stays beside it", name)
			}
		}
	})
	t.Run("keeps the key of one of many who put at once", func(t *testing.T) {
		f := fresh(t)
		var kept atomic.Int32
		var wg sync.WaitGroup
		for n := range byte(8) {
			wg.Go(func() {
				if f.Put(t.Context(), aKey(n)) == nil {
					kept.Store(int32(n))
				}
			})
		}
		wg.Wait()
		if key, err := f.Get(t.Context()); err != nil || key.Reveal()[0] != byte(kept.Load()) {
			t.Errorf("%v, or the key is another's", err)
		}
	})
	t.Run("removes what a killed Put has left", func(t *testing.T) {
		f := fresh(t)
		if err := os.WriteFile(f.Path+".new-ABC", []byte("half a k"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.Put(t.Context(), aKey(1)); err != nil || len(names(t, f)) != 1 {
			t.Errorf("%v; there are %v", err, names(t, f))
		}
	})
	good := textOf(aKey(1))
	for _, tt := range []struct {
		name  string
		place func(path string) error
		want  error
		says  string
	}{
		{"a link", func(path string) error {
			return errors.Join(os.WriteFile(path+"-real", []byte(good), 0o600), os.Symlink(path+"-real", path))
		}, keyring.ErrUnsafe, "link"},
		{"a link to nowhere", func(path string) error { return os.Symlink("/nowhere", path) }, keyring.ErrUnsafe, "link"},
		{"a file that the group can read", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(good), 0o600), os.Chmod(path, 0o640))
		}, keyring.ErrUnsafe, "chmod 600"},
		{"a file that others can write", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(good), 0o600), os.Chmod(path, 0o602))
		}, keyring.ErrUnsafe, "chmod 600"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, keyring.ErrUnsafe, "not a file"},
		{"a pipe that nobody writes to", func(path string) error { return syscall.Mkfifo(path, 0o600) }, keyring.ErrUnsafe, "not a file"},
		{"a socket", func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}, nil, "cannot open"},
		{"an empty file", func(path string) error { return os.WriteFile(path, nil, 0o600) }, keyring.ErrBadKey, "no key"},
		{"another text", func(path string) error { return os.WriteFile(path, []byte("hunter2\n"), 0o600) }, keyring.ErrBadKey, "no key"},
		{"half a key", func(path string) error { return os.WriteFile(path, []byte(good[:30]), 0o600) }, keyring.ErrBadKey, "no key"},
		{"a file of 1 MiB", func(path string) error {
			return os.WriteFile(path, append([]byte(good), make([]byte, 1<<20)...), 0o600)
		}, keyring.ErrBadKey, "no key"},
	} {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			f := fresh(t)
			if err := tt.place(f.Path); err != nil {
				t.Fatal(err)
			}
			_, err := f.Get(t.Context())
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || errors.Is(err, vault.ErrNoKey) {
				t.Errorf("it gives %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), f.Path) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("it tells too much: %v", err)
			}
		})
	}
	t.Run("refuses another user's file", func(t *testing.T) {
		f := keyring.File{Path: "/etc/passwd"} // root's
		if os.Geteuid() == 0 {
			f = fresh(t)
			if err := errors.Join(f.Put(t.Context(), aKey(1)), os.Chown(f.Path, 65534, -1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Get(t.Context()); !errors.Is(err, keyring.ErrUnsafe) || !strings.Contains(err.Error(), "another user") {
			t.Error(err)
		}
	})
	t.Run("fails where the folder is missing, or the context has ended", func(t *testing.T) {
		f := keyring.File{Path: filepath.Join(t.TempDir(), "none", "vault.key")}
		if err := f.Put(t.Context(), aKey(1)); err == nil || strings.Contains(err.Error(), f.Path) {
			t.Error(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		f = fresh(t)
		_, err := f.Get(ended)
		for _, err := range []error{err, f.Put(ended, aKey(1)), f.Delete(ended)} {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}
