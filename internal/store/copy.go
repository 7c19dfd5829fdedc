package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// ErrBadCopy says that what is to take the place of the database cannot.
var ErrBadCopy = errors.New("this is no whole copy of a database of Fob")

// Copy is a whole database as values: what a backup holds.
type Copy struct {
	Schema   int
	Instance string // 128 bits, hexadecimal
	Records  []Record
}

// Record is one value of one bucket, as it is stored.
type Record struct {
	Bucket string `json:"bucket"`
	Key    []byte `json:"key"`
	Value  []byte `json:"value"`
}

// Copy reads everything at one moment. It holds the reading transaction no longer than that takes: a
// slow reader of the copy is in nobody's way.
func (s *Store) Copy() (Copy, error) {
	var c Copy
	err := s.View(func(tx *Tx) error {
		m, err := metaBucket.Get(tx, metaKey)
		if err != nil {
			return err
		}
		c = Copy{Schema: m.Schema, Instance: m.Instance}
		return tx.bolt.ForEach(func(name []byte, b *bolt.Bucket) error {
			if string(name) == metaBucket.name {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				c.Records = append(c.Records, Record{Bucket: string(name), Key: bytes.Clone(k), Value: bytes.Clone(v)})
				return nil
			})
		})
	})
	return c, err
}

// Replace puts c in the place of everything, in one synced transaction in which before has the first word
// and after the last: then all of it is there, or, with an error, nothing has changed. It fails with
// ErrBadCopy where c makes no sense and with ErrNewer where a newer fobd made it.
func (s *Store) Replace(ctx context.Context, c Copy, before, after func(*Tx) error) error {
	if id, err := hex.DecodeString(c.Instance); err != nil || len(id) != 16 || c.Schema < firstSchema {
		return fmt.Errorf("%w: its schema or instance id makes no sense", ErrBadCopy)
	}
	err := s.Update(ctx, func(tx *Tx) error {
		now, err := metaBucket.Get(tx, metaKey)
		if err != nil {
			return err
		}
		if c.Schema != now.Schema {
			// Each schema so far is the first: a migration of copies comes with the second.
			return fmt.Errorf("%w: it has schema %d, this fobd has %d", ErrNewer, c.Schema, now.Schema)
		}
		if err := before(tx); err != nil {
			return err
		}
		if err := tx.empty(); err != nil {
			return err
		}
		for _, r := range c.Records {
			if err := tx.putRaw(r); err != nil {
				return err
			}
		}
		if err := metaBucket.Put(tx, metaKey, meta{Schema: c.Schema, Instance: c.Instance}); err != nil {
			return err
		}
		return after(tx)
	})
	if err == nil {
		s.instance.Store(&c.Instance)
	}
	return err
}

// empty removes all buckets but the database's own.
func (tx *Tx) empty() error {
	var names [][]byte
	err := tx.bolt.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if string(name) != metaBucket.name {
			names = append(names, bytes.Clone(name))
		}
		return nil
	})
	for _, name := range names {
		err = errors.Join(err, tx.bolt.DeleteBucket(name))
	}
	return err
}

// putRaw keeps a value as it came, if it is in the envelope of one.
func (tx *Tx) putRaw(r Record) error {
	var e envelope[json.RawMessage]
	if r.Bucket == "" || bytes.IndexByte([]byte(r.Bucket), 0) >= 0 || len(r.Key) == 0 || len(r.Key) > bolt.MaxKeySize ||
		json.Unmarshal(r.Value, &e) != nil || e.V != valueVersion {
		return fmt.Errorf("%w: a value of %.40q has no form", ErrBadCopy, r.Bucket)
	}
	b, err := tx.bolt.CreateBucketIfNotExists([]byte(r.Bucket))
	if err != nil {
		return fmt.Errorf("cannot make the bucket %.40q: %w", r.Bucket, err)
	}
	if err := b.Put(bytes.Clone(r.Key), bytes.Clone(r.Value)); err != nil {
		return fmt.Errorf("cannot put a value of %.40q: %w", r.Bucket, err)
	}
	return nil
}
