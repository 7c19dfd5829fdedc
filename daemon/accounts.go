package daemon

import (
	"fmt"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// accountsOf gives the accounts of a vault to the engine, for their export. Seeds are opened where they are wanted,
// and nowhere else.
func accountsOf(v *vault.Vault) func(*store.Tx, []string, bool) ([]signin.Account, error) {
	return func(tx *store.Tx, ids []string, seeds bool) (out []signin.Account, err error) {
		defer func() {
			if err != nil {
				for _, a := range out {
					a.Seed.Wipe()
				}
				out = nil
			}
		}()
		var sealer *vault.Sealer
		if seeds {
			if sealer, err = v.Sealer(account.Purpose); err != nil {
				return nil, err
			}
		}
		all, err := chosen(tx, ids)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			e := signin.Account{ID: a.ID, Issuer: a.Issuer, Name: a.Name, Params: a.Params, Counter: a.Counter}
			if seeds {
				sealed, err := account.Sealed(tx, a.ID)
				if err != nil {
					return out, err
				}
				if e.Seed, err = sealer.Open([]byte(a.ID), sealed); err != nil {
					return out, err
				}
			}
			out = append(out, e)
		}
		return out, nil
	}
}

// accountsOpen makes sure that a restored vault opens the seeds of all its accounts.
func accountsOpen(tx *store.Tx, opens func(purpose string) (func(name, sealed []byte) bool, error)) error {
	open, err := opens(account.Purpose)
	if err != nil {
		return err
	}
	all, err := account.List(tx)
	if err != nil {
		return err
	}
	for _, a := range all {
		sealed, err := account.Sealed(tx, a.ID)
		if err != nil {
			return err
		}
		if !open([]byte(a.ID), sealed) {
			return fmt.Errorf("%w: the secret of the account %s does not open", store.ErrBadCopy, a.ID)
		}
	}
	return nil
}

// chosen gives the accounts with these ids, or all without any.
func chosen(tx *store.Tx, ids []string) ([]account.Account, error) {
	if len(ids) == 0 {
		return account.List(tx)
	}
	all := make([]account.Account, len(ids))
	for i, id := range ids {
		var err error
		if all[i], err = account.Get(tx, id); err != nil {
			return nil, err
		}
	}
	return all, nil
}
