package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fobproject/fob/internal/store"
)

// entrySize is about what a decision writes: a log entry with its receipt, in bytes.
const entrySize = 2048

// codeSize is about what a decision by a code writes, in bytes: a log entry, its two places in the
// indices, the method's last use and the token's counter.
const codeSize = 1400

var rawBucket = []byte("raw")

// rawStore is bbolt without Fob: what a synced commit costs at least.
type rawStore struct {
	db   *bolt.DB
	size int // of an entry
	next uint64
}

func openRaw(path string, size int) (*rawStore, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("cannot open the database of the limit: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(rawBucket); return err })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make the database of the limit: %w", err), db.Close())
	}
	return &rawStore{db: db, size: size}, nil
}

// commit writes an entry and syncs it.
func (r *rawStore) commit() error {
	r.next++
	key := binary.BigEndian.AppendUint64(nil, r.next)
	return r.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(rawBucket).Put(key, make([]byte, r.size)) })
}

// entry is what the store's rows write.
type entry struct {
	Data []byte `json:"data"`
}

var entries = store.NewBucket[entry]("bench")

// storeRows measure the one writer: alone beside a bare commit, and with many callers at once.
func storeRows(ctx context.Context, _ options, dir string) (rows []Row, err error) {
	raw, err := openRaw(filepath.Join(dir, "raw.db"), entrySize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, raw.db.Close()) }()
	ours, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		return nil, fmt.Errorf("cannot open a store: %w", err)
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	write := func(n uint64) error {
		key := binary.BigEndian.AppendUint64(nil, n)
		data := entry{make([]byte, entrySize*3/4)} // Base64 makes it entrySize
		return ours.Update(ctx, func(tx *store.Tx) error { return entries.Put(tx, key, data) })
	}

	const rounds, clients = 400, 64
	var single, bare []time.Duration
	for n := range uint64(rounds) {
		for _, m := range []struct {
			times *[]time.Duration
			write func() error
		}{{&single, func() error { return write(n) }}, {&bare, raw.commit}} {
			took, err := timed(m.write)
			if err != nil {
				return nil, err
			}
			*m.times = append(*m.times, took)
		}
	}
	many, err := rate(clients, rounds/4, write)
	if err != nil {
		return nil, err
	}
	one := median(single)
	return []Row{
		newRow("store: one client's update, synced", "ms", one, &Bound{What: "bare bbolt commit", Value: median(bare), Budget: 1.15}, nil),
		newRow("store: 64 clients", "/s", many, &Bound{What: "one client", Value: 1000 / one, Budget: 8, AtLeast: true}, nil),
	}, nil
}

// rate runs write from many goroutines, each so many times, and gives how many end in a second.
func rate(clients, each int, write func(uint64) error) (float64, error) {
	var all sync.WaitGroup
	failures := make(chan error, clients)
	start := time.Now()
	for c := range clients {
		all.Go(func() {
			for i := range each {
				if err := write(uint64(1+c)<<32 | uint64(i)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	close(failures)
	return float64(clients*each) / took.Seconds(), <-failures
}

// timed is how long f takes.
func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}
