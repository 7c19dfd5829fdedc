package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// newFile is a file that comes into being whole or not at all, readable by its owner alone, and in the
// place of nothing. Until commit it has another name in the same folder.
type newFile struct {
	path string
	f    *os.File
	*bufio.Writer
}

// createNew begins a file. It must end with commit or discard; discard after commit does nothing.
func createNew(path string) (*newFile, error) {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return nil, exists(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, usagef("cannot write there: %v", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.part") // 0600, O_EXCL
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no folder %s: make it, or name another", dir)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok { // it names the file that is not there yet
		return nil, usagef("cannot write to the folder %s: %v", dir, failed.Err)
	}
	if err != nil {
		return nil, usagef("cannot write there: %v", err)
	}
	return &newFile{path, f, bufio.NewWriterSize(f, 64<<10)}, nil
}

func exists(path string) error {
	return usagef("%s is there already, and is not replaced: name another file", path)
}

// commit puts the file on disk and gives it its name.
func (n *newFile) commit() error {
	defer n.discard()
	err := n.Flush()
	if err == nil {
		err = n.f.Sync()
	}
	if err == nil {
		err = n.f.Close()
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, n.f.Name(), unix.AT_FDCWD, n.path, unix.RENAME_NOREPLACE)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Some file systems cannot rename so; what they can do replaces nothing either.
		err = os.Link(n.f.Name(), n.path)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return exists(n.path)
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", n.path, err)
	}
	return syncFolder(filepath.Dir(n.path))
}

// syncFolder makes sure that the file has its name after a loss of power too. Where folders cannot be
// synced there is nothing more to do.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return nil // it can be written to, and not read: nothing to be done
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// discard removes what commit has not given its name.
func (n *newFile) discard() {
	n.f.Close()
	os.Remove(n.f.Name()) // after commit it is gone already
}
