package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
	"github.com/fobproject/fob/internal/token"
)

// grantKey is what a grant for this request is bound to besides its user, and whether there can be one:
// only for a sign-in from elsewhere that root has begun, from an origin and with an SSH key that root
// vouches for.
func (r *Request) grantKey() (origin, sshKey string, ok bool) {
	origin, sshKey = throttle.Origin(r.ask.Claimed.Origin.String()), r.ask.Claimed.SSHKey.String()
	if !throttle.IsGlobal(origin) || !isFingerprint(sshKey) { // what stands for many is not remembered
		return origin, sshKey, false
	}
	ok = r.ask.Kind == KindSignIn && r.remote() && r.stated() && strings.HasPrefix(r.service, "pam:") && origin != "" && sshKey != ""
	return origin, sshKey, ok
}

// isFingerprint reports whether text names one SSH key, as ssh-keygen -l does: nothing that was cut off.
func isFingerprint(text string) bool { return strings.HasPrefix(text, "SHA256:") && len(text) <= 64 }

// rememberable is for how long the approval may be remembered; 0 if it may not.
func (r *Request) rememberable() time.Duration {
	if _, _, ok := r.grantKey(); !ok {
		return 0
	}
	return r.rule.Remember
}

// setRemember notes whether the person wants the approval remembered.
func (r *Request) setRemember(on bool) error {
	if on && r.rememberable() == 0 {
		return ErrNotRemembered
	}
	r.mu.Lock()
	pending := r.view.Pending() && !r.sealed
	r.mu.Unlock()
	if !pending {
		return ErrNotPending
	}
	r.publish(func(v *View) { v.Remember = on })
	return nil
}

// byGrant approves a request by a grant, on disk before it counts. It fails with grant.ErrNone where the
// person is to be asked. Policy is asked again as it is now: a grant never outlives what would let it be
// made.
func (r *Request) byGrant() (outcome, error) {
	origin, sshKey, ok := r.grantKey()
	if !ok || r.asked != policy.None || r.rule.Remember == 0 {
		return outcome{}, grant.ErrNone
	}
	now := r.e.cfg.Clock.Now()
	var back error
	var done audit.Entry
	checked, err := r.check()
	if err != nil {
		return outcome{}, err
	}
	decided := false
	defer func() { checked(decided) }()
	err = r.update(func(tx *store.Tx) error {
		back, done = nil, audit.Entry{}
		g, err := grant.Find(tx, r.user.UID, r.user.Name, r.service, origin, sshKey, now)
		if errors.Is(err, clock.ErrBack) {
			back = err
			_, err := grant.DropAll(tx, r.user.UID)
			return err
		}
		if err != nil {
			return err
		}
		if err := r.stillGood(tx, g, now); err != nil {
			return err
		}
		if g, err = grant.Use(tx, g, now); err != nil {
			return err
		}
		entry := r.entry(Approved, "remembered since "+g.Made.UTC().Format(time.DateTime))
		entry.Method, entry.MethodName, entry.Grant = g.Method, g.MethodName, g.ID
		done, err = log(tx, entry)
		return err
	})
	switch {
	case err != nil:
		if !errors.Is(err, grant.ErrNone) { // the person can still be asked
			r.e.cfg.Log.Error("cannot look for a remembered approval", "request", r.id, "error", err)
		}
		return outcome{}, grant.ErrNone
	case back != nil:
		r.e.cfg.Log.Warn("remembered approvals were dropped", "user", r.user.Name, "error", back)
		return outcome{}, grant.ErrNone
	}
	decided = true
	r.e.logged(done)
	return r.outcomeOf(done, policy.None), nil
}

// stillGood fails with grant.ErrNone unless policy would let the grant be made today, and its method could
// still approve it.
func (r *Request) stillGood(tx *store.Tx, g grant.Grant, now time.Time) error {
	if r.e.policy.Load() != r.policy { // it changed since the request began: the person is asked
		return grant.ErrNone
	}
	if now.Sub(g.Made) > r.rule.Remember || !r.rule.Accepts(g.Strength) || g.Strength < policy.Code {
		return grant.ErrNone
	}
	m, err := method.Get(tx, r.user.UID, g.Method)
	if errors.Is(err, method.ErrNotFound) {
		return grant.ErrNone
	}
	if err != nil {
		return err
	}
	switch {
	case m.Suspect:
		return grant.ErrNone
	case m.Key != nil && r.policy.AllowsAAGUID(m.Key.AAGUID):
		return nil
	case m.Token != nil:
		_, err := usable(tx, m)
		if errors.Is(err, token.ErrDisabled) || errors.Is(err, token.ErrNotFound) {
			return grant.ErrNone
		}
		return err
	}
	return grant.ErrNone
}

