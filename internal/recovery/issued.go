package recovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// For how long a one-time code may be valid.
const (
	MinValid = time.Minute
	MaxValid = 24 * time.Hour
)

// What may become of a one-time code beside ErrWrong.
var (
	ErrExpired = errors.New("this one-time code has expired: ask your administrator for a new one")
	ErrValid   = errors.New("a one-time code is valid for one minute to 24 hours")
)

// maxUser is the length in bytes of a user's name.
const maxUser = 256

// Issued is an administrator's one-time code for a user, without the code. It lets the user begin
// again with a first method, and nothing else: no recovery code does what it does, and it is none.
type Issued struct {
	UID      uint32    `json:"uid"`
	User     string    `json:"user"` // login name when it was issued
	IssuedBy uint32    `json:"issued_by"`
	Made     time.Time `json:"made"`
	// Until and the boot clock's reading both say when the code ends; the boot clock counts within its
	// boot.
	Until     time.Time     `json:"until"`
	BootUntil time.Duration `json:"boot_until,omitempty"`
	BootID    string        `json:"boot_id,omitempty"`
}

// issue is what is kept of a one-time code.
type issue struct {
	Hash []byte `json:"hash"`
	Issued
}

// issues holds by issueKey: one code a user.
var issues = store.NewBucket[issue]("one-time-codes")

func issueKey(uid uint32) []byte { return binary.BigEndian.AppendUint32(nil, uid) }

// Issue makes a one-time code for the user, in place of one that was issued before; by is the uid of the
// administrator. It fails with ErrValid unless valid is MinValid to MaxValid. The code is shown once the
// transaction is on disk; the caller wipes it.
func Issue(tx *store.Tx, uid uint32, user string, by uint32, valid time.Duration, random io.Reader, now clock.Moment) (*secret.Secret, Issued, error) {
	if valid < MinValid || valid > MaxValid {
		return nil, Issued{}, ErrValid
	}
	if user == "" || len(user) > maxUser {
		return nil, Issued{}, fmt.Errorf("cannot issue a code: a user's name is 1 to %d bytes long", maxUser)
	}
	code, err := draw(random)
	if err != nil {
		return nil, Issued{}, err
	}
	made := now.Wall.UTC().Round(0)
	i := Issued{UID: uid, User: user, IssuedBy: by, Made: made, Until: made.Add(valid), BootUntil: now.Boot + valid, BootID: now.BootID}
	hash := digest(forIssued, code)
	if err := issues.Put(tx, issueKey(uid), issue{Hash: hash[:], Issued: i}); err != nil {
		code.Wipe()
		return nil, Issued{}, err
	}
	return code, i, nil
}

// CheckIssued looks whether the code, as typed, is the user's one-time code and holds. It fails with
// ErrMalformed; with ErrWrong, also where the uid had another name when the code was issued; and with
// ErrExpired where the code has ended, or may have because a clock went back.
func CheckIssued(tx *store.Tx, uid uint32, user string, typed *secret.Secret, now clock.Moment) (Issued, error) {
	code, err := Parse(typed)
	if err != nil {
		return Issued{}, err
	}
	defer code.Wipe()
	kept, err := issues.Get(tx, issueKey(uid))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Issued{}, err
	}
	if !same(kept.Hash, digest(forIssued, code)) || kept.UID != uid || kept.User != user {
		return Issued{}, ErrWrong
	}
	if holds, err := kept.holds(tx, now); err != nil {
		return Issued{}, err
	} else if !holds {
		return Issued{}, ErrExpired
	}
	return kept.Issued, nil
}

// SpendIssued is CheckIssued, and uses the code up.
func SpendIssued(tx *store.Tx, uid uint32, user string, typed *secret.Secret, now clock.Moment) error {
	if _, err := CheckIssued(tx, uid, user, typed, now); err != nil {
		return err
	}
	return Withdraw(tx, uid)
}

// Withdraw takes the user's one-time code away; it is no error if there is none.
func Withdraw(tx *store.Tx, uid uint32) error { return issues.Delete(tx, issueKey(uid)) }

// holds reports whether the code has not ended. In a later boot the wall clock counts, and one that
// shows less than it has shown ends the code; so does any clock that leaves it longer than it was given.
func (i Issued) holds(tx *store.Tx, now clock.Moment) (bool, error) {
	left := i.BootUntil - now.Boot
	if i.BootID == "" || i.BootID != now.BootID {
		err := clock.Check(tx, now.Wall)
		if errors.Is(err, clock.ErrBack) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		left = i.Until.Sub(now.Wall)
	}
	return left > 0 && left <= i.Until.Sub(i.Made), nil
}
