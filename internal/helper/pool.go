package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options say how a pool starts its helpers.
type Options struct {
	Path string   // the fob-helper program
	Args []string // its arguments
	// Log gets a debug line where a helper failed; nothing is logged if it is nil.
	Log *slog.Logger
	// Grace is how long an operation that is given up may take to end by itself before its process is
	// killed; 1 s if zero.
	Grace time.Duration
}

// Call is one operation.
type Call struct {
	Op      string
	Device  string        // the device's name, for messages
	Args    any           // sent as JSON
	Timeout time.Duration // of the whole operation; must be positive
}

// Pool runs operations, each in a process of its own, and keeps one spare process started. It is safe
// for concurrent use; operations do not wait for each other.
type Pool struct {
	o       Options
	closing context.Context
	close   context.CancelFunc
	work    sync.WaitGroup // operations, starts under way, and processes that have not ended

	mu       sync.Mutex
	spare    *process
	starting bool
	closed   bool
}

// NewPool makes a pool and starts its spare in the background. Whether that works shows in Ready and
// Run.
func NewPool(o Options) *Pool {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Grace <= 0 {
		o.Grace = time.Second
	}
	p := &Pool{o: o}
	p.closing, p.close = context.WithCancel(context.Background())
	p.refill()
	return p
}

// Run runs one operation and decodes what it answers into result, a pointer, or nil if the answer
// does not matter.
//
// An operation's own failure is an *OpError. A process that crashes, hangs or answers nonsense fails
// this one operation with ErrCrashed, ErrHung or ErrGarbage. When ctx ends, or the time of the call
// is over, the operation is asked to end and after the pool's grace killed: Run then returns an error
// that wraps ctx.Err(), or context.DeadlineExceeded for the call's own time, beside the *OpError or
// ErrHung that it ended with. An answer that came nevertheless counts: Run then returns nil. When Run
// returns, the device is no longer in use.
func (p *Pool) Run(ctx context.Context, c Call, result any) error {
	if c.Timeout <= 0 {
		return p.fail(c, errors.New("cannot run an operation without a time limit"))
	}
	if err := ctx.Err(); err != nil {
		return p.fail(c, err)
	}
	if !p.begin() {
		return p.fail(c, ErrClosed)
	}
	defer p.work.Done()
	msg, err := encodeCall(c)
	defer clear(msg)
	if err != nil {
		return p.fail(c, err)
	}
	answer, err := p.run(ctx, c.Timeout, msg)
	if err != nil {
		return p.fail(c, err)
	}
	defer clear(answer)
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil { // it keeps no copy, as decode would
		return p.fail(c, fmt.Errorf("%w: %w", ErrGarbage, err))
	}
	return nil
}

// Ready reports whether a helper can be started: it starts the spare if there is none, and waits
// until it is ready.
func (p *Pool) Ready(ctx context.Context) error {
	if !p.begin() {
		return ErrClosed
	}
	defer p.work.Done()
	w, err := p.take()
	if err != nil {
		return err
	}
	select {
	case <-w.ready:
	case <-w.done:
		p.debug("helper ended before it was ready", w, w.status)
		err = fmt.Errorf("%w: %s", ErrStart, w.status)
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrStart, ctx.Err())
	}
	p.mu.Lock()
	if err == nil && p.spare == nil && !p.closed {
		p.spare, w = w, nil
	}
	p.mu.Unlock()
	if w != nil {
		w.kill()
	}
	return err
}

// Close gives up what runs, ends all processes and waits for them. Operations that run meanwhile fail
// with ErrClosed. It never fails; further calls do nothing.
func (p *Pool) Close() error {
	p.mu.Lock()
	spare := p.spare
	p.spare, p.closed = nil, true
	p.mu.Unlock()
	p.close()
	if spare != nil {
		spare.kill()
	}
	p.work.Wait()
	return nil
}

// encodeCall makes the bytes that are sent. They may hold a PIN: the caller wipes them.
func encodeCall(c Call) ([]byte, error) {
	args, err := json.Marshal(c.Args)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the arguments: %w", err)
	}
	defer clear(args)
	body, err := json.Marshal(request{Do: doRun, Op: c.Op, Args: args})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the call: %w", err)
	}
	defer clear(body)
	defer scrub(len(body))
	return frame(body)
}

// scrub overwrites, as well as it can be done from here, the buffer that encoding/json keeps for its
// next use, which holds what was encoded last.
func scrub(n int) {
	if b, err := json.Marshal(make([]byte, n)); err == nil {
		clear(b)
	}
}

// fail names the device and the operation.
func (p *Pool) fail(c Call, err error) error {
	return fmt.Errorf("%s: %s: %w", c.Device, c.Op, err)
}

// debug logs how a process ended, and the end of what it wrote to stderr.
func (p *Pool) debug(msg string, w *process, status string) {
	p.o.Log.Debug(msg, "pid", w.cmd.Process.Pid, "status", status, "stderr", w.stderr.lines())
}

// begin counts what Close waits for; it reports false once the pool is closed.
func (p *Pool) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Add(1)
	return true
}

// take gives the spare, or a new process where there is none or it has ended while it waited.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	w := p.spare
	p.spare = nil
	p.mu.Unlock()
	if w != nil && w.alive() {
		return w, nil
	}
	return p.start()
}

// start starts a process, and counts it until it has ended.
func (p *Pool) start() (*process, error) {
	if !p.begin() {
		return nil, ErrClosed
	}
	w, err := startProcess(p.o, (*process).read)
	if err != nil {
		p.work.Done()
		return nil, err
	}
	go func() {
		<-w.done
		p.work.Done()
	}()
	return w, nil
}

// refill starts a spare in the background if there is none. One that cannot be started is not tried
// again before the next operation, whose own start says what is wrong.
func (p *Pool) refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starting || p.closed || p.spare != nil {
		return
	}
	p.starting = true
	p.work.Go(func() {
		w, err := p.start()
		p.mu.Lock()
		p.starting = false
		keep := err == nil && !p.closed && p.spare == nil
		if keep {
			p.spare = w
		}
		p.mu.Unlock()
		if err != nil {
			p.o.Log.Debug("cannot start a spare helper", "error", err)
		} else if !keep {
			w.kill()
		}
	})
}
