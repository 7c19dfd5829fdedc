package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/fobproject/fob/internal/store"
)

// How many entries List returns: by default, and at most.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Query says which entries List returns. The zero value asks for the log's first entries.
type Query struct {
	After   uint64  // only entries with greater numbers
	Limit   int     // DefaultLimit if 0 or less, never more than MaxLimit
	Request string  // only this request's, if not empty
	UID     *uint32 // only this user's requests, if not nil
	Newest  bool    // the last Limit entries and not the first
}

// List returns the entries that q asks for, ascending. more says that there are others: behind the
// last one returned or, with q.Newest, before the first.
func List(tx *store.Tx, q Query) (entries []Entry, more bool, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	for seq, err := range q.seqs(tx) {
		if err != nil {
			return nil, false, err
		}
		if seq <= q.After {
			if q.Newest {
				break
			}
			continue
		}
		e, err := q.get(tx, seq)
		if err != nil {
			return nil, false, err
		}
		if q.UID != nil && e.UID != *q.UID {
			continue
		}
		if len(entries) == limit {
			more = true
			break
		}
		entries = append(entries, e)
	}
	if q.Newest {
		slices.Reverse(entries)
	}
	return entries, more, nil
}

// ByRequest returns all entries of one request, ascending.
func ByRequest(tx *store.Tx, request string) ([]Entry, error) {
	var entries []Entry
	q := Query{Request: request}
	for seq, err := range byRequest.seqs(tx, requestPrefix(request), 0, false) {
		if err != nil {
			return nil, err
		}
		e, err := q.get(tx, seq)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// seqs walks the numbers that may match, descending where the newest are asked for.
func (q Query) seqs(tx *store.Tx) iter.Seq2[uint64, error] {
	switch {
	case q.Request != "":
		return byRequest.seqs(tx, requestPrefix(q.Request), q.After, q.Newest)
	case q.UID != nil:
		return byUser.seqs(tx, userPrefix(*q.UID), q.After, q.Newest)
	}
	return func(yield func(uint64, error) bool) {
		head, _, err := Head(tx)
		if err != nil {
			yield(0, err)
			return
		}
		for n := q.After; n < head; n++ {
			seq := n + 1
			if q.Newest {
				seq = head - (n - q.After)
			}
			if !yield(seq, nil) {
				return
			}
		}
	}
}

// get reads an entry that an index or the numbering promises.
func (q Query) get(tx *store.Tx, seq uint64) (Entry, error) {
	e, err := Get(tx, seq)
	if errors.Is(err, store.ErrNotFound) {
		return Entry{}, fmt.Errorf("%w: log entry %d is missing", store.ErrDamaged, seq)
	}
	if err == nil && q.Request != "" && e.Request != q.Request {
		return Entry{}, fmt.Errorf("%w: log entry %d belongs to another request than its index says", store.ErrDamaged, seq)
	}
	return e, err
}

// indexBucket leads from a prefix to the numbers of entries: its keys are prefix and number.
type indexBucket struct{ store.Bucket[struct{}] }

var (
	byRequest = indexBucket{store.NewBucket[struct{}]("audit-by-request")}
	byUser    = indexBucket{store.NewBucket[struct{}]("audit-by-user")}
)

// index notes a new entry in the indices.
func index(tx *store.Tx, e Entry) error {
	if err := byRequest.Put(tx, append(requestPrefix(e.Request), seqKey(e.Seq)...), struct{}{}); err != nil {
		return err
	}
	return byUser.Put(tx, append(userPrefix(e.UID), seqKey(e.Seq)...), struct{}{})
}

// indexed fails unless both indices lead to e.
func indexed(tx *store.Tx, e Entry) error {
	if _, err := byRequest.Get(tx, append(requestPrefix(e.Request), seqKey(e.Seq)...)); err != nil {
		return err
	}
	_, err := byUser.Get(tx, append(userPrefix(e.UID), seqKey(e.Seq)...))
	return err
}

// seqs walks the numbers greater than after below prefix.
func (b indexBucket) seqs(tx *store.Tx, prefix []byte, after uint64, down bool) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		items := b.From(tx, append(slices.Clone(prefix), seqKey(after)...))
		if down {
			items = b.Backward(tx, prefix)
		}
		for item, err := range items {
			var seq uint64
			if err == nil {
				if len(item.Key) < len(prefix) || string(item.Key[:len(prefix)]) != string(prefix) {
					return
				}
				seq, err = keySeq(item.Key[len(prefix):])
			}
			if err == nil && seq <= after {
				if down {
					return
				}
				continue
			}
			if !yield(seq, err) || err != nil {
				return
			}
		}
	}
}

// requestPrefix has the length in front, so that no request's keys begin with another's.
func requestPrefix(request string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...)
}

func userPrefix(uid uint32) []byte { return binary.BigEndian.AppendUint32(nil, uid) }

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func keySeq(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("%w: the log has a key %x, which is no number", store.ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(key), nil
}
