package throttle

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

// Entry is one wait or block that holds.
type Entry struct {
	Service string // empty of a block, which holds for all
	Origin  string
	Kind    Kind
	Left    time.Duration
}

// List gives the user's blocks and waits that hold, blocks first, of each those that end last first.
func List(tx *store.Tx, uid uint32, now clock.Moment) ([]Entry, error) {
	var hold []Entry
	for item, err := range bucket.All(tx, userKey(uid)) {
		if err != nil {
			return nil, err
		}
		if e := item.Value; e.left(now) > 0 {
			hold = append(hold, Entry{Service: e.Service, Origin: e.Origin, Kind: e.Kind, Left: e.left(now)})
		}
	}
	slices.SortStableFunc(hold, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Left, a.Left))
	})
	return hold, nil
}

// Lift takes away what holds for an origin, and what is remembered of its denials; with an empty origin
// all of the user's. The origin may be an address, a host or as List gives it. n counts what is taken
// away, some of which may have ended before.
func Lift(tx *store.Tx, uid uint32, origin string) (n int, err error) {
	all := origin == ""
	if !strings.HasPrefix(origin, localPrefix) {
		origin = Origin(origin)
	}
	for item, err := range bucket.All(tx, userKey(uid)) {
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return 0, err
		}
		if !all && (err != nil || origin == "" || item.Value.Origin != origin) {
			continue
		}
		if err := bucket.Delete(tx, item.Key); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Prune takes away of everybody's what has ended and is not needed to count on. What cannot be read
// stays, until all of its user's is lifted.
func Prune(tx *store.Tx, now clock.Moment) (n int, err error) {
	for item, err := range bucket.All(tx, nil) {
		if errors.Is(err, store.ErrDamaged) || err == nil && !item.Value.over(now) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := bucket.Delete(tx, item.Key); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// makeRoom takes away below prefix, where there are MaxPerKind entries beside the one at key, those that
// end first: of those that have ended, the ones that ended first.
func makeRoom(tx *store.Tx, prefix, key []byte, now clock.Moment) error {
	var others []store.Item[entry]
	for item, err := range bucket.All(tx, prefix) {
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return err
		}
		if !bytes.Equal(item.Key, key) {
			others = append(others, item) // what cannot be read is zero, and goes first
		}
	}
	slices.SortStableFunc(others, func(a, b store.Item[entry]) int {
		return cmp.Or(cmp.Compare(a.Value.left(now), b.Value.left(now)), a.Value.Made.Compare(b.Value.Made))
	})
	for ; len(others) >= MaxPerKind; others = others[1:] {
		if err := bucket.Delete(tx, others[0].Key); err != nil {
			return err
		}
	}
	return nil
}

func userKey(uid uint32) []byte { return binary.BigEndian.AppendUint32(nil, uid) }
