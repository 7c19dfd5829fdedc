package client

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Where a system instance has its socket and its state, the user that it runs as, and the variable
// that names another daemon's socket.
const (
	SystemSocket = "/run/fob/fob.sock"
	SystemState  = "/var/lib/fob"
	SystemUser   = "fob"
	SocketEnv    = "FOB_SOCKET"
)

// socketName is what an instance calls its socket.
const socketName = "fob.sock"

// maxSocketPath is the longest path of a Unix socket in bytes (sun_path, with its final NUL).
const maxSocketPath = 107

// Config says who looks for a daemon, and where. Default fills it in for this process.
type Config struct {
	// Socket is a path that the person named; it wins over everything else.
	Socket string
	// Own asks for the user's own instance, also where a system one is installed: for what that one has nothing of.
	Own bool
	// UID is the effective user id of the one who asks.
	UID uint32
	// Getenv reads the environment; FOB_SOCKET counts for nothing where UID is 0.
	Getenv func(string) string
	// SystemSocket and SystemState tell whether a system instance is installed: it is where one of
	// them exists.
	SystemSocket, SystemState string
	// Passwd is the file in which the system instance's user stands. That user is made by Fob's
	// package on this machine: one of the same name from a directory service is not trusted for it.
	Passwd string
}

// Default is the Config of this process; socket is what the person named, or empty.
func Default(socket string) Config {
	return Config{
		Socket:       socket,
		UID:          uint32(os.Geteuid()),
		Getenv:       os.Getenv,
		SystemSocket: SystemSocket,
		SystemState:  SystemState,
		Passwd:       "/etc/passwd",
	}
}

// Locate finds the path of the daemon's socket: the one that was named, FOB_SOCKET (not for root),
// the system instance's if one is installed and Own is not set, else the user's own. Where a system instance is
// installed there is no falling back to a user's. It does not connect.
func (c Config) Locate() (string, error) {
	path, err := c.pick()
	if err != nil {
		return "", err
	}
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("%w: the socket's path is %d bytes long and at most %d are possible: use a shorter folder",
			ErrNoDaemon, len(path), maxSocketPath)
	}
	return path, nil
}

func (c Config) pick() (string, error) {
	if c.Socket != "" {
		return c.Socket, nil
	}
	if c.UID != 0 {
		if path := c.Getenv(SocketEnv); path != "" {
			return path, nil
		}
	}
	if !c.Own && (exists(c.SystemSocket) || exists(c.SystemState)) {
		return c.SystemSocket, nil
	}
	if dir := c.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fob", socketName), nil
	}
	none := "no system instance is installed and "
	if c.Own {
		none = "this is your own daemon's to do, and "
	}
	return "", fmt.Errorf("%w: %sXDG_RUNTIME_DIR is not set. Name its socket with --socket PATH%s", ErrNoDaemon, none, c.ignored())
}

// checkFile looks at the socket before it is connected to: for root its owner must be root or the
// system instance's user, so that a socket left lying about by someone else is not even talked to.
func (c Config) checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.noDaemon(path, "there is no such socket")
	case err != nil:
		return c.noDaemon(path, reason(err))
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is not a socket. Name the daemon's socket with --socket PATH", ErrNoDaemon, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: cannot tell who owns %s", ErrUntrusted, path)
	}
	if c.UID == 0 && !c.trusts(stat.Uid) {
		return fmt.Errorf("%w: %s belongs to uid %d, and root talks to root's and %s's alone",
			ErrUntrusted, path, stat.Uid, SystemUser)
	}
	return nil
}

// trusts reports whether a daemon that runs as uid may be believed: one's own, root's, or the
// system instance's.
func (c Config) trusts(uid uint32) bool {
	if uid == c.UID || uid == 0 {
		return true
	}
	system, ok := uidOf(c.Passwd, SystemUser)
	return ok && uid == system
}

// noDaemon says that nothing answers at path, why, and how a daemon is started there.
func (c Config) noDaemon(path, why string) error {
	named := c.Socket != "" || c.UID != 0 && c.Getenv(SocketEnv) != ""
	next := "Start it with: systemctl --user start fobd, or in a terminal: fobd --user"
	switch {
	case path == c.SystemSocket:
		next = "Start it with: systemctl start fobd"
	case named && filepath.Base(path) == socketName:
		next = "Start it with: fobd --dir " + filepath.Dir(path)
	case named:
		next = "Name a daemon's socket: that of fobd --dir DIR is DIR/" + socketName
	}
	return fmt.Errorf("%w at %s: %s. %s%s", ErrNoDaemon, path, why, next, c.ignored())
}

// ignored says that the environment names a daemon that does not count; empty where that is not so.
func (c Config) ignored() string {
	if c.Socket != "" || c.UID != 0 || c.Getenv(SocketEnv) == "" {
		return ""
	}
	return " (root ignores " + SocketEnv + ": use --socket)"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// uidOf finds a user's id in a file of the form of passwd(5).
func uidOf(passwd, name string) (uint32, bool) {
	f, err := os.Open(passwd)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 7 || fields[0] != name {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		return uint32(uid), err == nil
	}
	return 0, false
}

// reason is the bare cause of a failed system call, without the path that the message names anyway.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}
