package audit

import (
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// Why entries fail.
const (
	reasonChanged    = "it was changed: its hash is another"
	reasonUnreadable = "it cannot be read, or has another number"
	reasonForeign    = "something that is no entry is in its place"
	reasonUnchained  = "it does not follow from the entry before: that one, or this, was replaced"
	reasonUnindexed  = "it was removed from an index"
	reasonUnsigned   = "no signature covers it: one was removed, or the entry was added by somebody else"
	reasonBadSign    = "its signature is not by the log's key"
	reasonBadAnchor  = "what says that it and all before were pruned is not signed by the log's key"
	reasonReplaced   = "it is not the entry that was known: it, or an entry before it, was replaced"
)

// How much of the log one transaction reads, and how much one worker checks before it tells.
const (
	batchBytes  = 1 << 20
	sectionSize = 250
)

// extent is what there is to check, as it stood at one moment.
type extent struct {
	Check              // with Instance and Key filled in
	anchor      Anchor // zero if nothing was pruned
	first, last uint64 // the entries to walk; none if last < first
	tail        error  // what to say of the log's end once these hold
}

// look finds what there is to check. An anchor that does not hold is a BrokenError.
func look(tx *store.Tx, c Check) (extent, error) {
	l := extent{Check: c}
	id, err := tx.InstanceID()
	if err != nil {
		return l, err
	}
	if c.Instance != "" && c.Instance != id {
		return l, fmt.Errorf("%w: of %s, not of %s", ErrOtherInstance, id, c.Instance)
	}
	l.Instance = id
	if l.Key == nil {
		if l.Key, err = PublicKey(tx); err != nil && !errors.Is(err, store.ErrNotFound) {
			return l, fmt.Errorf("cannot read the key of the log: %w", err)
		}
	}
	if l.anchor, err = anchor(tx); err != nil {
		return l, fmt.Errorf("cannot read what says which entries were pruned: %w", err)
	}
	if !l.anchor.holds(l.Instance, l.Key) {
		return l, &BrokenError{Seq: l.anchor.Seq, Reason: reasonBadAnchor}
	}
	if h := c.Head; h != nil && h.Seq > 0 && h.Seq == l.anchor.Seq && h.Hash != l.anchor.Hash {
		return l, &BrokenError{Seq: h.Seq, Reason: reasonReplaced}
	}
	l.first = l.anchor.Seq + 1
	return l, l.findEnd(tx)
}

// findEnd finds the last entry to walk and what is wrong behind it.
func (l *extent) findEnd(tx *store.Tx) error {
	head, foreign, err := lastNumber(tx, records)
	if err != nil {
		return err
	}
	signed, _, err := lastNumber(tx, signatures)
	if err != nil {
		return err
	}
	head, signed = max(head, l.anchor.Seq), max(signed, l.anchor.Seq)
	l.last = head
	broken := func(seq uint64, format string, args ...any) {
		l.tail = &BrokenError{Seq: seq, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case l.Key != nil && head < l.first && signed <= head:
		broken(l.first, "it is missing, with all others")
	case signed > head:
		broken(head+1, "it is missing, but there is a signature of entry %d", signed)
	case l.Key != nil && signed < head:
		l.last = signed
		broken(signed+1, reasonUnsigned)
	case foreign:
		broken(head+1, reasonForeign)
	case l.Check.Head != nil && l.Check.Head.Seq > head:
		broken(head+1, "the log ends before it, but had %d entries", l.Check.Head.Seq)
	case l.Key == nil && signed == 0 && head > 0:
		l.tail = ErrUnsigned
	}
	return nil
}

// lastNumber is the greatest number in a bucket, 0 if there is none. foreign says that something that is
// no number stands behind it.
func lastNumber[T any](tx *store.Tx, b store.Bucket[T]) (seq uint64, foreign bool, err error) {
	for item, err := range b.Backward(tx, nil) {
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return 0, false, err
		}
		if seq, err := keySeq(item.Key); err == nil {
			return seq, foreign, nil
		}
		foreign = true
	}
	return 0, foreign, nil
}

// section is a part of an extent, numbered from 0.
type section struct {
	index    int
	from, to uint64
}

func (l extent) sections() int {
	if l.last < l.first {
		return 0
	}
	return int((l.last-l.first)/sectionSize) + 1
}

func (l extent) section(i int) section {
	from := l.first + uint64(i)*sectionSize
	return section{i, from, min(from+sectionSize-1, l.last)}
}

// result is what was found in a section.
type result struct {
	section
	anchor     *Anchor // not nil: entries of the section were pruned meanwhile
	count      uint64  // of entries that chain among each other
	first      uint64  // of them
	prev, hash Sum     // what the first follows from, and of the last
	known      bool    // it has the known head
	signatures uint64
	signedUpTo uint64
	receipts   uint64
	err        error // a *BrokenError for the first entry that fails, or why it cannot be told
}

// check checks a section; view runs what reads it.
func (l extent) check(part section, view func(func(*store.Tx) error) error) result {
	r := result{section: part}
	for next := part.from; next <= part.to && r.err == nil; {
		b := batch{l: l}
		err := view(func(tx *store.Tx) error {
			b = batch{l: l, next: next, to: part.to, prev: r.prev, chained: r.count > 0}
			return b.read(tx)
		})
		if err != nil {
			r.err = err
			return r
		}
		if b.anchor != nil {
			r.anchor, r.count = b.anchor, 0
		}
		if len(b.hashes) > 0 {
			if r.count == 0 {
				r.first, r.prev = b.first, b.firstPrev
			}
			r.count += uint64(len(b.hashes))
			r.hash = b.hashes[len(b.hashes)-1]
		}
		r.known = r.known || b.known
		if broken := b.prove(&r); broken != nil {
			r.err = broken
		}
		next = b.next
	}
	return r
}
