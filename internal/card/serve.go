package card

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/ykoath"
)

// Handlers serve the operations on cards, in fob-helper.
func Handlers(c Connector) map[string]helper.Handler {
	return map[string]helper.Handler{
		opList: helper.Handle(func(ctx context.Context, a listArgs) ([]Found, error) { return list(ctx, c, a) }),
		opCode: on(c, func(ctx context.Context, s *ykoath.Session, a codeArgs) (Account, error) {
			code, err := s.Calculate(ctx, ykoath.ParseID(string(a.Account), a.Kind), time.Unix(a.Now, 0))
			return accountOf(code), err
		}),
		opPut: on(c, func(ctx context.Context, s *ykoath.Session, a putArgs) (struct{}, error) {
			n := a.New
			return struct{}{}, s.Put(ctx, ykoath.New{
				ID: string(n.ID), Kind: n.Kind, Algorithm: n.Algorithm, Digits: n.Digits, Counter: n.Counter, Touch: n.Touch, Seed: secret.New(n.Seed),
			})
		}),
		opRename: on(c, func(ctx context.Context, s *ykoath.Session, a renameArgs) (struct{}, error) {
			return struct{}{}, s.Rename(ctx, string(a.Account), string(a.To))
		}),
		opDelete: on(c, func(ctx context.Context, s *ykoath.Session, a deleteArgs) (struct{}, error) {
			return struct{}{}, s.Delete(ctx, string(a.Account))
		}),
		opPassword: on(c, func(ctx context.Context, s *ykoath.Session, a passwordArgs) ([]byte, error) {
			if len(a.New) == 0 {
				return nil, s.SetKey(ctx, nil)
			}
			key, err := s.DeriveKey(secret.New(a.New))
			if err != nil {
				return nil, err
			}
			return key.Reveal(), s.SetKey(ctx, key)
		}),
		opUnlock: locked(c, func(ctx context.Context, s *ykoath.Session, a unlockArgs) ([]byte, error) {
			if !s.Password() {
				return nil, ykoath.ErrNoPassword
			}
			key, err := s.DeriveKey(secret.New(a.Password))
			if err != nil {
				return nil, err
			}
			return key.Reveal(), s.Unlock(ctx, key)
		}),
		opReset: locked(c, func(ctx context.Context, s *ykoath.Session, _ resetArgs) (ID, error) {
			err := s.Reset(ctx)
			return ID(s.DeviceID()), err
		}),
	}
}

// targeted is an operation's arguments.
type targeted interface{ target() Target }

func (t Target) target() Target { return t }

// on makes the handler of an operation on a card that is open or that its key opens.
func on[A targeted, R any](c Connector, f func(context.Context, *ykoath.Session, A) (R, error)) helper.Handler {
	return locked(c, func(ctx context.Context, s *ykoath.Session, a A) (R, error) {
		if key := a.target().Key; s.Locked() && len(key) > 0 {
			if err := s.Unlock(ctx, secret.New(bytes.Clone(key))); err != nil {
				var none R
				return none, err
			}
		}
		return f(ctx, s, a)
	})
}

// locked makes the handler of an operation that a locked card does too.
func locked[A targeted, R any](c Connector, f func(context.Context, *ykoath.Session, A) (R, error)) helper.Handler {
	return helper.Handle(func(ctx context.Context, a A) (R, error) {
		var out R
		err := c.Use(ctx, a.target().Reader, func(card ykoath.Card) error {
			s, err := ykoath.Select(ctx, card)
			if err != nil {
				return err
			}
			if ID(s.DeviceID()) != a.target().ID {
				return ErrOther
			}
			out, err = f(ctx, s, a)
			return err
		})
		if err != nil {
			var none R
			return none, report(err)
		}
		return out, nil
	})
}

// list asks the cards what they are, all at once. One that does not say is listed with its trouble.
func list(ctx context.Context, c Connector, a listArgs) ([]Found, error) {
	names := a.Readers
	if len(names) == 0 {
		var err error
		if names, err = c.List(ctx); err != nil {
			return nil, report(err)
		}
	}
	found := make([]Found, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { found[i] = look(ctx, c, name, a) })
	}
	all.Wait()
	return found, nil
}

