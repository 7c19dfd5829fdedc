package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// Change is a change of the slots that is ready to be made: what takes long is done. Apply makes it as
// a part of a transaction, and Done must follow in any case. What opened the vault before opens it
// until the transaction is committed.
type Change struct {
	v        *Vault
	slot     Slot
	recovery *secret.Secret
	checks   checks         // of the data key
	adopts   bool           // the vault need not be that of checks yet
	data     *secret.Secret // that is adopted; otherwise nil
	apply    func(tx *store.Tx, recs records) error
	settle   func(ctx context.Context, committed bool) // of keepers and claims
	once     sync.Once
}

// Slot is the slot that is added, changed or removed.
func (c *Change) Slot() Slot { return c.slot }

// Recovery is the recovery key to print, in groups, where the change makes one; otherwise nil. It is
// worth nothing before the commit. The caller wipes it.
func (c *Change) Recovery() *secret.Secret { return c.recovery }

// Apply makes the change in tx, and nothing outside it: it may run more than once. It fails with
// ErrConflict, ErrLastSlot, ErrNotFound or ErrTooMany where the slots are not any more as they were.
func (c *Change) Apply(tx *store.Tx) error {
	if c.adopts {
		recs, err := c.v.scan(tx)
		if err != nil {
			return err
		}
		return c.apply(tx, recs)
	}
	recs, err := c.v.read(tx)
	if err != nil {
		return err
	}
	if !recs.made || !c.checks.header(recs.head) {
		return ErrConflict // another data key was adopted meanwhile
	}
	return c.apply(tx, recs)
}

// Done ends the change after its transaction, or instead of it: committed says whether Update returned
// nil. It removes a removed slot's key from its keeper, or what an addition that was not made had put
// there. It does so also if ctx has ended, since keepers take seconds at most. A second call does
// nothing.
func (c *Change) Done(ctx context.Context, committed bool) {
	c.once.Do(func() {
		if c.settle != nil {
			c.settle(context.WithoutCancel(ctx), committed)
		}
		c.checks.wipe()
	})
}

// loadOpen gives a copy of the data key, which the caller wipes, and the records that belong to it. It
// fails with ErrSealed.
func (v *Vault) loadOpen() (*secret.Secret, records, error) {
	data, err := v.DataKey()
	if err != nil {
		return nil, records{}, err
	}
	recs, err := v.load()
	if err == nil {
		checks := newChecks(data)
		defer checks.wipe()
		if !recs.made || !checks.header(recs.head) {
			err = ErrConflict
		}
	}
	if err != nil {
		data.Wipe()
		return nil, records{}, err
	}
	return data, recs, nil
}

// takeBack removes the key that keepIn has put into a keeper, unless the record that needs it is kept
// after all: an update that failed on a failing disk may have been written.
func (v *Vault) takeBack(ctx context.Context, k keptSlot) {
	if k.put && !v.recorded(k.record) {
		v.deleteKey(ctx, k.keeper)
	}
}

// recorded reports whether the record is kept, or may be.
func (v *Vault) recorded(r record) bool {
	err := v.store.View(func(tx *store.Tx) error {
		now, err := slots.Get(tx, r.key())
		if err == nil && !bytes.Equal(now.Sealed, r.Sealed) {
			return store.ErrNotFound
		}
		return err
	})
	return !errors.Is(err, store.ErrNotFound)
}

func (v *Vault) deleteKey(ctx context.Context, k Keeper) {
	if err := k.Delete(ctx); err != nil {
		v.log.Warn("a key that nothing needs stays", slog.String("place", k.Where()), slog.Any("error", err))
	}
}
