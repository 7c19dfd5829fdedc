package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/secret"
)

// Keeper holds the key of an automatic slot outside the database: one key of 32 bytes. Its methods
// return by ctx's end, and within some seconds by themselves; they never wait for a person. Their
// errors do not repeat Where.
type Keeper interface {
	Type() SlotType
	// Where is the place for people: "the secret service", or the path of a file.
	Where() string
	// Get gives the key, which the caller wipes. It fails with ErrNoKey where it is certain that there
	// is none, and with ErrKeeperAway where that cannot be told now.
	Get(ctx context.Context) (*secret.Secret, error)
	// Put keeps a copy of the key so that it survives a crash. It fails with ErrKept where there is a
	// key, and with ErrKeeperAway.
	Put(ctx context.Context, key *secret.Secret) error
	// Delete removes the key; it is no error if there is none.
	Delete(ctx context.Context) error
}

// keptSlot is a slot whose key is with a keeper. Its type is claimed.
type keptSlot struct {
	record record
	keeper Keeper
	put    bool // the key was not there before
}

// keep seals data in a slot whose key is with the first keeper that has one or takes one.
func (v *Vault) keep(ctx context.Context, data *secret.Secret) (keptSlot, error) {
	faults := errors.New("no place for its key")
	for _, k := range v.keepers {
		c, err := v.keepIn(ctx, k, v.kinds[k.Type()].title, data, nil)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return keptSlot{}, ctx.Err()
		case errors.Is(err, ErrConflict):
			return keptSlot{}, err // soon it will be free
		}
		faults = fmt.Errorf("%w; %w", faults, err)
	}
	return keptSlot{}, faults
}

// keepIn claims the keeper's type and seals data in a slot under the keeper's key, which it makes and
// puts there if there is none. A key that is there is shown to found first, if that is not nil.
func (v *Vault) keepIn(ctx context.Context, k Keeper, name string, data *secret.Secret, found func(key *secret.Secret) error) (keptSlot, error) {
	if err := v.claim(k.Type()); err != nil {
		return keptSlot{}, err
	}
	c, err := v.keepClaimed(ctx, k, name, data, found)
	if err != nil {
		v.release(k.Type())
	}
	return c, err
}

func (v *Vault) keepClaimed(ctx context.Context, k Keeper, name string, data *secret.Secret, found func(key *secret.Secret) error) (keptSlot, error) {
	put := false
	key, err := k.Get(ctx)
	if errors.Is(err, ErrNoKey) {
		put = true
		if key, err = v.random(keySize); err == nil {
			err = k.Put(ctx, key)
		}
	}
	defer key.Wipe()
	switch {
	case err != nil:
		return keptSlot{}, at(k, err)
	case key.Len() != keySize:
		return keptSlot{}, at(k, fmt.Errorf("the key there has %d bytes, not %d", key.Len(), keySize))
	case !put && found != nil:
		if err := found(key); err != nil {
			return keptSlot{}, err
		}
	}
	r, err := v.newRecord(k.Type(), name)
	if err == nil {
		r, err = v.seal(ctx, r, key, data)
	}
	return keptSlot{record: r, keeper: k, put: put}, err
}

// keeper gives the keeper of a type; nil if there is none.
func (v *Vault) keeper(t SlotType) Keeper {
	for _, k := range v.keepers {
		if k.Type() == t {
			return k
		}
	}
	return nil
}

// claim reserves the keeper of a type for one change, until release: while one puts a key there that a
// record is going to need, no other may remove it.
func (v *Vault) claim(t SlotType) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claimed[t] {
		return ErrConflict
	}
	v.claimed[t] = true
	return nil
}

func (v *Vault) release(t SlotType) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.claimed, t)
}

// at says in err, if it is one, which keeper it speaks of.
func at(k Keeper, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", k.Where(), err)
}
