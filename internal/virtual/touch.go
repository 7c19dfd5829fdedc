package virtual

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// TouchMode says who touches the key.
type TouchMode int

const (
	// TouchAuto touches by itself, a delay after the key began to wait.
	TouchAuto TouchMode = iota
	// TouchManual waits for Key.Touch.
	TouchManual
	// TouchNever lets every wait run into its time-out; Key.Touch is ignored.
	TouchNever
)

// ParseTouchMode reads "auto", "manual" or "never".
func ParseTouchMode(s string) (TouchMode, error) {
	switch s {
	case "auto":
		return TouchAuto, nil
	case "manual":
		return TouchManual, nil
	case "never":
		return TouchNever, nil
	}
	return 0, fmt.Errorf("cannot touch the key in the way %q: it is auto, manual or never", s)
}

var errNoTouch = errors.New("nobody touched the key in time")

// sensor is the key's touch sensor. A touch while nothing waits for it has no effect. It is safe for
// concurrent use; at most one command waits at a time.
type sensor struct {
	mu       sync.Mutex
	mode     TouchMode
	delay    time.Duration
	settings chan struct{} // closed, and replaced, when mode or delay change
	touched  chan struct{} // not nil while a command waits; closed by the touch
	changed  chan struct{} // closed, and replaced, when touched changes
}

func newSensor(mode TouchMode, delay time.Duration) *sensor {
	return &sensor{mode: mode, delay: delay, settings: make(chan struct{}), changed: make(chan struct{})}
}

// set changes the mode; a wait that is under way goes on with it, a new delay counting from now.
func (s *sensor) set(mode TouchMode, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.delay = mode, delay
	close(s.settings)
	s.settings = make(chan struct{})
}

// touch ends the wait that is under way, and reports whether there was one that a touch may end.
func (s *sensor) touch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.touched == nil || s.mode == TouchNever {
		return false
	}
	close(s.touched)
	s.end()
	return true
}

// end forgets the wait. The caller holds mu.
func (s *sensor) end() {
	s.touched = nil
	close(s.changed)
	s.changed = make(chan struct{})
}

// immediate reports whether a touch needs no wait at all.
func (s *sensor) immediate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode == TouchAuto && s.delay <= 0
}

// wait blocks until the key is touched (nil), limit has passed (errNoTouch), or ctx is done (its
// error). It calls began once it counts as waiting.
func (s *sensor) wait(ctx context.Context, limit time.Duration, began func()) error {
	touched := make(chan struct{})
	s.mu.Lock()
	s.touched = touched
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.touched == touched {
			s.end()
		}
	}()
	began()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		mode, delay, settings := s.mode, s.delay, s.settings
		s.mu.Unlock()
		var auto <-chan time.Time
		if mode == TouchAuto {
			auto = time.After(delay)
		}
		select {
		case <-touched:
			return nil
		case <-auto:
			s.touch()
		case <-settings:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return errNoTouch
		}
	}
}

// waiting reports whether a command waits for touch now.
func (s *sensor) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched != nil
}

// until blocks until waiting is as wanted, or ctx is done.
func (s *sensor) until(ctx context.Context, wanted bool) error {
	for {
		s.mu.Lock()
		is, changed := s.touched != nil, s.changed
		s.mu.Unlock()
		if is == wanted {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
