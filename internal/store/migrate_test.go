package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/store"
)

func TestMigrate(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 3600)) }
	const stamp = "20260301T120000Z"
	rename := store.Migration{To: 2, Do: func(tx *store.Tx) error {
		v, err := things.Get(tx, []byte("a"))
		if err != nil {
			return err
		}
		v.Name = "second"
		return things.Put(tx, []byte("a"), v)
	}}
	count := store.Migration{To: 3, Do: func(tx *store.Tx) error {
		v, err := things.Get(tx, []byte("a"))
		if err != nil {
			return err
		}
		v.N++
		return things.Put(tx, []byte("a"), v)
	}}
	errBad := errors.New("bad")
	bad := store.Migration{To: 3, Do: func(*store.Tx) error { return errBad }}

	// first makes a database of schema 1.
	first := func(t *testing.T) (path, instance string, content []byte) {
		t.Helper()
		path = filepath.Join(t.TempDir(), "fob.db")
		s := open(t, path)
		if err := put(s, "a", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, s.InstanceID(), content
	}
	migrate := func(t *testing.T, path string, ms ...store.Migration) (*store.Store, error) {
		s, err := store.Open(path, store.Options{Migrations: ms, Now: now})
		if err == nil {
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		return s, err
	}

	t.Run("brings an old database up to date after a backup, which opens as the old one", func(t *testing.T) {
		path, instance, _ := first(t)
		s, err := migrate(t, path, rename, count)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := get(s, "a"); err != nil || v != (thing{N: 2, Name: "second"}) || s.InstanceID() != instance {
			t.Errorf("got %v, %v, instance %s", v, err, s.InstanceID())
		}
		backup := path + ".backup-v1-" + stamp
		if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("backup: %v, %v", info, err)
		}
		old := open(t, backup)
		if v, err := get(old, "a"); err != nil || v != (thing{N: 1, Name: "a"}) {
			t.Errorf("the backup has %v, %v", v, err)
		}
	})
	t.Run("runs each migration once", func(t *testing.T) {
		path, _, _ := first(t)
		for _, ms := range [][]store.Migration{{rename}, {rename, count}, {rename, count}} {
			s, err := store.Open(path, store.Options{Migrations: ms, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := migrate(t, path, rename, count)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := get(s, "a"); err != nil || v.N != 2 {
			t.Errorf("got %v, %v", v, err)
		}
		for _, want := range []string{".backup-v1-", ".backup-v2-"} {
			if _, err := os.Stat(path + want + stamp); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("leaves the file untouched and says so when one fails", func(t *testing.T) {
		path, _, content := first(t)
		for _, last := range []store.Migration{bad, {To: 3, Do: func(*store.Tx) error { panic("bad") }}} {
			_, err := migrate(t, path, rename, last)
			if err == nil || !strings.Contains(err.Error(), "left at schema 1 as it was") || !strings.Contains(err.Error(), "to schema 3") && !errors.Is(err, store.ErrPanicked) {
				t.Errorf("got %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
				t.Error("the file was changed")
			}
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("there are %v, %v", entries, err)
		}
		s := open(t, path)
		if v, err := get(s, "a"); err != nil || v != (thing{N: 1, Name: "a"}) {
			t.Errorf("got %v, %v", v, err)
		}
	})
	t.Run("never writes over an older backup", func(t *testing.T) {
		path, _, _ := first(t)
		older := path + ".backup-v1-" + stamp
		if err := os.WriteFile(older, []byte("older"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := migrate(t, path, rename); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(older); err != nil || string(b) != "older" {
			t.Errorf("it has %q, %v", b, err)
		}
		if _, err := os.Stat(older + "-2"); err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses a newer database with both versions", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		if _, err := migrate(t, path, rename, count); err != nil { // new: at schema 3 from the start
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "fob.db")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = migrate(t, copied, rename)
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "schema 3") || !strings.Contains(err.Error(), "up to 2") {
			t.Errorf("got %v", err)
		}
		if after, err := os.ReadFile(copied); err != nil || !bytes.Equal(after, b) {
			t.Error("the file was changed")
		}
	})
	t.Run("refuses migrations with a gap", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		for _, ms := range [][]store.Migration{{count}, {rename, rename}, {{To: 2}}} {
			if _, err := migrate(t, path, ms...); err == nil {
				t.Error("accepted")
			}
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Error("a database was made")
		}
	})
}
