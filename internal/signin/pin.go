package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/secret"
)

const (
	// spareRetries is how many wrong PINs a key must have left for Fob to risk one outside
	// "fob keys".
	spareRetries = 3
	// infoLimit bounds the question what a key can do.
	infoLimit = 5 * time.Second
)

// userVerification is the part of an operation on one key in which the key makes sure who its user
// is: by its own fingerprint reader, or by a PIN that is asked for right before the operation, goes
// to that key alone and is wiped after it. The zero value verifies nobody.
type userVerification struct {
	r      *Request
	key    fido.Key
	wanted bool

	builtin        bool           // the key does it by itself, without a PIN
	builtinBlocked bool           // its fingerprint reader is blocked
	wrong          bool           // the last PIN was wrong
	pin            *secret.Secret // for the next operation
}

// prepare gets ready for the next operation, asking the person for the PIN where it takes one.
func (u *userVerification) prepare(ctx context.Context) error {
	if !u.wanted {
		return nil
	}
	info, err := u.r.info(ctx, u.key)
	if err != nil {
		return err
	}
	if u.builtin = info.HasUV() && !u.builtinBlocked; u.builtin {
		return nil
	}
	switch {
	case !info.HasPIN():
		return fmt.Errorf("%s: %w: set one with “fob keys set-pin”", u.key.Name, fido.ErrPINNotSet)
	case u.r.remote():
		return ErrPINPlace
	}
	if err := u.enough(info); err != nil {
		return err
	}
	text := fmt.Sprintf("Type the PIN of the key “%s” for: %s", u.key.Name, u.r.subject())
	if u.wrong {
		text = "That PIN is wrong. " + text
	}
	u.r.offer(u.key.ID, func(o *Offer) { o.State, o.KeyName = OfferPIN, u.key.Name })
	a, err := u.r.prompt(ctx, Prompt{Type: PromptPIN, Text: text, KeyID: u.key.ID, KeyName: u.key.Name, Retries: info.PINRetries})
	if err != nil {
		return err
	}
	u.pin = a.PIN
	return nil
}

// recheck asks a key that is held, right before it gets the PIN, for the tries it has left: others may
// have spent some while the PIN was typed.
func (u *userVerification) recheck(ctx context.Context) error {
	if u.pin == nil {
		return nil
	}
	info, err := u.r.e.cfg.Devices.Info(ctx, u.key, infoLimit)
	if err != nil {
		return err
	}
	return u.enough(info)
}

// enough fails where a PIN must not be risked.
func (u *userVerification) enough(info fido.Info) error {
	switch {
	case info.PINRetries == nil:
		return nil
	case *info.PINRetries == 0:
		return fmt.Errorf("%s: %w", u.key.Name, fido.ErrPINBlocked)
	case *info.PINRetries <= spareRetries:
		return fmt.Errorf("%s: %w", u.key.Name, ErrFewRetries)
	}
	return nil
}

// again reports whether an operation that failed with err is worth another try, and learns from it.
func (u *userVerification) again(err error) bool {
	switch {
	case u.r == nil:
		return false
	case errors.Is(err, fido.ErrPINRequired) && !u.wanted: // alwaysUv: the key wants it whatever policy says
		u.wanted = true
	case errors.Is(err, fido.ErrPINInvalid) && u.wanted && !u.builtin:
		u.wrong = true
	case errors.Is(err, fido.ErrUVInvalid) && u.builtin: // the key itself counts these
	case errors.Is(err, fido.ErrUVBlocked) && u.builtin:
		u.builtinBlocked = true
	default:
		return false
	}
	return true
}

// wipe forgets the PIN.
func (u *userVerification) wipe() {
	u.pin.Wipe()
	u.pin = nil
}

// info asks a key what it can do, when nobody else talks to it.
func (r *Request) info(ctx context.Context, k fido.Key) (fido.Info, error) {
	done, err := r.e.turns.exclusive(ctx, k.ID)
	if err != nil {
		return fido.Info{}, err
	}
	defer done()
	info, err := r.e.cfg.Devices.Info(ctx, k, infoLimit)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return info, err
}
