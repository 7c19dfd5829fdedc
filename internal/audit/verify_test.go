package audit_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
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

func TestVerify(t *testing.T) {
	verify := func(tx *store.Tx) error { return audit.Verify(tx, 0) }

	t.Run("finds nothing wrong in a log that nobody touched", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 6)
		view(t, s, verify)
		view(t, s, func(tx *store.Tx) error {
			for _, e := range all {
				if err := audit.VerifyHead(tx, e.Seq, e.Hash); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
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
		if len(names) != 22 {
			t.Fatalf("the entry has %d fields: %v", len(names), names)
		}
		for _, name := range names {
			for _, rehash := range []bool{false, true} {
				for _, seq := range []uint64{1, 2, 4} {
					if rehash && seq == 4 && name != "seq" && name != "prev" && name != "request" && name != "uid" {
						continue // the last entry, made anew: VerifyHead's to find
					}
					err := s.Update(t.Context(), func(tx *store.Tx) error {
						if err := edit(tx, seq, rehash, func(f map[string]any) { f[name] = other(f[name]) }); err != nil {
							return err
						}
						return errors.Join(errUndo, audit.Verify(tx, 0))
					})
					want := seq
					if rehash && !slices.Contains([]string{"seq", "prev", "request", "uid"}, name) {
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
		{"a key that is no number", 2, func(tx *store.Tx) error {
			a, err := entries.Get(tx, key(1))
			return errors.Join(err, entries.Put(tx, append(key(1), 0), a))
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
	} {
		t.Run("finds "+c.name, func(t *testing.T) {
			s := fresh(t)
			fill(t, s, 6)
			update(t, s, c.tamper)
			brokenAt(t, s.View(verify), c.want)
		})
	}

	t.Run("verifies the beginning alone where asked to", func(t *testing.T) {
		s := fresh(t)
		fill(t, s, 6)
		update(t, s, func(tx *store.Tx) error { return entries.Delete(tx, key(4)) })
		view(t, s, func(tx *store.Tx) error { return audit.Verify(tx, 3) })
		brokenAt(t, s.View(func(tx *store.Tx) error { return audit.Verify(tx, 4) }), 4)
	})
}

func TestVerifyHead(t *testing.T) {
	cutOff := func(tx *store.Tx) error { return errors.Join(entries.Delete(tx, key(5)), entries.Delete(tx, key(6))) }

	t.Run("finds a cut-off end, which Verify cannot", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 6)
		update(t, s, cutOff)
		view(t, s, func(tx *store.Tx) error { return audit.Verify(tx, 0) })
		brokenAt(t, s.View(func(tx *store.Tx) error { return audit.VerifyHead(tx, 6, all[5].Hash) }), 5)
		view(t, s, func(tx *store.Tx) error { return audit.VerifyHead(tx, 4, all[3].Hash) })
	})
	t.Run("finds an end that was cut off and written anew", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 6)
		update(t, s, cutOff)
		fill(t, s, 2)
		view(t, s, func(tx *store.Tx) error { return audit.Verify(tx, 0) })
		brokenAt(t, s.View(func(tx *store.Tx) error { return audit.VerifyHead(tx, 6, all[5].Hash) }), 6)
	})
	t.Run("finds a last entry that was made anew with its hash", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 6)
		update(t, s, func(tx *store.Tx) error {
			return edit(tx, 6, true, func(f map[string]any) { f["decision"] = "denied" })
		})
		view(t, s, func(tx *store.Tx) error { return audit.Verify(tx, 0) })
		brokenAt(t, s.View(func(tx *store.Tx) error { return audit.VerifyHead(tx, 6, all[5].Hash) }), 6)
	})
	t.Run("finds an emptied log", func(t *testing.T) {
		s := fresh(t)
		all := fill(t, s, 1)
		update(t, s, func(tx *store.Tx) error { return entries.Delete(tx, key(1)) })
		brokenAt(t, s.View(func(tx *store.Tx) error { return audit.VerifyHead(tx, 1, all[0].Hash) }), 1)
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
			if _, _, err := audit.List(tx, audit.Query{}); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "entry 2 is missing") {
				t.Error(err)
			}
			if _, err := audit.ByRequest(tx, "r1"); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "entry 3") {
				t.Error(err)
			}
			return nil
		})
	})
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
	default:
		return map[string]any{}
	}
}
