package signin

import (
	"context"
	"fmt"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
)

// find gives a pending request that concerns the caller; others' do not exist. mine says that the caller
// is the user whom it asks, and not only who began it.
func (e *Engine) find(c caller.Caller, id string) (r *Request, mine bool, err error) {
	if err := caller.AccessOwner.Check(c, e.instance()); err != nil {
		return nil, false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r = e.requests[id]
	if r == nil || c.UID != r.user.UID && c.UID != r.caller.UID {
		return nil, false, ErrNotFound
	}
	return r, c.UID == r.user.UID, nil
}

// findOwn is find for what the user alone may do.
func (e *Engine) findOwn(c caller.Caller, id string) (*Request, error) {
	r, mine, err := e.find(c, id)
	if err == nil && !mine {
		return nil, fmt.Errorf("%w: only %s can do that", caller.ErrForbidden, r.user.Name)
	}
	return r, err
}

// List gives the caller's pending requests: those begun by root first, then the oldest.
func (e *Engine) List(c caller.Caller) []View {
	if caller.AccessOwner.Check(c, e.instance()) != nil {
		return nil
	}
	return e.board.pending(c.UID)
}

// Get gives one of the caller's pending requests, or ErrNotFound.
func (e *Engine) Get(c caller.Caller, id string) (View, error) {
	r, mine, err := e.find(c, id)
	if err != nil {
		return View{}, err
	}
	if !mine {
		return r.ForCaller(r.View()), nil
	}
	return r.View(), nil
}

// Answer hands a person's answer to a prompt of the request. It takes ownership of a.PIN and a.Code.
//
// The user answers all prompts; who began the request may hand on what was typed where it asks, which
// never is a number: that, and a plain approval, are given at the desk alone.
func (e *Engine) Answer(ctx context.Context, c caller.Caller, id string, a Answer) error {
	r, mine, err := e.find(c, id)
	if err == nil && a.PIN.Len() > 0 && (c.Door != caller.DoorSocket || e.elsewhere(ctx, c, r)) {
		err = ErrPINPlace
	}
	if err == nil && (a.Number != "" || a.Approve) && (!mine || e.elsewhere(ctx, c, r)) {
		err = ErrNumberPlace
	}
	if err != nil {
		a.Wipe()
		return err
	}
	return r.answer(a)
}

// elsewhere reports whether a caller who answers sits elsewhere, as far as the request's user goes.
func (e *Engine) elsewhere(ctx context.Context, c caller.Caller, r *Request) bool {
	return e.cfg.Standing(ctx, c, r.user.UID).Place == caller.PlaceRemote
}

// Pick gives the keys that the request waits for to it, ahead of all others, and those that it will
// yet wait for.
func (e *Engine) Pick(c caller.Caller, id string) error {
	r, _, err := e.find(c, id)
	if err == nil && stranger(c, r.user) {
		err = ErrNotFound
	}
	if err == nil && !r.remote() && e.elsewhere(context.Background(), c, r) {
		err = ErrNumberPlace
	}
	if err != nil {
		return err
	}
	e.turns.pick(r.id)
	return nil
}

// Remember says whether the approval of a request is to be remembered, as far as policy lets it; see
// View.Rememberable.
func (e *Engine) Remember(ctx context.Context, c caller.Caller, id string, on bool) error {
	r, err := e.findOwn(c, id)
	if err != nil {
		return err
	}
	if e.elsewhere(ctx, c, r) {
		return ErrNumberPlace
	}
	return r.setRemember(on)
}

// Deny ends the request: the person does not want it.
func (e *Engine) Deny(c caller.Caller, id string) error { return e.stop(c, id, errDenied) }

// Report ends the request: it was not the person's.
func (e *Engine) Report(c caller.Caller, id string) error { return e.stop(c, id, errReported) }

// Cancel ends the request: it is no longer needed.
func (e *Engine) Cancel(c caller.Caller, id string) error { return e.stop(c, id, errCancelled) }

func (e *Engine) stop(c caller.Caller, id string, why error) error {
	r, mine, err := e.find(c, id)
	if err == nil && !mine && why != errCancelled {
		err = fmt.Errorf("%w: only %s can do that", caller.ErrForbidden, r.user.Name)
	}
	if err == nil && mine && e.elsewhere(context.Background(), c, r) {
		// A session elsewhere may be somebody else's: it ends nothing of the desk's, and blocks nothing.
		if !r.remote() {
			err = ErrNumberPlace
		} else if why != errCancelled {
			why = fmt.Errorf("%w %w", errDenied, errThere)
		}
	}
	if err != nil {
		return err
	}
	return r.stop(why)
}

// Subscribe gives the caller's pending requests and methods, and each change from then on.
func (e *Engine) Subscribe(ctx context.Context, c caller.Caller) (*Subscription, error) {
	me, err := e.own(ctx, c, "")
	if err != nil {
		return nil, err
	}
	return e.board.subscribe(me.UID, func() ([]method.Method, error) { return e.methodsOf(me) })
}
