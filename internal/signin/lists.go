package signin

import (
	"context"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// KeyView is a plugged key, or one that is there and cannot be used.
type KeyView struct {
	fido.Key
	// Methods are the ids of the user's methods that were last used on this key.
	Methods []string
	// Problem says why the key cannot be used; its Key has no more than a name then.
	Problem string
}

// Keys lists the keys that are plugged in now.
func (e *Engine) Keys(_ context.Context, c caller.Caller) ([]KeyView, error) {
	if err := e.own(c); err != nil {
		return nil, err
	}
	keys, problems, err := e.cfg.Discover()
	if err != nil {
		return nil, err
	}
	ms, err := e.methodsOf(e.cfg.Owner)
	if err != nil {
		return nil, err
	}
	views := make([]KeyView, 0, len(keys)+len(problems))
	for _, k := range keys {
		v := KeyView{Key: k}
		for _, m := range method.Of(ms, method.TypeKey) {
			if m.Key.KeyID == k.ID {
				v.Methods = append(v.Methods, m.ID)
			}
		}
		views = append(views, v)
	}
	for _, p := range problems {
		views = append(views, KeyView{Key: fido.Key{Name: p.Name}, Problem: p.Text})
	}
	return views, nil
}

// KeyInfo asks one key what it can do. While the key blinks for a request it waits its turn.
func (e *Engine) KeyInfo(ctx context.Context, c caller.Caller, id string) (KeyView, fido.Info, error) {
	views, err := e.Keys(ctx, c)
	if err != nil {
		return KeyView{}, fido.Info{}, err
	}
	at := slices.IndexFunc(views, func(v KeyView) bool { return id != "" && v.ID == id })
	if at < 0 {
		return KeyView{}, fido.Info{}, ErrKeyNotFound
	}
	ctx, cancel := context.WithTimeoutCause(ctx, infoLimit, fido.ErrTimeout)
	defer cancel()
	done, err := e.turns.exclusive(ctx, id)
	if err != nil {
		return KeyView{}, fido.Info{}, err
	}
	defer done()
	info, err := e.cfg.Devices.Info(ctx, views[at].Key, infoLimit)
	return views[at], info, err
}

// Methods lists the user's registered methods, oldest first. user may be empty.
func (e *Engine) Methods(_ context.Context, c caller.Caller, user string) ([]method.Method, error) {
	if err := e.own(c); err != nil {
		return nil, err
	}
	if user != "" && user != e.cfg.Owner.Name {
		return nil, ErrUnknownUser
	}
	return e.methodsOf(e.cfg.Owner)
}

// RenameMethod gives one of the caller's methods another name.
func (e *Engine) RenameMethod(ctx context.Context, c caller.Caller, id, name string) (method.Method, error) {
	return e.changeMethod(ctx, c, func(tx *store.Tx) (method.Method, error) { return method.Rename(tx, e.cfg.Owner.UID, id, name) })
}

// SetDefaultMethod makes one of the caller's methods the one that is offered first.
func (e *Engine) SetDefaultMethod(ctx context.Context, c caller.Caller, id string) (method.Method, error) {
	return e.changeMethod(ctx, c, func(tx *store.Tx) (method.Method, error) { return method.SetDefault(tx, e.cfg.Owner.UID, id) })
}

func (e *Engine) changeMethod(ctx context.Context, c caller.Caller, change func(*store.Tx) (method.Method, error)) (m method.Method, err error) {
	if err := e.own(c); err != nil {
		return method.Method{}, err
	}
	err = e.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
		m, err = change(tx)
		return err
	})
	if err != nil {
		return method.Method{}, err
	}
	e.announceMethods()
	return m, nil
}

// Status is what an instance says of itself.
type Status struct {
	InstanceID string
	Owner      Owner
	Started    time.Time
	Place      caller.Place
	Pending    int
	Methods    int
	Tokens     int
	Keys       int
	Vault      vault.Status
	LogSeq     uint64
	LogHead    [32]byte
	Problems   []string // plain sentences
}

// Status sums the instance up. What cannot be told is a problem in it, not an error.
func (e *Engine) Status(_ context.Context, c caller.Caller) (Status, error) {
	if err := e.own(c); err != nil {
		return Status{}, err
	}
	s := Status{
		InstanceID: e.cfg.Store.InstanceID(), Owner: e.cfg.Owner, Started: e.started, Place: c.Place,
		Pending: len(e.board.pending(e.cfg.Owner.UID)),
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
	ms, err := e.methodsOf(e.cfg.Owner)
	note(err)
	s.Methods = len(ms)
	for _, m := range ms {
		if m.Suspect {
			s.Problems = append(s.Problems, "the key of the method “"+m.Name+"” may have been cloned: its counter went back")
		}
	}
	note(e.cfg.Store.View(func(tx *store.Tx) (err error) {
		if s.LogSeq, s.LogHead, err = audit.Head(tx); err != nil {
			return err
		}
		if s.Tokens, err = token.Count(tx); err != nil {
			return err
		}
		note(clock.Check(tx, e.cfg.Clock.Now()))
		note(e.lockedOut(tx))
		s.Vault, err = e.cfg.Vault.Status(tx)
		return err
	}))
	return s, nil
}
