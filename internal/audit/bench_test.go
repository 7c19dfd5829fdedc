package audit_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

// undo names a hook that undoes a transaction when it is done.
type undo struct{}

// BenchmarkAppend shows what one more entry and its signature cost at several lengths of the log, without
// the sync: each transaction is undone. "unsigned" leaves out the signature.
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
					return errors.Join(err, tx.BeforeCommit(undo{}, func(*store.Tx) error { return errUndo }))
				})
				if !errors.Is(err, errUndo) {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("unsigned/entries=%d", n), func(b *testing.B) {
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

// BenchmarkVerify checks a log of 20,000 entries with receipts, of which as many share a commit as its name
// says, beside the bare checks of the same signatures on as many goroutines: "ratio" is the one by the
// other, "ns/entry" the time for one entry.
func BenchmarkVerify(b *testing.B) {
	const n = 20_000
	key := newKey(b)
	for _, commit := range []int{1, 100} {
		s := fresh(b)
		receipts := make([]audit.Entry, 0, n)
		for len(receipts) < n {
			from := len(receipts)
			for i := range 100 {
				receipts = append(receipts, signedBy(b, key, fmt.Sprintf("%032x", from+i)))
			}
			for i := 0; i < 100; i += commit {
				update(b, s, func(tx *store.Tx) error {
					for _, e := range receipts[from+i : from+i+commit] {
						if _, err := audit.Append(tx, e); err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
		for _, c := range []struct {
			name  string
			check func(audit.Entry) error
		}{
			{"bare", func(e audit.Entry) error {
				if !bareReceipt(&key.PublicKey, e) {
					return errors.New("bad")
				}
				return nil
			}},
			{"fido", checkReceipt},
		} {
			b.Run(fmt.Sprintf("commit=%d/%s", commit, c.name), func(b *testing.B) {
				var whole, bare time.Duration
				for b.Loop() {
					start := time.Now()
					v, err := audit.Verify(context.Background(), s, audit.Check{Assertion: c.check})
					if err != nil || v.Receipts != n || v.Signatures != uint64(n/commit) {
						b.Fatalf("%+v, %v", v, err)
					}
					whole += time.Since(start)
					b.StopTimer()
					bare += bareChecks(b, &key.PublicKey, receipts, n/commit)
					b.StartTimer()
				}
				b.ReportMetric(float64(whole)/float64(bare), "ratio")
				b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N)/n, "ns/entry")
			})
		}
	}
}

func bareReceipt(key *ecdsa.PublicKey, e audit.Entry) bool {
	hash := sha256.Sum256(e.Receipt.ClientData)
	digest := sha256.Sum256(append(bytes.Clone(e.Receipt.AuthData), hash[:]...))
	return ecdsa.VerifyASN1(key, digest[:], e.Receipt.Signature)
}

// bareChecks checks the receipts' signatures, and as many Ed25519 ones as told, on GOMAXPROCS goroutines.
func bareChecks(b *testing.B, key *ecdsa.PublicKey, receipts []audit.Entry, signatures int) time.Duration {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 90)
	sig := ed25519.Sign(private, message)
	start := time.Now()
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(receipts); i += workers {
				if !bareReceipt(key, receipts[i]) || i < signatures && !ed25519.Verify(public, message, sig) {
					b.Error("bad")
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
