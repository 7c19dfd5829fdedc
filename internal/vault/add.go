package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// SlotSpec is a slot to add.
type SlotSpec struct {
	Type SlotType
	Name string // the type's own if empty
	// Passphrase of a TypePassphrase slot; the caller wipes it.
	Passphrase *secret.Secret
	// Tap of a TypeSecurityKey slot, and what the key gave for it; the caller wipes that.
	Tap   Tap
	Given *secret.Secret
}

// PrepareAdd prepares one more slot. An automatic slot takes the place of one of its type whose key is
// gone. It fails with ErrSealed, ErrBadType, ErrBadName, ErrWeak, ErrTooMany, ErrExists, ErrNoRecovery, ErrConflict
// while another change has to do with the same keeper, and with what keepers fail with.
func (v *Vault) PrepareAdd(ctx context.Context, spec SlotSpec) (*Change, error) {
	k, ok := v.kinds[spec.Type]
	if !ok {
		return nil, ErrBadType
	}
	if spec.Name == "" {
		spec.Name = k.title
	}
	if err := checkName(spec.Name); err != nil {
		return nil, err
	}
	data, recs, err := v.loadOpen()
	if err != nil {
		return nil, err
	}
	defer data.Wipe()
	if k.automatic() {
		return v.prepareAddKept(ctx, spec, data, recs)
	}
	if len(recs.entries) >= MaxSlots {
		return nil, ErrTooMany // before Argon2, and not only after
	}
	r, err := v.newRecord(spec.Type, spec.Name)
	if err != nil {
		return nil, err
	}
	var shown *secret.Secret
	if k.tap {
		r, err = v.sealTap(ctx, r, spec, data, recs)
	} else {
		r, shown, err = v.sealPersons(ctx, r, spec.Passphrase, data)
	}
	if err != nil {
		return nil, err
	}
	return &Change{v: v, slot: v.show(r), recovery: shown, checks: newChecks(data), apply: func(tx *store.Tx, recs records) error {
		return add(tx, recs, r)
	}}, nil
}

// prepareAddKept is PrepareAdd for a slot whose key is with a keeper.
func (v *Vault) prepareAddKept(ctx context.Context, spec SlotSpec, data *secret.Secret, recs records) (*Change, error) {
	keeper := v.keeper(spec.Type)
	if keeper == nil {
		return nil, fmt.Errorf("%w here: this fobd keeps no key in a %s", ErrBadType, v.kinds[spec.Type].thing)
	}
	works := func(key *secret.Secret) error {
		for _, e := range recs.of(spec.Type) {
			if e.fault != nil {
				continue
			}
			again, err := v.unseal(ctx, e.record, key, recs.head)
			again.Wipe()
			if err == nil {
				return ErrExists
			}
		}
		return nil
	}
	kept, err := v.keepIn(ctx, keeper, spec.Name, data, works)
	if err != nil {
		return nil, err
	}
	dead := recs.of(spec.Type)
	apply := func(tx *store.Tx, recs records) error {
		for _, e := range recs.of(spec.Type) {
			// A slot that came meanwhile is not known to be dead.
			if !slices.ContainsFunc(dead, e.same) {
				return ErrConflict
			}
			if err := slots.Delete(tx, e.at); err != nil {
				return err
			}
		}
		recs.entries = slices.DeleteFunc(slices.Clone(recs.entries), func(e entry) bool { return e.Type == spec.Type })
		return add(tx, recs, kept.record)
	}
	settle := func(ctx context.Context, committed bool) {
		defer v.release(spec.Type)
		if !committed {
			v.takeBack(ctx, kept)
		}
	}
	return &Change{v: v, slot: v.show(kept.record), checks: newChecks(data), apply: apply, settle: settle}, nil
}

// add puts a record beside those that are there.
func add(tx *store.Tx, recs records, r record) error {
	if len(recs.entries) >= MaxSlots {
		return ErrTooMany
	}
	return slots.Put(tx, r.key(), r)
}

// PrepareChange prepares another passphrase, or another recovery key, for the slot that has one; the
// caller wipes passphrase. It fails with ErrSealed, ErrNotFound, ErrAutomatic or ErrWeak, and with
// ErrDamaged on a slot that can only be removed.
func (v *Vault) PrepareChange(ctx context.Context, id string, passphrase *secret.Secret) (*Change, error) {
	data, recs, err := v.loadOpen()
	if err != nil {
		return nil, err
	}
	defer data.Wipe()
	before, err := recs.find(id)
	switch {
	case err != nil:
		return nil, err
	case before.fault != nil:
		return nil, before.fault
	case !v.kinds[before.Type].typed():
		return nil, ErrAutomatic
	}
	r := before.record
	r.Changed = v.now().UTC()
	r, shown, err := v.sealPersons(ctx, r, passphrase, data)
	if err != nil {
		return nil, err
	}
	return &Change{v: v, slot: v.show(r), recovery: shown, checks: newChecks(data), apply: func(tx *store.Tx, recs records) error {
		switch now, err := recs.find(id); {
		case err != nil:
			return err
		case !now.same(before):
			return ErrConflict
		}
		return slots.Put(tx, r.key(), r)
	}}, nil
}

// MayAddTap fails where a slot for a security key could not be added under a name, before somebody touches one:
// with ErrBadName, ErrSealed, ErrTooMany, and ErrNoRecovery.
func (v *Vault) MayAddTap(name string) error {
	if name != "" {
		if err := checkName(name); err != nil {
			return err
		}
	}
	data, recs, err := v.loadOpen()
	if err != nil {
		return err
	}
	defer data.Wipe()
	if len(recs.entries) >= MaxSlots {
		return ErrTooMany
	}
	return recoverable(recs, data)
}

// recoverable fails with ErrNoRecovery unless a recovery key opens the vault: a security key can be lost.
func recoverable(recs records, data *secret.Secret) error {
	checks := newChecks(data)
	defer checks.wipe()
	for _, e := range recs.of(TypeRecovery) {
		if e.fault == nil && checks.slot(e.record) {
			return nil
		}
	}
	return ErrNoRecovery
}

// sealTap seals data in a record under what a security key gave.
func (v *Vault) sealTap(ctx context.Context, r record, spec SlotSpec, data *secret.Secret, recs records) (record, error) {
	if err := recoverable(recs, data); err != nil {
		return record{}, err
	}
	if r.Tap = spec.Tap.record(); !r.Tap.sound() {
		return record{}, errors.New("cannot make a slot for a security key: what is known of the key is out of bounds")
	}
	return v.seal(ctx, r, spec.Given, data)
}

// sealPersons seals data in a record under a passphrase, or a fresh key of which shown is the text.
func (v *Vault) sealPersons(ctx context.Context, r record, passphrase, data *secret.Secret) (sealed record, shown *secret.Secret, err error) {
	input, shown, err := v.kinds[r.Type].fresh(v.rand, passphrase)
	if err != nil {
		return record{}, nil, err
	}
	defer input.Wipe()
	sealed, err = v.seal(ctx, r, input, data)
	if err != nil {
		shown.Wipe()
		return record{}, nil, err
	}
	return sealed, shown, nil
}
