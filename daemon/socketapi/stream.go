package socketapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
)

// lines writes one JSON value a line, each sent at once.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// stream begins an answer of lines; the context ends when the client leaves or sends anything more.
// The caller must call the function that it returns. A stream that ended so takes its connection with
// it: what the client sent meanwhile is no request.
func (c *call) stream() (context.Context, func()) {
	ctx, cancel := context.WithCancel(c.r.Context())
	conn := connOf(ctx)
	conn.onData.Store(&cancel)
	if conn.ahead.Load() { // it came before the stream began
		cancel()
	}
	return ctx, func() {
		conn.onData.Store(nil)
		left := ctx.Err() != nil
		cancel()
		if left {
			panic(http.ErrAbortHandler)
		}
	}
}

// lines sends the header of an answer of lines.
func (c *call) lines() lines {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	return lines{w: c.w, control: http.NewResponseController(c.w)}
}

// send writes v as one line. It fails when the client is gone or too slow.
func (l lines) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := l.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return l.control.Flush()
}

// begin starts a request and tells its states until the decision. A client that leaves cancels it.
func (s *Server) begin(c *call) {
	var body api.BeginRequest
	if !c.body(&body) {
		return
	}
	ask, bad := wire.Ask(body)
	if bad != nil {
		c.refuse(bad)
		return
	}
	ctx, end := c.stream()
	defer end()
	req, err := s.Engine.Begin(ctx, c.who, ask)
	if err != nil {
		c.fail(err)
		return
	}
	states, stop := req.Watch()
	defer stop()
	out := c.lines()
	for {
		select {
		case v, ok := <-states:
			if !ok {
				return
			}
			if out.send(s.Errors.State(v)) != nil {
				return // ending ctx cancels the request
			}
		case <-ctx.Done():
			return
		}
	}
}

// events tells a snapshot and then each change. A reader that is too slow gets a last line that says
// so, if it reads that one.
func (s *Server) events(c *call) {
	ctx, end := c.stream()
	defer end()
	sub, err := s.Engine.Subscribe(c.who)
	if err != nil {
		c.fail(err)
		return
	}
	defer sub.Close()
	out := c.lines()
	seq := uint64(1)
	first := api.Event{Seq: seq, Snapshot: &api.Snapshot{
		Requests: s.Errors.States(sub.Requests),
		Methods:  wire.Methods(sub.Methods),
	}}
	if out.send(first) != nil {
		return
	}
	for {
		select {
		case ev, ok := <-sub.Events():
			seq++
			if !ok {
				if sub.Lagged() {
					_ = out.send(api.Event{Seq: seq, Lagged: true}) // the reader may be gone
				}
				return
			}
			line := s.Errors.Event(ev)
			line.Seq = seq
			if out.send(line) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
