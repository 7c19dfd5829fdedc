package vault

import (
	"context"
	"slices"

	"github.com/fobproject/fob/internal/store"
)

// PrepareRemove prepares that a slot goes. It fails with ErrSealed and ErrNotFound; with ErrLastSlot if
// none of the others is typed by a person or is automatic and opens the vault now; and with ErrConflict while
// another change has to do with the same keeper.
func (v *Vault) PrepareRemove(ctx context.Context, id string) (*Change, error) {
	data, recs, err := v.loadOpen()
	if err != nil {
		return nil, err
	}
	defer data.Wipe()
	gone, err := recs.find(id)
	if err != nil {
		return nil, err
	}
	checks := newChecks(data)
	// An automatic slot is worth its key, and the key may be gone: it counts if it was seen to work.
	var working []entry
	if !v.remains(recs, checks, gone, nil) {
		working, err = v.working(ctx, recs)
		if err == nil && !v.remains(recs, checks, gone, working) {
			err = ErrLastSlot
		}
	}
	keeper := v.keeper(gone.Type)
	if err == nil && keeper != nil {
		err = v.claim(gone.Type)
	}
	if err != nil {
		checks.wipe()
		return nil, err
	}
	apply := func(tx *store.Tx, recs records) error {
		now, err := recs.find(id)
		switch {
		case err != nil:
			return err
		case !now.same(gone):
			return ErrConflict
		case len(recs.entries) == 1:
			return ErrLastSlot
		case !v.remains(recs, checks, gone, working):
			return ErrConflict
		}
		return slots.Delete(tx, now.at)
	}
	settle := func(ctx context.Context, committed bool) {
		if keeper == nil {
			return
		}
		defer v.release(gone.Type)
		if committed && !v.needed(gone.Type) {
			v.deleteKey(ctx, keeper)
		}
	}
	return &Change{v: v, slot: v.showEntry(gone), checks: checks, apply: apply, settle: settle}, nil
}

// working gives the automatic slots that open the vault now.
func (v *Vault) working(ctx context.Context, recs records) ([]entry, error) {
	var working []entry
	for _, k := range v.keepers {
		for _, e := range recs.of(k.Type()) {
			data, err := v.openKept(ctx, k, e, recs.head)
			data.Wipe()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil {
				working = append(working, e)
			}
		}
	}
	return working, nil
}

// remains reports whether a slot other than gone holds the data key for certain: one that a person types,
// or an automatic one among working. A security key may be lost by now.
func (v *Vault) remains(recs records, c checks, gone entry, working []entry) bool {
	return slices.ContainsFunc(recs.entries, func(e entry) bool {
		if e.same(gone) || e.fault != nil || !c.slot(e.record) {
			return false
		}
		return v.kinds[e.Type].typed() || slices.ContainsFunc(working, e.same)
	})
}

// needed reports whether a slot of the type is kept, or may be.
func (v *Vault) needed(t SlotType) bool {
	recs, err := v.load()
	return err != nil || len(recs.of(t)) > 0
}
