package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// File keeps the key in a file that its owner alone can read: whoever can read that user's files has
// it. The folder must exist, and nobody else may be able to write to it. File implements vault.Keeper.
type File struct {
	Path string
}

// newSuffix marks files in the making.
const newSuffix = ".new-"

// Type implements vault.Keeper.
func (File) Type() vault.SlotType { return vault.TypeKeyFile }

// Where is the file's path.
func (f File) Where() string { return f.Path }

// Get reads the key. It fails with vault.ErrNoKey where there is no file, with ErrUnsafe where it is a
// link, another user's, or open to others, and with ErrBadKey where it holds something else.
func (f File) Get(ctx context.Context) (*secret.Secret, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Nothing that stands there may lead elsewhere or make us wait.
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, vault.ErrNoKey
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: it is a link, and must be a file", ErrUnsafe)
	case err != nil:
		return nil, fmt.Errorf("cannot open the key file: %w", bare(err))
	}
	defer file.Close()
	if err := private(file); err != nil {
		return nil, err
	}
	text := make([]byte, maxText+1)
	defer clear(text)
	n, err := io.ReadFull(file, text)
	switch {
	case err == nil:
		return nil, ErrBadKey // and it goes on
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("cannot read the key file: %w", bare(err))
	}
	return parseKey(text[:n])
}

// private fails with ErrUnsafe unless the file is one that nobody but its owner, who we are, can have
// read or written.
func private(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("cannot look at the key file: %w", bare(err))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a file", ErrUnsafe)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to another user", ErrUnsafe)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%w: others can reach it (mode %04o): if nobody has read it, close it with “chmod 600”", ErrUnsafe, perm)
	}
	return nil
}

// Put makes the file. The key is on disk under another name before it gets its own, so that whoever
// dies half-way leaves nothing that looks like a key file. It fails with vault.ErrKept where anything
// stands at the path.
func (f File) Put(ctx context.Context, key *secret.Secret) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.removeLeftovers()
	temp := f.Path + newSuffix + rand.Text()
	defer os.Remove(temp) // gone already if all went well
	if err := write(temp, key); err != nil {
		return fmt.Errorf("cannot write the key file: %w", bare(err))
	}
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, f.Path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = os.Link(temp, f.Path) // a file system without the flag
	}
	if errors.Is(err, fs.ErrExist) {
		return vault.ErrKept
	}
	if err == nil {
		err = f.syncFolder()
	}
	if err != nil {
		return fmt.Errorf("cannot give the key file its name: %w", bare(err))
	}
	return nil
}

func write(path string, key *secret.Secret) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	text := formatKey(key)
	defer text.Wipe()
	_, err = file.Write(text.Reveal())
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// removeLeftovers removes what died while it was being made: a key that nothing needs.
func (f File) removeLeftovers() {
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil {
		return // a folder that may be used but not listed
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(f.Path)+newSuffix) {
			os.Remove(filepath.Join(filepath.Dir(f.Path), e.Name())) // it does no harm if it stays
		}
	}
}

// Delete removes the file. What it held may stay on the disk until that is written anew.
func (f File) Delete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := os.Remove(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.syncFolder()
	}
	if err != nil {
		return fmt.Errorf("cannot remove the key file: %w", bare(err))
	}
	return nil
}

func (f File) syncFolder() error {
	dir, err := os.Open(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	defer dir.Close()
	// Some file systems have nothing to sync for a folder, and say so.
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// bare is err without the path, which Where tells.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
