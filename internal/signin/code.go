package signin

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// wrongCode is the log's word for a typed code that was not accepted. Such an entry decides nothing by
// itself.
const wrongCode = "wrong-code"

// VerifyCode is a sign-in by a code that was typed already: it is right, and the decision is on disk
// when VerifyCode returns, or it fails: with oath.ErrWrong and the like. No key blinks, and nobody is
// asked. It takes ownership of a.Code. It is safe for concurrent use: of many calls with the same code
// one is approved at most.
func (e *Engine) VerifyCode(ctx context.Context, c caller.Caller, a Ask) (View, error) {
	defer a.Code.Wipe()
	code, err := parseTyped(a.Code)
	if err != nil {
		return View{}, err
	}
	defer code.Wipe()
	if a.Kind != "" && a.Kind != KindSignIn {
		return View{}, badRequest("only a sign-in can be begun with a code")
	}
	recovery := isRecovery(code)
	r, err := e.admit(ctx, c, a, func(r *Request) error { return r.canCode(recovery) })
	if err != nil {
		return View{}, err
	}
	if err := e.enter(); err != nil {
		return View{}, err
	}
	defer e.running.Done()
	r.ctx, r.end = context.WithCancelCause(ctx)
	defer r.end(errCancelled)
	out, err := r.decideByCode(code, true, r.checkTyped(r.byPolicy()), "", nil)
	if err != nil {
		return View{}, e.discreet(c, r.user, err)
	}
	r.view.Decision = Approved
	out.view(&r.view)
	return r.view, nil
}

// canCode refuses a sign-in for which no code could be right; recovery says that a recovery code was given.
func (r *Request) canCode(recovery bool) error {
	w := r.byPolicy()
	if r.foreign() && w.typed { // who is told that there is no token learns what another has
		return nil
	}
	if len(r.methods) == 0 {
		return ErrNoMethod
	}
	byToken, byRecovery := w.typed && len(method.Of(r.methods, method.TypeToken)) > 0, w.recovery && len(method.Of(r.methods, method.TypeRecovery)) > 0
	switch {
	case byToken || byRecovery:
		return nil
	case !w.typed && r.asked != policy.None:
		return &refusal{ErrWeaker, fmt.Sprintf("%s was asked for, and a code proves less: use a key, or leave the strength to policy", r.asked)}
	case !w.typed:
		return &refusal{ErrWeaker, fmt.Sprintf("policy needs %s for this, and a code proves less: use a key", r.ask.Require)}
	case !recovery || len(method.Of(r.methods, method.TypeRecovery)) == 0:
		return r.noToken()
	case r.asked != policy.None && r.rule.AcceptsRecovery():
		return fmt.Errorf("%w: they prove no strength, and one was asked for", ErrNoRecovery)
	}
	return fmt.Errorf("%w: policy does not let them stand in for %s (fallback = [\"recovery\"])", ErrNoRecovery, r.service)
}

// noToken says that no token is registered, or that what is does not count.
func (r *Request) noToken() error {
	if len(r.methods) > 0 && len(method.Of(r.methods, method.TypeRecovery)) == len(r.methods) {
		return ErrNotHere
	}
	return ErrNoToken
}

// codeProblem says why nothing could be typed now that is enough; nil if something could.
func (r *Request) codeProblem(w wanted) error {
	if w.recovery && r.hasCodes(w.methods) {
		return r.notLockedOut()
	}
	if !w.typed {
		return fmt.Errorf("%w (%s is needed)", ErrNotStrong, w.need)
	}
	return r.tokenProblem(w)
}

// hasCodes reports whether a recovery code is left. What cannot be read is none.
func (r *Request) hasCodes(ms []method.Method) (left bool) {
	_ = r.e.cfg.Store.View(func(tx *store.Tx) error {
		n, err := codesLeft(tx, ms)
		left = n > 0
		return err
	})
	return left
}

// tokenProblem says why no token's code could be typed now.
func (r *Request) tokenProblem(w wanted) error {
	tokens := method.Of(w.methods, method.TypeToken)
	if len(tokens) == 0 {
		return r.noToken()
	}
	if err := r.canType(); err != nil {
		return err
	}
	return r.e.cfg.Store.View(func(tx *store.Tx) error {
		for _, m := range tokens {
			switch _, err := usable(tx, m); {
			case err == nil:
				return nil
			case !errors.Is(err, token.ErrDisabled) && !errors.Is(err, token.ErrNotFound):
				return err
			}
		}
		return token.ErrDisabled
	})
}

