package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/store"
)

// How many entries List returns: by default, and at most; and how many it reads for that.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	MaxScan      = 2000
)

// Query says which entries List returns. The zero value asks for the log's first entries. Texts are
// compared whole, but for a service's; an empty one lets all entries pass.
type Query struct {
	After    uint64 // only entries with greater numbers
	Before   uint64 // only entries with smaller numbers, if not 0
	Limit    int    // DefaultLimit if 0 or less, never more than MaxLimit
	Newest   bool   // the last Limit entries and not the first
	Request  string
	UID      *uint32   // only this user's requests, if not nil
	Since    time.Time // only entries of this time or later, if not zero
	Until    time.Time // only entries of before this time, if not zero
	Service  string    // a name without a colon is that of all "…:NAME", whoever's program it is
	Decision string
	Kind     string
	Method   string // id of the method that decided
}

// Page is what List found.
type Page struct {
	Entries []Entry // ascending
	// More says that there may be others: List stopped at q.Limit, or after MaxScan entries of which
	// few or none were asked for.
	More bool
	// Next is where to go on if there are more: the After of the next query or, with q.Newest, its Before.
	Next uint64
}

// List returns the entries that q asks for, and looks at MaxScan entries at most.
func List(tx *store.Tx, q Query) (Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	var p Page
	seen := 0
	for seq, err := range q.seqs(tx) {
		if err != nil {
			return Page{}, err
		}
		if seen == MaxScan {
			p.More = true
			break
		}
		seen++
		e, err := q.get(tx, seq)
		if err != nil {
			return Page{}, err
		}
		if q.wants(e) {
			if len(p.Entries) == limit {
				p.More = true
				break
			}
			p.Entries = append(p.Entries, e)
		}
		p.Next = seq
	}
	if !p.More {
		p.Next = 0
	}
	if q.Newest {
		slices.Reverse(p.Entries)
	}
	return p, nil
}

// wants reports whether e is asked for, its number aside.
func (q Query) wants(e Entry) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return (q.UID == nil || e.UID == *q.UID) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until)) &&
		(is(q.Service, e.Service) || q.namesService(e.Service)) && is(q.Decision, e.Decision) && is(q.Kind, e.Kind) && is(q.Method, e.Method)
}

// namesService reports whether q has the name alone of service.
func (q Query) namesService(service string) bool {
	return !strings.ContainsRune(q.Service, ':') && strings.HasSuffix(service, ":"+q.Service)
}

// seqs walks the numbers between q.After and q.Before that may match, descending where the newest are asked
// for.
func (q Query) seqs(tx *store.Tx) iter.Seq2[uint64, error] {
	switch {
	case q.Request != "":
		return byRequest.seqs(tx, requestPrefix(q.Request), q)
	case q.UID != nil:
		return byUser.seqs(tx, userPrefix(*q.UID), q)
	}
	return func(yield func(uint64, error) bool) {
		last, _, err := Head(tx)
		if err != nil {
			yield(0, err)
			return
		}
		a, err := anchor(tx)
		if err != nil {
			yield(0, err)
			return
		}
		if q.Before > 0 {
			last = min(last, q.Before-1)
		}
		before := max(q.After, a.Seq)
		for n := before; n < last; n++ {
			seq := n + 1
			if q.Newest {
				seq = last - (n - before)
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
	if err := byRequest.Put(tx, requestKey(e), struct{}{}); err != nil {
		return err
	}
	return byUser.Put(tx, userKey(e), struct{}{})
}

// indexed reports whether both indices lead to e.
func indexed(tx *store.Tx, e Entry) (bool, error) {
	has, err := byRequest.Has(tx, requestKey(e))
	if err != nil || !has {
		return false, err
	}
	return byUser.Has(tx, userKey(e))
}

// seqs walks the numbers below prefix that lie between q.After and q.Before, descending with q.Newest.
func (b indexBucket) seqs(tx *store.Tx, prefix []byte, q Query) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		items := b.From(tx, append(slices.Clone(prefix), seqKey(q.After)...))
		if q.Newest {
			before := q.Before
			if before == 0 {
				before = ^before
			}
			items = b.BackwardFrom(tx, prefix, append(slices.Clone(prefix), seqKey(before)...))
		}
		for item, err := range items {
			var seq uint64
			if err == nil {
				if len(item.Key) < len(prefix) || string(item.Key[:len(prefix)]) != string(prefix) {
					return
				}
				seq, err = keySeq(item.Key[len(prefix):])
			}
			over, early := q.Before > 0 && seq >= q.Before, seq <= q.After
			if q.Newest {
				over, early = early, over
			}
			switch {
			case err == nil && over:
				return
			case err == nil && early:
				continue
			}
			if !yield(seq, err) || err != nil {
				return
			}
		}
	}
}

// requestKey is e's key in the index of requests.
func requestKey(e Entry) []byte { return append(requestPrefix(e.Request), seqKey(e.Seq)...) }

// userKey is e's key in the index of users.
func userKey(e Entry) []byte { return append(userPrefix(e.UID), seqKey(e.Seq)...) }

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
