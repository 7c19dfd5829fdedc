// Package caller says who asks: the identity that a door vouches for, and what is only claimed.
package caller

import (
	"errors"
	"fmt"
	"time"
)

// ErrForbidden is returned by Access.Check when the caller may not do what it asked for.
var ErrForbidden = errors.New("forbidden")

// Caller is the identity of a connection, made by a door when the connection is accepted and never
// changed afterwards. Only UID is vouched for (SO_PEERCRED, or the bus daemon's credentials); the
// zero value is no caller at all and passes no access rule.
type Caller struct {
	// UID is the caller's user id, vouched for by the kernel or the bus daemon.
	UID uint32
	// PID is what the door saw when the connection was accepted. Process ids are reused: it is
	// for display and logs, and with Accepted for finding the caller's session. It decides nothing
	// else.
	PID int32
	// Accepted is when PID was seen, on the boot clock (CLOCK_BOOTTIME): a process that began later is
	// another. 0: that is not known, and then neither is the caller's session.
	Accepted time.Duration
	// Door is the way by which the caller came.
	Door Door
	// Place is where the caller sits.
	Place Place
}

// Door names a way into the daemon.
type Door string

// The doors.
const (
	DoorSocket Door = "socket"
	DoorBus    Door = "bus"
)

// Place is where a requester sits. It never raises strength.
type Place string

// The places (see "Rules that do not bend" in the design).
const (
	PlaceLocal   Place = "local"
	PlaceRemote  Place = "remote"
	PlaceUnknown Place = "unknown"
)

// Access is the rule that a door's method declares beside its handler: who may call it at all.
// The zero value is an undeclared rule and lets nobody in.
type Access int

// The rules.
const (
	accessUndeclared Access = iota
	// AccessOwner admits the user to whom a user instance belongs.
	AccessOwner
	// AccessRoot admits uid 0 only.
	AccessRoot
	// AccessAny admits every authenticated local user; what they see is still only their own.
	AccessAny
)

// Declared reports whether a is one of the named rules.
func (a Access) Declared() bool { return a > accessUndeclared && a <= AccessAny }

// String is the rule's name.
func (a Access) String() string {
	switch a {
	case AccessOwner:
		return "owner"
	case AccessRoot:
		return "root"
	case AccessAny:
		return "any"
	default:
		return "undeclared"
	}
}

// Check fails with ErrForbidden unless c may call a method with rule a on an instance that belongs
// to the user with id owner.
func (a Access) Check(c Caller, owner uint32) error {
	if c.Door == "" {
		return fmt.Errorf("%w: the caller is not identified", ErrForbidden)
	}
	switch a {
	case AccessOwner:
		if c.UID == owner {
			return nil
		}
	case AccessRoot:
		if c.UID == 0 {
			return nil
		}
	case AccessAny:
		return nil
	}
	return fmt.Errorf("%w: uid %d may not do this (needs: %s)", ErrForbidden, c.UID, a)
}
