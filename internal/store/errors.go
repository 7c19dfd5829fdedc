package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// What may become of opening, reading and writing a database.
var (
	// ErrNotFound says that there is no value under a key.
	ErrNotFound = errors.New("not found")
	// ErrInUse says that another process has the database open.
	ErrInUse = errors.New("the database is in use by another fobd")
	// ErrNewer says that a newer fobd made the database.
	ErrNewer = errors.New("the database was written by a newer version of Fob")
	// ErrDamaged says that the database, or one value in it, cannot be read.
	ErrDamaged = errors.New("the database is damaged")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the database is closed")
	// ErrReadOnly says that a change was tried in View.
	ErrReadOnly = errors.New("this transaction only reads")
	// ErrTxDone says that a Tx was used after its function had returned.
	ErrTxDone = errors.New("this transaction has ended")
	// ErrStorage says that the disk failed: the change is not promised to be kept. The database goes
	// on working once the disk does.
	ErrStorage = errors.New("the disk under the database fails")
	// ErrFull says, together with ErrStorage, that the disk, the quota or the file size limit is full.
	ErrFull = errors.New("the disk is full")
	// ErrPanicked says that the function given to Update or View panicked or ended its goroutine.
	// Nothing of what it did is kept.
	ErrPanicked = errors.New("a database transaction went wrong inside")
)

// fullErrnos are the ways in which the kernel says that nothing more can be written.
var fullErrnos = [...]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

// storageError wraps a failure to write as ErrStorage and, where space was lacking, ErrFull.
func storageError(err error) error {
	if err == nil || errors.Is(err, ErrStorage) {
		return err
	}
	for _, errno := range fullErrnos {
		// bbolt flattens the errors of growing the file into text.
		if errors.Is(err, errno) || strings.HasSuffix(err.Error(), errno.Error()) {
			return fmt.Errorf("%w: %w: %w", ErrStorage, ErrFull, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}

// isSyncError reports whether bbolt's err came from a sync and not from a write. bbolt returns
// fdatasync's errno bare, while writing goes through os.File and gives a PathError.
func isSyncError(err error) bool {
	var path *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &path) {
		return path.Op == "sync"
	}
	return errors.As(err, &errno) || strings.HasPrefix(err.Error(), "file sync error")
}
