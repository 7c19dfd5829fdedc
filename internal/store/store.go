// Package store keeps Fob's state in one database file with one writer.
//
// The file is bbolt's. Each kind of thing has a bucket, named by a Bucket value in the package that
// owns the kind; values are versioned JSON and are copied out of transactions. Every change goes
// through Update, whose one writer puts all waiting calls into one synced commit.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Options of Open. The zero value is valid.
type Options struct {
	// Migrations lead from schema 1 to the newest, in order: To is 2, 3, …
	Migrations []Migration
	// Log receives what an administrator should know; nothing is logged if nil.
	Log *slog.Logger
	// Now dates the backups; time.Now if nil.
	Now func() time.Time
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	path     string
	instance atomic.Pointer[string]
	log      *slog.Logger

	db     *bolt.DB
	file   *os.File             // db's own: it holds the lock
	commit func(*bolt.Tx) error // bbolt's, but for tests of a failing disk

	mu      sync.Mutex // guards what follows
	idle    *sync.Cond // that writing became false
	queue   []*call
	writing bool // somebody is the writer: a caller, or the goroutine that it handed over to
	closed  bool
	probe   []byte // the meta pages, mapped; nil once they are not
	probed  byte   // what was read there

	closeOnce sync.Once
	closeErr  error

	// The writer's alone, and Close's after it.
	pending []*call // taken and not answered
	suspect bool    // a sync failed: pages may be missing on disk although the kernel shows them
	broken  error   // bbolt failed in the middle of a commit: no more writing
}

// InstanceID is the random 128-bit number of this database, in hexadecimal, made together with it; after
// Replace it is that of the copy.
func (s *Store) InstanceID() string { return *s.instance.Load() }

// Path is where the database file is.
func (s *Store) Path() string { return s.path }

// View runs fn in a read-only transaction: it sees the state after one commit and keeps that view
// while writers go on. A panic in fn becomes ErrPanicked. fn must not call View or Update, and
// should be quick: a commit that has to grow the file waits for it.
func (s *Store) View(fn func(*Tx) error) (err error) {
	btx, err := s.begin(false)
	if err != nil {
		return err
	}
	tx := &Tx{bolt: btx}
	defer func() {
		tx.bolt = nil
		if e := btx.Rollback(); err == nil && e != nil {
			err = fmt.Errorf("cannot end a reading transaction: %w", e)
		}
	}()
	exited := false // then the goroutine ends, and nobody asks
	defer s.recoverTo(&err, &exited)
	// A file that somebody cuts short while it is mapped faults when it is read.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return fn(tx)
}

// begin begins a transaction. It first makes sure that bbolt's meta pages are still there: bbolt reads
// them holding its mutexes, and would never give them back if the file had been cut short.
func (s *Store) begin(writable bool) (*bolt.Tx, error) {
	if err := s.checkMapping(); err != nil {
		return nil, err
	}
	btx, err := s.db.Begin(writable)
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return nil, ErrClosed
	case err != nil:
		return nil, storageError(err)
	}
	return btx, nil
}

// checkMapping reads a byte of each meta page in a mapping of its own: much quicker than to ask the
// kernel for the file's size at each transaction.
func (s *Store) checkMapping() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe == nil {
		return ErrClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = damagedError(s.path, "it was cut short while it was open")
		}
	}()
	s.probed = s.probe[0] ^ s.probe[len(s.probe)/2]
	return nil
}

func (s *Store) mapProbe() (err error) {
	size := 2 * s.db.Info().PageSize
	s.probe, err = unix.Mmap(int(s.file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	return err
}

func (s *Store) unmapProbe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeErr = errors.Join(s.closeErr, unix.Munmap(s.probe))
	s.probe = nil
}

// Close waits for the updates that were queued and the views that are open, and closes the file.
// Later calls return ErrClosed, a second Close what the first returned.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		for s.writing {
			s.idle.Wait()
		}
		s.mu.Unlock()
		defer s.unmapProbe()
		if s.broken != nil {
			// bbolt's mutex may be held by the transaction that failed: it cannot be closed in order.
			// The lock on the file must go, and would live as long as the mapping.
			s.closeErr = errors.Join(unix.Flock(int(s.file.Fd()), unix.LOCK_UN), s.file.Close())
			return
		}
		s.closeErr = s.db.Close()
	})
	return s.closeErr
}

// Tx is a transaction. It is valid within the function that was given it, in that goroutine.
type Tx struct {
	bolt *bolt.Tx // nil once the function has returned

	// In a writing transaction:
	call  *call  // whose function runs
	hooks *hooks // of the commit
}
