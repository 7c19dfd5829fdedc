package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/store"
)

// stored is an entry as an intruder who can write the file sees it.
type stored struct {
	Hash  string          `json:"hash"`
	Entry json.RawMessage `json:"entry"`
}

var entries = store.NewBucket[stored]("audit")

// edit changes fields of entry seq; with rehash the intruder also mends its own hash.
func edit(tx *store.Tx, seq uint64, rehash bool, change func(map[string]any)) error {
	r, err := entries.Get(tx, key(seq))
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(r.Entry, &fields); err != nil {
		return err
	}
	change(fields)
	if r.Entry, err = json.Marshal(fields); err != nil {
		return err
	}
	if rehash {
		r.Hash = fmt.Sprintf("%x", sha256.Sum256(r.Entry))
	}
	return entries.Put(tx, key(seq), r)
}

func brokenAt(t *testing.T, err error, seq uint64) {
	t.Helper()
	var broken *audit.BrokenError
	if !errors.As(err, &broken) {
		t.Fatalf("it is not found: %v", err)
	}
	if broken.Seq != seq {
		t.Fatalf("it is found at entry %d, not %d: %v", broken.Seq, seq, err)
	}
}

// verifyTx is VerifyTx for tests that want the error alone.
func verifyTx(tx *store.Tx) error { _, err := audit.VerifyTx(tx); return err }

// verify verifies in both ways, which must agree where c is zero.
func verify(t testing.TB, s *store.Store, c audit.Check) (audit.Verdict, error) {
	t.Helper()
	v, err := audit.Verify(context.Background(), s, c)
	if c.Head == nil && c.Key == nil && c.Assertion == nil && !errors.Is(err, audit.ErrUnsigned) && !errors.Is(err, audit.ErrOtherInstance) {
		if other := s.View(verifyTx); fmt.Sprint(err) != fmt.Sprint(other) {
			t.Errorf("Verify says %v, VerifyTx %v", err, other)
		}
	}
	return v, err
}

// holds fails the test unless the log verifies.
func holds(t testing.TB, s *store.Store, c audit.Check) audit.Verdict {
	t.Helper()
	v, err := verify(t, s, c)
	if err != nil {
		t.Error(err)
	}
	return v
}

// head is an entry's number and hash, as noted elsewhere.
func head(e audit.Entry) *audit.KnownHead { return &audit.KnownHead{Seq: e.Seq, Hash: e.Hash} }

// seal is a signature as an intruder sees it.
type seal struct {
	Signature []byte `json:"signature"`
}

var seals = store.NewBucket[seal]("audit-signatures")

// commits appends n entries, each in a commit of its own.
func commits(t testing.TB, s *store.Store, n int) (all []audit.Entry) {
	t.Helper()
	for range n {
		all = append(all, fill(t, s, 1)...)
	}
	return all
}