// canType refuses to ask for codes while none could be checked.
func (r *Request) canType() error {
	if err := r.e.unsealed(); err != nil {
		return err
	}
	return r.notLockedOut()
}

// notLockedOut fails while typed answers are refused.
func (r *Request) notLockedOut() error {
	return r.e.cfg.Store.View(func(tx *store.Tx) error {
		return lockout.Check(tx, r.user.UID, r.from(), r.e.cfg.Clock.Moment())
	})
}

// codeCheck checks typed codes in the transaction of the decision and notes that they are spent. It
// returns the method that they prove, or why they do not count.
type codeCheck func(tx *store.Tx, seeds *seedBox, code *secret.Secret, now clock.Moment) (method.Method, error)

// seedBox opens seeds. What a token says to a code depends on its state alone: it is worked out ahead, on
// the request's own time, and in the decision's transaction, which others wait for, only if the state has
// changed by then.
type seedBox struct {
	*vault.Sealer
	ahead  bool                // working ahead: nothing is kept
	worked map[string]stepDone // by serial number
}

// stepDone is what became of a token's state.
type stepDone struct {
	before, after oath.State
	err           error
}

// workAhead runs check without any effect, so that the seeds box knows its answers.
func (r *Request) workAhead(seeds *seedBox, check codeCheck, code *secret.Secret, now clock.Moment) {
	seeds.ahead = true
	_ = r.e.cfg.Store.View(func(tx *store.Tx) error { // what goes wrong here goes wrong again in earnest
		_, err := check(tx, seeds, code, now)
		return err
	})
	seeds.ahead = false
}

