package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// valueVersion is the version of the envelope around each value.
const valueVersion = 1

// Bucket names the values of one kind, which are of type T. A value is kept as the JSON text
// {"v":1,"d":D} where D is T's own. Buckets hold no state: they are package-level variables of the
// packages that own the kind.
type Bucket[T any] struct{ name string }

// NewBucket makes a Bucket. Names are unique in the database and never change.
func NewBucket[T any](name string) Bucket[T] { return Bucket[T]{name} }

// Item is one key with its value; both are copies.
type Item[T any] struct {
	Key   []byte
	Value T
}

// Get returns the value under key, ErrNotFound, or, for a value that cannot be read, an error that
// wraps ErrDamaged.
func (b Bucket[T]) Get(tx *Tx, key []byte) (T, error) {
	var zero T
	bb, err := b.open(tx)
	if err != nil || bb == nil {
		return zero, orNotFound(err)
	}
	raw := bb.Get(key)
	if raw == nil {
		return zero, ErrNotFound
	}
	return b.decode(key, raw)
}

// Has reports whether there is a value under key. It does not read it.
func (b Bucket[T]) Has(tx *Tx, key []byte) (bool, error) {
	bb, err := b.open(tx)
	if err != nil || bb == nil {
		return false, err
	}
	return bb.Get(key) != nil, nil
}

// Put keeps v under key, in place of what was there. Keys are 1 to 32,768 bytes.
func (b Bucket[T]) Put(tx *Tx, key []byte, v T) error {
	if err := tx.writable(); err != nil {
		return err
	}
	raw, err := encode(v)
	if err != nil {
		return fmt.Errorf("cannot encode a value of %s: %w", b.name, err)
	}
	bb, err := tx.bolt.CreateBucketIfNotExists([]byte(b.name))
	if err != nil {
		return fmt.Errorf("cannot make the bucket %s: %w", b.name, err)
	}
	// bbolt keeps the key's memory until the commit; the caller may use it again.
	if err := bb.Put(bytes.Clone(key), raw); err != nil {
		return fmt.Errorf("cannot put a value of %s: %w", b.name, err)
	}
	return nil
}

// bulkFill is how full PutAll leaves pages. What is put later splits them.
const bulkFill = 0.9

// PutAll keeps many values, in place of what was there. Where their keys ascend, and lie behind those
// that are there, the pages that they come to are nearly full.
func (b Bucket[T]) PutAll(tx *Tx, all iter.Seq2[[]byte, T]) error {
	if err := tx.writable(); err != nil {
		return err
	}
	bb, err := tx.bolt.CreateBucketIfNotExists([]byte(b.name))
	if err != nil {
		return fmt.Errorf("cannot make the bucket %s: %w", b.name, err)
	}
	bb.FillPercent = bulkFill
	for key, v := range all {
		raw, err := encode(v)
		if err != nil {
			return fmt.Errorf("cannot encode a value of %s: %w", b.name, err)
		}
		if err := bb.Put(bytes.Clone(key), raw); err != nil {
			return fmt.Errorf("cannot put a value of %s: %w", b.name, err)
		}
	}
	return nil
}

// Delete removes the value under key; it is no error if there is none.
func (b Bucket[T]) Delete(tx *Tx, key []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	bb, err := b.open(tx)
	if err != nil || bb == nil {
		return err
	}
	if err := bb.Delete(key); err != nil {
		return fmt.Errorf("cannot delete a value of %s: %w", b.name, err)
	}
	return nil
}

