package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/store"
)

// DefaultKeep is how long entries are kept unless the configuration says other.
const DefaultKeep = 400 * 24 * time.Hour

// Anchor stands for the entries that were pruned: those up to its number.
type Anchor struct {
	Seq    uint64    `json:"seq"`    // of the last entry that was pruned
	Hash   Sum       `json:"hash"`   // its hash, which the next entry has as "prev"
	Time   time.Time `json:"time"`   // its time, UTC
	Pruned uint64    `json:"pruned"` // how many entries were pruned in all
	// Signature is the log's key's, over "fob log anchor v1" 00 instance id 00 and then, big endian, 8
	// bytes each of Seq, of Time in nanoseconds since 1970 and of Pruned, and Hash.
	Signature []byte `json:"signature"`
}

// Pruned is what one call of Prune did.
type Pruned struct {
	Entries int    // how many it removed
	Through uint64 // number of the last one removed, now or before; 0 if none ever was
	More    bool   // the next entry is old enough too
}

var (
	anchors    = store.NewBucket[Anchor]("audit-anchor")
	anchorName = []byte("anchor")
)

// Prune removes the log's oldest entries, as long as they are older than before, but no more than limit in
// one call and never the newest. As times can go back with the clock, it stops at the first entry that
// is not older. It fails with a BrokenError at an entry that does not follow from the one before, or
// that cannot be read: what shows a break is not thrown away.
func Prune(tx *store.Tx, before time.Time, limit int) (Pruned, error) {
	a, err := anchor(tx)
	if err != nil {
		return Pruned{}, fmt.Errorf("cannot prune the log: %w", err)
	}
	head, _, err := Head(tx)
	if err != nil {
		return Pruned{}, fmt.Errorf("cannot prune the log: %w", err)
	}
	p := Pruned{Through: a.Seq}
	for a.Seq+1 < head {
		e, err := next(tx, a)
		if err != nil {
			return Pruned{}, fmt.Errorf("cannot prune the log: %w", err)
		}
		if !e.Time.Before(before) {
			break
		}
		if p.Entries >= limit {
			p.More = true
			break
		}
		if err := remove(tx, e); err != nil {
			return Pruned{}, fmt.Errorf("cannot prune the log: %w", err)
		}
		a = Anchor{Seq: e.Seq, Hash: e.Hash, Time: e.Time, Pruned: a.Pruned + 1}
		p.Entries, p.Through = p.Entries+1, e.Seq
	}
	if p.Entries == 0 {
		return p, nil
	}
	if err := a.put(tx); err != nil {
		return Pruned{}, fmt.Errorf("cannot prune the log: %w", err)
	}
	return p, nil
}

// anchor returns the anchor, zero where nothing was pruned.
func anchor(tx *store.Tx) (Anchor, error) {
	a, err := anchors.Get(tx, anchorName)
	if errors.Is(err, store.ErrNotFound) {
		return Anchor{}, nil
	}
	return a, err
}

// next reads the entry behind the anchor, which must follow from it.
func next(tx *store.Tx, a Anchor) (Entry, error) {
	seq := a.Seq + 1
	stored, e, err := get(tx, seq)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return e, &BrokenError{Seq: seq, Reason: "it is missing"}
	case errors.Is(err, store.ErrDamaged):
		return e, &BrokenError{Seq: seq, Reason: reasonUnreadable}
	case err != nil:
		return e, err
	case e.Hash != stored:
		return e, &BrokenError{Seq: seq, Reason: reasonChanged}
	case e.Prev != a.Hash:
		return e, &BrokenError{Seq: seq, Reason: reasonUnchained}
	}
	return e, nil
}

func remove(tx *store.Tx, e Entry) error {
	return errors.Join(
		records.Delete(tx, seqKey(e.Seq)), signatures.Delete(tx, seqKey(e.Seq)),
		byRequest.Delete(tx, requestKey(e)), byUser.Delete(tx, userKey(e)))
}

// put signs the anchor and keeps it. In a log from before signatures it makes the key, and then the rest of
// the log must not stay unsigned.
func (a Anchor) put(tx *store.Tx) error {
	key, instance, err := signer(tx)
	if err != nil {
		return err
	}
	a.Signature = ed25519.Sign(key, a.message(instance))
	if err := anchors.Put(tx, anchorName, a); err != nil {
		return err
	}
	return tx.BeforeCommit(signing{}, sign)
}

func (a Anchor) message(instance string) []byte {
	b := message(anchorDomain, instance, a.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Time.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, a.Pruned)
	return append(b, a.Hash[:]...)
}

// holds reports whether there is no anchor, or one that makes sense and that key signed.
func (a Anchor) holds(instance string, key ed25519.PublicKey) bool {
	return a.Seq == 0 || a.Pruned == a.Seq && signs(key, a.message(instance), a.Signature)
}
