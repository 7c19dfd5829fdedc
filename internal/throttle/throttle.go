// Package throttle makes those wait who ask again after a denial, and blocks origins that were reported.
//
// Waits and blocks are each user's own: what one user denies or reports keeps nobody from another.
package throttle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

const (
	// FirstWait is how long the first denial makes wait; each further one twice as long, up to
	// LongestWait.
	FirstWait   = 30 * time.Second
	LongestWait = 10 * time.Minute
	// Forgotten is after how long without a denial the next one is the first again.
	Forgotten = time.Hour
	// BlockFor is how long a report blocks an origin.
	BlockFor = 24 * time.Hour
	// MaxPerKind bounds a user's waits, and a user's blocks: each make room among themselves, so that
	// no number of denials ends a block, and no number of reports leaves denials without effect.
	MaxPerKind = 128
)

// What keeps a request from being made, and what a report may end in.
var (
	// ErrWaiting is what errors of Check that are *Waiting match.
	ErrWaiting = errors.New("such a request was denied, or not answered, a moment ago")
	// ErrBlocked is what errors of Check that are *Blocked match.
	ErrBlocked = errors.New("a sign-in from there was reported")
	// ErrLocal is returned by Report.
	ErrLocal = errors.New("only an address or host elsewhere can be blocked: programs of this machine, and requests of unknown origin, are not")
)

// Waiting is ErrWaiting with its end.
type Waiting struct {
	// Left is for how long the same request is refused.
	Left time.Duration
}

// Error says for how long, and what lifts it.
func (e *Waiting) Error() string {
	return fmt.Sprintf("%v: wait %s before asking again; a tap lifts it: fob unblock", ErrWaiting, span(e.Left))
}

// Is makes errors.Is(err, ErrWaiting) hold.
func (e *Waiting) Is(target error) bool { return target == ErrWaiting }

// Blocked is ErrBlocked with its origin and end.
type Blocked struct {
	Origin string
	// Left is for how long requests from there are refused.
	Left time.Duration
}

// Error says for how long, and what lifts it.
func (e *Blocked) Error() string {
	return fmt.Sprintf("%s is blocked for %s because a sign-in from there was reported; a tap lifts it: fob unblock %s", e.Origin, span(e.Left), e.Origin)
}

// Is makes errors.Is(err, ErrBlocked) hold.
func (e *Blocked) Is(target error) bool { return target == ErrBlocked }

// Who is whose requests are counted together: those for one user, by one service, from one origin.
type Who struct {
	UID     uint32
	Service string
	// Origin is as Origin or Local returns it.
	Origin string
}

// localPrefix begins the origins of programs of this machine.
const localPrefix = "uid:"

// Local is the origin of a uid's programs on this machine.
func Local(uid uint32) string { return fmt.Sprintf("%s%d", localPrefix, uid) }

// LocalFromElsewhere is the origin of what a uid's programs begin on this machine for somebody elsewhere, of whom
// no address is vouched for.
func LocalFromElsewhere(uid uint32) string { return Local(uid) + "@elsewhere" }

// IsElsewhere reports whether an origin names an address or host elsewhere.
func IsElsewhere(origin string) bool {
	return origin != "" && !strings.HasPrefix(origin, localPrefix)
}

// Kind says what an entry is.
type Kind string

// The kinds.
const (
	KindWait  Kind = "wait"
	KindBlock Kind = "block"
)

// entry is what is kept of a Who that waits, or of an origin that is blocked.
type entry struct {
	Kind    Kind   `json:"kind"`
	Service string `json:"service,omitempty"` // empty of a block, which holds for all
	Origin  string `json:"origin,omitempty"`
	// Made is when the last denial or report was, by the wall clock and by the boot clock, which counts
	// within its boot.
	Made   time.Time     `json:"made"`
	Boot   time.Duration `json:"boot"`
	BootID string        `json:"boot_id,omitempty"`
	// Hold is how long the entry refuses requests from then on.
	Hold time.Duration `json:"hold"`
}

var bucket = store.NewBucket[entry]("throttles")

// maxText is the length in bytes of a service or an origin.
const maxText = 512

// kindKey is the uid, big-endian so that a user's entries stand together, then the kind.
func kindKey(uid uint32, k Kind) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uid), k[0])
}

// key is kindKey, then the service, with its length before it, and the origin.
func (e entry) key(uid uint32) ([]byte, error) {
	if len(e.Service) > maxText || len(e.Origin) > maxText {
		return nil, fmt.Errorf("cannot count a request: its service and its origin have %d bytes at most", maxText)
	}
	at := binary.BigEndian.AppendUint16(kindKey(uid, e.Kind), uint16(len(e.Service)))
	return append(append(at, e.Service...), e.Origin...), nil
}