// remembered makes the grant that the person chose, in the transaction of the approval.
func (r *Request) remembered(tx *store.Tx, entry *audit.Entry, by method.Method, now time.Time) error {
	if err := throttle.Approved(tx, r.who()); err != nil {
		return err
	}
	r.mu.Lock()
	wanted := r.view.Remember
	r.mu.Unlock()
	var strength policy.Strength
	if err := strength.UnmarshalText([]byte(entry.Strength)); err != nil {
		return err
	}
	origin, sshKey, ok := r.grantKey()
	if !wanted || !ok || r.rule.Remember == 0 || strength < policy.Code || by.ID == "" {
		return nil
	}
	id, err := r.e.newID()
	if err != nil {
		return err
	}
	g, err := grant.Add(tx, grant.Grant{
		ID: id, UID: r.user.UID, User: r.user.Name, Service: r.service, Origin: origin, SSHKey: sshKey,
		Method: by.ID, MethodName: by.Name, Strength: strength, Made: now.UTC(), Until: now.Add(r.rule.Remember).UTC(),
	})
	if err != nil {
		return err
	}
	entry.Grant = g.ID
	return nil
}

// dropGrantsOf takes back what was remembered for where a reported request came from, and for the SSH key
// that it came with.
func (r *Request) dropGrantsOf(tx *store.Tx) error {
	origin, sshKey := throttle.Origin(r.ask.Claimed.Origin.String()), r.ask.Claimed.SSHKey.String()
	if !r.stated() {
		return nil
	}
	_, err := grant.DropFrom(tx, r.user.UID, origin, sshKey)
	return err
}

// kindRevoke is the log's word for RevokeGrant and RevokeGrants, which are no requests.
const kindRevoke = "revoke-grant"

// Grants lists what is remembered for a user, the newest first.
func (e *Engine) Grants(ctx context.Context, c caller.Caller, user string) (gs []grant.Grant, err error) {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return nil, err
	}
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		gs, err = grant.List(tx, who.UID, e.cfg.Clock.Now())
		return err
	})
	return gs, err
}

// RevokeGrant takes one remembered approval back. Less is trusted then, so it needs no approval.
func (e *Engine) RevokeGrant(ctx context.Context, c caller.Caller, user, id string) error {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return err
	}
	return e.noted(ctx, who.uid, func(tx *store.Tx) error {
		g, err := grant.Revoke(tx, who.UID, id)
		if err != nil {
			return err
		}
		return e.note(tx, kindRevoke, who, c.UID, fmt.Sprintf("no longer remembered: %s from %s", g.Service, g.Origin))
	})
}

// RevokeGrants takes all of them back, and says how many there were.
func (e *Engine) RevokeGrants(ctx context.Context, c caller.Caller, user string) (n int, err error) {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return 0, err
	}
	err = e.noted(ctx, who.uid, func(tx *store.Tx) (err error) {
		if n, err = grant.DropAll(tx, who.UID); err != nil || n == 0 {
			return err
		}
		return e.note(tx, kindRevoke, who, c.UID, fmt.Sprintf("no longer remembered: all %d", n))
	})
	return n, err
}

// hasGrant reports whether the person need not be asked, as far as it can be told without effect.
func (r *Request) hasGrant() bool {
	origin, sshKey, ok := r.grantKey()
	if !ok || r.asked != policy.None || r.rule.Remember == 0 {
		return false
	}
	now := r.e.cfg.Clock.Now()
	return r.e.cfg.Store.View(func(tx *store.Tx) error {
		g, err := grant.Find(tx, r.user.UID, r.user.Name, r.service, origin, sshKey, now)
		if err != nil {
			return err
		}
		return r.stillGood(tx, g, now)
	}) == nil
}

// grantsOf are the grants that were approved by one of the methods.
func grantsOf(gs []grant.Grant, ms []method.Method) []grant.Grant {
	return slices.DeleteFunc(slices.Clone(gs), func(g grant.Grant) bool {
		return !slices.ContainsFunc(ms, func(m method.Method) bool { return m.ID == g.Method })
	})
}
