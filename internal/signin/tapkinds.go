package signin

import (
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
)

// canTap refuses a request for which nobody could tap anything.
func (r *Request) canTap() error {
	if len(r.methods) == 0 {
		return ErrNoMethod
	}
	seen, err := r.e.plugged(r.ask.KeyID)
	r.seen = seen
	return err
}

// signIn is a tap on one of the user's keys.
func (r *Request) signIn() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	a, err := r.approve(r.ctx, r.ask.Require, r.methods, r.ask.KeyID, "")
	if err != nil {
		return outcome{}, err
	}
	return r.decide(a, "", nil)
}

// canTest refuses the test of a method that is not there.
func (r *Request) canTest() error {
	if r.ask.Method.ID == "" {
		return r.canTap()
	}
	m, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return err
	}
	r.methods = []method.Method{m}
	return r.canTap()
}

// testMethod is a tap that lets nobody in: it shows that a method works.
func (r *Request) testMethod() (outcome, error) {
	r.touchFor("to test it")
	a, err := r.approve(r.ctx, r.ask.Require, r.methods, r.ask.KeyID, "")
	if err != nil {
		return outcome{}, err
	}
	out, err := r.decide(a, "test", nil)
	if err == nil {
		r.e.announceMethods()
	}
	return out, err
}

// canRemove refuses the removal of a method that is not there, and of the last one unless it is
// forced.
func (r *Request) canRemove() error {
	if _, err := r.methodByID(r.ask.Method.ID); err != nil {
		return err
	}
	if len(r.methods) == 1 && !r.ask.Method.Force {
		return fmt.Errorf("%w: register another first, or remove it with --force", method.ErrLast)
	}
	r.stepUpNeed()
	return r.canTap()
}

// removeMethod takes a method away, after a fresh approval at the strongest strength that the user
// has registered.
func (r *Request) removeMethod() (outcome, error) {
	gone, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return outcome{}, err
	}
	r.touchFor("to approve: removing the method “%s” of %s", gone.Name, gone.User)
	a, err := r.approve(r.ctx, r.ask.Require, r.methods, "", gone.Name)
	if err != nil {
		return outcome{}, err
	}
	out, err := r.decide(a, fmt.Sprintf("removed the method “%s”", gone.Name), func(tx *store.Tx) error {
		if err := r.unchanged(tx); err != nil {
			return err
		}
		_, err := method.Remove(tx, gone.UID, gone.ID, r.ask.Method.Force)
		return err
	})
	if err == nil {
		r.e.announceMethods()
	}
	return out, err
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
	now, err := method.List(tx, r.e.cfg.Owner.UID)
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