// Drop removes the values below prefix, and among them what cannot be read; keep, which may be nil, says
// which values stay. It returns how many are gone.
func (b Bucket[T]) Drop(tx *Tx, prefix []byte, keep func(Item[T]) bool) (n int, err error) {
	for item, err := range b.All(tx, prefix) {
		if err != nil && !errors.Is(err, ErrDamaged) {
			return n, err
		}
		if err == nil && keep != nil && keep(item) {
			continue
		}
		if err := b.Delete(tx, item.Key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Count is how many items there are. It reads no values.
func (b Bucket[T]) Count(tx *Tx) (n int, err error) {
	bb, err := b.open(tx)
	if err != nil || bb == nil {
		return 0, err
	}
	c := bb.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n, nil
}

// All yields the items whose keys begin with prefix, ascending. An item that cannot be read comes
// with its key and an error that wraps ErrDamaged; the walk goes on after it if the loop does. The
// loop may change the bucket: it goes on with the next key that is then there.
func (b Bucket[T]) All(tx *Tx, prefix []byte) iter.Seq2[Item[T], error] {
	return b.walk(tx, walkSpec{prefix: prefix, start: prefix})
}

// From yields the items from the key start on, itself included, ascending; otherwise it is as All.
func (b Bucket[T]) From(tx *Tx, start []byte) iter.Seq2[Item[T], error] {
	return b.walk(tx, walkSpec{start: start})
}

// Backward yields the items whose keys begin with prefix, descending; otherwise it is as All.
func (b Bucket[T]) Backward(tx *Tx, prefix []byte) iter.Seq2[Item[T], error] {
	return b.walk(tx, walkSpec{prefix: prefix, down: true})
}

// Raw yields keys, from start on ascending, with the values' texts as they are stored, envelope included:
// for those who read so many that decoding each would be what takes the time. Both are the database's
// own memory: not to be changed, and gone when the transaction ends or changes something; the loop
// must not change the bucket.
func (b Bucket[T]) Raw(tx *Tx, start []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, text []byte) bool) {
		bb, err := b.open(tx)
		if err != nil || bb == nil {
			return
		}
		c := bb.Cursor()
		for k, text := c.Seek(start); k != nil && yield(k, text); k, text = c.Next() {
		}
	}
}

// LastRaw returns the greatest key and its text without decoding it: see Raw. key is nil where the bucket is
// empty.
func (b Bucket[T]) LastRaw(tx *Tx) (key, text []byte, err error) {
	bb, err := b.open(tx)
	if err != nil || bb == nil {
		return nil, nil, err
	}
	key, text = bb.Cursor().Last()
	return key, text, nil
}

// BackwardFrom is Backward from before the key end on, which need not be there.
func (b Bucket[T]) BackwardFrom(tx *Tx, prefix, end []byte) iter.Seq2[Item[T], error] {
	return b.walk(tx, walkSpec{prefix: prefix, end: end, down: true})
}

type walkSpec struct {
	prefix, start []byte
	down          bool
	end           []byte // where a walk down begins, itself left out; behind all of prefix if nil
}

func (b Bucket[T]) walk(tx *Tx, spec walkSpec) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		bb, err := b.open(tx)
		if err != nil {
			yield(Item[T]{}, err)
			return
		}
		if bb == nil {
			return
		}
		c := bb.Cursor()
		k, raw := spec.first(c)
		for k != nil && bytes.HasPrefix(k, spec.prefix) {
			item, err := b.item(k, raw)
			if !yield(item, err) {
				return
			}
			if tx.bolt == nil {
				yield(Item[T]{}, ErrTxDone)
				return
			}
			k, raw = spec.next(c, item.Key, tx.bolt.Writable())
		}
	}
}

func (w walkSpec) first(c *bolt.Cursor) (k, v []byte) {
	if !w.down {
		return c.Seek(w.start)
	}
	end := w.end
	if end == nil {
		end = after(w.prefix)
	}
	if end == nil {
		return c.Last()
	}
	if k, _ := c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// next steps on from last. A cursor is lost when its bucket is changed: in a writing transaction
// each step looks for its place anew.
func (w walkSpec) next(c *bolt.Cursor, last []byte, writable bool) (k, v []byte) {
	if writable {
		k, v = c.Seek(last)
		switch {
		case w.down && k == nil:
			return c.Last()
		case !w.down && !bytes.Equal(k, last):
			return k, v
		}
	}
	if w.down {
		return c.Prev()
	}
	return c.Next()
}

// after is the least key beyond all keys that begin with prefix, nil if there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// open returns bbolt's bucket, nil if nothing was ever put there.
func (b Bucket[T]) open(tx *Tx) (*bolt.Bucket, error) {
	if tx.bolt == nil {
		return nil, ErrTxDone
	}
	return tx.bolt.Bucket([]byte(b.name)), nil
}

func (b Bucket[T]) item(key, raw []byte) (Item[T], error) {
	v, err := b.decode(key, raw)
	return Item[T]{Key: bytes.Clone(key), Value: v}, err
}

type envelope[T any] struct {
	V int `json:"v"`
	D T   `json:"d"`
}

func encode[T any](v T) ([]byte, error) { return json.Marshal(envelope[T]{valueVersion, v}) }

// decode copies the value out of bbolt's memory, as encoding/json does.
func (b Bucket[T]) decode(key, raw []byte) (T, error) {
	var zero T
	var e envelope[*T]
	if err := json.Unmarshal(raw, &e); err != nil {
		return zero, fmt.Errorf("%w: the value of %s at %x: %w", ErrDamaged, b.name, key, err)
	}
	if e.V != valueVersion || e.D == nil {
		return zero, fmt.Errorf("%w: the value of %s at %x has version %d, not %d, or no content", ErrDamaged, b.name, key, e.V, valueVersion)
	}
	return *e.D, nil
}

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return ErrNotFound
}

// writable fails unless the transaction may change something now.
func (tx *Tx) writable() error {
	if tx.bolt == nil {
		return ErrTxDone
	}
	if !tx.bolt.Writable() {
		return ErrReadOnly
	}
	return nil
}
