// Package recovery keeps the codes for people who have lost their sign-in methods: a user's printed
// recovery codes, and the one-time code that an administrator issues.
//
// Only hashes of codes are kept. No error and no record shows a code or its hash.
package recovery

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// Count is how many recovery codes a user is given at a time.
const Count = 10

// What may become of a code.
var (
	ErrWrong = errors.New("this code is not right, or newer ones have taken its place")
	ErrUsed  = errors.New("this recovery code was used before, and each works once: take another one")
)

// record is what is kept of a recovery code.
type record struct {
	Hash   []byte     `json:"hash"`
	Number int        `json:"number"` // from 1, as printed
	Made   time.Time  `json:"made"`
	Used   *time.Time `json:"used,omitempty"` // nil until it is spent
}

// codes holds by key.
var codes = store.NewBucket[record]("recovery-codes")

// indexSize is how many bytes of its hash a code is found by.
const indexSize = 4

// key is the uid, big-endian so that a user's codes stand together, then the beginning of the hash:
// a code is found among millions as quickly as among ten.
func key(uid uint32, hash []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uid), hash[:min(len(hash), indexSize)]...)
}

// maxDraws is how many codes Make draws before it takes the source for broken. A good one draws two
// codes that are found by the same bytes once in a hundred million times.
const maxDraws = 2 * Count

// Make gives the user Count new recovery codes, in the order of their numbers, in place of all that the
// user had. They are shown once the transaction is on disk; the caller wipes them, those of a run that
// failed too.
func Make(tx *store.Tx, uid uint32, random io.Reader, now time.Time) (made []*secret.Secret, err error) {
	defer func() {
		if err != nil {
			wipe(made)
			made = nil
		}
	}()
	if err := Drop(tx, uid); err != nil {
		return nil, err
	}
	taken := make(map[string]bool, Count)
	for range maxDraws {
		code, err := draw(random)
		if err != nil {
			return made, err
		}
		hash := digest(forRecovery, code)
		at := key(uid, hash[:])
		if taken[string(at)] {
			code.Wipe()
			continue
		}
		taken[string(at)] = true
		made = append(made, code)
		if err := codes.Put(tx, at, record{Hash: hash[:], Number: len(made), Made: now.UTC().Round(0)}); err != nil {
			return made, err
		}
		if len(made) == Count {
			return made, nil
		}
	}
	return made, fmt.Errorf("cannot make recovery codes: the source of randomness repeats itself")
}

func wipe(all []*secret.Secret) {
	for _, code := range all {
		code.Wipe()
	}
}

// Spend uses up one of the user's recovery codes, as typed, and returns how many are left. It fails
// with ErrMalformed, ErrUsed, or ErrWrong, and does the same work for a user who has no codes as for
// one who has others.
func Spend(tx *store.Tx, uid uint32, typed *secret.Secret, now time.Time) (left int, err error) {
	code, err := Parse(typed)
	if err != nil {
		return 0, err
	}
	defer code.Wipe()
	hash := digest(forRecovery, code)
	at := key(uid, hash[:])
	kept, err := codes.Get(tx, at)
	if errors.Is(err, store.ErrDamaged) { // said anew: store's error has the key in it, and that a hash
		return 0, fmt.Errorf("%w: a recovery code of uid %d", store.ErrDamaged, uid)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	switch {
	case !same(kept.Hash, hash):
		return 0, ErrWrong
	case kept.Used != nil:
		return 0, ErrUsed
	}
	used := now.UTC().Round(0)
	kept.Used = &used
	if err := codes.Put(tx, at, kept); err != nil {
		return 0, err
	}
	return Left(tx, uid)
}

// same compares in constant time; an empty hash is no code's.
func same(kept []byte, hash [sha256.Size]byte) bool {
	var whole [sha256.Size]byte
	copy(whole[:], kept)
	return subtle.ConstantTimeCompare(whole[:], hash[:]) == 1 && len(kept) == sha256.Size
}

// Left is how many of the user's recovery codes are unused. One that cannot be read is none.
func Left(tx *store.Tx, uid uint32) (n int, err error) {
	for item, err := range codes.All(tx, key(uid, nil)) {
		switch {
		case errors.Is(err, store.ErrDamaged):
		case err != nil:
			return 0, err
		case item.Value.Used == nil:
			n++
		}
	}
	return n, nil
}

// Drop takes all recovery codes of the user away, used or not.
func Drop(tx *store.Tx, uid uint32) error {
	_, err := codes.Drop(tx, key(uid, nil), nil)
	return err
}

// Clear takes everybody's recovery codes and one-time codes away, and says how many there were: after a
// backup was put in place, codes that were spent since it was made would work again.
func Clear(tx *store.Tx) (n int, err error) {
	printed, err := codes.Drop(tx, nil, nil)
	if err != nil {
		return 0, err
	}
	issued, err := issues.Drop(tx, nil, nil)
	return printed + issued, err
}
