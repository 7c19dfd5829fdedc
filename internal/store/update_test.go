package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/store"
)

func TestUpdate(t *testing.T) {
	ctx := context.Background()

	t.Run("keeps every good call's work among failing and panicking ones", func(t *testing.T) {
		s := fresh(t)
		errBad := errors.New("bad")
		var wg sync.WaitGroup
		for client := range 64 {
			wg.Go(func() {
				for i := range 10 {
					key := fmt.Sprintf("%d/%d", client, i)
					err := s.Update(ctx, func(tx *store.Tx) error {
						if err := things.Put(tx, []byte(key), thing{N: i}); err != nil {
							return err
						}
						switch client % 8 {
						case 5:
							return errBad
						case 6:
							panic("bad")
						case 7:
							runtime.Goexit()
						}
						return nil
					})
					want := map[int]error{5: errBad, 6: store.ErrPanicked, 7: store.ErrPanicked}[client%8]
					if !errors.Is(err, want) {
						t.Errorf("client %d got %v", client, err)
					}
				}
			})
		}
		wg.Wait()
		n := 0
		err := s.View(func(tx *store.Tx) error {
			for item, err := range things.All(tx, nil) {
				if err != nil {
					return err
				}
				var client, i int
				if _, err := fmt.Sscanf(string(item.Key), "%d/%d", &client, &i); err != nil || client%8 > 4 || item.Value.N != i {
					t.Errorf("there is %s: %v", item.Key, item.Value)
				}
				n++
			}
			return nil
		})
		if n != 64*5/8*10 || err != nil {
			t.Errorf("%d are kept, %v", n, err)
		}
	})

	// busy keeps the writer inside a call until release is called.
	busy := func(t *testing.T, s *store.Store) (release func()) {
		t.Helper()
		started, end, done := make(chan struct{}, 2), make(chan struct{}), make(chan error, 1)
		go func() {
			done <- s.Update(ctx, func(*store.Tx) error {
				started <- struct{}{}
				<-end
				return nil
			})
		}()
		<-started
		return func() {
			close(end)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}

	t.Run("never runs a call whose context ended before", func(t *testing.T) {
		s := fresh(t)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Update(gone, func(*store.Tx) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("never runs a call whose context ended while it waited", func(t *testing.T) {
		s := fresh(t)
		release := busy(t, s)
		leaving, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			done <- s.Update(leaving, func(*store.Tx) error { t.Error("it ran"); return nil })
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		release()
		if err := put(s, "a", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("gives the outcome of a call whose context ended while it ran", func(t *testing.T) {
		s := fresh(t)
		leaving, cancel := context.WithCancel(ctx)
		err := s.Update(leaving, func(tx *store.Tx) error {
			cancel()
			return things.Put(tx, []byte("a"), thing{N: 1})
		})
		if err != nil {
			t.Error(err)
		}
		if v, err := get(s, "a"); err != nil || v.N != 1 {
			t.Errorf("got %v, %v", v, err)
		}
	})
	t.Run("finishes the calls that wait when it is closed, and takes no more", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		s := open(t, path)
		release := busy(t, s)
		const n = 5
		outcome := make(chan error, n)
		for i := range n {
			go func() { outcome <- put(s, fmt.Sprint(i), i) }()
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		release()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		kept := 0
		for range n {
			switch err := <-outcome; {
			case err == nil:
				kept++
			case !errors.Is(err, store.ErrClosed):
				t.Error(err)
			}
		}
		if err := put(s, "late", 1); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Update gave %v", err)
		}
		if _, err := get(s, "0"); !errors.Is(err, store.ErrClosed) {
			t.Errorf("View gave %v", err)
		}
		again := open(t, path)
		there := 0
		for i := range n {
			if _, err := get(again, fmt.Sprint(i)); err == nil {
				there++
			}
		}
		if there != kept {
			t.Errorf("%d were acknowledged, %d are there", kept, there)
		}
	})
	t.Run("makes an error of a panic in View", func(t *testing.T) {
		s := fresh(t)
		if err := s.View(func(*store.Tx) error { panic("bad") }); !errors.Is(err, store.ErrPanicked) {
			t.Error(err)
		}
		if err := put(s, "a", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("goes on after a lone function that ended its caller's goroutine", func(t *testing.T) {
		s := fresh(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			err := s.Update(ctx, func(tx *store.Tx) error {
				if err := things.Put(tx, []byte("a"), thing{N: 1}); err != nil {
					return err
				}
				runtime.Goexit()
				return nil
			})
			t.Errorf("Update came back: %v", err)
		}()
		<-ended
		if _, err := get(s, "a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what it did is kept: %v", err)
		}
		if err := put(s, "b", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses a transaction that has ended", func(t *testing.T) {
		s := fresh(t)
		var kept *store.Tx
		if err := s.Update(ctx, func(tx *store.Tx) error { kept = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := things.Put(kept, []byte("a"), thing{}); !errors.Is(err, store.ErrTxDone) {
			t.Error(err)
		}
		if _, err := things.Get(kept, []byte("a")); !errors.Is(err, store.ErrTxDone) {
			t.Error(err)
		}
	})
}
