package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// These tests stand in for a disk that fails when it is synced, which no test can have for real.

func TestFailedSync(t *testing.T) {
	values := NewBucket[int]("values")
	begin := func(t *testing.T) *Store {
		s, err := Open(filepath.Join(t.TempDir(), "fob.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	put := func(s *Store, n int) error {
		return s.Update(context.Background(), func(tx *Tx) error { return values.Put(tx, []byte{byte(n)}, n) })
	}
	has := func(s *Store, n int) bool {
		err := s.View(func(tx *Tx) error { _, err := values.Get(tx, []byte{byte(n)}); return err })
		return err == nil
	}

	t.Run("reports a commit that did not reach the disk, and goes on", func(t *testing.T) {
		s := begin(t)
		fail := true
		s.commit = func(tx *bolt.Tx) error {
			if fail {
				return errors.Join(tx.Rollback(), syscall.EIO)
			}
			return tx.Commit()
		}
		if err := put(s, 1); !errors.Is(err, ErrStorage) || errors.Is(err, ErrFull) || !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if has(s, 1) {
			t.Error("it is there all the same")
		}
		fail = false
		if err := put(s, 2); err != nil || !has(s, 2) {
			t.Error(err)
		}
	})
	t.Run("answers with the truth when a sync failed after the commit was written and a second one worked", func(t *testing.T) {
		s := begin(t)
		s.commit = func(tx *bolt.Tx) error { return errors.Join(tx.Commit(), syscall.EIO) }
		if err := put(s, 1); err != nil || !has(s, 1) {
			t.Error(err)
		}
	})
	t.Run("takes no more changes until the disk has what the kernel shows", func(t *testing.T) {
		s := begin(t)
		// The file can only be read: every page fails to be written again.
		file := s.file
		broken, err := os.Open(s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer broken.Close()
		s.commit = func(tx *bolt.Tx) error {
			s.file = broken
			return errors.Join(tx.Commit(), syscall.EIO)
		}
		if err := put(s, 1); !errors.Is(err, ErrStorage) {
			t.Error(err)
		}
		s.commit = (*bolt.Tx).Commit
		if err := put(s, 2); !errors.Is(err, ErrStorage) || has(s, 2) {
			t.Error(err)
		}
		s.file = file
		if err := put(s, 3); err != nil || !has(s, 3) {
			t.Error(err)
		}
	})
	t.Run("stops writing, keeps reading and lets go of the file when a commit panics", func(t *testing.T) {
		s := begin(t)
		if err := put(s, 1); err != nil {
			t.Fatal(err)
		}
		s.commit = func(*bolt.Tx) error { panic("page 7 is no page") }
		for range 2 {
			if err := put(s, 2); !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
		}
		if !has(s, 1) || has(s, 2) {
			t.Error("it does not read what it had")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(s.path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !has(again, 1) || has(again, 2) {
			t.Error("what was on disk is not there")
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}
