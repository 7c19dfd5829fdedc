package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// refillAfter is how long after an operation has begun the next spare is started. Starting one takes
// the processor from an operation that needs no touch, which is over by then, and from the commit that
// follows it: at once, it doubled their time.
const refillAfter = 8 * time.Millisecond

// run gives the call to a process and waits for its answer.
func (p *Pool) run(ctx context.Context, timeout time.Duration, msg []byte) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(p.closing, cancel)
	defer stop()

	w, err := p.take()
	if err != nil {
		p.refill()
		return nil, err
	}
	answer, begun, err := p.converse(ctx, w, msg)
	// A process that ended or stood still before it had read the call, a spare that someone killed or
	// stopped, has done nothing: the operation may begin again. Once is enough to tell that from a
	// broken helper.
	if (errors.Is(err, ErrCrashed) || errors.Is(err, ErrHung)) && !begun && ctx.Err() == nil {
		if w, err = p.start(); err != nil {
			return nil, err
		}
		answer, _, err = p.converse(ctx, w, msg)
	}
	if err != nil && p.closing.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return answer, err
}

// retireAfter is how long after its answer a process is told to end, for the same reason.
const retireAfter = 10 * time.Millisecond

// retire lets a process that has answered end by itself.
func (p *Pool) retire(w *process) {
	select {
	case <-time.After(retireAfter):
	case <-w.done:
	case <-p.closing.Done():
	}
	w.retire(p.o.Grace)
}

// beginWithin is how long a process may take to read its call. It was started long before, as a rule,
// and has nothing else to do.
const beginWithin = time.Second

// pipeRoom is what an empty pipe takes without waiting to be read (pipe(7): 64 KiB, or a page for
// users with very many pipes).
const pipeRoom = 4096

// converse runs one operation on a process that has none yet, and sees to it that the process ends.
// begun says whether the process has read the call.
func (p *Pool) converse(ctx context.Context, w *process, msg []byte) (_ json.RawMessage, begun bool, _ error) {
	sent := make(chan struct{})
	write := func() {
		defer close(sent)
		// Where this fails the process has ended, which shows below.
		w.stdin.Write(msg)
	}
	if len(msg) <= pipeRoom {
		write() // at once: nothing was written before it
	} else {
		go write()
	}
	// msg is wiped when run returns, so the write must have ended; kill and retire close the pipe.
	defer func() { <-sent }()

	stalled := time.NewTimer(beginWithin)
	defer stalled.Stop()
	var late <-chan time.Time // after ctx has ended: when the process is killed
	ended := ctx.Done()
	for {
		select {
		case r, ok := <-w.replies:
			switch {
			case !ok:
				// It gets a moment: a process that says no more is most likely at its end.
				err := p.silent(w)
				if ctx.Err() != nil {
					err = fmt.Errorf("%w: %w", ctx.Err(), err)
				}
				return nil, begun, err
			case r.State == stateBegun:
				begun = true
				stalled.Stop()
				time.AfterFunc(refillAfter, p.refill)
				continue
			}
			p.work.Go(func() { p.retire(w) })
			if r.State == stateDone {
				return r.Result, true, nil
			}
			if ctx.Err() != nil {
				return nil, true, fmt.Errorf("%w: %w", ctx.Err(), r.Error)
			}
			return nil, true, r.Error
		case <-stalled.C:
			if begun {
				continue
			}
			w.kill()
			status := w.dead(p.o.Grace)
			p.debug("helper did not read its call", w, status)
			for range w.replies { // ends, since the process has
			}
			if w.nonsense != nil {
				return nil, false, fmt.Errorf("%w: %w", ErrGarbage, w.nonsense)
			}
			return nil, false, fmt.Errorf("%w: it did not read its call: %s", ErrHung, status)
		case <-ended:
			ended = nil
			t := time.NewTimer(p.o.Grace)
			defer t.Stop()
			late = t.C
			go p.cancel(w, sent)
		case <-late:
			w.kill()
			status := w.dead(p.o.Grace)
			p.debug("helper did not end in time", w, status)
			return nil, begun, fmt.Errorf("%w: %w: %s", ctx.Err(), ErrHung, status)
		}
	}
}

// cancel asks the process to end its operation. It waits for the call itself to be written.
func (p *Pool) cancel(w *process, sent <-chan struct{}) {
	<-sent
	body, err := json.Marshal(request{Do: doCancel})
	if err != nil {
		return
	}
	if b, err := frame(body); err == nil {
		// A process that does not read this is killed when its grace is over.
		w.stdin.Write(b)
	}
}

// silent says why a process has stopped talking before its answer, and ends it.
func (p *Pool) silent(w *process) error {
	if w.nonsense != nil {
		w.kill()
		p.debug("helper answered nonsense", w, w.dead(p.o.Grace))
		return fmt.Errorf("%w: %w", ErrGarbage, w.nonsense)
	}
	w.retire(p.o.Grace)
	p.debug("helper crashed", w, w.status)
	return fmt.Errorf("%w: %s", ErrCrashed, w.status)
}
