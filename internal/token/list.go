package token

import (
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/store"
)

// How many tokens List returns: by default, and at most.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Query says which tokens List returns. The zero value asks for the first ones.
type Query struct {
	After string  // only tokens behind this serial number
	Limit int     // DefaultLimit if 0 or less, never more than MaxLimit
	UID   *uint32 // only this user's, if not nil
}

// List returns the tokens that q asks for, ascending by Key; more says that others follow.
func List(tx *store.Tx, q Query) (found []Token, more bool, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	var start []byte
	if q.After != "" {
		start = append(Key(q.After), 0)
	}
	for item, err := range tokens.From(tx, start) {
		if err != nil {
			return nil, false, err
		}
		if t := item.Value; q.UID == nil || t.Owner != nil && t.Owner.UID == *q.UID {
			if len(found) == limit {
				return found, true, nil
			}
			found = append(found, t)
		}
	}
	return found, false, nil
}

// Count is how many tokens there are. It reads no values.
func Count(tx *store.Tx) (int, error) { return tokens.Count(tx) }

// Restore takes over all tokens after a backup was put in place: opens says whether a seed is its
// token's, and state what becomes of how far a token was used (see oath.Restored).
func Restore(tx *store.Tx, opens func(key, sealed []byte) bool, state func(Token) oath.State) error {
	var all []Token
	for item, err := range tokens.All(tx, nil) {
		if err != nil {
			return err
		}
		if err := item.Value.Check(); err != nil {
			return err
		}
		if !slices.Equal(item.Key, Key(item.Value.Serial)) {
			return ErrBadSerial
		}
		all = append(all, item.Value)
	}
	for _, t := range all {
		sealed, err := SealedSeed(tx, t.Serial)
		if err == nil && !opens(Key(t.Serial), sealed) {
			err = fmt.Errorf("%w: the seed of token %s does not open", store.ErrBadCopy, t.Serial)
		}
		if err != nil {
			return err
		}
		t.State, t.Used = state(t), true
		if err := put(tx, t); err != nil {
			return err
		}
	}
	return nil
}
