// Package lockout counts wrong codes, and refuses typed answers for a while after too many.
//
// Each user has two counts: one for answers that are typed here and one for those that come from
// elsewhere, so that nobody elsewhere can lock a person out of their desk. A count says nothing about
// taps: a key cannot be guessed.
package lockout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

const (
	// Tries is how many wrong codes in a row lock a user out.
	Tries = 10
	// First is how long the first lock holds; each later one holds twice as long, up to Longest.
	First   = 15 * time.Minute
	Longest = time.Hour
)

// ErrLocked says that typed answers are refused for now. Errors of Check that wrap it are *Locked.
var ErrLocked = errors.New("too many wrong codes were typed")

// Locked is ErrLocked with its end.
type Locked struct {
	// Left is for how long typed answers are refused.
	Left time.Duration
}

// Error says for how long, in minutes rounded up.
func (e *Locked) Error() string {
	minutes := int((e.Left + time.Minute - 1) / time.Minute)
	span := fmt.Sprintf("%d minutes", minutes)
	if minutes == 1 {
		span = "a minute"
	}
	return fmt.Sprintf("%v: codes are refused for %s. A security key still works if you have one, and lifts this with “fob unblock”", ErrLocked, span)
}

// Is makes errors.Is(err, ErrLocked) hold.
func (e *Locked) Is(target error) bool { return target == ErrLocked }

// From says where the answer was typed, or who handed it in.
type From string

// The two counts of a user's own. What another user hands in is counted under "uid:N".
const (
	Local  From = "local"
	Remote From = "remote"
)

// count is what is kept for a user and a From.
type count struct {
	Wrong int `json:"wrong"` // in a row since the last right one, or since the last lock
	Locks int `json:"locks"` // since the last right one
	// Until and the boot clock's reading both say when the last lock ends; the boot clock counts within
	// its boot.
	Until     time.Time     `json:"until,omitzero"`
	BootUntil time.Duration `json:"boot_until,omitempty"`
	BootID    string        `json:"boot_id,omitempty"`
}

var bucket = store.NewBucket[count]("lockouts")

func key(uid uint32, from From) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uid), from...)
}

// Check fails with a *Locked while the user's typed answers are refused.
func Check(tx *store.Tx, uid uint32, from From, now clock.Moment) error {
	c, err := get(tx, uid, from)
	if err != nil {
		return err
	}
	if left := c.left(now); left > 0 {
		return &Locked{Left: left}
	}
	return nil
}

// Wrong counts a wrong answer. It returns a *Locked where that was one too many. The caller commits
// either way.
func Wrong(tx *store.Tx, uid uint32, from From, now clock.Moment) (locked *Locked, err error) {
	c, err := get(tx, uid, from)
	if err != nil {
		return nil, err
	}
	if c.Wrong++; c.Wrong >= Tries {
		hold := lockFor(c.Locks)
		c.Wrong = 0
		c.Locks++
		c.Until, c.BootUntil, c.BootID = now.Wall.Add(hold).UTC().Round(0), now.Boot+hold, now.BootID
		locked = &Locked{Left: hold}
	}
	return locked, bucket.Put(tx, key(uid, from), c)
}

// Right forgets the wrong answers before it.
func Right(tx *store.Tx, uid uint32, from From) error {
	_, err := bucket.Get(tx, key(uid, from))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return bucket.Delete(tx, key(uid, from))
}

// Lift forgets all of the user's wrong answers, wherever they came from, and a count that cannot be read.
func Lift(tx *store.Tx, uid uint32) error {
	_, err := bucket.Drop(tx, key(uid, ""), nil)
	return err
}

func get(tx *store.Tx, uid uint32, from From) (count, error) {
	c, err := bucket.Get(tx, key(uid, from))
	if errors.Is(err, store.ErrNotFound) {
		return count{}, nil
	}
	return c, err
}

// lockFor is how long a lock holds after so many before it.
func lockFor(locks int) time.Duration {
	hold := First
	for range locks {
		if hold *= 2; hold >= Longest {
			return Longest
		}
	}
	return hold
}

// left is how long the lock still holds. In a later boot the wall clock counts; where that leaves more
// than a lock can hold, one of the two was wrong, and the lock holds that long after the boot.
func (c count) left(now clock.Moment) time.Duration {
	if c.Until.IsZero() {
		return 0
	}
	if c.BootID != "" && c.BootID == now.BootID {
		return max(c.BootUntil-now.Boot, 0)
	}
	left := c.Until.Sub(now.Wall)
	if left > Longest {
		left = Longest - now.Boot
	}
	return max(left, 0)
}
