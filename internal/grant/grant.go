// Package grant keeps remembered approvals: whom a service need not ask again for a while.
package grant

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
)

const (
	// MaxPerUser is how many grants a user has at most. A further one takes the place of the one whose
	// last use lies furthest back.
	MaxPerUser = 64
	// Longest is how long an approval is remembered at most.
	Longest = 90 * 24 * time.Hour
)

const (
	// tolerance is how far the wall clock may lie behind a grant that it is to honour.
	tolerance = 5 * time.Minute
	maxID     = 64   // bytes
	maxText   = 1024 // bytes, of each of the other texts
)

// What may become of a grant.
var (
	// ErrNone says that no grant is honoured here. Where the clock is why, clock.ErrBack is wrapped too.
	ErrNone       = errors.New("no remembered approval holds here")
	ErrNotFound   = errors.New("there is no such remembered approval: see “fob remember”")
	ErrIncomplete = errors.New("an approval is remembered for a user, a service, an origin, an SSH key and a method: one of them is missing or too long")
	ErrWeak       = errors.New("an approval weaker than a code is not remembered")
	ErrSpan       = errors.New("an approval is remembered for 90 days at most")
)

// Grant is one remembered approval. It holds for one user at one service, from one origin with one SSH
// key, and nowhere else. Texts are compared sign by sign: callers bring them into one form.
type Grant struct {
	ID      string `json:"id"` // random, chosen by who adds it
	UID     uint32 `json:"uid"`
	User    string `json:"user"` // login name when it was made
	Service string `json:"service"`
	Origin  string `json:"origin"`
	SSHKey  string `json:"ssh_key"` // fingerprint
	// Method is the id of the sign-in method that approved, MethodName what it was called then.
	Method     string          `json:"method"`
	MethodName string          `json:"method_name,omitempty"`
	Strength   policy.Strength `json:"strength"`
	Made       time.Time       `json:"made"`
	Until      time.Time       `json:"until"`
	Used       time.Time       `json:"used,omitzero"` // last; zero if never
	Uses       uint64          `json:"uses,omitempty"`
}

// bucket holds by key(uid, id).
var bucket = store.NewBucket[Grant]("grants")

// key is the uid, big-endian so that a user's grants stand together, then the id.
func key(uid uint32, id string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uid), id...)
}

// Add remembers an approval that was made at g.Made, and returns the grant as stored: unused, and in
// place of one for the same user, service, origin and SSH key. It fails with ErrIncomplete, ErrWeak or
// ErrSpan.
func Add(tx *store.Tx, g Grant) (Grant, error) {
	g.Made, g.Until = g.Made.UTC().Round(0), g.Until.UTC().Round(0)
	g.Used, g.Uses = time.Time{}, 0
	if err := g.check(); err != nil {
		return Grant{}, err
	}
	mine, err := all(tx, g.UID)
	if err != nil {
		return Grant{}, err
	}
	rest := mine[:0]
	for _, old := range mine {
		if !old.expired(g.Made) && !old.covers(g.UID, g.Service, g.Origin, g.SSHKey) {
			rest = append(rest, old)
			continue
		}
		if err := bucket.Delete(tx, key(g.UID, old.ID)); err != nil {
			return Grant{}, err
		}
	}
	slices.SortFunc(rest, func(a, b Grant) int { return a.lastUse().Compare(b.lastUse()) })
	for ; len(rest) >= MaxPerUser; rest = rest[1:] {
		if err := bucket.Delete(tx, key(g.UID, rest[0].ID)); err != nil {
			return Grant{}, err
		}
	}
	return g, bucket.Put(tx, key(g.UID, g.ID), g)
}

// Find gives the grant that spares the user the question, or ErrNone. None is honoured that has
// expired, that was given to the uid under another name, or that was made or used more than 5 minutes
// after now; and none at all while the wall clock is below what it has shown, when the error wraps
// clock.ErrBack as well. Whatever the error, the person is asked.
func Find(tx *store.Tx, uid uint32, user, service, origin, sshKey string, now time.Time) (Grant, error) {
	if err := checkClock(tx, now); err != nil {
		return Grant{}, err
	}
	mine, err := all(tx, uid)
	if err != nil {
		return Grant{}, err
	}
	for _, g := range mine {
		if g.covers(uid, service, origin, sshKey) && g.honoured(user, now) {
			return g, nil
		}
	}
	return Grant{}, ErrNone
}

