package socketapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What may stand in the way of the socket.
var (
	// ErrNotSocket says that something else stands at the socket's path.
	ErrNotSocket = errors.New("there is something that is no socket")
	// ErrAnswered says that another program answers on the socket.
	ErrAnswered = errors.New("another program listens there already")
	// ErrPath says that the path cannot be a socket's: too long, relative, or in a folder that is not
	// the user's own.
	ErrPath = errors.New("this path cannot be used")
)

// maxPath is the longest path of a Unix socket in bytes (unix(7): 108 with the terminating zero).
const maxPath = 107

// Socket is a listening Unix socket that knows its path. Close stops listening; Remove takes the path
// away, if it is still this socket's.
type Socket struct {
	*net.UnixListener
	path string
	node int // O_PATH: while it is open, the kernel gives its inode to no other file
}

// Listen makes a socket at path that only the calling user can open (mode 0600). The folder that it
// is in is made (0700) where it is missing, and must belong to the user and be writable to nobody
// else. A socket that nobody answers on is replaced. It must not run beside another Listen: it sets
// the umask for a moment.
func Listen(path string) (*Socket, error) { return listen(path, 0o600) }

// ListenAll is Listen for a socket that every user can open (mode 0666), in a folder that every user can
// go through (0755).
func ListenAll(path string) (*Socket, error) { return listen(path, 0o666) }

func listen(path string, mode fs.FileMode) (*Socket, error) {
	if err := checkPath(path, mode); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := clearStale(path); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	old := syscall.Umask(int(0o777 &^ mode))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	l.SetUnlinkOnClose(false)
	node, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return &Socket{UnixListener: l, path: path, node: node}, nil
}

// Path is where the socket is.
func (s *Socket) Path() string { return s.path }

// Remove takes the socket's path away unless another file stands there by now. It must be called once.
func (s *Socket) Remove() error {
	defer func() { _ = unix.Close(s.node) }()
	var ours, there unix.Stat_t
	err := unix.Fstat(s.node, &ours)
	if err == nil {
		err = unix.Lstat(s.path, &there)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && (there.Dev != ours.Dev || there.Ino != ours.Ino) {
		return nil
	}
	if err == nil {
		err = os.Remove(s.path)
	}
	if err != nil {
		return fmt.Errorf("cannot remove the socket: %w", err)
	}
	return nil
}

// checkPath fails unless a socket may be made at path.
func checkPath(path string, mode fs.FileMode) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%w: it is not absolute", ErrPath)
	}
	if len(path) > maxPath {
		return fmt.Errorf("%w: it is %d bytes long, and a socket's path has %d at most: choose a shorter folder", ErrPath, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	perm := fs.FileMode(0o700)
	if mode&0o006 != 0 {
		perm = 0o755
	}
	err := os.Mkdir(dir, perm)
	if err == nil {
		err = os.Chmod(dir, perm) // the umask may keep others out
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is no folder", ErrPath, dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: the folder %s belongs to another user", ErrPath, dir)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%w: others may write to the folder %s (mode %04o): make it 0700", ErrPath, dir, perm)
	}
	return nil
}

// clearStale removes a socket that nobody answers on, which a fobd that was killed leaves behind.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: move it away", ErrNotSocket)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return ErrAnswered
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot tell whether the socket there is in use: %w", err)
	}
	return os.Remove(path)
}
