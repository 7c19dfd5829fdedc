package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/store"
)

type hookKey struct{ name string }

// total counts in a hook what the commit's calls put: it stands for what must be right at each commit.
func total(tx *store.Tx) error {
	n, err := things.Count(tx)
	if err != nil {
		return err
	}
	return totals.Put(tx, []byte("n"), n)
}

var totals = store.NewBucket[int]("totals")

// together runs fns so that they wait together, and returns their errors.
func together(t *testing.T, s *store.Store, fns ...func(*store.Tx) error) []error {
	t.Helper()
	started, end := make(chan struct{}, 2), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(context.Background(), func(*store.Tx) error {
			started <- struct{}{}
			<-end
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-started
	errs := make([]error, len(fns))
	for i, fn := range fns {
		wg.Go(func() { errs[i] = s.Update(context.Background(), fn) })
	}
	for range 1000 {
		runtime.Gosched()
	}
	close(end)
	wg.Wait()
	return errs
}

func TestBeforeCommit(t *testing.T) {
	ctx := context.Background()
	errBad := errors.New("bad")
	add := func(key string, hook func(*store.Tx) error) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			return errors.Join(tx.BeforeCommit(hookKey{"total"}, hook), things.Put(tx, []byte(key), thing{}))
		}
	}
	wantTotal := func(t *testing.T, s *store.Store, want int) {
		t.Helper()
		err := s.View(func(tx *store.Tx) error {
			things, err := things.Count(tx)
			n, err2 := totals.Get(tx, []byte("n"))
			if n != want || things != want {
				t.Errorf("the hook counted %d, there are %d, want %d", n, things, want)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Error(err)
		}
	}

	t.Run("runs after the functions of all calls of the commit", func(t *testing.T) {
		s := fresh(t)
		var fns []func(*store.Tx) error
		for i := range 16 {
			fns = append(fns, add(fmt.Sprint(i), total))
		}
		if err := errors.Join(together(t, s, fns...)...); err != nil {
			t.Error(err)
		}
		wantTotal(t, s, 16)
	})
	t.Run("runs after what its call still does", func(t *testing.T) {
		s := fresh(t)
		if err := s.Update(ctx, add("a", total)); err != nil {
			t.Error(err)
		}
		wantTotal(t, s, 1)
	})
	t.Run("runs once for a key, and each key's", func(t *testing.T) {
		s := fresh(t)
		ran := ""
		note := func(name string) func(*store.Tx) error {
			return func(*store.Tx) error { ran += name; return nil }
		}
		err := s.Update(ctx, func(tx *store.Tx) error {
			ran = ""
			return errors.Join(
				tx.BeforeCommit(hookKey{"a"}, note("a")), tx.BeforeCommit(hookKey{"a"}, note("again")),
				tx.BeforeCommit(hookKey{"b"}, func(tx *store.Tx) error {
					ran += "b"
					return errors.Join(tx.BeforeCommit(hookKey{"c"}, note("c")), tx.BeforeCommit(hookKey{"b"}, note("again")))
				}))
		})
		if ran != "abc" || err != nil {
			t.Errorf("%q ran, %v", ran, err)
		}
	})
	for name, fail := range map[string]func(*store.Tx) error{
		"fails":              func(*store.Tx) error { return errBad },
		"panics":             func(*store.Tx) error { panic("bad") },
		"ends its goroutine": func(*store.Tx) error { runtime.Goexit(); return nil },
	} {
		t.Run("fails its own call alone when it "+name, func(t *testing.T) {
			s := fresh(t)
			errs := together(t, s, add("a", total), func(tx *store.Tx) error {
				return errors.Join(tx.BeforeCommit(hookKey{"bad"}, fail), things.Put(tx, []byte("b"), thing{}))
			}, add("c", total))
			if errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], errBad) && !errors.Is(errs[1], store.ErrPanicked) {
				t.Errorf("the calls gave %v", errs)
			}
			wantTotal(t, s, 2)
		})
	}
	t.Run("runs again with the calls that are run singly because one failed", func(t *testing.T) {
		s := fresh(t)
		errs := together(t, s, add("a", total), func(*store.Tx) error { return errBad }, add("c", total))
		if errs[0] != nil || !errors.Is(errs[1], errBad) || errs[2] != nil {
			t.Errorf("the calls gave %v", errs)
		}
		wantTotal(t, s, 2)
	})
	t.Run("does not run where the call that registered it failed", func(t *testing.T) {
		s := fresh(t)
		err := s.Update(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.BeforeCommit(hookKey{}, func(*store.Tx) error { t.Error("it ran"); return nil }), errBad)
		})
		if !errors.Is(err, errBad) {
			t.Error(err)
		}
	})
	t.Run("is refused where nothing is written or the transaction has ended", func(t *testing.T) {
		s := fresh(t)
		var left *store.Tx
		err := s.View(func(tx *store.Tx) error {
			left = tx
			if err := tx.BeforeCommit(hookKey{}, total); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("View gave %v", err)
			}
			return nil
		})
		if err := left.BeforeCommit(hookKey{}, total); !errors.Is(err, store.ErrTxDone) {
			t.Errorf("afterwards it gave %v", err)
		}
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("sees the instance id of the copy that takes the database's place", func(t *testing.T) {
		from, to := fresh(t), fresh(t)
		c, err := from.Copy()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		err = to.Replace(ctx, c, func(*store.Tx) error { return nil }, func(tx *store.Tx) error {
			return tx.BeforeCommit(hookKey{}, func(tx *store.Tx) (err error) { got, err = tx.InstanceID(); return err })
		})
		if got != from.InstanceID() || err != nil {
			t.Errorf("it sees %s, not %s: %v", got, from.InstanceID(), err)
		}
	})
}

func TestRaw(t *testing.T) {
	s := fresh(t)
	for i, key := range []string{"a", "b", "c"} {
		if err := put(s, key, i); err != nil {
			t.Fatal(err)
		}
	}
	err := s.View(func(tx *store.Tx) error {
		var got string
		for key, text := range things.Raw(tx, []byte("b")) {
			got += fmt.Sprintf("%s %s ", key, text[:12])
		}
		if want := `b {"v":1,"d":{ c {"v":1,"d":{ `; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if key, text, err := things.LastRaw(tx); string(key) != "c" || string(text) != `{"v":1,"d":{"n":2,"name":"c"}}` || err != nil {
			t.Errorf("the last is %q %s, %v", key, text, err)
		}
		if key, _, err := store.NewBucket[int]("never").LastRaw(tx); key != nil || err != nil {
			t.Errorf("the last of none is %q, %v", key, err)
		}
		for _, c := range []struct {
			key  string
			want bool
		}{{"a", true}, {"aa", false}} {
			if has, err := things.Has(tx, []byte(c.key)); has != c.want || err != nil {
				t.Errorf("Has %q says %v, %v", c.key, has, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
