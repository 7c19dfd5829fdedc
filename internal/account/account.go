// Package account keeps the accounts of the vault: the credentials for other sites whose codes Fob gives, as the
// accounts of a card are. Their seeds lie apart from those of tokens, under a key of their own, and an account is never
// a sign-in method.
package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// What a change of the accounts may end in.
var (
	ErrNotFound = errors.New("there is no such account: see “fob accounts”")
	ErrExists   = errors.New("there is an account of this name in the vault already, and it was left as it is")
	ErrBadName  = errors.New("an account has a name, and its issuer and name have at most 64 printable characters each")
	ErrFull     = fmt.Errorf("the vault holds %d accounts, and has no room for more", Max)
	ErrSeed     = fmt.Errorf("an account's secret has 1 to %d bytes", oath.MaxSeed)
)

// Max is how many accounts the vault holds.
const Max = 1000

const maxText = 64 // runes: of issuer and name each

// Account is an account in the vault, without its seed.
type Account struct {
	ID     string `json:"id"`
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	oath.Params
	Counter uint64    `json:"counter,omitempty"` // HOTP: of the next code
	Added   time.Time `json:"added"`
}

// Check fails unless there can be such an account.
func (a Account) Check() error {
	if err := CheckName(a.Issuer, a.Name); err != nil {
		return err
	}
	if a.Counter > oath.MaxCounter || a.Kind == oath.TOTP && a.Counter != 0 {
		return fmt.Errorf("%w: its counter makes no sense", oath.ErrParams)
	}
	return a.Params.Check()
}

// CheckName fails with ErrBadName unless an account can be called so.
func CheckName(issuer, name string) error {
	for _, text := range []string{issuer, name} {
		if utf8.RuneCountInString(text) > maxText || caller.Clean(text).String() != text {
			return ErrBadName
		}
	}
	if name == "" {
		return ErrBadName
	}
	return nil
}

// Purpose names the key under which seeds are sealed (vault.Sealer): one of their own.
const Purpose = "account seeds"

// seed is a seed as it is kept: sealed, with the account's id bound to it.
type seed struct {
	Sealed []byte `json:"sealed"`
}

// Both buckets hold by id.
var (
	accounts = store.NewBucket[Account]("accounts")
	seeds    = store.NewBucket[seed]("account-seeds")
)

// List gives all accounts, by issuer and name.
func List(tx *store.Tx) ([]Account, error) {
	var all []Account
	for item, err := range accounts.All(tx, nil) {
		if err != nil {
			return nil, err
		}
		all = append(all, item.Value)
	}
	slices.SortFunc(all, func(a, b Account) int {
		return strings.Compare(strings.ToLower(a.Issuer+"\x00"+a.Name), strings.ToLower(b.Issuer+"\x00"+b.Name))
	})
	return all, nil
}

// Get gives an account, or ErrNotFound.
func Get(tx *store.Tx, id string) (Account, error) {
	if id == "" {
		return Account{}, ErrNotFound
	}
	a, err := accounts.Get(tx, []byte(id))
	return a, orNotFound(err)
}

// Sealed gives an account's seed as it is kept, or ErrNotFound.
func Sealed(tx *store.Tx, id string) ([]byte, error) {
	s, err := seeds.Get(tx, []byte(id))
	return s.Sealed, orNotFound(err)
}

// Add puts an account and its sealed seed into the vault. It fails with ErrExists where one has its issuer and name.
func Add(tx *store.Tx, a Account, sealed []byte) error {
	if err := a.Check(); err != nil {
		return err
	}
	if err := Free(tx, a.Issuer, a.Name); err != nil {
		return err
	}
	return errors.Join(accounts.Put(tx, []byte(a.ID), a), seeds.Put(tx, []byte(a.ID), seed{sealed}))
}

// Rename gives an account another issuer and name.
func Rename(tx *store.Tx, id, issuer, name string) (Account, error) {
	a, err := Get(tx, id)
	if err != nil {
		return a, err
	}
	if err := CheckName(issuer, name); err != nil {
		return a, err
	}
	if err := free(tx, id, issuer, name); err != nil {
		return a, err
	}
	a.Issuer, a.Name = issuer, name
	return a, accounts.Put(tx, []byte(id), a)
}

// Use gives the counter of an HOTP account's next code, and keeps that it is used.
func Use(tx *store.Tx, id string) (uint64, error) {
	a, err := Get(tx, id)
	if err != nil {
		return 0, err
	}
	n := a.Counter
	a.Counter++
	return n, accounts.Put(tx, []byte(id), a)
}

// Delete removes an account and its seed for good.
func Delete(tx *store.Tx, id string) error {
	if _, err := Get(tx, id); err != nil {
		return err
	}
	return errors.Join(accounts.Delete(tx, []byte(id)), seeds.Delete(tx, []byte(id)))
}

// Code makes the code of an account: at a time, or for HOTP of a counter that Use gave.
func (a Account) Code(seed *secret.Secret, now time.Time, counter uint64) (*secret.Secret, error) {
	if a.Kind == oath.TOTP {
		counter = uint64(max(now.Unix(), 0)) / uint64(a.Period)
	}
	return oath.Generate(a.Params, seed, counter)
}

// Free fails with ErrExists where an account has the issuer and name, without regard to case, and with ErrFull where
// there is no room for another.
func Free(tx *store.Tx, issuer, name string) error { return free(tx, "", issuer, name) }

// free is Free for the account of an id, which may have the name itself.
func free(tx *store.Tx, id, issuer, name string) error {
	all, err := List(tx)
	if err != nil {
		return err
	}
	n := 0
	for _, a := range all {
		if a.ID == id {
			continue
		}
		n++
		if strings.EqualFold(a.Issuer, issuer) && strings.EqualFold(a.Name, name) {
			return ErrExists
		}
	}
	if n >= Max {
		return ErrFull
	}
	return nil
}

func orNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
