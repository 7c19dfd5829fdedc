package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// WatchArg is the argument that puts the helper program into its second mode.
const WatchArg = "watch"

const (
	// maxNews bounds in bytes what a child that watches says at a time.
	maxNews = 32 << 10
	// newsApart is the least time between two things that it says: whatever more it has to say waits in its pipe.
	newsApart = 10 * time.Millisecond
	// firstNews is how long it may take until it has said what it sees first.
	firstNews = 10 * time.Second
)

// Watch runs one process that watches, and calls tell with each thing that it says, as JSON, in turn. It returns when
// the process has ended: with ctx's error when ctx ends, and otherwise with ErrStart, ErrCrashed, ErrHung or
// ErrGarbage, which also wraps what tell fails with.
func Watch(ctx context.Context, o Options, tell func(json.RawMessage) error) error {
	if o.Grace <= 0 {
		o.Grace = time.Second
	}
	o.Args = append(o.Args[:len(o.Args):len(o.Args)], WatchArg)
	w, err := startProcess(o, (*process).readNews)
	if err != nil {
		return err
	}
	err = w.news(ctx, tell)
	// What it still says is nobody's, and must not keep it from ending.
	go func() {
		for range w.replies {
		}
	}()
	if ctx.Err() == nil && (errors.Is(err, ErrHung) || errors.Is(err, ErrGarbage)) {
		w.kill()
	}
	w.retire(o.Grace)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrCrashed):
		err = fmt.Errorf("%w: %s", err, w.status)
	}
	if o.Log != nil {
		o.Log.Debug("the helper that watches has ended", "pid", w.cmd.Process.Pid, "status", w.status, "stderr", w.stderr.lines())
	}
	return err
}

// news passes on what the process says until it says no more.
func (p *process) news(ctx context.Context, tell func(json.RawMessage) error) error {
	first := time.NewTimer(firstNews)
	defer first.Stop()
	for {
		select {
		case r, ok := <-p.replies:
			switch {
			case !ok && p.nonsense != nil:
				return fmt.Errorf("%w: %w", ErrGarbage, p.nonsense)
			case !ok:
				return ErrCrashed
			}
			first.Stop()
			if err := tell(r.Result); err != nil {
				return fmt.Errorf("%w: %w", ErrGarbage, err)
			}
		case <-first.C:
			return fmt.Errorf("%w: it did not say what it sees", ErrHung)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readNews passes on what a process that watches says until nonsense, or its end.
func (p *process) readNews() {
	defer close(p.replies)
	for first := true; ; first = false {
		r, ok := p.next(maxNews)
		if !ok {
			return
		}
		if first != (r.State == stateReady) || !first && r.State != stateNews {
			p.nonsense = outOfTurn(r)
			return
		}
		if first {
			close(p.ready)
			continue
		}
		p.replies <- r
		time.Sleep(newsApart)
	}
}

// ServeWatch is the child's side of Watch: it sends what watch tells, as JSON, until in ends or anything comes, and
// then returns nil, also where watch does not end within 2 s. What watch fails with before that it returns.
func ServeWatch(in io.Reader, out io.Writer, watch func(ctx context.Context, tell func(any) error) error) error {
	if err := send(out, reply{State: stateReady}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = in.Read(make([]byte, 1))
		cancel()
	}()
	ended := make(chan error, 1)
	go func() {
		ended <- watch(ctx, func(news any) error {
			b, err := json.Marshal(news)
			if err != nil {
				return fmt.Errorf("cannot send what is seen: %w", err)
			}
			if len(b) > maxNews-1024 {
				return errTooLong
			}
			return send(out, reply{State: stateNews, Result: b})
		})
	}()
	select {
	case err := <-ended:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case <-ctx.Done():
	}
	select {
	case <-ended:
	case <-time.After(lingering):
	}
	return nil
}