func TestVerify(t *testing.T) {
	t.Run("finds nothing wrong in a log that nobody touched", func(t *testing.T) {
		s := fresh(t)
		all := append(fill(t, s, 6), commits(t, s, 3)...)
		v := holds(t, s, audit.Check{Instance: s.InstanceID()})
		want := audit.Verdict{First: 1, Last: 9, Head: all[8].Hash, Signatures: 4, SignedUpTo: 9, Key: v.Key}
		if !reflect.DeepEqual(v, want) || len(v.Key) != ed25519.PublicKeySize {
			t.Errorf("got %+v, want %+v", v, want)
		}
		for _, e := range all {
			holds(t, s, audit.Check{Head: head(e), Key: v.Key})
			holds(t, s, audit.Check{Head: &audit.KnownHead{Hash: e.Hash}})
		}
		holds(t, s, audit.Check{Head: &audit.KnownHead{}})
	})
	t.Run("accepts an empty log", func(t *testing.T) {
		if v := holds(t, fresh(t), audit.Check{Head: &audit.KnownHead{}}); !reflect.DeepEqual(v, audit.Verdict{}) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("says that a log is another instance's", func(t *testing.T) {
		if _, err := verify(t, fresh(t), audit.Check{Instance: "00"}); !errors.Is(err, audit.ErrOtherInstance) {
			t.Error(err)
		}
	})

	t.Run("names the entry in which any one field was changed", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 4)
		var names []string
		view(t, s, func(tx *store.Tx) error {
			r, err := entries.Get(tx, key(2))
			if err != nil {
				return err
			}
			var fields map[string]any
			if err := json.Unmarshal(r.Entry, &fields); err != nil {
				return err
			}
			names = slices.Sorted(maps.Keys(fields))
			return nil
		})
		if len(names) != 26 {
			t.Fatalf("the entry has %d fields: %v", len(names), names)
		}
		for _, name := range names {
			for _, rehash := range []bool{false, true} {
				for _, seq := range []uint64{1, 2, 4} {
					err := s.Update(t.Context(), func(tx *store.Tx) error {
						if err := edit(tx, seq, rehash, func(f map[string]any) { f[name] = other(f[name]) }); err != nil {
							return err
						}
						return errors.Join(errUndo, verifyTx(tx))
					})
					want := seq
					if rehash && seq < 4 && !slices.Contains([]string{"seq", "prev", "request", "uid"}, name) {
						want++ // the entry holds together, the next does not follow from it
					}
					brokenAt(t, err, want)
				}
			}
		}
	})

	for _, c := range []struct {
		name   string
		want   uint64
		tamper func(*store.Tx) error
	}{
		{"a removed entry", 3, func(tx *store.Tx) error { return entries.Delete(tx, key(3)) }},
		{"a removed beginning", 1, func(tx *store.Tx) error { return errors.Join(entries.Delete(tx, key(1)), entries.Delete(tx, key(2))) }},
		{"two that changed places", 2, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(2))
			b, err2 := entries.Get(tx, key(3))
			return errors.Join(err, err2, entries.Put(tx, key(2), b), entries.Put(tx, key(3), a))
		}},
		{"an inserted entry 0", 0, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(1))
			return errors.Join(err, entries.Put(tx, key(0), a))
		}},
		{"an entry added at the end by hand", 7, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(6))
			return errors.Join(err, entries.Put(tx, key(7), a), edit(tx, 7, true, func(f map[string]any) { f["seq"], f["prev"] = 7, a.Hash }))
		}},
		{"a key that is no number", 2, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(1))
			return errors.Join(err, entries.Put(tx, append(key(1), 0), a))
		}},
		{"a key that is no number at the end", 7, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(1))
			return errors.Join(err, entries.Put(tx, append(key(6), 0), a))
		}},
		{"an entry that is no JSON", 2, func(tx *store.Tx) error {
			return store.NewBucket[string]("audit").Put(tx, key(2), "gone")
		}},
		{"an entry without content", 2, func(tx *store.Tx) error {
			return entries.Put(tx, key(2), stored{Hash: fmt.Sprintf("%x", sha256.Sum256([]byte("null"))), Entry: json.RawMessage("null")})
		}},
		{"an entry taken from its request's index", 5, func(tx *store.Tx) error {
			return store.NewBucket[struct{}]("audit-by-request").Delete(tx, append([]byte("\x00\x02r2"), key(5)...))
		}},
		{"an entry taken from its user's index", 5, func(tx *store.Tx) error {
			return store.NewBucket[struct{}]("audit-by-user").Delete(tx, append([]byte{0, 0, 3, 0xe8}, key(5)...))
		}},
		{"a chain forked off and made anew without its end", 5, func(tx *store.Tx) error {
			// Entry 4 is replaced by another that follows from entry 3 as well.
			return edit(tx, 4, true, func(f map[string]any) { f["decision"] = "denied" })
		}},
		{"the first of two changes", 2, func(tx *store.Tx) error {
			return errors.Join(edit(tx, 2, false, func(f map[string]any) { f["user"] = "eve" }), edit(tx, 4, false, func(f map[string]any) { f["user"] = "eve" }))
		}},
		{"a last entry that was made anew with its hash", 6, func(tx *store.Tx) error {
			return edit(tx, 6, true, func(f map[string]any) { f["decision"] = "denied" })
		}},
		{"an end that was cut off while its signature was left", 5, func(tx *store.Tx) error {
			return errors.Join(entries.Delete(tx, key(5)), entries.Delete(tx, key(6)))
		}},
		{"an end that was cut off in the middle of a commit", 4, func(tx *store.Tx) error {
			return errors.Join(entries.Delete(tx, key(5)), entries.Delete(tx, key(6)), seals.Delete(tx, key(6)))
		}},
		{"a log that was emptied, but for its key", 1, func(tx *store.Tx) error {
			var err error
			for seq := range uint64(7) {
				err = errors.Join(err, entries.Delete(tx, key(seq+1)), seals.Delete(tx, key(seq+1)))
			}
			return err
		}},
		{"the newest signature removed", 4, func(tx *store.Tx) error { return seals.Delete(tx, key(6)) }},
		{"all signatures removed", 1, func(tx *store.Tx) error { return errors.Join(seals.Delete(tx, key(3)), seals.Delete(tx, key(6))) }},
		{"a signature taken from another entry", 3, func(tx *store.Tx) error {
			v, err := seals.Get(tx, key(6))
			return errors.Join(err, seals.Put(tx, key(3), v))
		}},
		{"a forged signature", 6, func(tx *store.Tx) error {
			v, err := seals.Get(tx, key(6))
			v.Signature[7] ^= 1
			return errors.Join(err, seals.Put(tx, key(6), v))
		}},
		{"a signature that cannot be read", 6, func(tx *store.Tx) error {
			return store.NewBucket[int]("audit-signatures").Put(tx, key(6), 1)
		}},
		{"a signature of something that is no entry yet", 7, func(tx *store.Tx) error {
			v, err := seals.Get(tx, key(6))
			return errors.Join(err, seals.Put(tx, key(9), v))
		}},
		{"the removed key", 3, func(tx *store.Tx) error { return store.NewBucket[any]("audit-key").Delete(tx, []byte("ed25519")) }},
		{"an anchor that nobody signed", 2, func(tx *store.Tx) error {
			// The beginning is removed as if it had been pruned.
			r, err := entries.Get(tx, key(2))
			return errors.Join(err, entries.Delete(tx, key(1)), entries.Delete(tx, key(2)),
				store.NewBucket[map[string]any]("audit-anchor").Put(tx, []byte("anchor"), map[string]any{"seq": 2, "hash": r.Hash, "time": noon, "pruned": 2}))
		}},
	} {
		t.Run("finds "+c.name, func(t *testing.T) {
			s := fresh(t)
			fill(t, s, 3)
			update(t, s, func(tx *store.Tx) error { return appendAll(tx, full("r2", 1001), full("r2", 1000), full("r3", 1001)) })
			update(t, s, c.tamper)
			_, err := verify(t, s, audit.Check{})
			brokenAt(t, err, c.want)
		})
	}

	t.Run("lets pass that a signature is gone behind which there is another", func(t *testing.T) {
		s := fresh(t)
		commits(t, s, 4)
		update(t, s, func(tx *store.Tx) error { return seals.Delete(tx, key(2)) })
		if v := holds(t, s, audit.Check{}); v.Signatures != 3 || v.SignedUpTo != 4 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("finds signatures of another instance and of another key", func(t *testing.T) {
		s, elsewhere := fresh(t), fresh(t)
		fill(t, s, 2)
		fill(t, elsewhere, 2)
		v := holds(t, elsewhere, audit.Check{})
		_, err := verify(t, s, audit.Check{Key: v.Key})
		brokenAt(t, err, 2)
		// With the other's key and signature for the very same entries the instance's id still differs.
		c, err := elsewhere.Copy()
		if err != nil {
			t.Fatal(err)
		}
		c.Instance = s.InstanceID()
		nothing := func(*store.Tx) error { return nil }
		if err := s.Replace(t.Context(), c, nothing, nothing); err != nil {
			t.Fatal(err)
		}
		_, err = verify(t, s, audit.Check{})
		brokenAt(t, err, 2)
	})
	t.Run("finds a log made anew by who lacks the key that is known", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 3)
		known := holds(t, s, audit.Check{}).Key
		update(t, s, func(tx *store.Tx) error {
			err := store.NewBucket[any]("audit-key").Delete(tx, []byte("ed25519"))
			for seq := range uint64(3) {
				err = errors.Join(err, entries.Delete(tx, key(seq+1)))
			}
			return errors.Join(err, appendAll(tx, full("r0", 1000), full("r0", 1000), full("r0", 1000)))
		})
		holds(t, s, audit.Check{})
		_, err := verify(t, s, audit.Check{Key: known})
		brokenAt(t, err, 3)
	})
	t.Run("finds a bad receipt, and tells why", func(t *testing.T) {
		s := fresh(t)
		by := newKey(t)
		update(t, s, func(tx *store.Tx) error {
			good, bad := signedBy(t, by, "r1"), signedBy(t, by, "r2")
			bad.Receipt.Signature = good.Receipt.Signature
			plain := full("r3", 1)
			plain.Receipt = nil
			return appendAll(tx, good, plain, bad, good, bad)
		})
		_, err := verify(t, s, audit.Check{Assertion: checkReceipt})
		brokenAt(t, err, 3)
		if !errors.Is(err, fido.ErrBadSignature) || !strings.Contains(err.Error(), "receipt") {
			t.Errorf("it says %v", err)
		}
		if v := holds(t, s, audit.Check{}); v.Receipts != 0 {
			t.Errorf("got %+v", v)
		}
		update(t, s, func(tx *store.Tx) error { return edit(tx, 2, false, func(f map[string]any) { f["user"] = "eve" }) })
		_, err = verify(t, s, audit.Check{Assertion: checkReceipt})
		brokenAt(t, err, 2)
	})
	t.Run("finds a bad receipt before and behind other breaks", func(t *testing.T) {
		s := fresh(t)
		all := commits(t, s, 6)
		update(t, s, func(tx *store.Tx) error {
			v, err := seals.Get(tx, key(1))
			return errors.Join(err, seals.Put(tx, key(3), v), edit(tx, 5, false, func(f map[string]any) { f["user"] = "eve" }))
		})
		for bad, want := range map[uint64]uint64{2: 2, 3: 3, 4: 3, 6: 3} {
			_, err := verify(t, s, audit.Check{Assertion: func(e audit.Entry) error {
				if !reflect.DeepEqual(e, all[e.Seq-1]) {
					t.Errorf("it is given %+v", e)
				}
				if e.Seq == bad {
					return errors.New("bad")
				}
				return nil
			}})
			brokenAt(t, err, want)
		}
	})
	t.Run("counts the receipts that hold", func(t *testing.T) {
		s := fresh(t)
		by := newKey(t)
		update(t, s, func(tx *store.Tx) error { return appendAll(tx, signedBy(t, by, "r1"), signedBy(t, by, "r2")) })
		if v := holds(t, s, audit.Check{Assertion: checkReceipt}); v.Receipts != 2 {
			t.Errorf("got %+v", v)
		}
	})
}

func appendAll(tx *store.Tx, all ...audit.Entry) error {
	for _, e := range all {
		if _, err := audit.Append(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// errUndo makes a transaction fail, so that what it tried is not kept.
var errUndo = errors.New("undo")

// other is a value of the same type that differs from v.
func other(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) == 64 {
			return strings.Repeat("0", 63) + "1"
		}
		if when, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return when.Add(time.Second).Format(time.RFC3339Nano)
		}
		return v + "!"
	case float64:
		return v + 1
	case bool:
		return !v
	case []any:
		return append(v, "more")
	default:
		return map[string]any{}
	}
}
