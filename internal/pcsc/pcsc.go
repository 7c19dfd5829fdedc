// Package pcsc reaches smart cards over PC/SC, through pcscd. It is linked into fob-helper alone: it loads
// libpcsclite, which is C.
package pcsc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ebfe/scard"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/ykoath"
)

const (
	// patience is how long a card that another program uses is waited for.
	patience = 2 * time.Second
	// again is how often it is tried.
	again = 50 * time.Millisecond
)

// Readers are the readers of this machine. The zero value is valid; it is safe for concurrent use.
type Readers struct {
	// spare is List's context, for the first Use that follows. One is never shared: pcscd's library locks it while a
	// card is asked.
	spare atomic.Pointer[scard.Context]
}

// List names the readers in which a card is, without a word to the card.
func (r *Readers) List(ctx context.Context) ([]string, error) {
	return abandoned(ctx, func() (with []string, _ error) {
		c, err := scard.EstablishContext()
		if err != nil {
			return nil, explain(err)
		}
		defer func() {
			if len(with) > 0 {
				c = r.spare.Swap(c)
			}
			if c != nil {
				_ = c.Release()
			}
		}()
		names, err := c.ListReaders()
		if errors.Is(err, scard.ErrNoReadersAvailable) || len(names) == 0 && err == nil {
			return nil, nil
		}
		if err != nil {
			return nil, explain(err)
		}
		states := make([]scard.ReaderState, len(names))
		for i, n := range names {
			states[i] = scard.ReaderState{Reader: n, CurrentState: scard.StateUnaware}
		}
		if err := c.GetStatusChange(states, 0); err != nil {
			return nil, explain(err)
		}
		for _, s := range states {
			if s.EventState&scard.StatePresent != 0 && s.EventState&scard.StateMute == 0 {
				with = append(with, s.Reader)
			}
		}
		return with, nil
	})
}

// Use connects to the card in the reader, beside other programs, and holds one transaction for as long as f runs, so
// that no other program can select another applet meanwhile. Then it lets the card go, as it is. A card that another
// program uses is waited for up to 2 s; then it fails with card.ErrBusy. f may run on when Use has returned because
// ctx ended: the process is expected to end.
func (r *Readers) Use(ctx context.Context, reader string, f func(ykoath.Card) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var turn atomic.Int32
	late := time.AfterFunc(patience, func() {
		if turn.CompareAndSwap(waiting, tooLate) {
			cancel() // pcscd's library waits for a transaction without end, and cannot be told otherwise
		}
	})
	defer late.Stop()
	_, err := abandoned(ctx, func() (struct{}, error) {
		return struct{}{}, r.use(ctx, reader, func(c ykoath.Card) error {
			if !turn.CompareAndSwap(waiting, ours) {
				return card.ErrBusy
			}
			return f(c)
		})
	})
	if turn.Load() == tooLate {
		return card.ErrBusy
	}
	return err
}

// anew connects to the card again, and begins a transaction on it when it is ready for APDUs: while it is being reset
// it has no protocol. err is what went wrong before.
func anew(ctx context.Context, h *scard.Card, err error) error {
	for (errors.Is(err, scard.ErrResetCard) || passing(err)) && ctx.Err() == nil {
		time.Sleep(again)
		if err = h.Reconnect(scard.ShareShared, scard.ProtocolT0|scard.ProtocolT1, scard.LeaveCard); err != nil {
			continue
		}
		if err = h.BeginTransaction(); err != nil {
			continue
		}
		var now *scard.CardStatus
		if now, err = h.Status(); err == nil && now.ActiveProtocol != h.ActiveProtocol() {
			err = scard.ErrProtoMismatch
		}
		if err != nil {
			_ = h.EndTransaction(scard.LeaveCard)
		}
	}
	return err
}

// passing reports whether another program's use of the card is the trouble, or a reset of its that is under way.
func passing(err error) bool {
	return errors.Is(err, scard.ErrSharingViolation) || errors.Is(err, scard.ErrProtoMismatch)
}

// Whose turn it is on a card.
const (
	waiting = iota // for other programs to end theirs
	ours
	tooLate // nobody waits any more
)

func (r *Readers) use(ctx context.Context, reader string, f func(ykoath.Card) error) error {
	c := r.spare.Swap(nil)
	if c == nil {
		var err error
		if c, err = scard.EstablishContext(); err != nil {
			return explain(err)
		}
	}
	defer func() { go c.Release() }() // the card is let go before; nothing waits for this
	h, err := c.Connect(reader, scard.ShareShared, scard.ProtocolT0|scard.ProtocolT1)
	for passing(err) && ctx.Err() == nil {
		time.Sleep(again)
		h, err = c.Connect(reader, scard.ShareShared, scard.ProtocolT0|scard.ProtocolT1)
	}
	if err != nil {
		return explain(err)
	}
	defer h.Disconnect(scard.LeaveCard)
	if err := anew(ctx, h, h.BeginTransaction()); err != nil {
		return explain(err)
	}
	defer h.EndTransaction(scard.LeaveCard)
	return f(&held{card: h})
}

// abandoned runs f, and leaves it alone when ctx ends.
func abandoned[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// held is a card in a transaction.
type held struct {
	card   *scard.Card
	spoken bool // it had an instruction
}

func (h *held) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := h.card.Transmit(apdu)
	if !h.spoken && (errors.Is(err, scard.ErrResetCard) || passing(err)) {
		// Another program's reset was still under way: the card has heard nothing.
		_ = h.card.EndTransaction(scard.LeaveCard)
		if err = anew(ctx, h.card, err); err == nil {
			b, err = h.card.Transmit(apdu)
		}
	}
	h.spoken = true
	if err == nil && len(b) == 0 {
		return nil, card.ErrGone // as some drivers say it
	}
	return b, explain(err)
}

// explain gives PC/SC's codes the sentinels of package card.
func explain(err error) error {
	code, ok := errors.AsType[scard.Error](err)
	if !ok {
		return err
	}
	kind := card.ErrReader
	switch code {
	case scard.ErrSharingViolation:
		kind = card.ErrBusy
	case scard.ErrNoService, scard.ErrServiceStopped:
		kind = card.ErrNoService
	case scard.ErrNoSmartcard, scard.ErrRemovedCard, scard.ErrUnknownReader, scard.ErrReaderUnavailable, scard.ErrNoReadersAvailable:
		kind = card.ErrGone
	case scard.ErrResetCard:
		kind = card.ErrReset
	case scard.ErrUnpoweredCard, scard.ErrUnresponsiveCard:
		kind = card.ErrMute
	}
	return fmt.Errorf("%w (PC/SC %08x)", kind, uint32(code))
}
