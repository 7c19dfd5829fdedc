package token

import (
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// change reads a token, changes it and keeps it.
func change(tx *store.Tx, serial string, do func(*Token) error) (Token, error) {
	t, err := Get(tx, serial)
	if err != nil {
		return Token{}, err
	}
	if err := do(&t); err != nil {
		return Token{}, err
	}
	if err := t.Check(); err != nil {
		return Token{}, err
	}
	return t, put(tx, t)
}

// Assign gives the token to a user. It fails with ErrAssigned where it is another's.
func Assign(tx *store.Tx, serial string, to Owner) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		switch {
		case t.Owner != nil && t.Owner.UID != to.UID:
			return fmt.Errorf("%w, %s: take it from them first with “fob tokens unassign %s”", ErrAssigned, t.Owner.User, t.Serial)
		case t.Disabled:
			return ErrDisabled
		}
		t.Owner = &to
		return nil
	})
}

// Unassign takes the token from its user. It fails with ErrActive while it is a sign-in method.
func Unassign(tx *store.Tx, serial string) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		if t.Method != "" {
			return ErrActive
		}
		t.Owner = nil
		return nil
	})
}

// SetDisabled makes the token's codes worthless, or usable again.
func SetDisabled(tx *store.Tx, serial string, disabled bool) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		t.Disabled = disabled
		return nil
	})
}

// Rename gives the token a name for people; empty takes it away.
func Rename(tx *store.Tx, serial, name string) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		t.Name = name
		return nil
	})
}

// Activate notes which of its owner's sign-in methods the token is. It fails with ErrActive where it
// is one already, and with ErrAssigned unless it belongs to uid.
func Activate(tx *store.Tx, serial string, uid uint32, method string) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		if err := t.MayActivate(uid); err != nil {
			return err
		}
		t.Method = method
		return nil
	})
}

// Deactivate notes that the token is no sign-in method any more. The state of its codes stays: what was
// used stays used.
func Deactivate(tx *store.Tx, serial string) (Token, error) {
	return change(tx, serial, func(t *Token) error {
		t.Method = ""
		return nil
	})
}

// MayActivate fails unless the token can become a sign-in method of the user.
func (t Token) MayActivate(uid uint32) error {
	switch {
	case t.Owner == nil || t.Owner.UID != uid:
		return ErrNotFound // others' tokens do not exist for a user
	case t.Disabled:
		return ErrDisabled
	case t.Method != "":
		return ErrActive
	}
	return nil
}

// MayRemove fails with ErrActive where the token is a sign-in method, and with ErrUsed where a code of it
// may have been accepted: put into the registry again, it would accept that code once more.
func (t Token) MayRemove() error {
	switch {
	case t.Method != "":
		return ErrActive
	case t.Used:
		return ErrUsed
	}
	return nil
}
