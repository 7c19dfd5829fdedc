package fido

import (
	"errors"
	"fmt"
)

// What an operation on a key may end in. Errors of this package wrap one of these.
var (
	ErrPINInvalid     = errors.New("the PIN is wrong")
	ErrPINBlocked     = errors.New("the key's PIN is blocked: only a reset of the key helps")
	ErrPINAuthBlocked = errors.New("too many wrong PINs in a row: unplug the key and plug it in again")
	ErrPINRequired    = errors.New("the key asks for its PIN")
	ErrPINNotSet      = errors.New("the key has no PIN")
	ErrPINPolicy      = errors.New("the key refuses this PIN: it is too short, too long or too simple")
	ErrUVBlocked      = errors.New("the key's fingerprint reader is blocked: use its PIN")
	ErrUVInvalid      = errors.New("the fingerprint was not recognised")
	ErrNoCredential   = errors.New("the key holds none of these credentials")
	ErrExcluded       = errors.New("the key is already registered")
	ErrTouchTimeout   = errors.New("the key was not touched in time")
	ErrCancelled      = errors.New("the operation was cancelled")
	ErrNotAllowed     = errors.New("the key does not allow this now")
	ErrUnsupported    = errors.New("the key cannot do this")
	ErrNoHMACSecret   = errors.New("this key cannot open a vault: it has no hmac-secret")
	ErrGone           = errors.New("the key is gone or does not answer")
	ErrBusy           = errors.New("another program is using the key: try again when it is done")
	ErrForbidden      = errors.New("this user may not open the key")
	ErrTimeout        = errors.New("the key did not answer in time")
	ErrFull           = errors.New("the key has no room left")
	ErrBadAnswer      = errors.New("the key's answer makes no sense")
	ErrHelper         = errors.New("the helper process failed")
)

// DeviceError is an operation's failure with libfido2's own code, and the key that it happened on.
// It wraps one of the sentinels above.
type DeviceError struct {
	Key  string // the key's name, for people
	Op   string
	Code int    // libfido2's error code (fido/err.h); 0 where the helper itself failed
	Name string // its name, such as FIDO_ERR_PIN_INVALID
	Kind error  // one of the sentinels
}

// Error names the key, says what happened, and gives libfido2's name for it.
func (e *DeviceError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: %v", e.Key, e.Kind)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Key, e.Kind, e.Name)
}

// Unwrap gives the sentinel.
func (e *DeviceError) Unwrap() error { return e.Kind }
