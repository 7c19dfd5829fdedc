package libfido

/*
#cgo pkg-config: libfido2
#include <fido.h>
#include <stdlib.h>
#include <string.h>
*/
import "C"

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
)

const (
	// repeat is how often a cancel is sent: one that arrives before the key waits is ignored by it.
	repeat = 100 * time.Millisecond
	// winding is how long a cancelled operation may take to end before it is abandoned.
	winding = 500 * time.Millisecond
	// openLimit is how long a key may take to say what it is.
	openLimit = 3 * time.Second
	// openTries is how often a key is opened that answers with what was meant for another program.
	openTries = 3
)

// session is one operation on one key: its time limit, and what ends it early.
type session struct {
	ctx    context.Context
	target fido.Target
	end    time.Time // of the operation
	probe  *probe

	mu        sync.Mutex
	abandoned bool
	cancel    func() // tells the key to give up; nil while there is nothing to give up, or the key cannot
	opened    bool
	touch     bool // the operation waits for a touch
	fido2     bool
}

// margin is the last part of an operation's time, in which the key is told to give up, so that it
// does not go on blinking.
func (s *session) margin() time.Duration {
	return min(500*time.Millisecond, time.Duration(s.target.TimeoutMS)*time.Millisecond/4)
}

// left is what is left of the operation's time, in milliseconds, as libfido2 takes it.
func (s *session) left() C.int { return C.int(max(time.Until(s.end).Milliseconds(), 1)) }

// bounded runs f, which blocks in C, on a thread of its own, and returns at the latest when the time
// of the operation is over. f may then still be blocked: the process is expected to end.
func bounded(ctx context.Context, t fido.Target, touch bool, f func(*session) error) error {
	if t.TimeoutMS <= 0 || !strings.HasPrefix(t.Path, "/") || strings.ContainsRune(t.Path, 0) {
		return badArgument("the key's path or time limit")
	}
	s := &session{ctx: ctx, target: t, touch: touch, end: time.Now().Add(time.Duration(t.TimeoutMS) * time.Millisecond)}
	done := make(chan error, 1)
	go func() {
		// libfido2 keeps its flags per thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // a thread that stays locked would end here, and delay the answer
		// Without this, a FIDO2 key whose getInfo makes no sense is silently taken for a U2F key. A
		// true U2F key says so when it is opened and is not concerned.
		C.fido_init(C.FIDO_DISABLE_U2F_FALLBACK)
		done <- s.run(f)
	}()

	late := time.NewTimer(time.Until(s.end) - s.margin())
	defer late.Stop()
	over := time.NewTimer(time.Until(s.end))
	defer over.Stop()
	halt := make(chan struct{})
	defer close(halt)
	cancelled, timedOut := false, false
	ended := ctx.Done()
	for {
		select {
		case err := <-done:
			err = s.explain(err, timedOut)
			s.probe.close()
			return err
		case <-late.C:
			timedOut = true
			if !cancelled {
				go s.giveUp(halt)
			}
		case <-ended:
			ended = nil
			cancelled = true
			s.abandon()
			over.Reset(min(winding, time.Until(s.end)))
			if !timedOut {
				go s.giveUp(halt)
			}
		case <-over.C:
			if cancelled {
				return failure(C.FIDO_ERR_KEEPALIVE_CANCEL, "")
			}
			return s.explain(failure(C.FIDO_ERR_TIMEOUT, ""), true)
		}
	}
}

// run waits until the key is free, and runs f.
func (s *session) run(f func(*session) error) error {
	p, err := newProbe(s.ctx, s.target.Path, s.end)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.probe = p
	s.mu.Unlock()
	return f(s)
}

// abandon lets no further command go to the key: one that is only being opened is not made to blink.
func (s *session) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned = true
}

// giveUp tells the key to end what it does, again and again until halt.
func (s *session) giveUp(halt <-chan struct{}) {
	tick := time.NewTicker(repeat)
	defer tick.Stop()
	for {
		s.mu.Lock()
		if s.cancel != nil {
			s.cancel()
		}
		s.mu.Unlock()
		select {
		case <-halt:
			return
		case <-tick.C:
		}
	}
}

