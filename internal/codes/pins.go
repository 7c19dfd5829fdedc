package codes

import (
	"context"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/store"
)

// pin says that an account stands first; by the account's id.
type pin struct{}

var pins = store.NewBucket[pin]("account-pins")

// maxPins bounds what is kept, also of accounts that are on no card any more.
const maxPins = 2 * account.Max

// Pin has an account that is here now stand before others, or one that was pinned, wherever it is now, no more.
func (b *Book) Pin(ctx context.Context, id string, first bool) error {
	all, err := b.pinned()
	if err != nil {
		return err
	}
	if !all[id] {
		if err := b.here(ctx, id); err != nil {
			return err
		}
	}
	return b.Store.Update(ctx, func(tx *store.Tx) error {
		if first {
			all, err := pinnedIDs(tx)
			if err != nil {
				return err
			}
			if len(all) >= maxPins && !all[id] {
				return ErrPins
			}
		}
		return setPin(tx, id, first)
	})
}

// here fails unless an account is in the vault, or on a card that is in a reader and open.
func (b *Book) here(ctx context.Context, id string) error {
	on, raw, ok := splitID(id)
	if !ok {
		return b.Store.View(func(tx *store.Tx) error { _, err := account.Get(tx, id); return err })
	}
	found, err := b.lookFor(ctx, on)
	if err != nil {
		return err
	}
	_, a, err := b.accountOn(found, on, raw)
	clear(a.Code)
	return err
}

// pinned gives the ids of accounts that stand first.
func (b *Book) pinned() (ids map[string]bool, err error) {
	err = b.Store.View(func(tx *store.Tx) (err error) {
		ids, err = pinnedIDs(tx)
		return err
	})
	return ids, err
}

func pinnedIDs(tx *store.Tx) (map[string]bool, error) {
	ids := map[string]bool{}
	for item, err := range pins.All(tx, nil) {
		if err != nil {
			return nil, err
		}
		ids[string(item.Key)] = true
	}
	return ids, nil
}

func setPin(tx *store.Tx, id string, first bool) error {
	if first {
		return pins.Put(tx, []byte(id), pin{})
	}
	return pins.Delete(tx, []byte(id))
}

func movePin(tx *store.Tx, from, to string) error {
	has, err := pins.Has(tx, []byte(from))
	if err != nil || !has {
		return err
	}
	if err := setPin(tx, from, false); err != nil {
		return err
	}
	return setPin(tx, to, true)
}
