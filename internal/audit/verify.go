package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// BrokenError says where the log's chain does not hold.
type BrokenError struct {
	Seq    uint64 // the first entry that fails, or that is missing
	Reason string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("the log is broken at entry %d: %s", e.Seq, e.Reason)
}

// Verify walks the log from entry 1 to entry end, or whole if end is 0, and fails with a BrokenError
// for the first entry that was changed, removed, inserted or cannot be read. It cannot know that
// entries were cut off the end, or that the whole chain was made anew.
func Verify(tx *store.Tx, end uint64) error {
	_, _, err := walk(tx, end, nil)
	return err
}

// VerifyHead verifies the whole log, and that it has an entry seq with that hash: with a head that was
// noted elsewhere, all entries up to it are those that were written. An entry 0 with a zero hash is
// the head of the empty log.
func VerifyHead(tx *store.Tx, seq uint64, hash [sha256.Size]byte) error {
	var found [sha256.Size]byte
	last, _, err := walk(tx, 0, func(n uint64, sum [sha256.Size]byte) {
		if n == seq {
			found = sum
		}
	})
	switch {
	case err != nil:
		return err
	case last < seq:
		return &BrokenError{last + 1, fmt.Sprintf("the log ends before it, but had %d entries", seq)}
	case found != hash:
		return &BrokenError{seq, "it is not the entry that was known: it, or an entry before it, was replaced"}
	}
	return nil
}

// walk checks the chain up to entry end, or whole if 0, and returns the last entry's number and hash.
func walk(tx *store.Tx, end uint64, each func(seq uint64, hash [sha256.Size]byte)) (seq uint64, prev [sha256.Size]byte, err error) {
	for item, err := range records.All(tx, nil) {
		want := seq + 1
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				return seq, prev, err
			}
			return seq, prev, &BrokenError{want, "it cannot be read"}
		}
		n, err := keySeq(item.Key)
		switch {
		case err != nil:
			return seq, prev, &BrokenError{want, "something that is no entry is in its place"}
		case n < want:
			return seq, prev, &BrokenError{n, "no entry has this number"}
		case n > want:
			return seq, prev, &BrokenError{want, fmt.Sprintf("it is missing, the next is %d", n)}
		}
		hash, err := check(tx, item.Value, n, prev)
		if err != nil {
			return seq, prev, err
		}
		seq, prev = n, hash
		if each != nil {
			each(n, hash)
		}
		if seq == end {
			break
		}
	}
	return seq, prev, nil
}

// check checks one entry against its number and the hash of the one before.
func check(tx *store.Tx, r record, seq uint64, prev [sha256.Size]byte) (hash [sha256.Size]byte, err error) {
	hash = sha256.Sum256(r.Entry)
	if hash != r.Hash {
		return hash, &BrokenError{seq, "it was changed: its hash is another"}
	}
	e, err := r.read(seq)
	if err != nil {
		return hash, &BrokenError{seq, "it cannot be read, or has another number"}
	}
	if e.Prev != prev {
		return hash, &BrokenError{seq, "it does not follow from the entry before: that one, or this, was replaced"}
	}
	if err := indexed(tx, e); err != nil {
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
			return hash, &BrokenError{seq, "it was removed from an index"}
		}
		return hash, err
	}
	return hash, nil
}
