package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/store"
)

func TestBucket(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	keys := []string{"b", "a", "ab", "aa", "\xff\xff", "\xff\xff\x01", "c"}
	for i, key := range keys {
		if err := put(s, key, i); err != nil {
			t.Fatal(err)
		}
	}
	walk := func(tx *store.Tx, how string, arg string) string {
		seq := things.All(tx, []byte(arg))
		switch how {
		case "from":
			seq = things.From(tx, []byte(arg))
		case "backward":
			seq = things.Backward(tx, []byte(arg))
		}
		var got []string
		for item, err := range seq {
			if err != nil || keys[item.Value.N] != string(item.Key) {
				t.Errorf("%q: %v, %v", item.Key, item.Value, err)
			}
			got = append(got, string(item.Key))
		}
		return strings.Join(got, " ")
	}
	for _, c := range []struct{ how, arg, want string }{
		{"all", "", "a aa ab b c \xff\xff \xff\xff\x01"},
		{"all", "a", "a aa ab"},
		{"all", "aa", "aa"},
		{"all", "\xff", "\xff\xff \xff\xff\x01"},
		{"all", "d", ""},
		{"from", "", "a aa ab b c \xff\xff \xff\xff\x01"},
		{"from", "ab", "ab b c \xff\xff \xff\xff\x01"},
		{"from", "bb", "c \xff\xff \xff\xff\x01"},
		{"from", "\xff\xff\xff", ""},
		{"backward", "", "\xff\xff\x01 \xff\xff c b ab aa a"},
		{"backward", "a", "ab aa a"},
		{"backward", "\xff", "\xff\xff\x01 \xff\xff"},
		{"backward", "0", ""},
		{"backward", "d", ""},
	} {
		t.Run("walks "+c.how+" "+c.arg, func(t *testing.T) {
			look := func(tx *store.Tx) error {
				if got := walk(tx, c.how, c.arg); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				return nil
			}
			if err := errors.Join(s.View(look), s.Update(ctx, look)); err != nil {
				t.Error(err)
			}
		})
	}

	errUndo := errors.New("undo")
	for _, how := range []string{"up", "down"} {
		t.Run("may be emptied while it is walked "+how, func(t *testing.T) {
			err := s.Update(ctx, func(tx *store.Tx) error {
				seq, n := things.All(tx, nil), 0
				if how == "down" {
					seq = things.Backward(tx, nil)
				}
				for item, err := range seq {
					if err := errors.Join(err, things.Delete(tx, item.Key)); err != nil {
						return err
					}
					n++
				}
				if n != 7 {
					t.Errorf("the walk saw %d", n)
				}
				if key, _, err := things.LastRaw(tx); key != nil || err != nil {
					t.Errorf("the last one is there: %q, %v", key, err)
				}
				return errUndo
			})
			if !errors.Is(err, errUndo) {
				t.Error(err)
			}
		})
	}
	t.Run("gives the last", func(t *testing.T) {
		err := s.View(func(tx *store.Tx) error {
			key, _, err := things.LastRaw(tx)
			if string(key) != "\xff\xff\x01" {
				t.Errorf("it is %q", key)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("finds nothing in a bucket that was never used", func(t *testing.T) {
		never := store.NewBucket[int]("never")
		look := func(tx *store.Tx) error {
			if _, err := never.Get(tx, []byte("a")); !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
			if key, _, err := never.LastRaw(tx); key != nil || err != nil {
				t.Error(key, err)
			}
			for range never.All(tx, nil) {
				t.Error("an item")
			}
			return nil
		}
		if err := errors.Join(s.View(look), s.Update(ctx, look), s.Update(ctx, func(tx *store.Tx) error { return never.Delete(tx, []byte("a")) })); err != nil {
			t.Error(err)
		}
	})
	t.Run("changes nothing in View", func(t *testing.T) {
		err := s.View(func(tx *store.Tx) error {
			if err := things.Put(tx, []byte("z"), thing{}); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("Put gave %v", err)
			}
			if err := things.Delete(tx, []byte("a")); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("Delete gave %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses keys and values that cannot be kept", func(t *testing.T) {
		for name, fn := range map[string]func(*store.Tx) error{
			"no key":        func(tx *store.Tx) error { return things.Put(tx, nil, thing{}) },
			"a long key":    func(tx *store.Tx) error { return things.Put(tx, make([]byte, 40_000), thing{}) },
			"a function":    func(tx *store.Tx) error { return store.NewBucket[any]("things").Put(tx, []byte("f"), func() {}) },
			"no name":       func(tx *store.Tx) error { return store.NewBucket[int]("").Put(tx, []byte("f"), 1) },
			"no key to get": func(tx *store.Tx) error { _, err := things.Get(tx, nil); return err },
		} {
			if err := s.Update(ctx, fn); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
	t.Run("keeps no hold of the caller's key", func(t *testing.T) {
		err := s.Update(ctx, func(tx *store.Tx) error {
			key := []byte("mine")
			err := things.Put(tx, key, thing{N: 1})
			copy(key, "your")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(s, "mine"); err != nil {
			t.Error(err)
		}
	})
}

func TestFile(t *testing.T) {
	t.Run("is readable to its owner only, also where it was not", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		for range 2 {
			s, err := store.Open(path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("its mode is %v, %v", info.Mode(), err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("has a random number of its own, and leftovers of a killed creation are removed", func(t *testing.T) {
		dir := t.TempDir()
		leftover := filepath.Join(dir, "fob.db.new-XYZ")
		if err := os.WriteFile(leftover, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a, b := open(t, filepath.Join(dir, "fob.db")), fresh(t)
		if a.InstanceID() == b.InstanceID() {
			t.Error("two databases have one instance id")
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("there are %v, %v", entries, err)
		}
	})
}

func TestBackwardFrom(t *testing.T) {
	s := fresh(t)
	for i, key := range []string{"a1", "a3", "a5", "b1"} {
		if err := put(s, key, i); err != nil {
			t.Fatal(err)
		}
	}
	look := func(tx *store.Tx) error {
		for _, c := range []struct{ prefix, end, want string }{
			{"a", "a5", "a3 a1"},
			{"a", "a4", "a3 a1"},
			{"a", "a9", "a5 a3 a1"},
			{"a", "a1", ""},
			{"b", "b0", ""},
			{"", "z", "b1 a5 a3 a1"},
		} {
			var got []string
			for item, err := range things.BackwardFrom(tx, []byte(c.prefix), []byte(c.end)) {
				if err != nil {
					return err
				}
				got = append(got, string(item.Key))
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("below %q from %q: got %q, want %q", c.prefix, c.end, g, c.want)
			}
		}
		return nil
	}
	if err := errors.Join(s.View(look), s.Update(t.Context(), look)); err != nil {
		t.Error(err)
	}
}
