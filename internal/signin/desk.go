package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/fobproject/fob/internal/caller"
)

// A request from elsewhere is shown a number, in the reply to the call that began it and nowhere else. No
// key blinks for it until somebody at the desk has typed that number: they see who asks, and that who asks
// sees the same request.

// maxNumbers is how many wrong numbers deny a request.
const maxNumbers = 3

// ErrWrongNumber ends a request like a denial.
var ErrWrongNumber = errors.New("three wrong numbers were typed: if it was not you who began this, report the next one")

// remote reports whether the requester sits elsewhere.
func (r *Request) remote() bool { return r.standing.Place == caller.PlaceRemote }

// drawNumber makes the number, of two digits.
func (r *Request) drawNumber() error {
	var b [1]byte
	for {
		if _, err := io.ReadFull(r.e.cfg.Rand, b[:]); err != nil {
			return fmt.Errorf("cannot make a number: %w", err)
		}
		if b[0] < 200 { // so that each of the hundred is as likely
			r.number = fmt.Sprintf("%02d", b[0]%100)
			return nil
		}
	}
}

// Number is what the requester shows and the person at the desk types; empty where there is none, and once
// it was typed. It is for the call that began the request alone.
func (r *Request) Number() string {
	select {
	case <-r.atDesk:
		return ""
	default:
		return r.number
	}
}

// askNumber asks for the number until it is typed, or wrong for the third time, or the request is over.
func (r *Request) askNumber() {
	r.publish(func(v *View) { v.Offers = append(v.Offers, Offer{Type: OfferByNumber, State: OfferNumber}) })
	for wrong := 0; ; {
		text := "Type the number that the sign-in screen shows, if this is you: " + r.subject()
		if wrong > 0 {
			text = "That is not the number. " + text
		}
		a, err := r.prompt(r.ctx, Prompt{Type: PromptNumber, Text: text})
		if err != nil {
			return
		}
		if subtle.ConstantTimeCompare([]byte(a.Number), []byte(r.number)) == 1 {
			break
		}
		r.tries("number: wrong")
		if wrong++; wrong >= maxNumbers {
			_ = r.stop(ErrWrongNumber) // it may be over already
			return
		}
	}
	r.mark(OfferByNumber, OfferDone, nil)
	r.tries("number: right")
	close(r.atDesk)
}

// desk waits until the number of a request from elsewhere was typed. No key is asked anything before.
func (r *Request) desk(ctx context.Context) error {
	if !r.remote() {
		return nil
	}
	select {
	case <-r.atDesk:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// numbered is closed once the number was typed, where that is worth an approval; nil otherwise.
func (r *Request) numbered(enough bool) <-chan struct{} {
	if !enough {
		return nil
	}
	return r.atDesk
}
