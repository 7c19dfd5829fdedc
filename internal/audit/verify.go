package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fobproject/fob/internal/store"
)

// Why a log may fail to verify, beside being broken.
var (
	// ErrUnsigned says that all entries chain, but are from before logs were signed.
	ErrUnsigned = errors.New("the log is not signed yet: its entries are from before logs were, and the next entry signs them")
	// ErrPruned says that the entry of the head that was noted elsewhere was pruned since. All that is left holds.
	ErrPruned = errors.New("the entry whose hash was noted was pruned")
	// ErrNoSuchHead says that no entry has the hash that was noted elsewhere.
	ErrNoSuchHead = errors.New("no entry of the log has the hash that was noted: it was replaced, cut off or pruned, or is of another log")
	// ErrOtherInstance says that the log is not that of Check.Instance.
	ErrOtherInstance = errors.New("this is the log of another instance")
)

// BrokenError says where the log does not hold.
type BrokenError struct {
	Seq    uint64 // the first entry that fails, or that is missing
	Reason string
	Err    error // what Check.Assertion said, if it is that
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("the log is broken at entry %d: %s", e.Seq, e.Reason)
}

func (e *BrokenError) Unwrap() error { return e.Err }

// KnownHead is a head that was noted elsewhere. Where the log has it, the entries up to it are those that
// were written.
type KnownHead struct {
	Seq  uint64 // 0: look for the hash
	Hash Sum
}

// Check says what Verify is to check beside the chain and the log's signatures. The zero value is valid.
type Check struct {
	// Instance is the id of the instance that the log must be of; empty: the store's.
	Instance string
	// Key is the public key that must have signed; nil: the one in the store, which whoever can write the
	// file can replace.
	Key ed25519.PublicKey
	// Head, if not nil, must be in the log. Number 0 with a zero hash is the head of the empty log.
	Head *KnownHead
	// Assertion checks the receipt of an entry, once for every entry that has one, from several
	// goroutines. If nil, receipts are not looked at.
	Assertion func(Entry) error
	// Progress, if not nil, hears how many entries are done, about every 1000 and at the end. It is called
	// in Verify's own goroutine.
	Progress func(done, total uint64)
}

// Verdict is what a log that holds consists of. Where it is empty, all is zero but Key.
type Verdict struct {
	First, Last  uint64 // the entries that were verified
	Head         Sum    // hash of Last
	Signatures   uint64
	Receipts     uint64            // that Check.Assertion accepted
	PrunedBefore uint64            // number of the first entry that is not pruned; 0 if none is
	Key          ed25519.PublicKey // that the signatures were checked with; nil if there are none
	SignedUpTo   uint64            // the last entry that a signature covers
}

// Verify checks the whole log as it stands when Verify begins: chain, indices, every signature and every
// receipt. It fails with a BrokenError for the first entry that was changed, removed, inserted, cannot be
// read, or is not covered by a signature, or with one of the errors above. It cannot know that whole
// commits were cut off the end, or that all was made anew with the key that is in the file, unless
// c.Head or c.Key say so.
//
// It reads a few hundred entries a transaction and uses GOMAXPROCS goroutines. Entries may be added and
// pruned meanwhile.
func Verify(ctx context.Context, s *store.Store, c Check) (Verdict, error) {
	for {
		var l extent
		err := s.View(func(tx *store.Tx) (err error) {
			l, err = look(tx, c)
			return err
		})
		if err != nil {
			return Verdict{}, err
		}
		v, err := l.verify(ctx, s)
		if !errors.Is(err, errOvertaken) {
			return v, err
		}
	}
}

// VerifyTx is Verify within one transaction, without receipts, and lets pass a log that was never signed:
// for a copy that is about to take the database's place.
func VerifyTx(tx *store.Tx) (Verdict, error) {
	l, err := look(tx, Check{})
	if err != nil {
		return Verdict{}, err
	}
	sum := l.begin()
	for i := range l.sections() {
		r := l.check(l.section(i), func(fn func(*store.Tx) error) error { return fn(tx) })
		if err := sum.add(r); err != nil {
			return Verdict{}, err
		}
	}
	v, err := sum.end()
	if errors.Is(err, ErrUnsigned) {
		return v, nil
	}
	return v, err
}

