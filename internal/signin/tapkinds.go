package signin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
	"github.com/fobproject/fob/internal/token"
)

// canSignIn refuses a sign-in that nobody could approve.
func (r *Request) canSignIn() error {
	if r.hasGrant() {
		return nil
	}
	return r.canApprove(r.byPolicy())
}

// signIn is a tap on one of the user's keys, or a code of one of their tokens.
func (r *Request) signIn() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	return r.resolve(r.byPolicy(), "", nil)
}

// canTest refuses the test of a method that is not there.
func (r *Request) canTest() error {
	if r.ask.Method.ID != "" {
		m, err := r.methodByID(r.ask.Method.ID)
		if err != nil {
			return err
		}
		r.methods = []method.Method{m}
	}
	// Each recovery code works once: a test would cost one.
	if r.methods = slices.DeleteFunc(r.methods, func(m method.Method) bool { return m.Type == method.TypeRecovery }); len(r.methods) == 0 {
		return badRequest("recovery codes are not tested: each works once, and a test would cost one")
	}
	if r.asked == policy.None { // it lets nobody in: whatever the method proves will do
		r.ask.Require = policy.Code
	}
	return r.canApprove(r.byTest())
}

// byTest is what a test accepts: any of the methods' own proofs.
func (r *Request) byTest() wanted {
	return wanted{need: r.ask.Require, methods: r.methods, only: r.ask.KeyID, typed: r.ask.Require <= policy.Code}
}

// testMethod lets nobody in: it shows that a method works.
func (r *Request) testMethod() (outcome, error) {
	r.touchFor("to test it")
	out, err := r.resolve(r.byTest(), "test", nil)
	if err == nil {
		r.e.announceMethods(r.user)
	}
	return out, err
}

// canRemove refuses the removal of a method that is not there, and of the last one unless it is
// forced.
func (r *Request) canRemove() error {
	if _, err := r.methodByID(r.ask.Method.ID); err != nil {
		return err
	}
	if err := r.mayTake(r.ask.Method.ID, r.ask.Method.Force); err != nil {
		return err
	}
	r.stepUpNeed()
	if r.mayDoWithout() {
		return nil
	}
	return r.canApprove(r.byStrongest())
}

// removeMethod takes a method away, after a fresh approval at the strongest strength that the user
// has registered.
func (r *Request) removeMethod() (outcome, error) {
	gone, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return outcome{}, err
	}
	r.touchFor("to approve: removing the method “%s” of %s", gone.Name, gone.User)
	w := r.byStrongest()
	w.about = gone.Name
	out, err := r.approved(w, fmt.Sprintf("removed the method “%s”", gone.Name), func(tx *store.Tx) error {
		return r.dropMethod(tx, gone, r.ask.Method.Force)
	})
	if err == nil {
		r.e.announceMethods(r.user)
	}
	return out, err
}

// leavesOne refuses to take the last method away that is of any use, unless it is forced.
func (r *Request) leavesOne(tx *store.Tx, gone string, force bool) error {
	if force {
		return nil
	}
	now, err := method.List(tx, r.user.UID)
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(now, func(m method.Method) bool { return m.ID == gone })
	if some, err := anyUsable(tx, rest); err != nil || some {
		return err
	}
	return fmt.Errorf("%w: register another first, or use --force", method.ErrLast)
}

// mayTake is leavesOne before the request begins; the transaction that takes the method looks again.
func (r *Request) mayTake(gone string, force bool) error {
	return r.e.cfg.Store.View(func(tx *store.Tx) error { return r.leavesOne(tx, gone, force) })
}

// dropMethod takes a method away, in the transaction of the approval of it, and where that is forced and
// leaves nothing usable, the others too.
func (r *Request) dropMethod(tx *store.Tx, gone method.Method, force bool) error {
	if err := r.leavesOne(tx, gone.ID, force); err != nil {
		return err
	}
	if err := removeMethod(tx, gone, force); err != nil {
		return err
	}
	return r.dropUseless(tx)
}

func removeMethod(tx *store.Tx, gone method.Method, force bool) error {
	if _, err := method.Remove(tx, gone.UID, gone.ID, force); err != nil {
		return err
	}
	if _, err := grant.DropMethod(tx, gone.UID, gone.ID); err != nil {
		return err
	}
	if gone.Type == method.TypeRecovery {
		return recovery.Drop(tx, gone.UID)
	}
	if gone.Token == nil {
		return nil
	}
	_, err := token.Deactivate(tx, gone.Token.Serial)
	if errors.Is(err, token.ErrNotFound) {
		return nil
	}
	return err
}

