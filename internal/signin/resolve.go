package signin

import (
	"context"
	"errors"

	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// wanted says what an approval must prove, and by what it may.
type wanted struct {
	need    policy.Strength
	methods []method.Method
	only    string // this key alone, by id; any if empty
	about   string // the method that the request is about
	typed   bool   // codes may be typed
	// stepUp says that need is the strongest strength that the user has registered: the approval does not
	// count if methods came or grew meanwhile.
	stepUp bool
	// interim says that the request goes on after the approval.
	interim bool
}

// canApprove refuses a request for which there would be no offer at all.
func (r *Request) canApprove() error {
	if len(r.methods) == 0 {
		return ErrNoMethod
	}
	byCode := r.codeProblem(r.methods)
	if len(method.Of(r.methods, method.TypeKey)) == 0 {
		return byCode
	}
	seen, byKey := r.e.plugged(r.ask.KeyID)
	r.seen = seen
	switch {
	case byKey == nil || byCode == nil:
		return nil
	case errors.Is(byCode, lockout.ErrLocked), errors.Is(byCode, vault.ErrSealed):
		return byCode // it has a key too, but that is at home
	default:
		return byKey
	}
}

// resolve offers all ways in which w can be had at once, and puts the first approval that proves enough
// on disk, together with what apply changes. reason goes to the log. A wrong code is counted and asked
// for again; an offer that fails stands in nobody's way.
func (r *Request) resolve(w wanted, reason string, apply func(*store.Tx) error) (outcome, error) {
	if w.stepUp {
		apply = r.afterStepUp(apply)
	}
	keys := method.Of(w.methods, method.TypeKey)
	byCode := ErrNotStrong
	if w.typed {
		byCode = r.codeProblem(w.methods)
	}
	if byCode != nil {
		if len(keys) == 0 {
			return outcome{}, byCode
		}
		if errors.Is(byCode, lockout.ErrLocked) || errors.Is(byCode, vault.ErrSealed) { // else nobody expects one
			r.publish(func(v *View) {
				v.Offers = append(v.Offers, Offer{Type: OfferByCode, State: OfferFailed, Err: byCode})
			})
		}
		a, err := r.approve(r.ctx, w.need, keys, w.only, w.about)
		if err != nil {
			return outcome{}, err
		}
		return r.decide(a, !w.interim, reason, apply)
	}

	ctx, stop := context.WithCancelCause(r.ctx)
	defer stop(errCancelled) // whatever wins, the others are let go at once
	taps := r.offerKeys(ctx, keys, w)
	codes := r.offerCodes(w.methods)
	defer func() { codes.withdraw() }()
	var byKey error = errNoOffer
	if taps != nil {
		byKey = nil
	}
	for {
		select {
		case t := <-taps:
			if t.err == nil {
				return r.decide(t.approval, !w.interim, reason, apply)
			}
			if byKey, taps = t.err, nil; byCode != nil {
				return outcome{}, telling([]error{byKey, byCode})
			}
		case a := <-codes.answers():
			out, err := r.decideByCode(a.Code, !w.interim, r.checkOne(w.methods), reason, apply)
			switch {
			case err == nil:
				return out, nil
			case errors.Is(err, oath.ErrWrong), errors.Is(err, oath.ErrUsed):
				codes.again(err)
			case endsCodes(err):
				byCode = err
				codes.failed(err)
				if byKey != nil {
					return outcome{}, byCode
				}
			default:
				return outcome{}, err
			}
		case <-ctx.Done():
			return outcome{}, context.Cause(ctx)
		}
	}
}

// afterStepUp is apply, in the transaction of an approval, unless the user's methods are not any more
// those for which it was given.
func (r *Request) afterStepUp(apply func(*store.Tx) error) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		if err := r.unchanged(tx); err != nil || apply == nil {
			return err
		}
		return apply(tx)
	}
}

// errNoOffer stands for an offer that was never made.
var errNoOffer = errors.New("it was not offered")

// tapResult is how the offer of the keys ended.
type tapResult struct {
	approval
	err error
}

// offerKeys lets the keys blink; nil where there are none.
func (r *Request) offerKeys(ctx context.Context, keys []method.Method, w wanted) <-chan tapResult {
	if len(keys) == 0 {
		return nil
	}
	taps := make(chan tapResult)
	r.offers.Go(func() {
		var a approval
		err := r.safely(func() (err error) {
			a, err = r.approve(ctx, w.need, keys, w.only, w.about)
			return err
		})
		select {
		case taps <- tapResult{a, err}:
		case <-ctx.Done(): // another offer won, or the request is over
			a.done()
		}
	})
	return taps
}
