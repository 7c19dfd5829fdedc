package vault

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// PrepareAdopt prepares that the vault takes another data key, that of a backup which the same
// transaction restores: the key goes into an automatic slot of this machine. Of the slots that Apply
// finds, the passphrases, recovery keys and security keys that hold the data key stay; all others go. After Done the
// vault is open with the data key, and Sealers from before fail.
//
// dataKey has 32 bytes, and the caller wipes it. Nobody may seal anything between Apply and Done. It
// fails with ErrConflict while another change has to do with the same keeper, and with what keepers
// fail with if no one takes a key.
func (v *Vault) PrepareAdopt(ctx context.Context, dataKey *secret.Secret) (*Change, error) {
	if dataKey.Len() != keySize {
		return nil, fmt.Errorf("cannot adopt a data key of %d bytes: it has %d", dataKey.Len(), keySize)
	}
	data := secret.New(slices.Clone(dataKey.Reveal()))
	kept, err := v.keep(ctx, data)
	if err != nil {
		data.Wipe()
		return nil, fmt.Errorf("cannot adopt a data key: %w", err)
	}
	head, checks := v.newHeader(data), newChecks(data)
	apply := func(tx *store.Tx, recs records) error {
		if !recs.made || !checks.header(recs.head) {
			if err := headers.Put(tx, headerKey, head); err != nil {
				return err
			}
		}
		for _, e := range recs.entries {
			if e.fault == nil && !v.kinds[e.Type].automatic() && checks.slot(e.record) {
				continue
			}
			if err := slots.Delete(tx, e.at); err != nil {
				return err
			}
		}
		return slots.Put(tx, kept.record.key(), kept.record)
	}
	settle := func(ctx context.Context, committed bool) {
		defer v.release(kept.keeper.Type())
		switch {
		case committed:
			v.replace(data)
			v.log.Info("the vault has taken the data key of a backup", slog.String("key", kept.keeper.Where()))
		case v.recorded(kept.record):
			v.Lock() // the database has the new key after all, or nobody knows: Open will find out
			data.Wipe()
		default:
			v.takeBack(ctx, kept)
			data.Wipe()
		}
	}
	return &Change{v: v, slot: v.show(kept.record), checks: checks, adopts: true, data: data, apply: apply, settle: settle}, nil
}

// Fits fails with ErrDamaged unless the vault that tx holds is one of the change's data key: what is
// sealed in it can be opened after the change.
func (c *Change) Fits(tx *store.Tx) error {
	recs, err := c.v.read(tx)
	if err != nil {
		return err
	}
	if !recs.made || !c.checks.header(recs.head) {
		return ErrDamaged
	}
	return nil
}

// Opens reports whether the data key that is adopted opens what was sealed for a purpose under a name.
// The function that it returns is for one goroutine, until Done.
func (c *Change) Opens(purpose string) (opens func(name, sealed []byte) bool, err error) {
	s, err := c.v.sealerUnder(c.data, purpose)
	if err != nil {
		return nil, err
	}
	return func(name, sealed []byte) bool {
		plain, err := s.Open(name, sealed)
		plain.Wipe()
		return err == nil
	}, nil
}

// replace makes data, which it owns, the key of the vault, and the vault open.
func (v *Vault) replace(data *secret.Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.locks++ // whoever is opening it does so with the key from before
	v.forget()
	v.data, v.last.err = data, nil
}
