// Package card is what fobd does with cards: the operations that fob-helper runs, their types, and both of their
// ends. It has no C: which library reaches a card is cmd/fob-helper's to say (Connector).
//
// A card is named by its applet's device id, and by the reader that it is in only as a hint: each operation looks
// whether the card in the reader is still the one that was meant.
package card

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/ykoath"
)

// What may become of an operation on a card, besides the errors of package ykoath.
var (
	ErrNoService = errors.New("the smart card service does not run: install pcscd, and start it with “systemctl start pcscd.socket”")
	ErrBusy      = errors.New("another program is using this card: close it, or wait, and try again")
	ErrGone      = errors.New("the card is gone: leave it in until this is done")
	ErrReset     = errors.New("another program has reset the card: try again")
	ErrMute      = errors.New("the card does not answer: take it out, put it in again, and try again")
	// ErrWaits says that the card is busy with a code that takes a touch. Nothing but the touch, or the card's own 15 s,
	// ends that, also where nobody wants the code any more.
	ErrWaits     = errors.New("the key waits for a touch, for another code: touch it, or wait 15 seconds, and try again")
	ErrOther     = errors.New("there is another card in this reader now")
	ErrReader    = errors.New("the reader fails: plug it in again, and try again")
	ErrHelper    = errors.New("fob-helper failed")
	ErrTimeout   = errors.New("the card did not answer in time")
	ErrCancelled = errors.New("the operation on the card was cancelled")
)

// Connector reaches cards.
type Connector interface {
	// List names the readers that have a card.
	List(ctx context.Context) ([]string, error)
	// Use holds one transaction on the card in a reader while f runs.
	Use(ctx context.Context, reader string, f func(ykoath.Card) error) error
}

// Operations.
const (
	opList     = "card.list"
	opCode     = "card.code"
	opPut      = "card.put"
	opRename   = "card.rename"
	opDelete   = "card.delete"
	opPassword = "card.password"
	opUnlock   = "card.unlock"
	opReset    = "card.reset"
)

// ID is a card's: that of its applet, until it is reset.
type ID string

var idForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Valid reports whether id has the form of a card's.
func (id ID) Valid() bool { return idForm.MatchString(string(id)) }

// Found is a card in a reader.
type Found struct {
	ID       ID     `json:"id"` // empty unless the applet answered
	Reader   string `json:"reader"`
	Version  string `json:"version,omitempty"`
	Slots    int    `json:"slots,omitempty"`
	Password bool   `json:"password,omitempty"` // it has one
	// Accounts are the card's; nil unless they were asked for, and where there is trouble.
	Accounts []Account `json:"accounts,omitempty"`
	// Trouble is why the applet, or its accounts, could not be asked for: one of the sentinels of this package or of
	// ykoath, by its name. See Why.
	Trouble string `json:"trouble,omitempty"`
}

// Target says which card an operation is about.
type Target struct {
	Reader string `json:"reader"`
	ID     ID     `json:"id"`
	// Key is the access key of a card with a password; nil for one without. Whoever sends it wipes it.
	Key []byte `json:"key,omitempty"`
}

// Account is an account on a card.
type Account struct {
	ID     []byte    `json:"id"` // as the card has it: bytes
	Kind   oath.Kind `json:"kind"`
	Issuer string    `json:"-"` // untrusted, as is Name; both stand in ID
	Name   string    `json:"-"`
	Period int       `json:"period,omitempty"` // seconds
	Touch  bool      `json:"touch,omitempty"`
	Code   []byte    `json:"code,omitempty"`  // ASCII digits; whoever gets it wipes it
	Until  int64     `json:"until,omitempty"` // Unix time at which the code ends
}

// New is an account to be put on a card.
type New struct {
	ID        []byte         `json:"id"`
	Kind      oath.Kind      `json:"kind"`
	Algorithm oath.Algorithm `json:"algorithm"`
	Digits    int            `json:"digits"`
	Counter   uint64         `json:"counter,omitempty"`
	Touch     bool           `json:"touch,omitempty"`
	Seed      []byte         `json:"seed"` // whoever sends it wipes it
}

// What the operations take.
type (
	listArgs struct {
		Readers  []string      `json:"readers,omitempty"` // to be asked; none: all
		Accounts bool          `json:"accounts,omitempty"`
		Now      int64         `json:"now,omitempty"`  // Unix time
		Keys     map[ID][]byte `json:"keys,omitempty"` // of cards with a password
		Left     []string      `json:"left,omitempty"` // readers whose cards were left in the middle of something
	}
	codeArgs struct {
		Target
		Account []byte    `json:"account"`
		Kind    oath.Kind `json:"kind"`
		Now     int64     `json:"now"`
	}
	putArgs struct {
		Target
		New New `json:"new"`
	}
	renameArgs struct {
		Target
		Account []byte `json:"account"`
		To      []byte `json:"to"`
	}
	deleteArgs struct {
		Target
		Account []byte `json:"account"`
	}
	passwordArgs struct {
		Target
		New []byte `json:"new,omitempty"` // empty: none from now on
	}
	unlockArgs struct {
		Target
		Password []byte `json:"password"`
	}
	resetArgs struct{ Target }
)

// How long the operations may take.
const (
	listTime  = 8 * time.Second
	lookTime  = 6 * time.Second        // of each card; one in use takes 2 s, and one with many accounts of odd periods some more
	silence   = 2 * time.Second        // of a card that is asked for its accounts, on each instruction
	leftTime  = 250 * time.Millisecond // that a card is waited for that was left in the middle of something; pcscd's clients look every 100 ms
	quickTime = 5 * time.Second
	touchTime = 20 * time.Second // the applet itself waits 15 s
)
