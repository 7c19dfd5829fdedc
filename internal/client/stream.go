package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// Stream is a request as it goes on. Next and Yield are for one goroutine; Close may be called from any.
type Stream struct {
	lines   *lines
	close   func()
	decided atomic.Bool
	yields  atomic.Bool // Yield reads what follows the decision
}

// Begin begins a request and gives its stream of states, which ends with the decision. Closing the
// stream before that, or ending ctx, cancels the request.
func (c *Client) Begin(ctx context.Context, begin api.BeginRequest) (*Stream, error) {
	l, stop, err := c.open(ctx, http.MethodPost, nil, begin, "requests")
	if err != nil {
		return nil, err
	}
	return &Stream{lines: l, close: stop}, nil
}

// Next waits for the next state: the whole of it, never a difference. After the state with the
// decision it gives io.EOF. A stream that ends before gives ErrLost: nothing was approved.
func (s *Stream) Next() (api.RequestState, error) {
	if s.decided.Load() {
		return api.RequestState{}, io.EOF
	}
	state, err := decode[api.RequestState](s.lines)
	if errors.Is(err, io.EOF) {
		return state, ErrLost
	}
	if err != nil {
		return api.RequestState{}, err
	}
	if state.Pending == (state.Decision != "") {
		return api.RequestState{}, fmt.Errorf("%w (a request both pending and %q)", ErrBadAnswer, state.Decision)
	}
	s.decided.Store(!state.Pending)
	return state, nil
}

// Yield gives the lines that follow the approval of an export-tokens, export-accounts or backup request,
// without the last one, which has End set. A line with Error ends it with that error, and a stream that ends
// before its last line with one that is ErrLost: what came before is not the whole. What is secret in a line
// is the loop's to wipe.
func (s *Stream) Yield() iter.Seq2[api.Yield, error] {
	s.yields.Store(true)
	return func(yield func(api.Yield, error) bool) {
		for {
			line, err := decode[api.Yield](s.lines)
			switch {
			case errors.Is(err, io.EOF):
				yield(api.Yield{}, errCut)
				return
			case err != nil:
				yield(api.Yield{}, err)
				return
			case line.Error != nil:
				yield(api.Yield{}, line.Error)
				return
			case line.End:
				return
			case !yield(line, nil):
				return
			}
		}
	}
}

// errCut says that the lines after an approval ended before their end.
var errCut = &lostError{"the daemon went away in the middle: what it sent is not the whole"}

// Close ends the stream; a request that is still pending is cancelled by it.
func (s *Stream) Close() {
	if s.decided.Load() && !s.yields.Load() {
		// Read to its end, the connection serves the next call. A daemon that does not end it loses it.
		end := time.AfterFunc(endTimeout, s.close)
		_, _ = s.lines.next()
		end.Stop()
	}
	s.close()
}

// endTimeout is how long the end of a stream may come after its last state.
const endTimeout = 100 * time.Millisecond

// Events gives a snapshot and then each change, until ctx ends (then without an error), the loop is
// left, the daemon goes away (ErrLost) or says that the reader was too slow: then the last event has
// Lagged set, and a new call begins with a new snapshot.
func (c *Client) Events(ctx context.Context) iter.Seq2[api.Event, error] { return c.events(ctx, nil) }

// WatchCards gives all card readers and what is in them, and again with each change. It ends as Events does, but
// without a last one where the reader was too slow: then it goes on with what is there now. A user's own daemon alone
// has cards.
func (c *Client) WatchCards(ctx context.Context) iter.Seq2[api.Readers, error] {
	return func(yield func(api.Readers, error) bool) {
		for again := true; again; {
			again = false
			for event, err := range c.events(ctx, url.Values{"cards": {"true"}}) {
				if err != nil {
					yield(api.Readers{}, err)
					return
				}
				again = event.Lagged
				if event.Cards != nil && !yield(*event.Cards, nil) {
					return
				}
			}
		}
	}
}

func (c *Client) events(ctx context.Context, query url.Values) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		l, stop, err := c.open(ctx, http.MethodGet, query, nil, "events")
		if err != nil {
			if ctx.Err() == nil {
				yield(api.Event{}, err)
			}
			return
		}
		defer stop()
		for {
			event, err := decode[api.Event](l)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, io.EOF):
				yield(api.Event{}, ErrLost)
				return
			case err != nil:
				yield(api.Event{}, err)
				return
			case !yield(event, nil) || event.Lagged:
				return
			}
		}
	}
}

// Watch gives the states of a request that someone else began, the last one with its decision; it
// cancels nothing. It ends as Events does.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[api.RequestState, error] {
	return func(yield func(api.RequestState, error) bool) {
		for again := true; again; {
			again = false
			for event, err := range c.Events(ctx) {
				if err != nil {
					yield(api.RequestState{}, err)
					return
				}
				again = event.Lagged
				state, err := c.stateIn(ctx, event, id)
				if err != nil {
					yield(api.RequestState{}, err)
					return
				}
				if state != nil && (!yield(*state, nil) || !state.Pending) {
					return
				}
			}
		}
	}
}

// stateIn finds a request in an event; nil if the event is about something else. A request that is
// not in a snapshot has been decided, or never was.
func (c *Client) stateIn(ctx context.Context, event api.Event, id string) (*api.RequestState, error) {
	if event.Request != nil && event.Request.ID == id {
		return event.Request, nil
	}
	if event.Snapshot == nil {
		return nil, nil
	}
	for i := range event.Snapshot.Requests {
		if state := &event.Snapshot.Requests[i]; state.ID == id {
			return state, nil
		}
	}
	state, err := c.Request(ctx, id)
	if err != nil {
		return nil, err
	}
	return &state, nil
}

// open begins a stream of lines. The daemon must begin to answer within callTimeout; afterwards the
// stream may be silent for as long as it likes.
func (c *Client) open(ctx context.Context, verb string, query url.Values, body any, path ...string) (*lines, func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(callTimeout, func() {
		cancel(c.cfg.noDaemon(c.path, fmt.Sprintf("it said nothing for %v", callTimeout)))
	})
	resp, err := c.do(ctx, verb, query, body, path...)
	if err == nil && !late.Stop() {
		resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		if err = checkType(resp.Header, "application/x-ndjson"); err != nil {
			resp.Body.Close()
		}
	}
	if err != nil {
		late.Stop()
		cancel(nil)
		return nil, nil, err
	}
	stop := sync.OnceFunc(func() {
		cancel(nil)
		resp.Body.Close()
	})
	return newLines(resp.Body), stop, nil
}

// lines reads lines of at most maxLine bytes.
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) *lines { return &lines{bufio.NewReaderSize(r, 16<<10)} }

// next gives the next line that is not empty, without its end; io.EOF after the last. A line that
// breaks off is an end, since it cannot be whole.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("%w (a line of more than %d bytes)", ErrBadAnswer, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return nil, err
		case err != nil:
			return nil, io.EOF
		case len(line) > 1:
			return line[:len(line)-1], nil
		default:
			line = line[:0]
		}
	}
}

func decode[T any](l *lines) (T, error) {
	var v T
	line, err := l.next()
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return v, fmt.Errorf("%w (%w)", ErrBadAnswer, err)
	}
	return v, nil
}