// useless are the methods, all of them or none, that are of no use once no others are left and so many recovery
// codes more are used up: methods that cannot approve anything would stand in the way of a new one, which
// they would have to approve.
func (r *Request) useless(tx *store.Tx, ms []method.Method, used int) ([]method.Method, error) {
	if some, err := anyUsable(tx, ms); err != nil || some {
		return nil, err
	}
	if left, err := codesLeft(tx, ms); err != nil || left > used && r.e.policy.Load().RecoverySteps() {
		return nil, err // they approve a new method
	}
	return ms, nil
}

// dropUseless removes the user's methods where none is of any use any more.
func (r *Request) dropUseless(tx *store.Tx) error {
	now, err := method.List(tx, r.user.UID)
	if err != nil {
		return err
	}
	if now, err = r.useless(tx, now, 0); err != nil {
		return err
	}
	for _, m := range now {
		if err := removeMethod(tx, m, true); err != nil {
			return err
		}
		reason := fmt.Sprintf("the method “%s” went too: nothing that could approve anything was left", m.Name)
		if err := r.e.note(tx, string(KindRemoveMethod), r.user, r.caller.UID, reason); err != nil {
			return err
		}
	}
	return nil
}

// anyUsable reports whether one of the methods can approve anything. A token that cannot be read is an
// error, not one without use.
func anyUsable(tx *store.Tx, ms []method.Method) (bool, error) {
	for _, m := range ms {
		switch {
		case m.Type == method.TypeRecovery: // a way back, not a way in
			continue
		case m.Token == nil:
			return true, nil
		}
		switch _, err := usable(tx, m); {
		case err == nil:
			return true, nil
		case !errors.Is(err, token.ErrDisabled) && !errors.Is(err, token.ErrNotFound):
			return false, err
		}
	}
	return false, nil
}

// canUnblock refuses to lift a lock of typed answers where there is nothing but typed answers.
func (r *Request) canUnblock() error {
	if r.ask.Block != "" {
		if err := r.isBlocked(); err != nil {
			return err
		}
	}
	if r.mayDoWithout() {
		return nil
	}
	if len(r.methods) > 0 && len(method.Of(r.methods, method.TypeKey)) == 0 {
		return ErrNothingLifts
	}
	r.ask.Require = max(r.ask.Require, policy.Key)
	r.stepUpNeed()
	return r.canApprove(r.byLift())
}

// isBlocked refuses to lift what is not there.
func (r *Request) isBlocked() error {
	asked := r.ask.Block
	if r.ask.Block = throttle.Origin(asked); r.ask.Block == "" {
		return badRequest("that is neither an address nor a host's name")
	}
	return r.e.cfg.Store.View(func(tx *store.Tx) error {
		entries, err := throttle.List(tx, r.user.UID, r.e.cfg.Clock.Moment())
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(entries, func(e throttle.Entry) bool { return e.Origin == r.ask.Block }) {
			return fmt.Errorf("%w: %s", ErrNotBlocked, caller.Clean(asked))
		}
		return nil
	})
}

// byLift is the tap that lifts locks and blocks.
func (r *Request) byLift() wanted {
	return wanted{need: r.ask.Require, methods: r.methods, stepUp: true}
}

// unblock lets codes be typed again after too many wrong ones, and requests begin again from where one was
// denied or reported: from one origin, or from all. A code is no approval for that.
func (r *Request) unblock() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	done := "codes may be typed again, and nothing waits or is blocked"
	if r.ask.Block != "" {
		done = "no longer blocked: " + r.ask.Block
	}
	return r.approved(r.byLift(), done, func(tx *store.Tx) error {
		if _, err := throttle.Lift(tx, r.user.UID, r.ask.Block); err != nil || r.ask.Block != "" {
			return err
		}
		return lockout.Lift(tx, r.user.UID)
	})
}

// stepUpNeed raises what the request requires to the strongest strength that is registered.
func (r *Request) stepUpNeed() {
	for _, m := range r.methods {
		r.ask.Require = max(r.ask.Require, m.Strength())
	}
}

// unchanged makes sure, in the transaction that changes the user's methods, that they are those for
// which this request was approved: none came or went meanwhile, and none grew stronger than that.
func (r *Request) unchanged(tx *store.Tx) error {
	now, err := method.List(tx, r.user.UID)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(now, r.methods, func(a, b method.Method) bool {
		return a.ID == b.ID && (a.Strength() <= b.Strength() || a.Strength() <= r.ask.Require)
	})
	if !same {
		return ErrMethodsChanged
	}
	return nil
}

// methodByID finds one of the user's methods.
func (r *Request) methodByID(id string) (method.Method, error) {
	at := slices.IndexFunc(r.methods, func(m method.Method) bool { return m.ID == id })
	if at < 0 {
		return method.Method{}, method.ErrNotFound
	}
	return r.methods[at], nil
}
