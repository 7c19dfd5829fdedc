// Package clock tells the time, and remembers how late it has been.
//
// Within a boot, deadlines are kept on the boot clock, which goes on while the machine sleeps and which
// nobody can set. What has to outlive a boot is kept on the wall clock, and that can be set back: the
// latest time seen is kept in the database, and nothing that ends at a time is believed below it.
package clock

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/store"
)

// ErrBack says that the wall clock shows a time that has been before.
var ErrBack = errors.New("this machine's clock went back")

// Clock tells the time.
type Clock struct {
	Now  func() time.Time     // wall clock, for people and records
	Boot func() time.Duration // since the machine started, sleep included
	// BootID names the boot within which Boot counts; empty where that cannot be told: then no two
	// readings are of the same boot.
	BootID string
}

// Moment is one reading of a clock.
type Moment struct {
	Wall   time.Time
	Boot   time.Duration
	BootID string
}

// Moment reads the clock.
func (c Clock) Moment() Moment { return Moment{Wall: c.Now(), Boot: c.Boot(), BootID: c.BootID} }

// System is the machine's own clock. Where CLOCK_BOOTTIME cannot be read, which Linux does not do to
// anyone, Boot falls back to the monotonic clock of the process.
func System() Clock {
	start := time.Now()
	c := Clock{
		Now: time.Now,
		Boot: func() time.Duration {
			var ts unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
				return time.Since(start)
			}
			return time.Duration(ts.Nano())
		},
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		c.BootID = strings.TrimSpace(string(id))
	}
	return c
}

const (
	// tolerance is how far the clock may be set back without anything being refused.
	tolerance = 5 * time.Minute
	// grain is by how much the time must have gone on to be worth writing down.
	grain = 30 * time.Second
)

// seen is the latest time that the wall clock has shown at a decision.
type seen struct {
	Latest time.Time `json:"latest"`
}

var (
	bucket = store.NewBucket[seen]("clock")
	key    = []byte("seen")
)

// Check fails with ErrBack where now is more than 5 minutes below the latest time that was noted.
func Check(tx *store.Tx, now time.Time) error {
	s, err := bucket.Get(tx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if now.Before(s.Latest.Add(-tolerance)) {
		return fmt.Errorf("%w: it shows %s and has shown %s. Set it right; if it is right now and was wrong then, start fobd once with --clock-was-wrong",
			ErrBack, now.UTC().Format(time.DateTime), s.Latest.UTC().Format(time.DateTime))
	}
	return nil
}

// Note remembers now, unless a later time, or hardly an earlier one, was noted before.
func Note(tx *store.Tx, now time.Time) error {
	s, err := bucket.Get(tx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if now.Before(s.Latest.Add(grain)) {
		return nil
	}
	return bucket.Put(tx, key, seen{Latest: now.UTC().Round(0)})
}

// Forget takes now for the latest time, whatever was noted before, and returns what that was; zero if
// it was not later than now.
func Forget(tx *store.Tx, now time.Time) (before time.Time, err error) {
	s, err := bucket.Get(tx, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && !s.Latest.After(now) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return s.Latest, bucket.Put(tx, key, seen{Latest: now.UTC().Round(0)})
}
