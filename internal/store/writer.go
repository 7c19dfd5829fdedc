package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// call is one Update.
type call struct {
	fn     func(*Tx) error
	done   chan error   // holds one
	state  atomic.Int32 // waiting, then taken by the writer or left by the caller
	exited bool         // fn ended its goroutine; the writer's
}

const (
	waiting int32 = iota
	taken
	left
)

// Update runs fn in a transaction and returns nil when what fn did is on disk. If fn fails or
// panics nothing of it is kept, and Update returns fn's error, or ErrPanicked.
//
// All calls that wait while another is written share one commit. If one of them fails, each is run
// again in a commit of its own, so that it harms none of the others. Therefore fn may run more than
// once, in another goroutine, and must change nothing outside its Tx other than variables that it
// sets anew each time it starts. It must not call Update or View, nor end its goroutine, which may be
// the caller's own.
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
	if !s.writing {
		// Nobody writes: this caller does, and spares itself the way to another goroutine and back.
		s.writing = true
		s.mu.Unlock()
		defer s.handOver() // also if fn ends this goroutine
		err, _ := s.attempt([]*call{c})
		return err
	}
	s.queue = append(s.queue, c)
	s.mu.Unlock()

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

// Writing reports whether somebody writes now, so that an Update would wait: a hint, over as soon as it
// is given.
func (s *Store) Writing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}

// handOver ends the caller's part as writer: a goroutine goes on with the calls that have come
// meanwhile, if there are any.
func (s *Store) handOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		go s.write()
		return
	}
	s.writing = false
	s.idle.Broadcast()
}

// write is the writer while calls wait.
func (s *Store) write() {
	over := false // what is pending is the next writer's
	defer func() {
		if over || len(s.pending) == 0 {
			return
		}
		// A function ended this goroutine. The calls that it shared a commit with go on in another.
		s.pending = slices.DeleteFunc(s.pending, func(c *call) bool {
			if c.exited {
				c.done <- fmt.Errorf("%w: it ended its goroutine", ErrPanicked)
			}
			return c.exited
		})
		go s.write()
	}()
	s.runSingly()
	for {
		s.mu.Lock()
		queue := s.queue
		s.queue = nil
		if len(queue) == 0 {
			over = true
			s.writing = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()

		for _, c := range queue {
			if c.state.CompareAndSwap(waiting, taken) {
				s.pending = append(s.pending, c)
			}
		}
		s.runTogether()
		s.runSingly()
		s.gather()
	}
}

// gather lets those who were just answered bring more, so that it comes along with the next commit: it
// gives way to other goroutines as long as each turn adds calls. It never waits.
func (s *Store) gather() {
	for before := -1; ; {
		s.mu.Lock()
		now := len(s.queue)
		s.mu.Unlock()
		if now == before {
			return
		}
		before = now
		runtime.Gosched()
	}
}

// runTogether tries all pending calls in one commit and answers them unless one of them failed.
func (s *Store) runTogether() {
	if len(s.pending) < 2 {
		return
	}
	err, again := s.attempt(s.pending)
	if again {
		return
	}
	for _, c := range s.pending {
		c.done <- err
	}
	s.pending = nil
}

// runSingly gives each pending call a commit of its own.
func (s *Store) runSingly() {
	for len(s.pending) > 0 {
		c := s.pending[0]
		err, _ := s.attempt(s.pending[:1])
		s.pending = s.pending[1:]
		c.done <- err
	}
	s.pending = nil
}

// attempt runs the calls in one commit. If it fails, again says that nothing of it was kept for
// certain, so that the calls may be run once more.
func (s *Store) attempt(calls []*call) (err error, again bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
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
	if err := s.callAll(calls, btx); err != nil {
		return err, true
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

// callAll runs the calls' functions in btx, then their hooks, and rolls it back unless all succeed.
func (s *Store) callAll(calls []*call, btx *bolt.Tx) (err error) {
	ok := false
	defer func() {
		if !ok {
			if e := btx.Rollback(); e != nil {
				err = errors.Join(err, fmt.Errorf("cannot roll back a transaction: %w", e))
			}
		}
	}()
	var due hooks
	for _, c := range calls {
		if err := s.call(c, c.fn, btx, &due); err != nil {
			return err
		}
	}
	for i := 0; i < len(due.all); i++ { // hooks may add hooks
		if err := s.call(due.all[i].by, due.all[i].fn, btx, &due); err != nil {
			return err
		}
	}
	ok = true
	return nil
}

// call runs one function of c: its own, or a hook that it registered.
func (s *Store) call(c *call, fn func(*Tx) error, btx *bolt.Tx, due *hooks) (err error) {
	tx := &Tx{bolt: btx, call: c, hooks: due}
	c.exited = true // until it comes back
	defer func() { tx.bolt = nil }()
	defer s.recoverTo(&err, &c.exited)
	err = fn(tx)
	c.exited = false
	return err
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

// recoverTo is deferred around a function of a caller: it turns a panic into an error, and clears
// exited. A memory fault is a page that the file does not have any more.
func (s *Store) recoverTo(err *error, exited *bool) {
	p := recover()
	if p == nil {
		return
	}
	*exited = false
	s.log.Error("a database transaction panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if _, ok := p.(interface{ Addr() uintptr }); ok {
		*err = damagedError(s.path, "a page cannot be read")
		return
	}
	*err = fmt.Errorf("%w: %v", ErrPanicked, p)
}
