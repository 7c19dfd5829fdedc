package signin

import (
	"context"
	"errors"
	"slices"

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
	typed   bool   // codes of tokens may be typed
	// recovery says that a recovery code may be typed; match and click that a number typed at the desk, or a
	// plain yes there, is enough.
	recovery, match, click bool
	// stepUp says that need is the strongest strength that the user has registered: the approval does not
	// count if methods came or grew meanwhile.
	stepUp bool
	// interim says that the request goes on after the approval.
	interim bool
}

// byPolicy is what policy accepts of a sign-in. Fallbacks count only where the caller leaves the strength
// to policy: who asks for a key is not content with a code.
func (r *Request) byPolicy() wanted {
	accepts := func(s policy.Strength) bool {
		return s.Satisfies(r.ask.Require) || r.asked == policy.None && r.rule.Accepts(s)
	}
	elsewhere := r.remote() && !r.standing.SameUser // asker is not approver
	return wanted{
		need: r.ask.Require, methods: r.methods, only: r.ask.KeyID,
		typed: accepts(policy.Code), recovery: r.asked == policy.None && r.rule.AcceptsRecovery(),
		match: elsewhere && accepts(policy.Match), click: elsewhere && accepts(policy.Click),
	}
}

// byStrongest is what a change of the user's methods needs.
func (r *Request) byStrongest() wanted {
	return wanted{
		need: r.ask.Require, methods: r.methods, typed: r.ask.Require <= policy.Code, stepUp: true,
		recovery: r.rules.Recovers && r.e.policy.Load().RecoverySteps(),
	}
}

// keysOf are the methods that can be tapped: policy may forbid models of keys. The need of a key that only
// falls back from "verified" is its own.
func (r *Request) keysOf(ms []method.Method) []method.Method {
	p := r.e.policy.Load()
	return slices.DeleteFunc(method.Of(ms, method.TypeKey), func(m method.Method) bool { return !p.AllowsAAGUID(m.Key.AAGUID) })
}

// tapNeed is what a tap must prove: less than need where policy lets a key without PIN stand in.
func (r *Request) tapNeed(w wanted) policy.Strength {
	if !w.stepUp && r.asked == policy.None && w.need > policy.Key && r.rule.Accepts(policy.Key) {
		return policy.Key
	}
	return w.need
}

// canApprove refuses a request for which there would be no offer at all.
func (r *Request) canApprove(w wanted) error {
	if w.match || w.click {
		return nil
	}
	if len(r.methods) == 0 {
		return ErrNoMethod
	}
	byCode := r.codeProblem(w)
	if len(r.keysOf(w.methods)) == 0 {
		if byCode != nil && len(method.Of(w.methods, method.TypeKey)) > 0 {
			return ErrKeyModel
		}
		return byCode
	}
	if r.remote() { // a key may be plugged in by who comes to the desk
		return nil
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
	keys := r.keysOf(w.methods)
	byCode := r.codeProblem(w)
	plain := w.match || w.click
	if byCode != nil {
		if len(keys) == 0 && !plain {
			return outcome{}, byCode
		}
		if errors.Is(byCode, lockout.ErrLocked) || errors.Is(byCode, vault.ErrSealed) { // else nobody expects one
			r.publish(func(v *View) {
				v.Offers = append(v.Offers, Offer{Type: OfferByCode, State: OfferFailed, Err: byCode})
			})
		}
		if !plain { // the shorter way, which most sign-ins go
			a, err := r.approve(r.ctx, r.tapNeed(w), keys, w.only, w.about)
			if err != nil {
				return outcome{}, err
			}
			return r.decide(a, !w.interim, reason, apply)
		}
	}

	ctx, stop := context.WithCancelCause(r.ctx)
	taps, ended := r.offerKeys(ctx, keys, w)
	defer func() {
		stop(errCancelled) // whatever wins, the others are let go at once
		if w.interim {
			<-ended // what they show must not be taken for the next step's
		}
	}()
	codes := new(codeOffer)
	if byCode == nil {
		codes = r.offerCodes(w)
		defer func() { codes.withdraw() }()
	}
	clicked, unclick := r.offerClick(w.click)
	defer unclick()
	var byKey error = errNoOffer
	if taps != nil {
		byKey = nil
	}
	for {
		select {
		case <-r.numbered(w.match):
			return r.decidePlain(policy.Match, reason, apply)
		case <-clicked:
			return r.decidePlain(policy.Click, reason, apply)
		case t := <-taps:
			if t.err == nil {
				return r.decide(t.approval, !w.interim, reason, apply)
			}
			if byKey, taps = t.err, nil; byCode != nil && !plain {
				return outcome{}, telling([]error{byKey, byCode})
			}
		case a := <-codes.answers():
			by := codeOfferOf(a.Code)
			out, err := r.decideByCode(a.Code, !w.interim, r.checkTyped(w), reason, apply)
			switch {
			case err == nil:
				return out, nil
			case errors.Is(err, oath.ErrWrong), errors.Is(err, oath.ErrUsed):
				codes.again(err)
			case endsCodes(err):
				byCode = err
				codes.failed(err)
				if byKey != nil && !plain {
					return outcome{}, byCode
				}
			default:
				r.untaken(by)
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

// offerKeys lets the keys blink; taps is nil where there are none. ended is closed once nothing of the offer
// runs on.
func (r *Request) offerKeys(ctx context.Context, keys []method.Method, w wanted) (taps chan tapResult, ended chan struct{}) {
	ended = make(chan struct{})
	if len(keys) == 0 {
		close(ended)
		return nil, ended
	}
	taps = make(chan tapResult)
	r.offers.Go(func() {
		defer close(ended)
		var a approval
		err := r.safely(func() (err error) {
			a, err = r.approve(ctx, r.tapNeed(w), keys, w.only, w.about)
			return err
		})
		select {
		case taps <- tapResult{a, err}:
		case <-ctx.Done(): // another offer won, or the request is over
			a.done()
		}
	})
	return taps, ended
}
