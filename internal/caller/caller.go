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

// Instance says whom a daemon serves, as far as access goes.
type Instance struct {
	// System is set for the machine's own instance, which serves everybody.
	System bool
	// Owner is the user to whom a user instance belongs.
	Owner uint32
}

// Access is the rule that a door's method declares beside its handler: who may call it at all.
// The zero value is an undeclared rule and lets nobody in.
type Access int

// The rules. What a user may see and change is still only their own: the engine keeps that.
const (
	accessUndeclared Access = iota
	// AccessOwner admits the user to whom a user instance belongs, and every local user to the system's:
	// each for what is their own, and root for anybody's.
	AccessOwner
	// AccessAdmin admits whoever may change what is everybody's: the owner of a user instance, and root
	// at the system's.
	AccessAdmin
	// AccessRoot admits uid 0 of the system instance only.
	AccessRoot
	// AccessUser admits the owner of a user instance, to what the system's has nothing of: cards, accounts and codes.
	AccessUser
)

// Declared reports whether a is one of the named rules.
func (a Access) Declared() bool { return a > accessUndeclared && a <= AccessUser }

// String is the rule's name.
func (a Access) String() string {
	switch a {
	case AccessOwner:
		return "owner"
	case AccessAdmin:
		return "admin"
	case AccessRoot:
		return "root"
	case AccessUser:
		return "user instance"
	default:
		return "undeclared"
	}
}

// Check fails with ErrForbidden unless c may call a method with rule a.
func (a Access) Check(c Caller, i Instance) error {
	if c.Door == "" {
		return fmt.Errorf("%w: the caller is not identified", ErrForbidden)
	}
	switch {
	case !i.System && c.UID != i.Owner:
		return fmt.Errorf("%w: this is another user's daemon", ErrForbidden)
	case a == AccessOwner, (a == AccessAdmin || a == AccessUser) && !i.System:
		return nil
	case a == AccessUser:
		return fmt.Errorf("%w: the system's fobd keeps no accounts and reads no cards: your own does, “fobd --user”", ErrForbidden)
	case a == AccessAdmin && c.UID == 0, a == AccessRoot && i.System && c.UID == 0:
		return nil
	case a == AccessAdmin:
		return fmt.Errorf("%w: this is an administrator's to do, as root", ErrForbidden)
	case a == AccessRoot && !i.System && c.UID == 0:
		return fmt.Errorf("%w: the system's fobd alone can do this, and this is a user's own: ask “fobd --system”", ErrForbidden)
	case a == AccessRoot:
		return fmt.Errorf("%w: this is root's to do, and the system's fobd alone can", ErrForbidden)
	}
	return fmt.Errorf("%w: nobody may do this", ErrForbidden)
}
