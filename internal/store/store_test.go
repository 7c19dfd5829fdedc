package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/fobproject/fob/internal/store"
)

type thing struct {
	N    int    `json:"n"`
	Name string `json:"name"`
}

var things = store.NewBucket[thing]("things")

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, store.Options{})
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

func fresh(t testing.TB) *store.Store {
	return open(t, filepath.Join(t.TempDir(), "fob.db"))
}

func put(s *store.Store, key string, n int) error {
	return s.Update(context.Background(), func(tx *store.Tx) error {
		return things.Put(tx, []byte(key), thing{N: n, Name: key})
	})
}

func get(s *store.Store, key string) (v thing, err error) {
	err = s.View(func(tx *store.Tx) (err error) {
		v, err = things.Get(tx, []byte(key))
		return err
	})
	return v, err
}

func TestStore(t *testing.T) {
	t.Run("keeps what was put, also over a restart", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		s := open(t, path)
		if err := put(s, "a", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		if v, err := get(again, "a"); err != nil || v.N != 1 {
			t.Fatalf("got %v, %v", v, err)
		}
		if id := again.InstanceID(); len(id) != 32 || id != s.InstanceID() {
			t.Fatalf("instance id %q, then %q", s.InstanceID(), id)
		}
	})
}
