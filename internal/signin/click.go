package signin

import (
	"fmt"

	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
)

// offerClick asks for a plain yes at the desk, where policy lets that be enough: for sign-ins from
// elsewhere that no program of the same user has begun. clicked gets the answer; it is nil, which gives
// nothing for ever, where it is not offered.
func (r *Request) offerClick(offered bool) (clicked <-chan Answer, withdraw func()) {
	if !offered {
		return nil, func() {}
	}
	r.publish(func(v *View) { v.Offers = append(v.Offers, Offer{Type: OfferByClick, State: OfferApprove}) })
	open := r.openPrompt(Prompt{Type: PromptApprove, Text: "Approve this only if it is you: " + r.subject()})
	return open.answers, func() {
		r.closePrompt(open)
		r.withdraw(OfferByClick)
	}
}

// decidePlain puts an approval on disk that nothing but somebody at the desk has given.
func (r *Request) decidePlain(s policy.Strength, reason string, apply func(*store.Tx) error) (outcome, error) {
	if r.standing.SameUser || !r.remote() {
		return outcome{}, fmt.Errorf("%w (%s)", ErrAsker, s) // whatever led here
	}
	if s == policy.Click {
		r.taken(OfferByClick)
	}
	entry := r.entry(Approved, reason)
	entry.Strength = s.String()
	return r.commit(true, apply, entry)
}
