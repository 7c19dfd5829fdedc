package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

// BenchmarkAppend shows what one more entry costs at several lengths of the log, without the sync:
// each transaction is undone.
func BenchmarkAppend(b *testing.B) {
	s := fresh(b)
	have := 0
	for _, n := range []int{10, 1_000, 100_000} {
		for have < n {
			add := min(n-have, 10_000)
			update(b, s, func(tx *store.Tx) error {
				for i := range add {
					if _, err := audit.Append(tx, full(fmt.Sprintf("r%d", have+i), 1000)); err != nil {
						return err
					}
				}
				return nil
			})
			have += add
		}
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					_, err := audit.Append(tx, full("new", 1000))
					return errors.Join(err, errUndo)
				})
				if !errors.Is(err, errUndo) {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("synced/entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				update(b, s, func(tx *store.Tx) error {
					_, err := audit.Append(tx, full("new", 1000))
					return err
				})
				have++
			}
		})
	}
}

// BenchmarkVerify walks a whole log; ns/op is for one entry.
func BenchmarkVerify(b *testing.B) {
	s := fresh(b)
	const n = 2_000
	fill(b, s, n)
	for i := 0; i < b.N; i += n {
		view(b, s, func(tx *store.Tx) error { return audit.Verify(tx, uint64(b.N-i)) })
	}
}
