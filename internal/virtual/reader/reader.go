// Package reader runs a real pcscd with two virtual smart card readers (vsmartcard-vpcd) where nothing else can reach
// it: in mount, network and process namespaces of its own, and, where it is not root's, a user namespace, with a /run
// of its own. vpcd listens for its cards on every address of the machine, and pcscd for its clients at one fixed path;
// in here both are out of everybody's way. No root is needed.
package reader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/virtual/card"
)

// Ports are where the two readers wait for their cards.
const (
	FirstPort  = 35963
	SecondPort = 35964
)

// Names of the two readers, as PC/SC lists them.
const (
	First  = "Virtual PCD 00 00"
	Second = "Virtual PCD 00 01"
)

// ErrNone says that the readers cannot be had here, and why.
var ErrNone = errors.New("cannot have virtual readers here")

// inside marks the process that runs in the namespaces.
const inside = "FOB_VIRTUAL_READERS"

// Run runs f, in a process of its own (this program with its arguments, again) where the readers are, and gives
// f's exit code. It is to be called first thing in main or TestMain. Where the readers cannot be had f runs all the
// same, in this process, and Available says why.
func Run(f func() int) int {
	if Inside() {
		return f()
	}
	cmd, err := Command(os.Args[1:]...)
	if err == nil {
		err = cmd.Run()
		if err == nil {
			return 0
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return max(exit.ExitCode(), 1)
		}
		err = fmt.Errorf("%w: %w: are user namespaces restricted on this machine?", ErrNone, err)
	}
	errUnavailable = err
	return f()
}

// Inside reports whether this process was started by a Command, and then has it enter the place where the readers
// are, once. Available says whether that went well.
func Inside() bool {
	if os.Getenv(inside) == "" {
		return false
	}
	enterOnce.Do(func() {
		if err := enter(); err != nil {
			errUnavailable = fmt.Errorf("%w: %w", ErrNone, err)
		}
	})
	return true
}

var enterOnce sync.Once

// Command is this program again, where the readers are, with this process's files. The program has to call Inside, or
// Run, first thing. It fails with ErrNone where the readers cannot be had.
func Command(args ...string) (*exec.Cmd, error) {
	if err := possible(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if !administers() {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd, nil
}

// administers reports whether this process may make the other namespaces without one for users, which a chroot cannot
// have (user_namespaces(7)).
func administers() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// errUnavailable is why there are no readers; set before f runs.
var errUnavailable = fmt.Errorf("%w: neither reader.Run nor reader.Inside was called", ErrNone)

// Available is nil where the readers are there.
func Available() error { return errUnavailable }

// driver finds vsmartcard-vpcd's driver: below the module's bin/, where packaging/build/vpcd.sh puts it, or at
// FOB_VPCD.
func driver() (string, error) {
	if p := os.Getenv("FOB_VPCD"); p != "" {
		return p, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		p := filepath.Join(dir, "bin", "vpcd", "libifdvpcd.so")
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("its driver is not here: run “sh packaging/build/vpcd.sh”")
		}
		dir = filepath.Dir(dir)
	}
}

func possible() error {
	if _, err := pcscd(); err != nil {
		return err
	}
	_, err := driver()
	return err
}

// pcscd finds the service, which is not on everybody's PATH.
func pcscd() (string, error) {
	if p, err := exec.LookPath("pcscd"); err == nil {
		return p, nil
	}
	if p, err := exec.LookPath("/usr/sbin/pcscd"); err == nil {
		return p, nil
	}
	return "", errors.New("pcscd is not installed")
}

// enter makes the namespaces habitable and starts pcscd. The process is the first of its PID namespace: what it
// leaves behind ends with it.
func enter() error {
	path, err := driver()
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot leave the machine's mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("cannot have a /run: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot have a /proc: %w", err)
	}
	if err := os.Mkdir("/run/pcscd", 0o755); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("cannot bring the network up: %w", err)
	}
	service.driver = path
	if err := Readers(true); err != nil {
		return err
	}
	return Start()
}

// service is the pcscd that runs here.
var service struct {
	driver string
	cmd    *exec.Cmd
	ended  chan error
}

// Start starts pcscd, and waits until it serves. It is there at first: a test calls this after Stop.
func Start() error {
	program, err := pcscd()
	if err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.Command(program, "--foreground", "-c", config)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 500 {
		if _, err := os.Stat(socket); err == nil {
			service.cmd, service.ended = cmd, ended
			errUnavailable = nil
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("pcscd ended: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("pcscd does not begin to serve")
}

// Stop kills pcscd. Cards that are in are gone from their readers.
func Stop() error {
	if err := service.cmd.Process.Kill(); err != nil {
		return err
	}
	<-service.ended
	return nil
}

// Where pcscd of this place has its socket and its configuration.
const (
	socket = "/run/pcscd/pcscd.comm"
	config = "/run/readers"
)

// Readers says whether a pcscd that starts has the readers; without them it has none.
func Readers(there bool) error {
	if err := os.MkdirAll(config, 0o755); err != nil {
		return err
	}
	text := ""
	if there {
		text = fmt.Sprintf("FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x8C7B\nLIBPATH %s\nCHANNELID 0x8C7B\n", service.driver)
	}
	return os.WriteFile(filepath.Join(config, "vpcd"), []byte(text), 0o644)
}

// loopback brings lo up (netdevice(7)).
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// Insert puts a card into the reader at a port, and gives the function that pulls it. It returns when pcscd has seen
// the card, and the function after pcscd has seen that it is gone.
func Insert(c *card.Card, port int) (pull func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	in, out := make(chan struct{}), make(chan error, 1)
	go func() { out <- c.Insert(ctx, port, func() { close(in) }) }()
	select {
	case <-in:
	case err := <-out:
		cancel()
		return nil, err
	case <-time.After(5 * time.Second):
		cancel()
		return nil, errors.New("pcscd does not see the card")
	}
	time.Sleep(settle)
	return sync.OnceFunc(func() {
		cancel()
		c.Close()
		time.Sleep(settle)
	}), nil
}

// settle is longer than pcscd takes to tell its clients of a card that it has powered, or to see one go: it looks every
// 400 ms at most (PCSCLITE_STATUS_POLL_RATE).
const settle = 600 * time.Millisecond
