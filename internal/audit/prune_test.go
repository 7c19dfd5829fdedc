package audit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

// days appends entries of the given days after noon, each in a commit of its own.
func days(t testing.TB, s *store.Store, at ...int) (all []audit.Entry) {
	t.Helper()
	for i, day := range at {
		update(t, s, func(tx *store.Tx) error {
			e := full(fmt.Sprintf("r%d", i/2), uint32(1000+i%2))
			e.Time = noon.AddDate(0, 0, day)
			e, err := audit.Append(tx, e)
			all = append(all[:i], e)
			return err
		})
	}
	return all
}

func prune(t testing.TB, s *store.Store, day, limit int) (p audit.Pruned) {
	t.Helper()
	update(t, s, func(tx *store.Tx) (err error) {
		p, err = audit.Prune(tx, noon.AddDate(0, 0, day), limit)
		return err
	})
	return p
}

func TestPrune(t *testing.T) {
	t.Run("removes what is older, and what led there, and no more", func(t *testing.T) {
		s := fresh(t)
		all := days(t, s, 0, 1, 2, 3, 4, 5)
		if p := prune(t, s, 3, 100); p != (audit.Pruned{Entries: 3, Through: 3}) {
			t.Errorf("got %+v", p)
		}
		v := holds(t, s, audit.Check{})
		if v.First != 4 || v.PrunedBefore != 4 || v.Last != 6 || v.Signatures != 3 || v.Head != all[5].Hash {
			t.Errorf("got %+v", v)
		}
		left := func(name string, n int, err error, want int) {
			if n != want || err != nil {
				t.Errorf("%s has %d, want %d: %v", name, n, want, err)
			}
		}
		view(t, s, func(tx *store.Tx) error {
			for _, name := range []string{"audit", "audit-by-request", "audit-by-user", "audit-signatures"} {
				n, err := store.NewBucket[any](name).Count(tx)
				left(name, n, err, 3)
			}
			return nil
		})
	})
	t.Run("removes no more than its limit at once", func(t *testing.T) {
		s := fresh(t)
		days(t, s, 0, 1, 2, 3, 4, 5)
		for i, want := range []audit.Pruned{{Entries: 2, Through: 2, More: true}, {Entries: 2, Through: 4, More: false}, {Through: 4}} {
			if p := prune(t, s, 4, 2); p != want {
				t.Errorf("call %d gave %+v, want %+v", i, p, want)
			}
			holds(t, s, audit.Check{})
		}
	})
	t.Run("never removes the newest, and stops where the time goes back", func(t *testing.T) {
		s := fresh(t)
		days(t, s, 0, 1)
		if p := prune(t, s, 100, 100); p.Through != 1 || p.More {
			t.Errorf("got %+v", p)
		}
		s = fresh(t)
		days(t, s, 0, 9, 1, 2)
		if p := prune(t, s, 5, 100); p.Through != 1 || p.More {
			t.Errorf("got %+v", p)
		}
		if p := prune(t, fresh(t), 5, 100); p != (audit.Pruned{}) {
			t.Errorf("of an empty log: %+v", p)
		}
	})
	t.Run("leaves a log that goes on", func(t *testing.T) {
		s := fresh(t)
		days(t, s, 0, 1, 2, 3)
		prune(t, s, 2, 100)
		more := days(t, s, 4, 5)
		if more[1].Seq != 6 {
			t.Errorf("the next entry is %d", more[1].Seq)
		}
		holds(t, s, audit.Check{Head: head(more[1])})
		view(t, s, func(tx *store.Tx) error {
			for _, q := range []audit.Query{{}, {Newest: true}, {Request: "r0"}} {
				p, err := audit.List(tx, q)
				if len(p.Entries) == 0 || p.Entries[0].Seq < 3 || err != nil {
					t.Errorf("%+v lists %+v, %v", q, p, err)
				}
			}
			if _, err := audit.Get(tx, 2); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("entry 2: %v", err)
			}
			return nil
		})
	})
	t.Run("signs a log from before signatures", func(t *testing.T) {
		s := old(t, 4)
		prune(t, s, 1, 2)
		if v := holds(t, s, audit.Check{}); v.First != 3 || v.SignedUpTo != 4 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("confirms a known head at or behind its end, and says of one before that it was pruned", func(t *testing.T) {
		s := fresh(t)
		all := days(t, s, 0, 1, 2, 3)
		prune(t, s, 2, 100)
		for _, e := range all[1:] {
			holds(t, s, audit.Check{Head: head(e)})
			holds(t, s, audit.Check{Head: &audit.KnownHead{Hash: e.Hash}})
		}
		if _, err := verify(t, s, audit.Check{Head: head(all[0])}); !errors.Is(err, audit.ErrPruned) {
			t.Error(err)
		}
		if _, err := verify(t, s, audit.Check{Head: &audit.KnownHead{Hash: all[0].Hash}}); !errors.Is(err, audit.ErrNoSuchHead) {
			t.Error(err)
		}
		_, err := verify(t, s, audit.Check{Head: &audit.KnownHead{Seq: 2, Hash: all[0].Hash}})
		brokenAt(t, err, 2)
	})

	anchors := store.NewBucket[audit.Anchor]("audit-anchor")
	anchor := func(change func(*audit.Anchor)) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			a, err := anchors.Get(tx, []byte("anchor"))
			change(&a)
			return errors.Join(err, anchors.Put(tx, []byte("anchor"), a))
		}
	}
	for _, c := range []struct {
		name   string
		want   uint64
		tamper func(*store.Tx) error
	}{
		{"a forged hash", 2, anchor(func(a *audit.Anchor) { a.Hash[0] ^= 1 })},
		{"a forged time", 2, anchor(func(a *audit.Anchor) { a.Time = a.Time.Add(time.Hour) })},
		{"a forged count", 2, anchor(func(a *audit.Anchor) { a.Pruned-- })},
		{"a forged signature", 2, anchor(func(a *audit.Anchor) { a.Signature[0] ^= 1 })},
		{"a forged number", 3, anchor(func(a *audit.Anchor) { a.Seq, a.Pruned = 3, 3 })},
		{"the anchor gone", 1, func(tx *store.Tx) error { return anchors.Delete(tx, []byte("anchor")) }},
		{"one entry more removed", 3, func(tx *store.Tx) error { return entries.Delete(tx, key(3)) }},
		{"all others removed", 3, func(tx *store.Tx) error {
			var err error
			for seq := uint64(3); seq < 6; seq++ {
				err = errors.Join(err, entries.Delete(tx, key(seq)), seals.Delete(tx, key(seq)))
			}
			return err
		}},
		{"a pruned entry put back", 2, func(tx *store.Tx) error {
			e, err := entries.Get(tx, key(3))
			return errors.Join(err, entries.Put(tx, key(2), e))
		}},
		{"the first entry that is left made anew", 4, func(tx *store.Tx) error {
			return edit(tx, 3, true, func(f map[string]any) { f["user"] = "eve" })
		}},
		{"the first entry that is left chained to another", 3, func(tx *store.Tx) error {
			return edit(tx, 3, true, func(f map[string]any) { f["prev"] = audit.Sum{} })
		}},
	} {
		t.Run("leaves what shows "+c.name, func(t *testing.T) {
			s := fresh(t)
			days(t, s, 0, 1, 2, 3)
			update(t, s, func(tx *store.Tx) error { return appendAll(tx, full("r", 1)) })
			prune(t, s, 2, 100)
			holds(t, s, audit.Check{})
			if c.want == 4 { // the forger mends the signature's absence by removing it
				update(t, s, func(tx *store.Tx) error { return seals.Delete(tx, key(3)) })
			}
			update(t, s, c.tamper)
			_, err := verify(t, s, audit.Check{})
			brokenAt(t, err, c.want)
		})
	}
	for _, c := range []struct {
		name   string
		want   uint64
		tamper func(*store.Tx) error
	}{
		{"changed", 2, func(tx *store.Tx) error { return edit(tx, 2, false, func(f map[string]any) { f["user"] = "eve" }) }},
		{"replaced", 3, func(tx *store.Tx) error { return edit(tx, 2, true, func(f map[string]any) { f["user"] = "eve" }) }},
		{"removed", 2, func(tx *store.Tx) error { return entries.Delete(tx, key(2)) }},
		{"damaged", 2, func(tx *store.Tx) error { return store.NewBucket[string]("audit").Put(tx, key(2), "gone") }},
	} {
		t.Run("throws away nothing that shows that an entry was "+c.name, func(t *testing.T) {
			s := fresh(t)
			days(t, s, 0, 1, 2, 3)
			update(t, s, c.tamper)
			err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := audit.Prune(tx, noon.AddDate(1, 0, 0), 100); return err })
			brokenAt(t, err, c.want)
		})
	}
}
