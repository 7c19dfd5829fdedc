package audit

import (
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// errReplaced says that a backup was restored while the log was verified.
var errReplaced = errors.New("a backup took the database's place while its log was verified: verify it again")

// batch is what one transaction reads of a section. What takes long, the signatures, is proved after it.
type batch struct {
	l        extent
	next, to uint64 // what to read; read moves next on
	prev     Sum    // what the next entry must follow from,
	chained  bool   // if the entry before was read

	anchor    *Anchor // as in result
	first     uint64  // entry that was read
	firstPrev Sum
	hashes    []Sum // of the entries, from first on
	known     bool
	signed    []signedEntry
	receipts  []Entry
	broken    *BrokenError // the entry behind the last of hashes
}

type signedEntry struct {
	seq uint64
	sig []byte // nil if it cannot be read
}

// read reads the entries up to b.to, or fewer if they are large, and checks all but signatures.
func (b *batch) read(tx *store.Tx) error {
	if err := b.overtaken(tx); err != nil || b.broken != nil || b.next > b.to {
		return err
	}
	b.first = b.next
	size := 0
	for key, text := range records.Raw(tx, b.start()) {
		e, err := b.entry(tx, key, text)
		if err != nil || b.broken != nil {
			return errors.Join(err, b.readSignatures(tx))
		}
		b.keep(e)
		if size += len(text); e.Seq == b.to || size > batchBytes {
			return b.readSignatures(tx)
		}
	}
	b.broken = &BrokenError{Seq: b.next, Reason: "it is missing, and so is all behind it"}
	return b.readSignatures(tx)
}

// overtaken moves b on where its first entries were pruned since the verification began.
func (b *batch) overtaken(tx *store.Tx) error {
	id, err := tx.InstanceID()
	if err != nil {
		return err
	}
	if id != b.l.Instance {
		return errReplaced
	}
	a, err := anchor(tx)
	if err != nil || a.Seq < b.next {
		return err
	}
	if b.l.tail == ErrUnsigned {
		return errOvertaken // with the anchor came the key
	}
	if !a.holds(b.l.Instance, b.l.Key) {
		b.broken = &BrokenError{Seq: a.Seq, Reason: reasonBadAnchor}
		return nil
	}
	b.anchor, b.next, b.prev, b.chained = &a, a.Seq+1, a.Hash, true
	return nil
}

// start is the key to begin at: right behind the entry before, so that nothing stands unseen between two
// sections, and at the very beginning for the first.
func (b *batch) start() []byte {
	if b.next == b.l.first || b.anchor != nil {
		return nil
	}
	return append(seqKey(b.next-1), 0)
}

// entry reads and checks the entry that should be the next; what fails is b.broken.
func (b *batch) entry(tx *store.Tx, key, text []byte) (Entry, error) {
	fail := func(seq uint64, format string, args ...any) (Entry, error) {
		b.broken = &BrokenError{Seq: seq, Reason: fmt.Sprintf(format, args...)}
		return Entry{}, nil
	}
	want := b.next
	n, err := keySeq(key)
	switch {
	case err != nil:
		return fail(want, reasonForeign)
	case n < want:
		return fail(n, "no entry has this number")
	case n > want:
		return fail(want, "it is missing, the next is %d", n)
	}
	stored, e, err := read(tx, n, text)
	switch {
	case errors.Is(err, store.ErrDamaged):
		return fail(n, reasonUnreadable)
	case err != nil:
		return e, err
	case stored != e.Hash:
		return fail(n, reasonChanged)
	case b.chained && e.Prev != b.prev:
		return fail(n, reasonUnchained)
	}
	has, err := indexed(tx, e)
	if err != nil {
		return e, err
	}
	if !has {
		return fail(n, reasonUnindexed)
	}
	if h := b.l.Check.Head; h != nil && (h.Seq == n || h.Seq == 0 && h.Hash == e.Hash) {
		if h.Hash != e.Hash {
			return fail(n, reasonReplaced)
		}
		b.known = true
	}
	return e, nil
}

// keep takes an entry that is in order.
func (b *batch) keep(e Entry) {
	if len(b.hashes) == 0 {
		b.firstPrev = e.Prev
	}
	b.hashes = append(b.hashes, e.Hash)
	if e.Receipt != nil && b.l.Assertion != nil {
		b.receipts = append(b.receipts, e)
	}
	b.next, b.prev, b.chained = e.Seq+1, e.Hash, true
}

// readSignatures reads those of the entries that were kept.
func (b *batch) readSignatures(tx *store.Tx) error {
	if len(b.hashes) == 0 || b.l.tail == ErrUnsigned { // then what is there came later
		return nil
	}
	for item, err := range signatures.From(tx, seqKey(b.first)) {
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return err
		}
		seq, err := keySeq(item.Key)
		if err != nil {
			continue // what is no signature proves nothing
		}
		if seq >= b.next {
			break
		}
		b.signed = append(b.signed, signedEntry{seq, item.Value.Signature})
	}
	return nil
}

// prove checks signatures and receipts, counts them in r, and returns what is wrong with the first entry
// that fails, in any way.
func (b *batch) prove(r *result) *BrokenError {
	broken := b.broken
	for _, s := range b.signed {
		if !signs(b.l.Key, entryMessage(b.l.Instance, s.seq, b.hashes[s.seq-b.first]), s.sig) {
			broken = &BrokenError{Seq: s.seq, Reason: reasonBadSign}
			break
		}
		r.signatures++
		r.signedUpTo = s.seq
	}
	for _, e := range b.receipts {
		if broken != nil && broken.Seq <= e.Seq {
			break
		}
		if err := b.l.Assertion(e); err != nil {
			return &BrokenError{Seq: e.Seq, Reason: "its receipt does not hold: " + err.Error(), Err: err}
		}
		r.receipts++
	}
	return broken
}
