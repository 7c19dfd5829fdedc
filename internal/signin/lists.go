package signin

import (
	"context"
	"slices"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
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
func (e *Engine) Keys(ctx context.Context, c caller.Caller) ([]KeyView, error) {
	me, err := e.own(ctx, c, "")
	if err != nil {
		return nil, err
	}
	keys, problems, err := e.cfg.Discover()
	if err != nil {
		return nil, err
	}
	ms, err := e.methodsOf(me)
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
	if e.cfg.System && e.cfg.Standing(ctx, c, c.UID).Place == caller.PlaceRemote { // nobody elsewhere keeps a key busy
		return KeyView{}, fido.Info{}, ErrNumberPlace
	}
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
func (e *Engine) Methods(ctx context.Context, c caller.Caller, user string) ([]method.Method, error) {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return nil, err
	}
	return e.methodsOf(who)
}

// RenameMethod gives one of the user's methods another name. user may be empty.
func (e *Engine) RenameMethod(ctx context.Context, c caller.Caller, user, id, name string) (method.Method, error) {
	return e.changeMethod(ctx, c, user, func(tx *store.Tx, uid uint32) (method.Method, error) { return method.Rename(tx, uid, id, name) })
}

// SetDefaultMethod makes one of the user's methods the one that is offered first; recovery codes cannot be
// it. user may be empty.
func (e *Engine) SetDefaultMethod(ctx context.Context, c caller.Caller, user, id string) (method.Method, error) {
	return e.changeMethod(ctx, c, user, func(tx *store.Tx, uid uint32) (method.Method, error) {
		if m, err := method.Get(tx, uid, id); err == nil && m.Type == method.TypeRecovery {
			return method.Method{}, badRequest("recovery codes are a fallback, and never the default: name a security key or a token")
		}
		return method.SetDefault(tx, uid, id)
	})
}

func (e *Engine) changeMethod(ctx context.Context, c caller.Caller, user string, change func(*store.Tx, uint32) (method.Method, error)) (m method.Method, err error) {
	who, err := e.own(ctx, c, user)
	if err != nil {
		return method.Method{}, err
	}
	err = e.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
		m, err = change(tx, who.UID)
		return err
	})
	if err != nil {
		return method.Method{}, err
	}
	e.announceMethods(who)
	return m, nil
}