// Use counts a use of a grant that Find gave, and returns it as it then is. It fails with ErrNone
// where Find, now, would not give that grant any more.
func Use(tx *store.Tx, g Grant, now time.Time) (Grant, error) {
	if err := checkClock(tx, now); err != nil {
		return Grant{}, err
	}
	kept, err := bucket.Get(tx, key(g.UID, g.ID))
	if errors.Is(err, store.ErrNotFound) {
		return Grant{}, ErrNone
	}
	if err != nil {
		return Grant{}, err
	}
	if kept.ID != g.ID || !kept.covers(g.UID, g.Service, g.Origin, g.SSHKey) || !kept.honoured(g.User, now) {
		return Grant{}, ErrNone
	}
	if now.After(kept.Used) {
		kept.Used = now.UTC().Round(0)
	}
	kept.Uses++
	return kept, bucket.Put(tx, key(g.UID, g.ID), kept)
}

// List gives the user's grants that have not expired, newest first.
func List(tx *store.Tx, uid uint32, now time.Time) ([]Grant, error) {
	mine, err := all(tx, uid)
	if err != nil {
		return nil, err
	}
	mine = slices.DeleteFunc(mine, func(g Grant) bool { return g.expired(now) })
	slices.SortStableFunc(mine, func(a, b Grant) int { return b.Made.Compare(a.Made) })
	return mine, nil
}

// all gives the user's grants, expired ones too.
func all(tx *store.Tx, uid uint32) ([]Grant, error) {
	var mine []Grant
	for item, err := range bucket.All(tx, key(uid, "")) {
		if err != nil {
			return nil, err
		}
		if !inPlace(item) {
			return nil, fmt.Errorf("%w: the remembered approval at %x", store.ErrDamaged, item.Key)
		}
		mine = append(mine, item.Value)
	}
	return mine, nil
}

// inPlace reports whether the grant stands where its uid and id say.
func inPlace(item store.Item[Grant]) bool {
	return bytes.Equal(item.Key, key(item.Value.UID, item.Value.ID))
}

// checkClock fails with ErrNone and clock.ErrBack where the wall clock went back.
func checkClock(tx *store.Tx, now time.Time) error {
	err := clock.Check(tx, now)
	if errors.Is(err, clock.ErrBack) {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return err
}

// check fails unless there may be such a grant.
func (g Grant) check() error {
	if len(g.ID) > maxID || len(g.MethodName) > maxText {
		return ErrIncomplete
	}
	for _, text := range []string{g.ID, g.User, g.Service, g.Origin, g.SSHKey, g.Method} {
		if text == "" || len(text) > maxText {
			return ErrIncomplete
		}
	}
	if !g.Strength.Satisfies(policy.Code) {
		return ErrWeak
	}
	if span := g.Until.Sub(g.Made); span <= 0 || span > Longest {
		return ErrSpan
	}
	return nil
}

func (g Grant) covers(uid uint32, service, origin, sshKey string) bool {
	return g.UID == uid && g.Service == service && g.Origin == origin && g.SSHKey == sshKey
}

// honoured reports whether the grant holds now for a uid of that name. What must hold of a new grant is
// looked at again: a grant that came into the database otherwise is none.
func (g Grant) honoured(user string, now time.Time) bool {
	latest := now.Add(tolerance)
	return g.check() == nil && g.User == user && !g.expired(now) && !g.Made.After(latest) && !g.Used.After(latest)
}

func (g Grant) expired(now time.Time) bool { return !now.Before(g.Until) }

// lastUse is when the grant was used last, or else made.
func (g Grant) lastUse() time.Time {
	if g.Used.After(g.Made) {
		return g.Used
	}
	return g.Made
}
