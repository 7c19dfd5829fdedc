package signin

import (
	"errors"
	"fmt"
)

// What a call of the engine, or a request, may end in. Errors of this package wrap one of these or
// one of the sentinels of packages fido, method, store, caller and policy.
var (
	ErrBadRequest     = errors.New("the request makes no sense")
	ErrUnknownUser    = errors.New("there is no such user here")
	ErrUserChanged    = errors.New("this user id had another name when its sign-in methods were registered")
	ErrNoMethod       = errors.New("no sign-in method is registered: add one with “fob methods add key” or “fob methods add token SERIAL”")
	ErrNoKey          = errors.New("no security key is plugged in: plug one in and try again")
	ErrKeyNotFound    = errors.New("there is no such key: it may have been unplugged (list them with “fob keys”)")
	ErrKeyNotOwn      = errors.New("no key that is plugged in is registered: plug in a registered one, or register this one with “fob methods add key”")
	ErrKeyRegistered  = errors.New("this key is registered already: plug in the new one, and try again")
	ErrNoToken        = errors.New("no hardware token is registered: add one with “fob methods add token SERIAL”")
	ErrNoKeySlot      = errors.New("no security key opens the vault: let one with “fob vault slots add security-key”")
	ErrKeyNoSlot      = errors.New("no key that is plugged in opens the vault: plug in the one that does, or open it another way")
	ErrKeyHasSlot     = errors.New("this key opens the vault already: plug in another one, and try again")
	ErrSlotMode       = errors.New("the key wants its PIN at each touch now, and did not when it was let to open the vault: open it another way, remove this way (“fob vault slots remove”) and add it again")
	ErrNothingLifts   = errors.New("a tap on a security key lifts this, and you have none registered: wait until it ends")
	ErrNotHere        = errors.New("no sign-in method that counts here is registered, and recovery codes do not: add one with “fob methods add key” or “fob methods add token SERIAL”")
	ErrNoRecovery     = errors.New("recovery codes do not sign in here")
	ErrNotStrong      = errors.New("your sign-in methods do not prove enough for this: a security key does, add one with “fob methods add key”")
	ErrNotEmpty       = errors.New("there are sign-in methods, tokens or accounts here already: a backup is restored into an empty state only")
	ErrImport         = errors.New("some tokens cannot be imported, so none was")
	ErrTooMany        = errors.New("too many requests are pending already: answer or cancel one of them first")
	ErrNotFound       = errors.New("there is no such request")
	ErrNotPending     = errors.New("this is no longer pending")
	ErrFewRetries     = errors.New("the key has three or fewer PIN tries left, and Fob does not risk them here: check the PIN with “fob keys change-pin”")
	ErrPINPlace       = errors.New("a PIN can be typed at this machine only, not over D-Bus and not from elsewhere")
	ErrNotConfirmed   = errors.New("it was not confirmed: nothing was changed")
	ErrWeaker         = errors.New("policy needs more strength than this: ask for the same or more")
	ErrMethodsChanged = errors.New("your sign-in methods were changed meanwhile: nothing was done, begin again")
	ErrPlace          = errors.New("policy does not let this begin from there")
	ErrAsker          = errors.New("who asks cannot be who approves: a program of the same user could press the button")
	ErrKeyModel       = errors.New("policy does not allow this model of security key: ask your administrator which ones it does")
	ErrCannotAsk      = errors.New("this user cannot be asked now")
	ErrTooFast        = errors.New("too many requests in a short time: wait a second")
	ErrOneFromThere   = errors.New("a request from there is pending already: it is answered first")
	ErrNotBlocked     = errors.New("nothing from there waits or is blocked (see “fob status”)")
	ErrNumberPlace    = errors.New("this is answered in a session at this machine, not from elsewhere: “fob status” says where you are taken to be")
	ErrNotRemembered  = errors.New("policy does not let this approval be remembered")
	ErrNotFirst       = errors.New("the first sign-in method of a user is added by root, with an administrator's one-time code, or after the user's password was checked: try “fob methods add key” in your desktop session")
	ErrNoCodesAlone   = errors.New("recovery codes are a fallback: register a security key or a token first")
	ErrHelpdesk       = errors.New("this one-time code is wrong or no longer valid: ask your administrator for another")
	ErrCallerGone     = errors.New("the program that asked is gone")
	ErrShuttingDown   = errors.New("the daemon is shutting down")
)

// refusal is one of the sentinels in words of its own, which say all that there is to say.
type refusal struct {
	is   error
	text string
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.is }

// badRequest is an ErrBadRequest that says what is wrong.
func badRequest(format string, args ...any) error {
	return &refusal{ErrBadRequest, fmt.Sprintf(format, args...)}
}

// How a person or the clock ends a request; these are causes, and decisions follow from them.
var (
	errDenied    = errors.New("denied")
	errReported  = errors.New("reported")
	errThere     = errors.New("from elsewhere")
	errExpired   = errors.New("nobody answered in time")
	errCancelled = errors.New("cancelled")
)

// decisionOf turns the reason why a request ended without an approval into its decision. A failure
// that nobody decided counts as cancelled: nothing was approved.
func decisionOf(err error) Decision {
	switch {
	case errors.Is(err, errDenied), errors.Is(err, ErrWrongNumber):
		return Denied
	case errors.Is(err, errReported):
		return Reported
	case errors.Is(err, errExpired):
		return Expired
	default:
		return Cancelled
	}
}
