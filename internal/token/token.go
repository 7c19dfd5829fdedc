// Package token keeps the registry of hardware OATH tokens: what each is, whose it is, its sealed seed,
// and how far its codes have been used.
package token

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/store"
)

// What a change of the registry may end in.
var (
	ErrNotFound  = errors.New("there is no such token: see “fob tokens”")
	ErrExists    = errors.New("a token with this serial number is there already, and was left as it is")
	ErrBadSerial = errors.New("a serial number is 1 to 64 printable characters without spaces around them")
	ErrBadName   = errors.New("a name is at most 64 printable characters")
	ErrAssigned  = errors.New("this token belongs to another user")
	ErrDisabled  = errors.New("this token is disabled: see “fob tokens enable”")
	ErrActive    = errors.New("this token is a sign-in method of its user: see “fob methods”")
	ErrUsed      = errors.New("a code of this token was accepted once, so Fob has to remember it: disable it instead")
)

const (
	maxSerial = 64 // runes
	maxText   = 64 // runes: of name, manufacturer and model each
)

// Token is one token, without its seed.
type Token struct {
	Serial       string `json:"serial"` // as it is printed on the token
	Name         string `json:"name,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	oath.Params
	// Owner is the user to whom the token is assigned; nil if to nobody.
	Owner *Owner `json:"owner,omitempty"`
	// Method is the id of the owner's sign-in method that the token is; empty until it is activated.
	Method   string    `json:"method,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	Added    time.Time `json:"added"`
	// State is how far its codes have been used. Advance alone changes it.
	State oath.State `json:"state"`
	// Used says that a code of it was accepted, or may have been: what was used must be remembered.
	Used bool `json:"used,omitempty"`
}

// Owner is the user to whom a token belongs.
type Owner struct {
	UID  uint32 `json:"uid"`
	User string `json:"user"` // login name when it was assigned
}

// Title is what the token is called: its name, or else its serial number.
func (t Token) Title() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Serial
}

// Check fails unless there can be such a token.
func (t Token) Check() error {
	if n := utf8.RuneCountInString(t.Serial); n < 1 || n > maxSerial || caller.Clean(t.Serial).String() != t.Serial {
		return ErrBadSerial
	}
	for _, text := range []string{t.Name, t.Manufacturer, t.Model} {
		if utf8.RuneCountInString(text) > maxText || caller.Clean(text).String() != text {
			return ErrBadName
		}
	}
	return t.Params.Check()
}

// Seed is a seed as it is kept: sealed, with the token's key bound to it.
type Seed struct {
	Sealed []byte `json:"sealed"`
}

// Purpose names the key under which seeds are sealed (vault.Sealer): one of their own.
const Purpose = "token seeds"

// Both buckets hold by Key(serial).
var (
	tokens = store.NewBucket[Token]("tokens")
	seeds  = store.NewBucket[Seed]("token-seeds")
)

// Key is the serial number without regard to case: how tokens are found, and what their seeds are
// bound to.
func Key(serial string) []byte { return []byte(strings.ToUpper(serial)) }

// Get gives a token, or ErrNotFound.
func Get(tx *store.Tx, serial string) (Token, error) {
	if serial == "" {
		return Token{}, ErrNotFound
	}
	t, err := tokens.Get(tx, Key(serial))
	return t, orNotFound(err)
}

// SealedSeed gives a token's seed as it is kept, or ErrNotFound.
func SealedSeed(tx *store.Tx, serial string) ([]byte, error) {
	s, err := seeds.Get(tx, Key(serial))
	return s.Sealed, orNotFound(err)
}

// Advance keeps a token's state after a code; t was read in the same transaction. It never goes back.
func Advance(tx *store.Tx, t Token, after oath.State) error {
	if after.Next < t.State.Next {
		return fmt.Errorf("cannot set token %s back from %d to %d", t.Serial, t.State.Next, after.Next)
	}
	t.State, t.Used = after, true
	return put(tx, t)
}

// New is a token on its way into the registry, with its sealed seed.
type New struct {
	Token
	Sealed []byte
}

// Add puts new tokens into the registry, ascending by Key: all of them or, with an error, none that
// counts. It fails with ErrExists where there is one with the serial number of one, and with the errors of
// Check.
func Add(tx *store.Tx, all ...*New) error {
	before := []byte(nil)
	for _, t := range all {
		if err := t.Check(); err != nil {
			return err
		}
		key := Key(t.Serial)
		if bytes.Compare(before, key) >= 0 {
			return fmt.Errorf("%w, or they do not ascend: %s", ErrExists, t.Serial)
		}
		before = key
		switch _, err := Get(tx, t.Serial); {
		case err == nil:
			return ErrExists
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	err := tokens.PutAll(tx, func(yield func([]byte, Token) bool) {
		for _, t := range all {
			if !yield(Key(t.Serial), t.Token) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return seeds.PutAll(tx, func(yield func([]byte, Seed) bool) {
		for _, t := range all {
			if !yield(Key(t.Serial), Seed{Sealed: t.Sealed}) {
				return
			}
		}
	})
}

// Remove takes a token out of the registry as if it had never been there, or fails with MayRemove's error.
func Remove(tx *store.Tx, serial string) error {
	t, err := Get(tx, serial)
	if err == nil {
		err = t.MayRemove()
	}
	if err != nil {
		return err
	}
	return errors.Join(tokens.Delete(tx, Key(t.Serial)), seeds.Delete(tx, Key(t.Serial)))
}

func put(tx *store.Tx, t Token) error { return tokens.Put(tx, Key(t.Serial), t) }

func orNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
