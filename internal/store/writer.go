package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// call is one Update that waits for the writer.
type call struct {
	fn    func(*Tx) error
	done  chan error   // holds one
	state atomic.Int32 // waiting, then taken by the writer or left by the caller
}

const (
	waiting int32 = iota
	taken
	left
)

// Update runs fn in a transaction and returns nil when what fn did is on disk. If fn fails or
// panics nothing of it is kept, and Update returns fn's error, or ErrPanicked.
//
// All calls that wait at a time share one commit. If one of them fails, each is run again in a
// commit of its own, so that it harms none of the others. Therefore fn may run more than once, in
// another goroutine, and must change nothing outside its Tx other than variables that it sets anew
// each time it starts. It must not call Update or View.
//
// When ctx ends before the writer has taken the call, fn never runs and Update returns ctx's error;
// afterwards Update waits for the outcome, whatever ctx does. An error of the disk wraps ErrStorage,
// and ErrFull where space was lacking.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{fn: fn, done: make(chan error, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	s.signal()

	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, left) {
			return ctx.Err()
		}
		return <-c.done
	}
}

// signal wakes the writer; a signal that is there already is enough.
func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the writer. It ends when the store is closed and the queue is empty.
func (s *Store) write() {
	defer close(s.drained)
	debug.SetPanicOnFault(true)
	for {
		s.mu.Lock()
		queue, closed := s.queue, s.closed
		s.queue = nil
		s.mu.Unlock()

		calls := queue[:0]
		for _, c := range queue {
			if c.state.CompareAndSwap(waiting, taken) {
				calls = append(calls, c)
			}
		}
		switch {
		case len(calls) > 0:
			s.run(calls)
		case closed:
			return
		case len(queue) == 0:
			<-s.wake
		}
	}
}

// run gives each call its outcome.
func (s *Store) run(calls []*call) {
	if len(calls) > 1 {
		err, again := s.attempt(calls)
		if !again {
			for _, c := range calls {
				c.done <- err
			}
			return
		}
	}
	for i := range calls {
		err, _ := s.attempt(calls[i : i+1])
		calls[i].done <- err
	}
}

// attempt runs the calls in one commit. If it fails, again says that nothing of it was kept for
// certain, so that the calls may be run once more.
func (s *Store) attempt(calls []*call) (err error, again bool) {
	if s.broken != nil {
		return s.broken, false
	}
	if s.suspect {
		if err := s.resync(); err != nil {
			return storageError(err), false
		}
	}
	btx, err := s.begin(true)
	if err != nil {
		return err, false
	}
	id := btx.ID()
	for _, c := range calls {
		if err := s.call(c.fn, btx); err != nil {
			if e := btx.Rollback(); e != nil {
				return fmt.Errorf("cannot roll back a transaction: %w", e), false
			}
			return err, true
		}
	}

	err = s.safeCommit(btx)
	if err == nil || s.broken != nil {
		return err, false
	}
	s.log.Error("cannot commit to the database", slog.String("path", s.path), slog.Any("error", err))
	now, idErr := s.txid()
	if idErr != nil {
		return storageError(errors.Join(err, idErr)), false
	}
	if now != id && !isSyncError(err) {
		return storageError(err), true
	}
	// The kernel may show what the disk does not have. Only a rewrite that is synced tells.
	s.suspect = true
	if s.resync() != nil {
		return storageError(err), false
	}
	if now == id {
		return nil, false
	}
	return storageError(err), true
}

// call runs fn in a goroutine of its own, so that whatever it does ends no more than that.
func (s *Store) call(fn func(*Tx) error, btx *bolt.Tx) error {
	tx := &Tx{bolt: btx}
	done := make(chan error, 1)
	go func() {
		err := fmt.Errorf("%w: it ended its goroutine", ErrPanicked)
		defer func() {
			tx.bolt = nil
			done <- err
		}()
		defer s.recoverTo(&err)
		debug.SetPanicOnFault(true)
		err = fn(tx)
	}()
	return <-done
}

// safeCommit commits. A panic there means that bbolt met pages that make no sense; its state in
// memory is then unknown, and the store stops writing.
func (s *Store) safeCommit(btx *bolt.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.broken = damagedError(s.path, fmt.Sprintf("a commit met something impossible: %v", p))
			s.log.Error("the database is damaged", slog.String("path", s.path), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = s.broken
		}
	}()
	return s.commit(btx)
}

// txid is the number of the newest commit that the kernel shows.
func (s *Store) txid() (int, error) {
	btx, err := s.begin(false)
	if err != nil {
		return 0, err
	}
	id := btx.ID()
	return id, btx.Rollback()
}

// resync makes sure, after a failed sync, that the disk has what the kernel shows: Linux drops the
// dirty mark of pages that it could not write, so that a later sync succeeds without them. Every
// page is therefore written again, as it is, and synced.
func (s *Store) resync() error {
	size, err := s.used()
	if err != nil {
		return err
	}
	if err := rewrite(s.file, size); err != nil {
		return err
	}
	s.suspect = false
	return nil
}

// rewrite writes the first size bytes of f again as they are and syncs them. Empty blocks are
// skipped: they may be holes, which need space to be written.
func rewrite(f *os.File, size int64) error {
	block := make([]byte, 4096)
	empty := make([]byte, len(block))
	for off := int64(0); off < size; off += int64(len(block)) {
		n, err := f.ReadAt(block[:min(int64(len(block)), size-off)], off)
		if err != nil {
			return fmt.Errorf("cannot read the database again: %w", err)
		}
		if string(block[:n]) == string(empty[:n]) {
			continue
		}
		if _, err := f.WriteAt(block[:n], off); err != nil {
			return err
		}
	}
	return f.Sync()
}

// used is the length in bytes of the pages that the newest commit knows.
func (s *Store) used() (int64, error) {
	btx, err := s.begin(false)
	if err != nil {
		return 0, err
	}
	return btx.Size(), btx.Rollback()
}

// recoverTo is deferred around a function of a caller: it turns a panic into an error. A memory
// fault is a page that the file does not have any more.
func (s *Store) recoverTo(err *error) {
	p := recover()
	if p == nil {
		return
	}
	s.log.Error("a database transaction panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if _, ok := p.(interface{ Addr() uintptr }); ok {
		*err = damagedError(s.path, "a page cannot be read")
		return
	}
	*err = fmt.Errorf("%w: %v", ErrPanicked, p)
}
