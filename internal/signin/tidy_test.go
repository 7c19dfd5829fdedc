package signin_test

import (
	"testing"
	"time"

	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

func TestTidy(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		d.remembers(k, from("192.0.2.7", fingerprint))
		r := d.by(sshd, from("192.0.2.8", fingerprint))
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Denied)
		left := func() (grants, waits int) {
			t.Helper()
			err := d.config.Store.View(func(tx *store.Tx) (err error) {
				if grants, err = store.NewBucket[grant.Grant]("grants").Count(tx); err == nil {
					waits, err = store.NewBucket[any]("throttles").Count(tx)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return grants, waits
		}
		for _, tt := range []struct {
			after               time.Duration
			gone, grants, waits int
		}{
			{0, 0, 1, 1}, {time.Minute, 0, 1, 1}, // the next denial would double the wait
			{2 * time.Hour, 1, 1, 0}, {90 * 24 * time.Hour, 1, 0, 0}, {0, 0, 0, 0},
		} {
			time.Sleep(tt.after)
			n, err := d.Tidy(t.Context())
			if grants, waits := left(); err != nil || n != tt.gone || grants != tt.grants || waits != tt.waits {
				t.Errorf("%v later %d are removed, and %d grants and %d waits are left, %v", tt.after, n, grants, waits, err)
			}
		}
	}, k)
}
