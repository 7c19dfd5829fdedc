package ykoath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/oath"
)

// Put adds an account. The applet itself would replace one of the same id in silence: Put fails with ErrExists.
func (s *Session) Put(ctx context.Context, n New) error {
	if err := n.check(s.version); err != nil {
		return err
	}
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	if find(all, n.ID) >= 0 {
		return ErrExists
	}
	key := n.key()
	defer clear(key)
	data := appendTLV(make([]byte, 0, maxData), tagName, []byte(n.ID)...)
	data = appendTLV(data, tagKey, key...)
	defer func() { clear(data[:cap(data)]) }()
	if n.Touch {
		data = append(data, tagProperty, propertyTouch)
	}
	if n.Kind == oath.HOTP && n.Counter > 0 {
		data = appendTLV(data, tagCounter, binary.BigEndian.AppendUint32(nil, uint32(n.Counter))...)
	}
	_, err = send(ctx, s.card, insPut, 0, 0, data)
	// Some cards say it so.
	if st, ok := errors.AsType[*StatusError](err); ok && st.Status == swMemory || errors.Is(err, ErrFull) {
		return fmt.Errorf("with %d accounts %w", len(all), ErrFull)
	}
	return err
}

func find(all []Account, id string) int {
	return slices.IndexFunc(all, func(a Account) bool { return a.ID == id })
}

// Rename gives an account another id, on cards from version 5.3.1 on: others fail with ErrTooOld. It fails with
// ErrExists where another has that id. Kind and period, which are part of it, stay the account's.
func (s *Session) Rename(ctx context.Context, id, to string) error {
	if !s.version.CanRename() {
		return fmt.Errorf("%w: renaming wants version 5.3.1, and this is %s", ErrTooOld, s.version)
	}
	if len(to) == 0 || len(to) > MaxID {
		return fmt.Errorf("%w: its name is 1 to %d bytes, not %d", ErrParams, MaxID, len(to))
	}
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	i := find(all, id)
	switch {
	case i < 0:
		return ErrNoAccount
	case find(all, to) >= 0:
		return ErrExists
	case ParseID(to, all[i].Kind).Period != all[i].Period:
		return fmt.Errorf("%w: its name would change its period", ErrParams)
	}
	_, err = send(ctx, s.card, insRename, 0, 0, appendTLV(appendTLV(nil, tagName, []byte(id)...), tagName, []byte(to)...))
	return err
}

// Delete removes an account for good.
func (s *Session) Delete(ctx context.Context, id string) error {
	_, err := send(ctx, s.card, insDelete, 0, 0, appendTLV(nil, tagName, []byte(id)...))
	return err
}
