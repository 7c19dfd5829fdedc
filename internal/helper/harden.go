package helper

import (
	"fmt"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Harden prepares the child's process before it reads anything: no core dump and no other process of
// the same user may show its memory (PR_SET_DUMPABLE), and a terminal that closes does not end it.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	// A key on a pseudo-terminal hangs up when it is unplugged.
	signal.Ignore(syscall.SIGHUP)
	return nil
}
