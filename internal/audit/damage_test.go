package audit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

func TestKnownHead(t *testing.T) {
	cutOff := func(tx *store.Tx) error {
		return errors.Join(entries.Delete(tx, key(5)), entries.Delete(tx, key(6)), seals.Delete(tx, key(5)), seals.Delete(tx, key(6)))
	}
	t.Run("shows a cut-off end, which is not found without it", func(t *testing.T) {
		s := fresh(t)
		all := commits(t, s, 6)
		update(t, s, cutOff)
		holds(t, s, audit.Check{})
		_, err := verify(t, s, audit.Check{Head: head(all[5])})
		brokenAt(t, err, 5)
		if _, err := verify(t, s, audit.Check{Head: &audit.KnownHead{Hash: all[5].Hash}}); !errors.Is(err, audit.ErrNoSuchHead) {
			t.Error(err)
		}
		holds(t, s, audit.Check{Head: head(all[3])})
	})
	t.Run("shows an end that was cut off and written anew", func(t *testing.T) {
		s := fresh(t)
		all := commits(t, s, 6)
		update(t, s, cutOff)
		update(t, s, func(tx *store.Tx) error { return appendAll(tx, full("new", 1), full("new", 1)) })
		holds(t, s, audit.Check{})
		_, err := verify(t, s, audit.Check{Head: head(all[5])})
		brokenAt(t, err, 6)
	})
	t.Run("shows an emptied log", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 1)
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(entries.Delete(tx, key(1)), seals.Delete(tx, key(1)), store.NewBucket[any]("audit-key").Delete(tx, []byte("ed25519")))
		})
		holds(t, s, audit.Check{})
		_, err := verify(t, s, audit.Check{Head: head(all[0])})
		brokenAt(t, err, 1)
	})
}

func TestDamagedLog(t *testing.T) {
	t.Run("takes no new entry behind one that cannot be read", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 2)
		update(t, s, func(tx *store.Tx) error { return store.NewBucket[string]("audit").Put(tx, key(2), "gone") })
		err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := audit.Append(tx, full("r", 1)); return err })
		if !errors.Is(err, store.ErrDamaged) {
			t.Error(err)
		}
	})
	t.Run("says that an entry is missing or belongs elsewhere when it is listed", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 4)
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(entries.Delete(tx, key(2)), edit(tx, 3, true, func(f map[string]any) { f["request"] = "r9" }))
		})
		view(t, s, func(tx *store.Tx) error {
			if _, err := audit.List(tx, audit.Query{}); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "entry 2 is missing") {
				t.Error(err)
			}
			if _, err := audit.List(tx, audit.Query{Request: "r1"}); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "entry 3") {
				t.Error(err)
			}
			return nil
		})
	})
}
