package daemon

import (
	"fmt"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Harden prepares the process before it holds anything secret: no core dumps, no tracing by programs
// of the same user, files for the user alone, and a client that hangs up is no reason to die.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	unix.Umask(0o077)
	signal.Ignore(syscall.SIGPIPE)
	return nil
}
