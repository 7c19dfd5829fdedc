package audit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

func TestVerifyWhileTheLogChanges(t *testing.T) {
	s := fresh(t)
	fill(t, s, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			err := s.Update(context.Background(), func(tx *store.Tx) error {
				_, err := audit.Prune(tx, noon.AddDate(0, 0, 1), 40)
				return errors.Join(err, appendAll(tx, full("a", 1), full("b", 2)))
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 30 {
		v, err := audit.Verify(t.Context(), s, audit.Check{})
		if err != nil || v.First == 0 || v.First > v.Last || v.SignedUpTo < v.Last {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	holds(t, s, audit.Check{})
}

func TestVerifyLongLogs(t *testing.T) {
	s := fresh(t)
	fill(t, s, 2600)
	t.Run("tells how far it is, in order and to the end", func(t *testing.T) {
		var told []uint64
		holds(t, s, audit.Check{Progress: func(done, total uint64) {
			if total != 2600 {
				t.Errorf("of %d", total)
			}
			told = append(told, done)
		}})
		if fmt.Sprint(told) != "[1000 2000 2600]" {
			t.Errorf("told %v", told)
		}
	})
	t.Run("names the first of several breaks, also between sections", func(t *testing.T) {
		for _, seq := range []uint64{1, 250, 251, 500, 501, 1777, 2599, 2600} {
			err := s.Update(t.Context(), func(tx *store.Tx) error {
				for _, at := range []uint64{seq, min(2600, seq+251), 2600} {
					if err := edit(tx, at, false, func(f map[string]any) { f["user"] = "eve" }); err != nil {
						return err
					}
				}
				return errors.Join(errUndo, verifyTx(tx))
			})
			brokenAt(t, err, seq)
		}
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(entries.Delete(tx, key(750)), edit(tx, 500, true, func(f map[string]any) { f["user"] = "eve" }))
		})
		for range 10 {
			_, err := verify(t, s, audit.Check{})
			brokenAt(t, err, 501)
		}
		update(t, s, func(tx *store.Tx) error {
			e, err := entries.Get(tx, key(1))
			return errors.Join(err, entries.Put(tx, append(key(250), 0), e))
		})
		_, err := verify(t, s, audit.Check{})
		brokenAt(t, err, 251)
	})
	t.Run("stops when its context ends", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 3000)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := audit.Verify(ctx, s, audit.Check{Assertion: func(audit.Entry) error { cancel(); return nil }})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestVerifyMeetsChanges changes a log of 3000 entries when its verification has begun.
func TestVerifyMeetsChanges(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // more workers might have read all before the change
	pruneThrough := func(n int) func(*store.Tx) error {
		return func(tx *store.Tx) error { _, err := audit.Prune(tx, noon.AddDate(0, 0, 1), n); return err }
	}
	for _, c := range []struct {
		name   string
		old    bool
		change func(t *testing.T, s *store.Store)
		want   func(v audit.Verdict, err error) bool
	}{
		{"goes on behind what was pruned", false, func(t *testing.T, s *store.Store) { update(t, s, pruneThrough(2000)) },
			func(v audit.Verdict, err error) bool {
				return err == nil && v.First == 2001 && v.PrunedBefore == 2001 && v.Last == 3000
			}},
		{"begins again where all was pruned", false, func(t *testing.T, s *store.Store) {
			update(t, s, func(tx *store.Tx) error { return errors.Join(appendAll(tx, full("r", 1)), pruneThrough(5000)(tx)) })
		}, func(v audit.Verdict, err error) bool { return err == nil && v.First == 3001 && v.Last == 3001 }},
		{"leaves what was added to the next time", false, func(t *testing.T, s *store.Store) { fill(t, s, 10) },
			func(v audit.Verdict, err error) bool {
				return err == nil && v.Last == 3000 && v.SignedUpTo == 3000
			}},
		{"believes no anchor that nobody signed", false, func(t *testing.T, s *store.Store) {
			update(t, s, func(tx *store.Tx) error {
				var err error
				for seq := uint64(1); seq <= 2000; seq++ {
					err = errors.Join(err, entries.Delete(tx, key(seq)))
				}
				return errors.Join(err, store.NewBucket[audit.Anchor]("audit-anchor").Put(tx, []byte("anchor"), audit.Anchor{Seq: 2000, Pruned: 2000}))
			})
		}, func(_ audit.Verdict, err error) bool {
			broken, ok := errors.AsType[*audit.BrokenError](err)
			return ok && broken.Seq == 2000
		}},
		{"finds what is removed without a word", false, func(t *testing.T, s *store.Store) {
			update(t, s, func(tx *store.Tx) error { return entries.Delete(tx, key(2900)) })
		}, func(_ audit.Verdict, err error) bool {
			broken, ok := errors.AsType[*audit.BrokenError](err)
			return ok && broken.Seq == 2900
		}},
		{"takes the first signature of an old log for none of its own", true, func(t *testing.T, s *store.Store) { update(t, s, pruneThrough(1)) },
			func(v audit.Verdict, err error) bool { return errors.Is(err, audit.ErrUnsigned) }},
		{"begins again where an old log is pruned and so signed", true, func(t *testing.T, s *store.Store) { update(t, s, pruneThrough(2000)) },
			func(v audit.Verdict, err error) bool { return err == nil && v.First == 2001 && v.SignedUpTo == 3000 }},
		{"says that a backup took the log's place", false, func(t *testing.T, s *store.Store) {
			c, err := fresh(t).Copy()
			if err != nil {
				t.Fatal(err)
			}
			nothing := func(*store.Tx) error { return nil }
			if err := s.Replace(context.Background(), c, nothing, nothing); err != nil {
				t.Error(err)
			}
		}, func(v audit.Verdict, err error) bool {
			_, ok := errors.AsType[*audit.BrokenError](err)
			return err != nil && !ok
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fresh(t)
			if c.old {
				s = old(t, 3000)
			} else {
				fill(t, s, 3000)
			}
			var once sync.Once
			v, err := audit.Verify(t.Context(), s, audit.Check{Assertion: func(audit.Entry) error {
				once.Do(func() { c.change(t, s) })
				return nil
			}})
			if !c.want(v, err) {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
}

func TestVerifyReadsLargeEntriesInParts(t *testing.T) {
	s := fresh(t)
	update(t, s, func(tx *store.Tx) error {
		e := full("r", 1)
		e.Receipt.AuthData = make([]byte, audit.MaxReceipt-100)
		for range 40 {
			if err := appendAll(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	var once sync.Once
	v, err := audit.Verify(t.Context(), s, audit.Check{Assertion: func(e audit.Entry) error {
		once.Do(func() {
			update(t, s, func(tx *store.Tx) error { _, err := audit.Prune(tx, noon.AddDate(0, 0, 1), 30); return err })
		})
		return nil
	}})
	if err != nil || v.First != 31 || v.Last != 40 || v.PrunedBefore != 31 {
		t.Errorf("got %+v, %v", v, err)
	}
}
