package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebfe/scard"

	"github.com/fobproject/fob/internal/card"
)

const (
	// plugged is the name under which pcscd tells of readers that come and go.
	plugged = `\\?PnP?\Notification`
	// look is how long readers are watched before they are looked at anyhow: pcscd's library does not tell of a card
	// that a program takes for itself, nor of a reader that comes between a list and the wait that follows.
	look = 30 * time.Second
	// apart is the least time between two looks, whatever the service says.
	apart = 50 * time.Millisecond
	// A service that is not there is tried again after firstPause, and then ever less often. One that has run for
	// steady begins anew.
	firstPause = 250 * time.Millisecond
	mostPause  = 4 * time.Second
	steady     = 5 * time.Second
)

// Watch calls tell with all readers, and again with each change, until ctx ends or tell fails. Instead of readers it
// gives an error that wraps a sentinel of package card while they cannot be seen: the service is tried again without
// end. It connects to no card. tell is called from one goroutine at a time; it may still be called once when Watch has
// returned because ctx ended.
func (*Readers) Watch(ctx context.Context, tell func([]card.Reader, error) error) error {
	_, err := abandoned(ctx, func() (struct{}, error) {
		return struct{}{}, (&watcher{tell: tell}).run(ctx)
	})
	return err
}

// watcher knows what was told.
type watcher struct {
	tell    func([]card.Reader, error) error
	told    bool
	readers []card.Reader
	trouble string
	counts  map[string]uint16 // how often a card came or went in each reader
}

// toldError is what tell said.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

func (w *watcher) run(ctx context.Context) error {
	pause := firstPause
	for {
		began := time.Now()
		err := w.connected(ctx)
		if told, ok := errors.AsType[toldError](err); ok {
			return told.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.say(nil, err); err != nil {
			return err
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, mostPause)
	}
}

// connected watches over one connection to the service, until it breaks.
func (w *watcher) connected(ctx context.Context) error {
	c, err := scard.EstablishContext()
	if err != nil {
		return lost(err)
	}
	defer c.Release()
	// It does nothing where nothing is waited for: then the wait begins, and is abandoned.
	defer context.AfterFunc(ctx, func() { _ = c.Cancel() })()
	for ctx.Err() == nil {
		states, err := statesOf(c)
		if errors.Is(err, scard.ErrUnknownReader) { // one went since it was listed
			time.Sleep(apart)
			continue
		}
		if err != nil {
			return lost(err)
		}
		if err := w.see(states); err != nil {
			return toldError{err}
		}
		time.Sleep(apart) // what happens meanwhile differs from the state that is waited on
		for i := range states {
			states[i].CurrentState = states[i].EventState &^ scard.StateChanged
		}
		if len(states) < card.MaxReaders { // more it does not watch, and then there are no more to come
			states = append(states, scard.ReaderState{Reader: plugged})
		}
		err = c.GetStatusChange(states, look)
		if err != nil && !errors.Is(err, scard.ErrTimeout) && !errors.Is(err, scard.ErrUnknownReader) && !errors.Is(err, scard.ErrCancelled) {
			return lost(err)
		}
	}
	return ctx.Err()
}

// statesOf looks at all readers.
func statesOf(c *scard.Context) ([]scard.ReaderState, error) {
	names, err := c.ListReaders()
	if errors.Is(err, scard.ErrNoReadersAvailable) || err == nil && len(names) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names = names[:min(len(names), card.MaxReaders)]
	states := make([]scard.ReaderState, len(names))
	for i, n := range names {
		states[i] = scard.ReaderState{Reader: n, CurrentState: scard.StateUnaware}
	}
	return states, c.GetStatusChange(states, 0)
}

// see tells what changed. A card that went and came between two looks is told to have gone.
func (w *watcher) see(states []scard.ReaderState) error {
	now := make([]card.Reader, len(states))
	counts := make(map[string]uint16, len(states))
	between := make([]card.Reader, len(states))
	missed := false
	for i, s := range states {
		r := card.Reader{
			Name: s.Reader, Card: s.EventState&scard.StatePresent != 0,
			Mute: s.EventState&scard.StateMute != 0, Exclusive: s.EventState&scard.StateExclusive != 0,
		}
		counts[r.Name] = uint16(s.EventState >> 16)
		now[i], between[i] = r, r
		before := slices.IndexFunc(w.readers, func(b card.Reader) bool { return b.Name == r.Name })
		if before < 0 || !w.readers[before].Card || !r.Card {
			continue
		}
		if counts[r.Name]-w.counts[r.Name] >= 2 {
			between[i], missed = card.Reader{Name: r.Name}, true
		} else {
			counts[r.Name] = w.counts[r.Name] // it is counted after the card shows
		}
	}
	w.counts = counts
	if missed {
		if err := w.say(between, nil); err != nil {
			return err
		}
	}
	return w.say(now, nil)
}

// say tells what was not told last.
func (w *watcher) say(readers []card.Reader, err error) error {
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	if w.told && trouble == w.trouble && slices.Equal(readers, w.readers) {
		return nil
	}
	w.told, w.trouble, w.readers = true, trouble, readers
	return w.tell(readers, err)
}

// lost explains what ended a connection to the service. One that breaks off is one to a service that has ended.
func lost(err error) error {
	code, ok := errors.AsType[scard.Error](err)
	if ok && (code == scard.ErrCommError || code == scard.ErrInvalidHandle) {
		return fmt.Errorf("%w (PC/SC %08x)", card.ErrNoService, uint32(code))
	}
	return explain(err)
}
