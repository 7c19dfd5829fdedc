package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/fobproject/fob/internal/store"
)

// BenchmarkUpdate compares one caller and many on the one writer with bbolt's own Update, in synced
// commits of a small value each: ns/op is the time per commit that a caller asked for.
func BenchmarkUpdate(b *testing.B) {
	b.Run("bbolt", func(b *testing.B) {
		db, err := bolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bolt.Options{NoStatistics: true})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		var n uint64
		for b.Loop() {
			err := db.Update(func(tx *bolt.Tx) error {
				n++
				bucket, err := tx.CreateBucketIfNotExists([]byte("things"))
				if err != nil {
					return err
				}
				return bucket.Put(benchKey(n), []byte(`{"v":1,"d":{"n":1,"name":"bench"}}`))
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := fresh(b)
			var n atomic.Uint64
			one := func() error {
				key := benchKey(n.Add(1))
				return s.Update(context.Background(), func(tx *store.Tx) error {
					return things.Put(tx, key, thing{N: 1, Name: "bench"})
				})
			}
			if clients == 1 {
				for b.Loop() {
					if err := one(); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(clients) // times GOMAXPROCS goroutines: see below
			var started atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				if started.Add(1) > int64(clients) {
					return
				}
				for pb.Next() {
					if err := one(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func benchKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n*0x9E3779B97F4A7C15) }

// BenchmarkOpen shows what the check of the whole file costs at the start.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "fob.db")
	s, err := store.Open(path, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const n = 20_000
	for i := 0; i < n; i += 5_000 {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			for j := range 5_000 {
				if err := blobs.Put(tx, numberKey(i+j), make([]byte, 1500)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		s, err := store.Open(path, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