func waitOf(w Who) entry  { return entry{Kind: KindWait, Service: w.Service, Origin: w.Origin} }
func blockOf(w Who) entry { return entry{Kind: KindBlock, Origin: w.Origin} }

// Check fails while requests of w are refused: with a *Blocked where w's origin is blocked and the
// request is remote, else with a *Waiting after a denial. A block never stops who is not remote.
func Check(tx *store.Tx, w Who, remote bool, now clock.Moment) error {
	if remote {
		block, _, err := find(tx, w.UID, blockOf(w))
		if err != nil {
			return err
		}
		if left := block.left(now); left > 0 {
			return &Blocked{Origin: w.Origin, Left: left}
		}
	}
	wait, _, err := find(tx, w.UID, waitOf(w))
	if err != nil {
		return err
	}
	if left := wait.left(now); left > 0 {
		return &Waiting{Left: left}
	}
	return nil
}

// Denied counts a denial, and returns how long w has to wait from now on.
func Denied(tx *store.Tx, w Who, now clock.Moment) (wait time.Duration, err error) {
	last, there, err := find(tx, w.UID, waitOf(w))
	if err != nil {
		return 0, err
	}
	hold := FirstWait
	if there && last.since(now) < Forgotten {
		hold = min(max(2*last.Hold, FirstWait), LongestWait)
	}
	return hold, put(tx, w.UID, waitOf(w), hold, now)
}

// Approved forgets w's denials. A block stays.
func Approved(tx *store.Tx, w Who) error {
	at, err := waitOf(w).key(w.UID)
	if err != nil {
		return err
	}
	return bucket.Delete(tx, at)
}

// Report blocks w's origin for the user, whatever the service, for BlockFor from now on. It is for
// remote requests, and fails with ErrLocal where the origin is a program of this machine, or unknown.
func Report(tx *store.Tx, w Who, now clock.Moment) error {
	if !IsElsewhere(w.Origin) {
		return ErrLocal
	}
	return put(tx, w.UID, blockOf(w), BlockFor, now)
}

// find gives the entry that is kept in e's place; there says whether there is one.
func find(tx *store.Tx, uid uint32, e entry) (kept entry, there bool, err error) {
	at, err := e.key(uid)
	if err != nil {
		return entry{}, false, err
	}
	kept, err = bucket.Get(tx, at)
	if errors.Is(err, store.ErrNotFound) {
		return entry{}, false, nil
	}
	return kept, err == nil, err
}

// put keeps e from now on, for so long.
func put(tx *store.Tx, uid uint32, e entry, hold time.Duration, now clock.Moment) error {
	at, err := e.key(uid)
	if err != nil {
		return err
	}
	e.Made, e.Boot, e.BootID, e.Hold = now.Wall.UTC().Round(0), now.Boot, now.BootID, hold
	if err := makeRoom(tx, kindKey(uid, e.Kind), at, now); err != nil {
		return err
	}
	return bucket.Put(tx, at, e)
}

// left is for how long the entry still refuses requests. In a later boot the wall clock counts; where
// that leaves more than the entry's whole time, one of the two was wrong, and it holds that long after
// the boot.
func (e entry) left(now clock.Moment) time.Duration {
	if e.BootID != "" && e.BootID == now.BootID {
		return min(max(e.Boot+e.Hold-now.Boot, 0), e.Hold)
	}
	left := e.Made.Add(e.Hold).Sub(now.Wall)
	if left > e.Hold {
		left = e.Hold - now.Boot
	}
	return max(left, 0)
}

// since is how long ago the entry was made, at least. The boot clock of a later boot counts as well:
// it has gone all its time since then.
func (e entry) since(now clock.Moment) time.Duration {
	if e.BootID != "" && e.BootID == now.BootID {
		return now.Boot - e.Boot
	}
	since := now.Wall.Sub(e.Made)
	if e.BootID != "" && now.BootID != "" {
		since = max(since, now.Boot)
	}
	return since
}

// over reports whether nothing depends on the entry any more.
func (e entry) over(now clock.Moment) bool {
	return e.left(now) == 0 && (e.Kind != KindWait || e.since(now) >= Forgotten)
}

// span says how long a time is, rounded up.
func span(d time.Duration) string {
	unit, name := time.Second, "second"
	switch {
	case d > 90*time.Minute:
		unit, name = time.Hour, "hour"
	case d > 90*time.Second:
		unit, name = time.Minute, "minute"
	}
	if d <= unit {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", (d+unit-1)/unit, name)
}
