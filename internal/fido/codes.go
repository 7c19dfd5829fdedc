package fido

import "github.com/fobproject/fob/internal/helper"

// Causes of a failure that fob-helper saw and libfido2's codes do not tell (helper.OpError.Cause).
const (
	CauseGone      = "gone"      // the device node is missing, or hung up
	CauseBusy      = "busy"      // another program holds the key
	CauseForbidden = "forbidden" // the device node may not be opened
	CauseCancelled = "cancelled" // given up before the key was asked
	CauseNoAnswer  = "no-answer" // time was over and the key had not answered
	CauseNoTouch   = "no-touch"  // time was over and the key still waited for a touch
)

var causes = map[string]error{
	CauseGone:      ErrGone,
	CauseBusy:      ErrBusy,
	CauseForbidden: ErrForbidden,
	CauseCancelled: ErrCancelled,
	CauseNoAnswer:  ErrTimeout,
	CauseNoTouch:   ErrTouchTimeout,
}

// codes says what libfido2's error codes mean (fido/err.h; the positive ones are CTAP 2.1 §8.2's).
// The codes of waitCodes are not here.
var codes = map[int]error{
	0x01: ErrUnsupported,  // INVALID_COMMAND
	0x06: ErrBusy,         // CHANNEL_BUSY
	0x0a: ErrBusy,         // LOCK_REQUIRED
	0x15: ErrUnsupported,  // LIMIT_EXCEEDED
	0x16: ErrNoHMACSecret, // UNSUPPORTED_EXTENSION: no other is asked for
	0x17: ErrFull,         // FP_DATABASE_FULL
	0x18: ErrFull,         // LARGEBLOB_STORAGE_FULL
	0x19: ErrExcluded,
	0x22: ErrNoCredential, // INVALID_CREDENTIAL
	0x23: ErrBusy,         // USER_ACTION_PENDING
	0x24: ErrBusy,         // OPERATION_PENDING
	0x26: ErrUnsupported,  // UNSUPPORTED_ALGORITHM
	0x28: ErrFull,         // KEY_STORE_FULL
	0x2b: ErrUnsupported,  // UNSUPPORTED_OPTION
	0x2c: ErrUnsupported,  // INVALID_OPTION
	0x2d: ErrCancelled,    // KEEPALIVE_CANCEL
	0x2e: ErrNoCredential,
	0x30: ErrNotAllowed,
	0x31: ErrPINInvalid,
	0x32: ErrPINBlocked,
	0x33: ErrNotAllowed, // PIN_AUTH_INVALID: the key refuses the proof, not the PIN
	0x34: ErrPINAuthBlocked,
	0x35: ErrPINNotSet,
	0x36: ErrPINRequired,
	0x37: ErrPINPolicy,
	0x38: ErrNotAllowed,  // PIN_TOKEN_EXPIRED
	0x39: ErrUnsupported, // REQUEST_TOO_LARGE
	0x3b: ErrUnsupported, // UP_REQUIRED
	0x3c: ErrUVBlocked,
	0x3f: ErrUVInvalid,
	0x40: ErrNotAllowed, // UNAUTHORIZED_PERM

	-1: ErrGone,        // TX
	-2: ErrBadAnswer,   // RX, of a key that is there and in time
	-7: ErrUnsupported, // INVALID_ARGUMENT
	-9: ErrGone,        // INTERNAL: above all, a device that cannot be opened
}

// waitCodes end an operation that waits for a touch when none came; firmware differs. Of any other
// operation they mean what stands here.
var waitCodes = map[int]error{
	0x05: ErrTimeout,     // TIMEOUT
	0x27: ErrNotAllowed,  // OPERATION_DENIED
	0x2f: ErrTimeout,     // USER_ACTION_TIMEOUT
	0x3a: ErrTimeout,     // ACTION_TIMEOUT
	-8:   ErrUnsupported, // USER_PRESENCE_REQUIRED, of a U2F key
}

// kindOf finds the sentinel of an operation's failure. touch says whether it waits for a touch.
func kindOf(e *helper.OpError, touch bool) error {
	if kind, ok := causes[e.Cause]; ok {
		return kind
	}
	if e.Code == 0 {
		return ErrHelper
	}
	if kind, ok := waitCodes[e.Code]; ok {
		if touch {
			return ErrTouchTimeout
		}
		return kind
	}
	if kind, ok := codes[e.Code]; ok {
		return kind
	}
	return ErrBadAnswer
}

// aboutPIN reports whether a code is a verdict on a PIN that was tried: it has cost a retry.
func aboutPIN(code int) bool { return code == 0x31 || code == 0x32 || code == 0x34 }
