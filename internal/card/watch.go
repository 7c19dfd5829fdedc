package card

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/helper"
)

// MaxReaders is how many readers pcscd has at most (PCSCLITE_MAX_READERS_CONTEXTS).
const MaxReaders = 16

// Reader is a reader as it is seen without a word to its card.
type Reader struct {
	Name string `json:"name"` // untrusted: a device says it
	Card bool   `json:"card,omitempty"`
	// Mute says that the card does not answer: it lies the wrong way round, as a rule.
	Mute bool `json:"mute,omitempty"`
	// Exclusive says that a program has the card for itself. pcscd does not always tell when that begins: it may be
	// half a minute old.
	Exclusive bool `json:"exclusive,omitempty"`
}

// View is what a watch sees: all readers, or why they cannot be seen, which wraps a sentinel of this package.
type View struct {
	Readers []Reader
	Err     error
}

// Watcher sees readers and cards come and go: it calls tell with each change until ctx ends.
type Watcher interface {
	Watch(ctx context.Context, tell func([]Reader, error) error) error
}

// seen is a View between the two processes.
type seen struct {
	Readers []Reader `json:"readers,omitempty"`
	Trouble string   `json:"trouble,omitempty"` // as Found's
}

// ServeWatch is what fob-helper does in its second mode, by helper.ServeWatch.
func ServeWatch(w Watcher) func(ctx context.Context, tell func(any) error) error {
	return func(ctx context.Context, tell func(any) error) error {
		return w.Watch(ctx, func(readers []Reader, err error) error {
			if err != nil {
				return tell(seen{Trouble: report(err).Name})
			}
			return tell(seen{Readers: readers})
		})
	}
}

// parseSeen reads what fob-helper says that it sees.
func parseSeen(b []byte) (View, error) {
	var s seen
	if err := json.Unmarshal(b, &s); err != nil {
		return View{}, err
	}
	if len(s.Readers) > MaxReaders || s.Trouble != "" && len(s.Readers) > 0 ||
		slices.ContainsFunc(s.Readers, func(r Reader) bool { return r.Name == "" || len(r.Name) > 256 }) {
		return View{}, errors.New("it sees what cannot be")
	}
	return View{Readers: s.Readers, Err: Found{Trouble: s.Trouble}.Why()}, nil
}

const (
	// linger is how long the helper goes on when nobody follows any more: whoever comes back soon needs no new one.
	linger = 3 * time.Second
	// A helper that fails is started anew after firstPause, and then ever less often. One that ran for steady begins
	// anew.
	firstPause = 250 * time.Millisecond
	mostPause  = 30 * time.Second
	steady     = 10 * time.Second
	// blind is how long what was seen last is told on without a helper.
	blind = time.Second
	// viewsBehind is how many views a follower may be behind before it is dropped.
	viewsBehind = 64
)

// errWatch is told where the helper fails before it has said anything, and while it is long until the next.
var errWatch = fmt.Errorf("%w and sees no readers: it is started again by itself. Why it failed is in fobd's log", ErrHelper)

// Watch tells its followers which readers and cards there are. Its helper runs only while somebody follows, and some
// seconds more. It is safe for concurrent use.
type Watch struct {
	run func(ctx context.Context, tell func(json.RawMessage) error) error
	log *slog.Logger

	helpers sync.WaitGroup

	mu        sync.Mutex
	followers map[*Follower]struct{}
	end       context.CancelFunc // ends the helper; nil: none runs
	last      *View              // what it said last; nil: nothing yet
	rest      *time.Timer        // ends the helper when nobody has come back
	closed    bool
}

// Follower is one who wants to know.
type Follower struct {
	w      *Watch
	views  chan View
	lagged bool // guarded by w.mu
}

// NewWatch makes a Watch whose helper is started as a pool's.
func NewWatch(o helper.Options) *Watch {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watch{
		run:       func(ctx context.Context, tell func(json.RawMessage) error) error { return helper.Watch(ctx, o, tell) },
		log:       o.Log,
		followers: map[*Follower]struct{}{},
	}
}

// Follow begins to tell of readers and cards. The follower must be closed.
func (w *Watch) Follow() *Follower {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &Follower{w: w, views: make(chan View, viewsBehind)}
	if w.closed {
		close(f.views)
		return f
	}
	w.followers[f] = struct{}{}
	if w.rest != nil {
		w.rest.Stop()
	}
	if w.last != nil {
		f.views <- *w.last
	}
	if w.end == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.end = cancel
		w.helpers.Go(func() { w.keep(ctx) })
	}
	return f
}

// Views gives what is seen now, as soon as it is known, and then each change. It is closed by Close, when the follower
// was too slow (then Lagged reports true), and when the watch is closed.
func (f *Follower) Views() <-chan View { return f.views }

// Lagged reports whether the follower was dropped because it was too slow.
func (f *Follower) Lagged() bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.lagged
}

// Close ends the follower's interest. It may be called more than once.
func (f *Follower) Close() {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.drop(f)
}

// drop ends a follower's interest. The caller holds w.mu.
func (w *Watch) drop(f *Follower) {
	if _, ok := w.followers[f]; !ok {
		return
	}
	delete(w.followers, f)
	close(f.views)
	if len(w.followers) > 0 || w.closed {
		return
	}
	w.rest = time.AfterFunc(linger, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.followers) == 0 {
			w.stop()
		}
	})
}

// stop ends the helper. The caller holds w.mu.
func (w *Watch) stop() {
	if w.end != nil {
		w.end()
	}
	w.end, w.last = nil, nil
}

// Close ends the helper, waits for it, and tells the followers that it is over.
func (w *Watch) Close() {
	w.mu.Lock()
	w.closed = true
	for f := range w.followers {
		w.drop(f)
	}
	if w.rest != nil {
		w.rest.Stop()
	}
	w.stop()
	w.mu.Unlock()
	w.helpers.Wait()
}

// keep has a helper run until ctx ends.
func (w *Watch) keep(ctx context.Context) {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		began, said := time.Now(), false
		err := w.run(ctx, func(b json.RawMessage) error {
			v, err := parseSeen(b)
			if err == nil {
				said = true
				w.tell(ctx, v)
			}
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		if !said || pause > blind {
			w.tell(ctx, View{Err: errWatch})
		}
		w.log.Warn("the helper that watches readers failed and is started again", slog.Any("error", err), slog.Duration("after", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// tell tells the followers what is seen, unless it is what they know.
func (w *Watch) tell(ctx context.Context, v View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil || w.last != nil && slices.Equal(w.last.Readers, v.Readers) && fmt.Sprint(w.last.Err) == fmt.Sprint(v.Err) {
		return
	}
	w.last = &v
	for f := range w.followers {
		select {
		case f.views <- v:
		default:
			f.lagged = true
			w.drop(f)
		}
	}
}
