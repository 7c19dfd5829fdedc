package daemon

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// The garbage collector runs seldom while the heap is small, as it is unless something large comes in.
const (
	GCPercent = 400
	gcLimit   = 192 << 20 // bytes, from where on it runs as often as it must
)

// TuneMemory trades some memory for the time of the garbage collector, which is a quarter of what codes
// cost when many are verified at once. $GOGC and $GOMEMLIMIT win.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(GCPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcLimit)
	}
}

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
