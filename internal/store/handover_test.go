package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/store"
)

// TestWritersTakeTurns lets calls come while one writer leaves and the next one begins.
func TestWritersTakeTurns(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := store.NewBucket[int]("turns")
	var calls, answered atomic.Int64
	stop := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for n := 0; time.Now().Before(stop); n++ {
				calls.Add(1)
				key := []byte(fmt.Sprintf("%d-%d", g, n))
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					if _, err := b.Get(tx, key); err == nil {
						t.Errorf("call %s is committed already and runs again", key)
					}
					return b.Put(tx, key, n)
				})
				if err != nil {
					t.Error(err)
				}
				answered.Add(1)
				time.Sleep(time.Duration(g*150) * time.Microsecond)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("hung: %d calls, %d answered", calls.Load(), answered.Load())
	}
	_ = s.Close()
}
