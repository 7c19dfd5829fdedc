package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// lockWait is how long Open waits for another process to give up the file.
const lockWait = time.Second

// Open opens the database at path, and makes it, readable to its owner only, where there is no file.
// The directory must exist. A file that is there is never replaced: Open returns ErrInUse while
// another process has it, ErrNewer for one of a newer schema, and ErrDamaged, with what to do, for
// one that is not whole. The whole file is checked before it is used. An older schema is brought up
// to date by o.Migrations, after a backup.
func Open(path string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	newest, err := newestSchema(o.Migrations)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, newest); err != nil {
			return nil, err
		}
		o.Log.Info("made a new database", slog.String("path", path))
	}
	s := &Store{
		path:   path,
		log:    o.Log,
		commit: (*bolt.Tx).Commit,
	}
	s.idle = sync.NewCond(&s.mu)
	if err := s.openFile(); err != nil {
		return nil, err
	}
	removeLeftovers(path)
	if err := s.bringUpToDate(o, newest); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Where a database outgrows its mapping, bbolt maps it anew within the transaction that does so, for
// which it waits for every reader, and copies all that the transaction holds.
const (
	mapped = 128 << 20 // bytes of address space: more than 100,000 tokens take, and no memory
	growth = 64 << 10  // bytes by which the file grows
)

// openFile locks and checks the file before bbolt sees a byte of it: bbolt maps the file and trusts
// what it reads there.
func (s *Store) openFile() (err error) {
	defer func() {
		// The check leaves nothing to trip over; should it, the file is still to blame.
		if p := recover(); p != nil {
			err = damagedError(s.path, fmt.Sprint(p))
		}
		if err != nil && s.file != nil {
			s.file.Close() // error after the one that counts; a second close does no harm
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{
		Timeout:         lockWait,
		NoStatistics:    true,
		InitialMmapSize: mapped,
		OpenFile: func(path string, flag int, _ os.FileMode) (*os.File, error) {
			if s.file, err = openLocked(path, flag); err != nil {
				return nil, err
			}
			info, err := s.file.Stat()
			if err != nil {
				return nil, err
			}
			return s.file, check(s.file, info.Size())
		},
	})
	var found damage
	switch {
	case err == nil:
		if err := s.mapProbe(); err != nil {
			return fmt.Errorf("cannot open the database: %w", errors.Join(err, s.db.Close()))
		}
		s.db.AllocSize = growth
		return nil
	case errors.As(err, &found):
		return damagedError(s.path, string(found))
	case errors.Is(err, ErrInUse):
		return fmt.Errorf("%w: %s", ErrInUse, s.path)
	default:
		return fmt.Errorf("cannot open the database: %w", err)
	}
}

// openLocked opens a file that exists, for its owner only, and locks it. The lock belongs to the open
// file: that bbolt takes it once more changes nothing.
func openLocked(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag&^os.O_CREATE, 0)
	switch {
	case errors.Is(err, unix.EISDIR):
		return nil, damage("it is a folder, not a file")
	case errors.Is(err, unix.ENXIO):
		return nil, damage("it is not a file")
	case err != nil:
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

func lock(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return damage("it is not a file")
	}
	for start := time.Now(); ; time.Sleep(lockWait / 20) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK {
			return fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		if time.Since(start) > lockWait {
			return ErrInUse
		}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return f.Chmod(0o600)
	}
	return nil
}

// create makes a whole database under another name and only then gives it its own, so that whoever
// dies half-way leaves nothing that looks like a database. Where another process was faster, its
// file stands.
func create(path string, schema int) error {
	temp := path + newSuffix + rand.Text()
	defer os.Remove(temp) // gone already if all went well
	if err := createWhole(temp, schema); err != nil {
		return fmt.Errorf("cannot make the database %s: %w", path, err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = os.Link(temp, path) // a file system without the flag
	}
	// The temporary name is missing where another process has tidied up after making the database.
	if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(path); statErr == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make the database %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// newSuffix marks databases in the making.
const newSuffix = ".new-"

func createWhole(path string, schema int) error {
	var id [16]byte
	rand.Read(id[:]) // never fails
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, NoStatistics: true})
	if err != nil {
		return storageError(err)
	}
	err = db.Update(func(btx *bolt.Tx) error {
		return metaBucket.Put(&Tx{bolt: btx}, metaKey, meta{Schema: schema, Instance: hex.EncodeToString(id[:])})
	})
	return storageError(errors.Join(err, db.Close()))
}

// removeLeftovers removes what died while it was being made. The lock on the database is held: any
// other process that is making one will find this one and use it.
func removeLeftovers(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // a directory that may be used but not listed
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+newSuffix) {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name())) // it costs space and nothing else
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync the directory: %w", err)
	}
	defer d.Close()
	// Some file systems have nothing to sync for a directory, and say so.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return storageError(err)
	}
	return nil
}

// damagedError says what is wrong with the file and what to do about it.
func damagedError(path, reason string) error {
	advice := "move it away to begin with an empty one, without the sign-in methods and the log in it"
	if backup := newestBackup(path); backup != "" {
		advice += "; or put its newest backup, with what it held then, in its place: " + backup
	} else {
		advice += " (there is no backup)"
	}
	return fmt.Errorf("%w: %s: %s. It was left as it is: %s", ErrDamaged, path, reason, advice)
}