// look asks the card in one reader, for a bounded time and never longer than silence for one answer.
func look(ctx context.Context, c Connector, reader string, a listArgs) Found {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	wait := lookTime
	if slices.Contains(a.Left, reader) {
		wait = leftTime
	}
	turn := time.AfterFunc(wait, func() { giveUp(ErrBusy) })
	defer turn.Stop()
	var said atomic.Pointer[Found] // what is given up may go on
	said.Store(&Found{Reader: reader})
	err := c.Use(ctx, reader, func(card ykoath.Card) error {
		turn.Stop()
		s, err := ykoath.Select(ctx, prompt{card, giveUp})
		if err != nil {
			return err
		}
		v := s.Version()
		f := Found{ID: ID(s.DeviceID()), Reader: reader, Version: v.String(), Slots: v.Slots(), Password: s.Password()}
		said.Store(&f)
		if !a.Accounts {
			return nil
		}
		if key := a.Keys[f.ID]; s.Locked() && len(key) > 0 {
			if err := s.Unlock(ctx, secret.New(bytes.Clone(key))); err != nil {
				return err
			}
		}
		codes, err := s.CalculateAll(ctx, time.Unix(a.Now, 0))
		if err != nil {
			return err
		}
		all := f
		for _, c := range codes {
			all.Accounts = append(all.Accounts, accountOf(c))
		}
		said.Store(&all)
		return nil
	})
	f := *said.Load()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		f.Accounts, f.Trouble = nil, report(err).Name
	}
	return f
}

// prompt is a card that is given up where it leaves an instruction without an answer.
type prompt struct {
	ykoath.Card
	giveUp context.CancelCauseFunc
}

func (p prompt) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	defer time.AfterFunc(silence, func() { p.giveUp(ErrMute) }).Stop()
	return p.Card.Transmit(ctx, apdu)
}

func accountOf(c ykoath.Code) Account {
	a := Account{ID: []byte(c.ID), Kind: c.Kind, Period: c.Period, Touch: c.Touch, Code: c.Code.Reveal()}
	if !c.Until.IsZero() {
		a.Until = c.Until.Unix()
	}
	return a
}

// names tells the sentinels apart between the two processes.
var names = map[string]error{
	"FOB_CARD_NO_SERVICE": ErrNoService, "FOB_CARD_BUSY": ErrBusy, "FOB_CARD_GONE": ErrGone, "FOB_CARD_RESET": ErrReset,
	"FOB_CARD_MUTE": ErrMute, "FOB_CARD_WAITS": ErrWaits, "FOB_CARD_OTHER": ErrOther, "FOB_CARD_READER": ErrReader, "FOB_CARD_TIMEOUT": ErrTimeout,
	"FOB_CARD_NO_APPLET": ykoath.ErrNoApplet, "FOB_CARD_LOCKED": ykoath.ErrLocked, "FOB_CARD_PASSWORD": ykoath.ErrPassword,
	"FOB_CARD_FULL": ykoath.ErrFull, "FOB_CARD_NO_ACCOUNT": ykoath.ErrNoAccount, "FOB_CARD_EXISTS": ykoath.ErrExists,
	"FOB_CARD_TOUCH": ykoath.ErrTouch, "FOB_CARD_TOO_OLD": ykoath.ErrTooOld, "FOB_CARD_PARAMS": ykoath.ErrParams,
	"FOB_CARD_NONSENSE": ykoath.ErrNonsense, "FOB_CARD_NO_PASSWORD": ykoath.ErrNoPassword, "FOB_CARD_REFUSED": ykoath.ErrRefused,
}

// report makes of an error what is sent to fobd.
func report(err error) *helper.OpError {
	for name, kind := range names {
		if errors.Is(err, kind) {
			return &helper.OpError{Name: name, Text: err.Error()}
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &helper.OpError{Name: "FOB_CARD_TIMEOUT", Text: ErrTimeout.Error()}
	}
	return &helper.OpError{Name: "FOB_CARD_READER", Text: err.Error()}
}
