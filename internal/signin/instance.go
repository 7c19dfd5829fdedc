package signin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/store"
)

// methodsOf reads the user's methods and refuses a uid whose name has changed.
func (e *Engine) methodsOf(u Person) ([]method.Method, error) {
	var ms []method.Method
	err := e.cfg.Store.View(func(tx *store.Tx) (err error) {
		if ms, err = method.List(tx, u.UID); err != nil {
			return err
		}
		for i := range ms {
			if ms[i].Type == method.TypeRecovery {
				ms[i].Left, err = recovery.Left(tx, u.UID)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		if m.User != u.Name {
			return nil, fmt.Errorf("%w: uid %d was %s and is now %s; if that is the same person, start fobd once with --renamed", ErrUserChanged, u.UID, m.User, u.Name)
		}
	}
	return ms, nil
}

// kindConfirmName is the log's word for ConfirmName, which is no request.
const kindConfirmName = "confirm-name"

// ConfirmName lets the user's methods be used again after the user id was given another name. Who
// starts the daemon says so, not who calls it.
func (e *Engine) ConfirmName(ctx context.Context) error {
	return e.confirmName(ctx, e.cfg.Owner, e.cfg.Owner.UID)
}

// ConfirmUser is ConfirmName for a user of the system instance. It is root's alone.
func (e *Engine) ConfirmUser(ctx context.Context, c caller.Caller, name string) error {
	if err := caller.AccessRoot.Check(c, e.instance()); err != nil {
		return err
	}
	u, err := e.byName(ctx, name)
	if err != nil {
		return err
	}
	return e.confirmName(ctx, u, c.UID)
}

func (e *Engine) confirmName(ctx context.Context, u Person, by uint32) error {
	return e.noted(ctx, u.uid, func(tx *store.Tx) error {
		before, err := method.Confirm(tx, u.UID, u.Name)
		if err != nil || len(before) == 0 {
			return err
		}
		return e.note(tx, kindConfirmName, u, by, "the user was called "+strings.Join(before, ", "))
	})
}

// kindClock is the log's word for ForgetClock, which is no request.
const kindClock = "clock-was-wrong"

// ForgetClock takes the clock as it is now for right, although it has shown a later time: it was wrong
// then. Who starts the daemon says so, not who calls it.
func (e *Engine) ForgetClock(ctx context.Context) error {
	return e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		before, err := clock.Forget(tx, e.cfg.Clock.Now())
		if err != nil || before.IsZero() {
			return err
		}
		return e.note(tx, kindClock, e.itself(), e.itself().UID, "the clock had shown "+before.UTC().Format(time.DateTime))
	})
}

// note logs what was done to a user, or for them, without a request.
func (e *Engine) note(tx *store.Tx, kind string, about Person, callerUID uint32, reason string) error {
	_, err := log(tx, audit.Entry{
		Time: e.cfg.Clock.Now().UTC(), Kind: kind, Decision: string(Approved), UID: about.UID, User: about.Name,
		CallerUID: callerUID, Place: string(caller.PlaceLocal), Require: policy.None.String(), Strength: policy.None.String(),
		SelfAsserted: !e.cfg.System, Reason: reason,
	})
	return err
}

// Note adds an entry to the log of a user instance, of something that its user did and that is no request.
func (e *Engine) Note(tx *store.Tx, kind, reason string) error {
	return e.note(tx, kind, e.itself(), e.itself().UID, reason)
}

// rpID names this instance to keys. It is the database's, and changes when a backup is restored.
func (e *Engine) rpID() string { return "fob:" + e.cfg.Store.InstanceID() }

// idAlphabet has no letters that people confuse; its 32 signs carry 5 bits each.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newID makes an id of 50 random bits, short enough to type.
func (e *Engine) newID() (string, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return "", fmt.Errorf("cannot make an id: %w", err)
	}
	for i := range b {
		b[i] = idAlphabet[b[i]%32]
	}
	return string(b), nil
}
