// Package ykoath speaks with the OATH applet of a security key or smart card: Yubico's YKOATH protocol, versions
// 1.0 to 8.0, over APDUs that somebody else carries (Card).
//
// A Session begins with Select and is worth as much as the card's lock on it: between two exchanges another
// program may select another applet. Whoever carries the APDUs holds one transaction from Select to the last call.
//
// What the card says is taken for the word of a stranger: lengths, names and digits are checked before they are
// used, and a Session that met nonsense is to be given up.
package ykoath

import (
	"errors"
	"fmt"
)

// AID is the OATH applet's application identifier.
var aid = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01}

// Instructions.
const (
	insPut           = 0x01
	insDelete        = 0x02
	insSetCode       = 0x03
	insReset         = 0x04
	insRename        = 0x05 // from 5.3.1 on
	insList          = 0xa1
	insSelect        = 0xa4 // with P1 04
	insCalculate     = 0xa2
	insValidate      = 0xa3
	insCalculateAll  = 0xa4 // with P1 00
	insSendRemaining = 0xa5
)

// Tags.
const (
	tagName      = 0x71
	tagNameList  = 0x72
	tagKey       = 0x73
	tagChallenge = 0x74
	tagResponse  = 0x75
	tagTruncated = 0x76
	tagNoCode    = 0x77 // in CALCULATE ALL: HOTP, which would be used up
	tagProperty  = 0x78 // has a value of one byte and no length
	tagVersion   = 0x79
	tagCounter   = 0x7a
	tagAlgorithm = 0x7b
	tagTouch     = 0x7c // in CALCULATE ALL: it takes a touch
)

// propertyTouch asks for a touch at each code.
const propertyTouch = 0x02

// What may become of an exchange.
var (
	ErrNoApplet   = errors.New("this card has no OATH applet")
	ErrLocked     = errors.New("this card has a password: open it with “fob cards unlock”")
	ErrPassword   = errors.New("that is not this card's password")
	ErrNoPassword = errors.New("this card has no password, and is open")
	ErrFull       = errors.New("this card is full: delete accounts from it with “fob accounts delete”, or use --on vault")
	ErrNoAccount  = errors.New("there is no such account on this card")
	ErrExists     = errors.New("there is an account of this name on this card already")
	ErrTouch      = errors.New("the key was not touched in time")
	ErrTooOld     = errors.New("this card's version cannot do that")
	ErrParams     = errors.New("a card cannot hold such an account")
	ErrNonsense   = errors.New("the card answers something that makes no sense: take it out, put it in again, and try again")
	ErrRefused    = errors.New("the card reports an error of its own: take it out, put it in again, and try again")
)

// nonsense is ErrNonsense with what made none.
func nonsense(what string, args ...any) error {
	return fmt.Errorf("%w (%s)", ErrNonsense, fmt.Sprintf(what, args...))
}

// StatusError is ErrRefused with a status word that the card ended an exchange with and that has no error of its own.
type StatusError struct {
	Instruction byte
	Status      uint16 // ISO 7816-4 SW1 SW2
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%v (status %04x to instruction %02x)", ErrRefused, e.Status, e.Instruction)
}

// Unwrap is ErrRefused.
func (e *StatusError) Unwrap() error { return ErrRefused }

// Version is the applet's; on Yubico's keys also the firmware's.
type Version struct{ Major, Minor, Patch byte }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast reports whether v is not older than the version given.
func (v Version) AtLeast(major, minor, patch byte) bool {
	switch {
	case v.Major != major:
		return v.Major > major
	case v.Minor != minor:
		return v.Minor > minor
	}
	return v.Patch >= patch
}

// CanTouch reports whether accounts can ask for a touch.
func (v Version) CanTouch() bool { return v.AtLeast(4, 2, 6) }

// CanSHA512 reports whether accounts can use SHA-512.
func (v Version) CanSHA512() bool { return v.AtLeast(4, 3, 1) }

// CanRename reports whether accounts can be renamed.
func (v Version) CanRename() bool { return v.AtLeast(5, 3, 1) }

// Slots is how many accounts a Yubico key of this version holds; others may hold more or fewer.
func (v Version) Slots() int {
	if v.AtLeast(5, 7, 0) {
		return 64
	}
	return 32
}
