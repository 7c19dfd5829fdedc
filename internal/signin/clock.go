package signin

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock tells the time. Deadlines are kept on Boot, which goes on while the machine sleeps and
// which nobody can set.
type Clock struct {
	Now  func() time.Time     // wall clock, for people and records
	Boot func() time.Duration // since the machine started, sleep included
}

// SystemClock is the machine's own clock. Where CLOCK_BOOTTIME cannot be read, which Linux does not
// do to anyone, Boot falls back to the monotonic clock of the process.
func SystemClock() Clock {
	start := time.Now()
	return Clock{
		Now: time.Now,
		Boot: func() time.Duration {
			var ts unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
				return time.Since(start)
			}
			return time.Duration(ts.Nano())
		},
	}
}