// setCancel says how the key is told to give up from now on; nil: not at all.
func (s *session) setCancel(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = f
}

// open opens the key with libfido2. The caller closes it.
func (s *session) open() (*device, error) {
	path := C.CString(s.target.Path)
	defer C.free(unsafePointer(path))
	s.probe.unlock()
	var d *device
	for try := 1; ; try++ {
		c := C.fido_dev_new()
		if c == nil {
			return nil, failure(C.FIDO_ERR_INTERNAL, "out of memory")
		}
		d = &device{c: c, s: s}
		limit := min(C.int(openLimit.Milliseconds()), s.left())
		C.fido_dev_set_timeout(c, limit)
		begun := time.Now()
		r := C.fido_dev_open(c, path)
		if r == C.FIDO_OK {
			break
		}
		C.fido_dev_free(&d.c)
		// Only a touch may take long. libfido2 calls a time-out here a receive error, too.
		if time.Since(begun).Milliseconds() >= int64(limit)-1 && !s.probe.gone() {
			err := failure(r, "cannot open the key")
			err.Cause = fido.CauseNoAnswer
			return nil, err
		}
		// A key answers INIT to all who listen: what came first may have been meant for another program
		// (CTAP 2.1 §11.2.9.1.3: the nonce tells), and libfido2 gives up on the first that is not ours.
		if r != C.FIDO_ERR_RX || try == openTries || s.ctx.Err() != nil {
			return nil, failure(r, "cannot open the key")
		}
	}
	c := d.c
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abandoned {
		C.fido_dev_close(d.c)
		C.fido_dev_free(&d.c)
		return nil, failure(C.FIDO_ERR_KEEPALIVE_CANCEL, "")
	}
	s.opened, s.fido2 = true, bool(C.fido_dev_is_fido2(c))
	if s.fido2 {
		s.cancel = func() { C.fido_dev_cancel(c) }
	}
	return d, nil
}

// device is a key that libfido2 has open. Its calls block; they are made from one goroutine.
type device struct {
	c *C.fido_dev_t
	s *session
}

// arm gives the next call what is left of the operation's time; without it libfido2 waits for ever.
func (d *device) arm() {
	C.fido_dev_set_timeout(d.c, d.s.left())
}

func (d *device) isFIDO2() bool { return bool(C.fido_dev_is_fido2(d.c)) }

func (d *device) close() {
	d.s.setCancel(nil) // nobody uses it from here on
	C.fido_dev_close(d.c)
	C.fido_dev_free(&d.c)
}

// on opens the key for f.
func (s *session) on(f func(*device) error) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.close()
	return f(d)
}

// explain adds to a failure what libfido2's code does not tell: that the key is gone, or that time
// was over.
func (s *session) explain(err error, timedOut bool) error {
	op, ok := err.(*helper.OpError)
	if !ok || op.Cause != "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	transport := op.Code == C.FIDO_ERR_TX || op.Code == C.FIDO_ERR_RX || op.Code == C.FIDO_ERR_INTERNAL || op.Code == C.FIDO_ERR_TIMEOUT
	answered := op.Code == C.FIDO_ERR_KEEPALIVE_CANCEL
	switch {
	case transport && s.probe.gone():
		op.Cause = fido.CauseGone
	case timedOut && s.ctx.Err() == nil && (transport || answered):
		op.Cause = fido.CauseNoAnswer
		// A U2F key never waits by itself: it is asked again and again.
		if s.touch && s.opened && (answered || !s.fido2) {
			op.Cause = fido.CauseNoTouch
		}
	case transport && s.probe.sawBusy():
		op.Cause = fido.CauseBusy
	}
	return op
}

// failure makes the error of a libfido2 code.
func failure(code C.int, text string) *helper.OpError {
	return &helper.OpError{Code: int(code), Name: C.GoString(C.fido_strerr(code)), Text: text}
}

func badArgument(what string) *helper.OpError {
	return failure(C.FIDO_ERR_INVALID_ARGUMENT, "cannot use "+what)
}
