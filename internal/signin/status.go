package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// Status is what an instance says of itself to a user.
type Status struct {
	System     bool
	InstanceID string
	User       Person // who asks
	Started    time.Time
	Place      caller.Place
	Pending    int
	Methods    int // that sign in: recovery codes are none
	MinMethods int // how many policy wants the user to have; 0 if it does not say
	CodesLeft  int // recovery codes, where there are any
	Grants     int
	Waits      []throttle.Entry
	Tokens     int // in the registry; 0 for who may not see it
	Keys       int
	Vault      vault.Status
	LogSeq     uint64
	LogHead    [32]byte
	LogKey     []byte   // Ed25519 public key with which the log is signed; nil if it never was
	Short      []string // for administrators: the users who have fewer methods than policy wants, each with how many
	ShortMore  int      // how many more there are
	Problems   []string // plain sentences
}

// Status sums the instance up. What cannot be told is a problem in it, not an error.
func (e *Engine) Status(ctx context.Context, c caller.Caller) (Status, error) {
	me, err := e.own(ctx, c, "")
	if err != nil {
		return Status{}, err
	}
	s := Status{
		System: e.cfg.System, InstanceID: e.cfg.Store.InstanceID(), User: me, Started: e.started,
		Place: e.cfg.Standing(ctx, c, me.UID).Place, Pending: len(e.board.pending(me.UID)),
	}
	note := func(err error) {
		if err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
	}
	keys, problems, err := e.cfg.Discover()
	note(err)
	s.Keys = len(keys)
	for _, p := range problems {
		s.Problems = append(s.Problems, p.Name+": "+p.Text)
	}
	ms, err := e.methodsOf(me)
	note(err)
	s.Methods = countSignIn(ms)
	for _, m := range ms {
		if m.Suspect {
			s.Problems = append(s.Problems, "the key of the method “"+m.Name+"” may have been cloned: its counter went back")
		}
	}
	p := e.policy.Load()
	if s.MinMethods = p.For(ownService, e.subject(ctx, p, me)).MinMethods; s.Methods < s.MinMethods {
		s.Problems = append(s.Problems, fmt.Sprintf("policy wants you to have %d sign-in methods, and you have %d: add one with “fob methods add key”", s.MinMethods, s.Methods))
	}
	note(e.cfg.Store.View(func(tx *store.Tx) (err error) {
		if s.LogSeq, s.LogHead, err = audit.Head(tx); err != nil {
			return err
		}
		if s.LogKey, err = audit.PublicKey(tx); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		note(clock.Check(tx, e.cfg.Clock.Now()))
		note(e.lockedOut(tx, me))
		if s.CodesLeft, err = codesLeft(tx, ms); err != nil {
			return err
		}
		gs, err := grant.List(tx, me.UID, e.cfg.Clock.Now())
		if err != nil {
			return err
		}
		s.Grants = len(gs)
		if s.Waits, err = throttle.List(tx, me.UID, e.cfg.Clock.Moment()); err != nil {
			return err
		}
		if e.admin(c) != nil {
			return nil
		}
		if s.Tokens, err = token.Count(tx); err != nil {
			return err
		}
		s.Vault, err = e.cfg.Vault.Status(tx)
		return err
	}))
	if e.cfg.System && e.admin(c) == nil {
		s.Short, s.ShortMore, err = e.short(ctx)
		note(err)
	}
	return s, nil
}
