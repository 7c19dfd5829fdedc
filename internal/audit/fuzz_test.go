package audit_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

// FuzzRecord puts any JSON in the place of entry 2: reading it, and adding behind it, gives an error or
// what stands there, and Verify finds it unless it was not changed.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`null`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"hash":"00","entry":{}}`))
	f.Add([]byte(`{"hash":null,"entry":{"seq":2,"prev":""}}`))
	f.Add([]byte(`{"hash":"` + string(make([]byte, 64)) + `","entry":{"seq":2,"time":"x"}}`))
	f.Add([]byte(`{"entry":{"seq":2,"time":"2026-01-01T00:00:00Z","receipt":{"signature":"!"}}}`))
	s := fresh(f)
	fill(f, s, 3)
	raw := store.NewBucket[json.RawMessage]("audit")
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			t.Skip("the store lets through JSON only")
		}
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			if err := raw.Put(tx, key(2), b); err != nil {
				return err
			}
			e, err := audit.Get(tx, 2)
			if err == nil && e.Seq != 2 {
				t.Errorf("entry 2 is %+v", e)
			}
			var broken *audit.BrokenError
			if err := verifyTx(tx); !errors.As(err, &broken) || broken.Seq != 2 && broken.Seq != 3 {
				t.Errorf("Verify gave %v", err)
			}
			if err := raw.Delete(tx, key(3)); err != nil {
				return err
			}
			if e, err := audit.Append(tx, full("r", 1)); err == nil && e.Seq != 3 {
				t.Errorf("entry 3 is %+v", e)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) && !errors.Is(err, store.ErrDamaged) {
			t.Error(err)
		}
	})
}
