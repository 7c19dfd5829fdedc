package virtual

import (
	"context"
	"time"
)

// resetWithin is how soon after power-up a reset is allowed (CTAP 2.1 §6.6).
const resetWithin = 10 * time.Second

// reset forgets all credentials and the PIN.
func (a *authenticator) reset(ctx context.Context, op *Op) error {
	op.UP = true
	if !a.opts.ResetAnyTime && time.Since(a.powered) > resetWithin {
		return StatusNotAllowed
	}
	if err := a.present(ctx, op); err != nil {
		return err
	}
	if err := a.state.wipe(); err != nil {
		return err
	}
	return a.pin.powerUp(a.opts.Quirks)
}