// decideByCode puts the approval by a typed code on disk, together with what apply changes, if the code
// is right. A wrong one is counted, also on disk, before anybody hears that it was wrong. The code is
// wiped. last says that the request ends with it.
func (r *Request) decideByCode(code *secret.Secret, last bool, check codeCheck, reason string, apply func(*store.Tx) error) (outcome, error) {
	defer code.Wipe()
	r.taken(codeOfferOf(code))
	seeds := &seedBox{worked: make(map[string]stepDone)}
	if !isRecovery(code) { // a recovery code is checked without any secret of the daemon's
		sealer, err := r.e.cfg.Vault.Sealer(token.Purpose)
		if err != nil {
			return outcome{}, err
		}
		seeds.Sealer = sealer
	}
	now := r.e.cfg.Clock.Moment()
	if r.e.cfg.Store.Writing() {
		r.workAhead(seeds, check, code, now)
	}
	checked, err := r.check()
	if err != nil {
		return outcome{}, err
	}
	decided := false
	defer func() { checked(decided && last) }()
	var refused error
	var done audit.Entry
	var by method.Method
	err = r.update(func(tx *store.Tx) error {
		entry, m, err := r.judge(tx, now, func() (method.Method, error) { return check(tx, seeds, code, now) })
		if refused = err; err != nil && entry == nil {
			return err
		}
		if err == nil {
			entry.Reason = reason
			if apply != nil {
				if err := apply(tx); err != nil {
					return err
				}
			}
			if last {
				if err := r.remembered(tx, entry, m, now.Wall); err != nil {
					return err
				}
			}
		}
		by = m
		done, err = log(tx, *entry)
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		if errors.Is(err, oath.ErrWrong) || errors.Is(err, oath.ErrUsed) {
			r.tries("code: " + err.Error())
		}
		return outcome{}, err
	}
	decided = true
	r.e.logged(done)
	if by.Type == method.TypeRecovery {
		r.e.announceMethods(r.user)
	}
	return r.outcomeOf(done, codeStrength(by)), nil
}

// codeOfferOf is the type of the offer that a typed code takes.
func codeOfferOf(code *secret.Secret) OfferType {
	if isRecovery(code) {
		return OfferByRecovery
	}
	return OfferByCode
}

// codeStrength is what a typed code proves: a recovery code nothing that has a name, but that policy, or
// the way back after a loss, lets it stand in.
func codeStrength(m method.Method) policy.Strength {
	if m.Type == method.TypeRecovery {
		return policy.None
	}
	return policy.Code
}

// judge lets check look at a typed code unless the user is locked out, counts, and makes the log's
// entry: an approval's, or, together with the reason, that of a code which did not count. Without an
// entry the transaction fails with the error.
func (r *Request) judge(tx *store.Tx, now clock.Moment, check func() (method.Method, error)) (*audit.Entry, method.Method, error) {
	if err := lockout.Check(tx, r.user.UID, r.from(), now); err != nil {
		return nil, method.Method{}, err
	}
	m, err := check()
	switch {
	case err == nil:
		if _, err := method.Touch(tx, r.user.UID, m.ID, now.Wall); err != nil && !errors.Is(err, method.ErrNotFound) {
			return nil, m, err
		}
		if err := lockout.Right(tx, r.user.UID, r.from()); err != nil {
			return nil, m, err
		}
		e := r.entry(Approved, "")
		e.Strength, e.Method, e.MethodName = codeStrength(m).String(), m.ID, m.Name
		return &e, m, nil
	case errors.Is(err, oath.ErrWrong):
		locked, countErr := lockout.Wrong(tx, r.user.UID, r.from(), now)
		if countErr != nil {
			return nil, m, countErr
		}
		if locked != nil {
			err = locked
		}
	case !errors.Is(err, oath.ErrUsed):
		return nil, m, err
	}
	e := r.entry(wrongCode, err.Error())
	return &e, m, err
}

// checkOne checks one code against each of the methods' tokens.
func (r *Request) checkOne(ms []method.Method) codeCheck {
	return func(tx *store.Tx, seeds *seedBox, code *secret.Secret, now clock.Moment) (method.Method, error) {
		worst := error(nil) // of the tokens that could not be asked
		used, wrong := false, false
		for _, m := range method.Of(ms, method.TypeToken) {
			err := r.tokenStep(tx, seeds, m, now, func(t token.Token, seed *secret.Secret, s oath.State) (oath.State, error) {
				return oath.Verify(t.Params, seed, code, s, now.Wall)
			})
			switch {
			case err == nil:
				return m, nil
			case errors.Is(err, oath.ErrUsed):
				used = true
			case errors.Is(err, oath.ErrWrong):
				wrong = true
			case errors.Is(err, store.ErrStorage):
				return method.Method{}, err
			default:
				worst = err
			}
		}
		switch {
		case used:
			return method.Method{}, oath.ErrUsed
		case wrong || worst == nil:
			return method.Method{}, oath.ErrWrong
		}
		return method.Method{}, worst
	}
}

// tokenStep lets step judge codes of a method's token, and keeps the state after it.
func (r *Request) tokenStep(tx *store.Tx, seeds *seedBox, m method.Method, now clock.Moment, step tokenStepFunc) error {
	t, err := usable(tx, m)
	if err != nil {
		return err
	}
	return r.seedStep(tx, seeds, t, now, step)
}

// seedStep is tokenStep for a token that is no method yet.
func (r *Request) seedStep(tx *store.Tx, seeds *seedBox, t token.Token, now clock.Moment, step tokenStepFunc) error {
	if t.Kind == oath.TOTP {
		if err := clock.Check(tx, now.Wall); err != nil {
			return err
		}
	}
	done, known := seeds.worked[t.Serial]
	if !known || done.before != t.State {
		var err error
		if done, err = seeds.work(tx, t, step); err != nil {
			return err
		}
	}
	if done.err != nil || seeds.ahead {
		return done.err
	}
	return token.Advance(tx, t, done.after)
}

// work opens a token's seed and lets step judge. Its error is that of the seed.
func (b *seedBox) work(tx *store.Tx, t token.Token, step tokenStepFunc) (stepDone, error) {
	sealed, err := token.SealedSeed(tx, t.Serial)
	if err != nil {
		return stepDone{}, err
	}
	seed, err := b.Open(token.Key(t.Serial), sealed)
	if err != nil {
		return stepDone{}, err
	}
	defer seed.Wipe()
	done := stepDone{before: t.State}
	done.after, done.err = step(t, seed, t.State)
	b.worked[t.Serial] = done
	return done, nil
}

// usable gives the token of a method, unless its codes prove nothing any more.
func usable(tx *store.Tx, m method.Method) (token.Token, error) {
	t, err := token.Get(tx, m.Token.Serial)
	switch {
	case err != nil:
		return token.Token{}, err
	case t.Owner == nil || t.Owner.UID != m.UID || t.Method != m.ID:
		return token.Token{}, token.ErrNotFound
	case t.Disabled:
		return token.Token{}, token.ErrDisabled
	}
	return t, nil
}

// from says whose wrong codes the caller's are counted with: another user's are that user's own.
func (r *Request) from() lockout.From {
	if r.foreign() {
		return lockout.From(fmt.Sprintf("uid:%d", r.caller.UID))
	}
	if r.remote() {
		return lockout.Remote
	}
	return lockout.Local
}
