package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/store"
)

func TestLogRig(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const entries = 300
	signed, err := writeLog(t.Context(), s, entries)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ownEngine(s, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(context.Background())
	v, err := e.VerifyLog(t.Context(), caller.Caller{UID: firstUID, Door: caller.DoorSocket}, nil, nil)
	if err != nil || v.Receipts != entries || v.Last != entries {
		t.Errorf("the daemon's check of the log gives %+v, %v", v, err)
	}
	if err := signed.check(int(v.Signatures)); err != nil {
		t.Error(err)
	}
	t.Run("the limit checks every signature", func(t *testing.T) {
		for _, n := range []int{0, entries / 2, entries - 1} {
			signed.signed[n].digest[0] ^= 1
			if signed.check(0) == nil {
				t.Errorf("signature %d is not looked at", n)
			}
			signed.signed[n].digest[0] ^= 1
		}
	})
}
