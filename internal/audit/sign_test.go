package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

func TestSignatures(t *testing.T) {
	one := func(request string) func(*store.Tx) error {
		return func(tx *store.Tx) error { return appendAll(tx, full(request, 1)) }
	}

	t.Run("are over what the documentation says", func(t *testing.T) {
		s := fresh(t)
		e := fill(t, s, 2)[1]
		message := binary.BigEndian.AppendUint64([]byte("fob log v1\x00"+s.InstanceID()+"\x00"), 2)
		message = append(message, e.Hash[:]...)
		view(t, s, func(tx *store.Tx) error {
			public, err := audit.PublicKey(tx)
			sig, err2 := seals.Get(tx, key(2))
			if err == nil && !ed25519.Verify(public, message, sig.Signature) {
				t.Error("the signature is over something else")
			}
			return errors.Join(err, err2)
		})
	})
	t.Run("are one for a commit", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 5)
		commits(t, s, 2)
		var at []string
		view(t, s, func(tx *store.Tx) error {
			for item, err := range seals.All(tx, nil) {
				if err != nil {
					return err
				}
				at = append(at, fmt.Sprint(binary.BigEndian.Uint64(item.Key)))
			}
			return nil
		})
		if fmt.Sprint(at) != "[5 6 7]" {
			t.Errorf("they are at %v", at)
		}
	})
	t.Run("stand when calls that fail and calls that do not come together", func(t *testing.T) {
		s := fresh(t)
		errBad := errors.New("bad")
		var wg sync.WaitGroup
		for client := range 16 {
			wg.Go(func() {
				for i := range 10 {
					err := s.Update(context.Background(), func(tx *store.Tx) error {
						if err := one(fmt.Sprint(client, i))(tx); err != nil {
							return err
						}
						switch client % 8 {
						case 6:
							return errBad
						case 7:
							panic("bad")
						}
						return nil
					})
					if (err != nil) != (client%8 > 5) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if v := holds(t, s, audit.Check{}); v.Last != 120 || v.SignedUpTo != 120 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("stay good when the database is opened again", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		var keys [][]byte
		for range 2 {
			s, err := store.Open(path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			update(t, s, one("r"))
			keys = append(keys, holds(t, s, audit.Check{}).Key)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(keys[0], keys[1]) {
			t.Error("the key changed")
		}
	})
	t.Run("cover a log from before them with its next entry", func(t *testing.T) {
		s := old(t, 4)
		if _, err := verify(t, s, audit.Check{}); !errors.Is(err, audit.ErrUnsigned) {
			t.Errorf("before: %v", err)
		}
		view(t, s, verifyTx)
		update(t, s, one("r"))
		if v := holds(t, s, audit.Check{}); v.First != 1 || v.SignedUpTo != 5 || v.Signatures != 1 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("find a break in a log from before them", func(t *testing.T) {
		s := old(t, 4)
		update(t, s, func(tx *store.Tx) error { return edit(tx, 2, true, func(f map[string]any) { f["user"] = "eve" }) })
		_, err := verify(t, s, audit.Check{})
		brokenAt(t, err, 3)
	})
	t.Run("are the copy's where a backup is restored, in its instance's name", func(t *testing.T) {
		from, to := fresh(t), fresh(t)
		fill(t, from, 3)
		known := holds(t, from, audit.Check{}).Key
		commits(t, to, 5)
		c, err := from.Copy()
		if err != nil {
			t.Fatal(err)
		}
		err = to.Replace(t.Context(), c, func(*store.Tx) error { return nil }, func(tx *store.Tx) error {
			_, err := audit.VerifyTx(tx)
			return errors.Join(err, one("restored")(tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		if v := holds(t, to, audit.Check{Instance: from.InstanceID(), Key: known}); v.Last != 4 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("are refused, and the entry with them, where the key is damaged", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 1)
		update(t, s, func(tx *store.Tx) error {
			return store.NewBucket[map[string][]byte]("audit-key").Put(tx, []byte("ed25519"), map[string][]byte{"private": {1}})
		})
		if err := s.Update(t.Context(), one("r")); !errors.Is(err, store.ErrDamaged) {
			t.Error(err)
		}
	})
}

// old is a store with a log of n entries as it was before logs were signed.
func old(t testing.TB, n int) *store.Store {
	t.Helper()
	s := fresh(t)
	fill(t, s, n)
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(seals.Delete(tx, key(uint64(n))), store.NewBucket[any]("audit-key").Delete(tx, []byte("ed25519")))
	})
	return s
}
