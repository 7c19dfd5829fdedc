package vault

import (
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// What may become of opening the vault and of changing its slots.
var (
	// ErrSealed says that the vault is not open.
	ErrSealed = errors.New("the vault is sealed: open it with “fob vault unlock”")
	// ErrWrongSecret says that a passphrase or a key opens no slot.
	ErrWrongSecret = errors.New("this does not open the vault: check what was typed, and try again")
	// ErrTypo says that a recovery key's checksum is wrong.
	ErrTypo = errors.New("the recovery key has a typing mistake: compare it with the printed one, group by group")
	// ErrNoSlot says that nothing that a person could type opens the vault.
	ErrNoSlot = errors.New("the vault has neither a passphrase nor a recovery key: bring back the key that opened it, or restore a backup")
	// ErrNotFound says that there is no slot with an id.
	ErrNotFound = errors.New("the vault has no such slot: “fob vault slots” lists them")
	// ErrLastSlot says that without a slot nothing would be left that is known to open the vault.
	ErrLastSlot = errors.New("no other slot is known to open the vault: add one before this one is removed")
	// ErrWeak says that a passphrase is too short, or too long to be one.
	ErrWeak = fmt.Errorf("a passphrase has at least %d characters, and at most %d bytes: choose another", minPassphrase, maxPassphrase)
	// ErrTooMany says that there is no room for one more slot.
	ErrTooMany = fmt.Errorf("the vault has %d slots, and there is no room for more: remove one first", MaxSlots)
	// ErrExists says that the automatic slot that was to be added is there, and opens the vault.
	ErrExists = errors.New("the vault has this slot already, and it works: nothing is to be done")
	// ErrBadName says that a slot cannot be called so.
	ErrBadName = errors.New("a slot's name is 1 to 64 printable characters: choose another")
	// ErrBadType says that there is no such type of slot.
	ErrBadType = errors.New("there is no such type of slot")
	// ErrAutomatic says that a slot has nothing that a person types, and could change.
	ErrAutomatic = errors.New("this slot has nothing that could be changed: remove it and add it again")
	// ErrNoRecovery says that a security key may not be the only way to open the vault.
	ErrNoRecovery = errors.New("a security key can be lost, and the vault has no recovery key: make one first with “fob vault slots add recovery”")
	// ErrWrongTap says that what a security key gave does not open its slot.
	ErrWrongTap = errors.New("the key's secret does not open the vault: perhaps the key was reset. Open it another way, and make this one anew")
	// ErrConflict says that another change came in between.
	ErrConflict = errors.New("another change of the vault came in between: look at its slots, and try again")
	// ErrDamaged says that a sealed value does not open, or a slot cannot be read. It wraps
	// store.ErrDamaged.
	ErrDamaged = fmt.Errorf("%w: what the vault has sealed does not open: restore a backup", store.ErrDamaged)
)

// What may become of asking a Keeper.
var (
	// ErrKeeperAway says that a keeper cannot be reached, or not without a person, now.
	ErrKeeperAway = errors.New("cannot be used now")
	// ErrNoKey says that a keeper holds no key.
	ErrNoKey = errors.New("the key is not there")
	// ErrKept says that a keeper holds a key already, which Put never replaces.
	ErrKept = errors.New("there is a key already, and it is not replaced")
)

// errWrongKey says that a key does not open a slot.
var errWrongKey = errors.New("the key there does not open this vault")
