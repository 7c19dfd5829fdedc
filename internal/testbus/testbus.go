// Package testbus starts a private, real dbus-daemon for tests and benchmarks.
package testbus

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the message bus daemon that Debian's package dbus-daemon installs.
const program = "dbus-daemon"

// startDeadline bounds the time from start to the bus's address.
const startDeadline = 10 * time.Second

// ErrMissing says that there is no dbus-daemon to start.
var ErrMissing = errors.New("cannot find " + program + ": install the package dbus-daemon")

// Bus is a running message bus of its own. Close is safe for concurrent use.
type Bus struct {
	// Address is where to connect, as in DBUS_SESSION_BUS_ADDRESS.
	Address string

	cmd  *exec.Cmd
	done chan struct{}
}

// config is a session bus that speaks on a socket in one directory. Who may connect is the caller's
// directory's affair; extra is further configuration.
const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  %s
  <policy context="default">
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
`

// Start starts a bus whose socket and configuration are in dir; services, if not empty, is a folder
// of D-Bus service files. It fails with ErrMissing where there is no dbus-daemon.
func Start(dir, services string) (*Bus, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, ErrMissing
	}
	extra := ""
	if services != "" {
		extra = "<servicedir>" + services + "</servicedir>"
	}
	conf := filepath.Join(dir, "bus.conf")
	socket := filepath.Join(dir, "bus")
	if err := os.WriteFile(conf, fmt.Appendf(nil, config, socket, extra), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the bus configuration: %w", err)
	}
	cmd := exec.Command(path, "--config-file="+conf, "--nofork", "--nopidfile", "--print-address=1")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	var diagnosis strings.Builder
	cmd.Stderr = &diagnosis
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	b := &Bus{cmd: cmd, done: make(chan struct{})}
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(s)
	}()
	select {
	case b.Address = <-line:
	case <-time.After(startDeadline):
	}
	if b.Address == "" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("cannot start %s: it gave no address: %s", program, strings.TrimSpace(diagnosis.String()))
	}
	go func() {
		_ = cmd.Wait()
		close(b.done)
	}()
	return b, nil
}

// Close kills the bus and waits until it is gone. It may be called more than once.
func (b *Bus) Close() {
	_ = b.cmd.Process.Kill()
	<-b.done
}

// New starts a bus that ends with the test. Where there is no dbus-daemon the test is skipped on a
// desk and fails where CI is set.
func New(t testing.TB) *Bus {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob-bus") // t.TempDir's names are too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b, err := Start(dir, "")
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