// errOvertaken says that all that was to be checked was pruned meanwhile.
var errOvertaken = errors.New("pruning overtook the verification")

// progressStep is after how many entries Progress is called.
const progressStep = 1000

// verify checks the sections on all processors and puts their results together in order.
func (l extent) verify(ctx context.Context, s *store.Store) (Verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	n := l.sections()
	workers := runtime.GOMAXPROCS(0)
	results := make(chan result, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				results <- l.check(l.section(i), s.View)
			}
		})
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	defer func() {
		cancel()
		for range results { // the workers end before Verify does
		}
	}()

	sum := l.begin()
	waiting := map[int]result{}
	done, told := 0, uint64(0)
	for r := range results {
		for waiting[r.index] = r; ; done++ {
			r, ok := waiting[done]
			if !ok {
				break
			}
			delete(waiting, done)
			if err := sum.add(r); err != nil {
				return Verdict{}, err
			}
			if at := r.to + 1 - l.first; l.Progress != nil && (at-told >= progressStep || done+1 == n) {
				told = at
				l.Progress(at, l.last+1-l.first)
			}
		}
	}
	if done < n {
		return Verdict{}, ctx.Err()
	}
	return sum.end()
}

// tally puts the results of sections together, in order.
type tally struct {
	l     extent
	v     Verdict
	prev  *Sum // what the next entry must follow from; nil where that was pruned meanwhile
	known bool // c.Head was found
}

func (l extent) begin() tally {
	t := tally{l: l, v: Verdict{Key: l.Key}, prev: &l.anchor.Hash}
	if l.anchor.Seq > 0 {
		t.v.PrunedBefore, t.v.SignedUpTo = l.first, l.anchor.Seq
	}
	if h := l.Check.Head; h != nil {
		t.known = (h.Seq == l.anchor.Seq || h.Seq == 0) && h.Hash == l.anchor.Hash || *h == KnownHead{}
	}
	return t
}

func (t *tally) add(r result) error {
	if r.anchor != nil {
		// What was verified before does not lead up to what is left.
		t.v.First, t.v.PrunedBefore, t.prev = 0, r.anchor.Seq+1, nil
		if r.anchor.Seq <= r.to {
			t.prev = &r.anchor.Hash
		}
	}
	broken, isBroken := errors.AsType[*BrokenError](r.err)
	if r.count > 0 && t.prev != nil && r.prev != *t.prev && (!isBroken || broken.Seq > r.first) {
		return &BrokenError{Seq: r.first, Reason: reasonUnchained}
	}
	if r.err != nil {
		return r.err
	}
	if r.count > 0 {
		if t.v.First == 0 {
			t.v.First = r.first
		}
		t.v.Last, t.v.Head, t.prev = r.to, r.hash, &r.hash
	}
	t.v.Signatures += r.signatures
	t.v.Receipts += r.receipts
	t.v.SignedUpTo = max(t.v.SignedUpTo, r.signedUpTo)
	t.known = t.known || r.known
	return nil
}

func (t *tally) end() (Verdict, error) {
	if _, ok := errors.AsType[*BrokenError](t.l.tail); ok {
		return Verdict{}, t.l.tail
	}
	if t.v.First == 0 && t.l.last >= t.l.first {
		return Verdict{}, errOvertaken
	}
	if h := t.l.Check.Head; h != nil && !t.known {
		if h.Seq == 0 {
			return Verdict{}, ErrNoSuchHead
		}
		return Verdict{}, fmt.Errorf("%w: it was entry %d, the log now begins at entry %d and holds from there on", ErrPruned, h.Seq, t.v.PrunedBefore)
	}
	return t.v, t.l.tail
}
