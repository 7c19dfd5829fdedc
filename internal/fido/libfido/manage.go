package libfido

/*
#include <fido.h>
*/
import "C"

import (
	"bytes"
	"context"
	"time"
	"unicode/utf8"

	libfido2 "github.com/keys-pub/go-libfido2"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
)

// Done is the result of an operation that gives nothing but its success.
type Done struct{}

// Select makes the key blink until it is touched.
func Select(ctx context.Context, a fido.SelectArgs) (Done, error) {
	return Done{}, bounded(ctx, a.Target, true, func(s *session) error {
		return s.on(func(d *device) error { return d.awaitTouch() })
	})
}

// awaitTouch asks for a credential that comes to nothing: every key waits for a touch first.
func (d *device) awaitTouch() error {
	d.arm()
	if r := C.fido_dev_get_touch_begin(d.c); r != C.FIDO_OK {
		return failure(r, "cannot make the key blink")
	}
	for {
		var touched C.int
		if r := C.fido_dev_get_touch_status(d.c, &touched, d.s.left()); r != C.FIDO_OK {
			return failure(r, "cannot wait for the touch")
		}
		switch {
		case touched != 0:
			return nil
		case d.isFIDO2(), time.Now().After(d.s.end), d.s.ctx.Err() != nil:
			// It hides the error that it met.
			return failure(C.FIDO_ERR_RX, "cannot wait for the touch")
		}
		time.Sleep(repeat) // a U2F key answers at once, and is asked again
	}
}

// SetPIN sets the first PIN, or changes it.
func SetPIN(ctx context.Context, a fido.SetPINArgs) (Done, error) {
	defer clear(a.Old)
	defer clear(a.New)
	// CTAP 2.1 §6.5.1: four code points at least, 63 bytes at most.
	if !validPIN(a.New) || utf8.RuneCount(a.New) < 4 {
		return Done{}, failure(C.FIDO_ERR_PIN_POLICY_VIOLATION, "4 characters at least, 63 bytes at most")
	}
	if !validPIN(a.Old) {
		return Done{}, failure(C.FIDO_ERR_PIN_INVALID, "no key has this PIN")
	}
	return Done{}, bounded(ctx, a.Target, false, func(s *session) error {
		return s.on(func(d *device) error {
			if !d.isFIDO2() || !bool(C.fido_dev_supports_pin(d.c)) {
				return failure(C.FIDO_ERR_UNSUPPORTED_OPTION, "the key cannot have a PIN")
			}
			old, freeOld := cPIN(a.Old)
			defer freeOld()
			pin, freePIN := cPIN(a.New)
			defer freePIN()
			d.arm()
			if r := C.fido_dev_set_pin(d.c, pin, old); r != C.FIDO_OK {
				return failure(r, "cannot set the PIN")
			}
			return nil
		})
	})
}

// Reset resets the key.
func Reset(ctx context.Context, a fido.ResetArgs) (Done, error) {
	return Done{}, bounded(ctx, a.Target, true, func(s *session) error {
		// A U2F key cannot be reset, and the key must be known to answer before it is said to wait.
		if err := s.on(func(d *device) error {
			if !d.isFIDO2() {
				return failure(C.FIDO_ERR_UNSUPPORTED_OPTION, "a U2F key cannot be reset")
			}
			return nil
		}); err != nil {
			return err
		}
		key, err := libfido2.NewDevice(s.target.Path)
		if err != nil {
			return bindingError(err)
		}
		s.setCancel(func() { key.Cancel() }) // it fails only where the key is not open any more
		defer s.setCancel(nil)
		if err := key.Reset(); err != nil {
			return bindingError(err)
		}
		return nil
	})
}

// validPIN reports whether a key could have this PIN; none at all is fine.
func validPIN(p fido.PIN) bool {
	return len(p) <= 63 && utf8.Valid(p) && !bytes.ContainsRune(p, 0)
}

// asFailure is err if it is a failure with a code, and nil else.
func asFailure(err error) *helper.OpError {
	op, _ := err.(*helper.OpError)
	return op
}
