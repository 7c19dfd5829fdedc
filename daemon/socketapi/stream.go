package socketapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/signin"
)

// linesType is the type of an answer of lines.
const linesType = "application/x-ndjson"

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
	c.w.Header().Set("Content-Type", linesType)
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
	b = append(b, '\n')
	defer clear(b) // a seed may stand in it
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	return l.control.Flush()
}

// begin starts a request and tells its states until the decision. A client that leaves cancels it.
func (s *Server) begin(c *call) {
	var body api.BeginRequest
	if !c.body(&body) {
		wire.Wipe(body)
		return
	}
	ticket := wire.Secret(body.Ticket)
	defer ticket.Wipe()
	ask, bad := wire.Ask(body)
	if bad != nil {
		c.refuse(bad)
		return
	}
	if ticket != nil {
		if s.Tickets == nil || s.Tickets.RedeemFirstMethod(c.who.UID, ticket) != nil {
			ask.Wipe()
			c.fail(signin.ErrNotFirst)
			return
		}
		ask.Authorized = true
	}
	if ask.Code != nil {
		s.verifyCode(c, ask)
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
				s.yield(out, req)
				return
			}
			if s.tell(out, req, v) != nil {
				return // ending ctx cancels the request
			}
		case <-ctx.Done():
			return
		}
	}
}

// tell sends a state to whoever began the request, with what is for nobody else.
func (s *Server) tell(out lines, req *signin.Request, v signin.View) error {
	state := s.Errors.State(req.ForCaller(v))
	if v.Pending() {
		state.Number = req.Number()
		return out.send(state)
	}
	y := req.Yield()
	if key := y.RecoveryKey; key != nil {
		defer key.Wipe()
		state.RecoveryKey = key.Reveal()
	}
	for _, code := range y.RecoveryCodes {
		defer code.Wipe()
		state.RecoveryCodes = append(state.RecoveryCodes, code.Reveal())
	}
	return out.send(state)
}

// yield sends what an approved request gives to whoever began it.
func (s *Server) yield(out lines, req *signin.Request) {
	y := req.Yield()
	switch {
	case y.Tokens != nil:
		for t, err := range y.Tokens {
			if err != nil {
				_ = out.send(api.Yield{Error: s.Errors.Of(err)})
				return
			}
			err := out.send(api.Yield{Token: wire.TokenSeed(t)})
			t.Seed.Wipe()
			if err != nil {
				return
			}
		}
	case y.Accounts != nil:
		for a, err := range y.Accounts {
			if err != nil {
				_ = out.send(api.Yield{Error: s.Errors.Of(err)})
				return
			}
			err := out.send(api.Yield{Account: wire.AccountSeed(a)})
			a.Seed.Wipe()
			if err != nil {
				return
			}
		}
	case y.Backup != nil:
		defer y.Backup.DataKey.Wipe()
		if out.send(api.Yield{Backup: wire.BackupHead(y.Backup)}) != nil {
			return
		}
		for _, r := range y.Backup.Records {
			if out.send(api.Yield{Record: wire.BackupRecord(r)}) != nil {
				return
			}
		}
	default:
		return
	}
	_ = out.send(api.Yield{End: true})
}

// verifyCode answers a sign-in that came with its code: one state, the approval.
func (s *Server) verifyCode(c *call, ask signin.Ask) {
	v, err := s.Engine.VerifyCode(c.r.Context(), c.who, ask)
	if err != nil {
		c.fail(err)
		return
	}
	writeAs(c.w, http.StatusOK, linesType, s.Errors.State(v))
}

// events tells a snapshot and then each change; of cards those alone who ask for it. A reader that is too
// slow gets a last line that says so, if it reads that one.
func (s *Server) events(c *call) {
	q, ok := c.query("cards")
	if !ok {
		return
	}
	withCards, bad := parseBool(q, "cards")
	if bad != nil {
		c.refuse(bad)
		return
	}
	if withCards {
		if err := caller.AccessUser.Check(c.who, s.Instance); err != nil {
			c.fail(err)
			return
		}
	}
	ctx, end := c.stream()
	defer end()
	sub, err := s.Engine.Subscribe(ctx, c.who)
	if err != nil {
		c.fail(err)
		return
	}
	defer sub.Close()
	var cards *card.Follower
	var views <-chan card.View
	if withCards {
		cards = s.Cards.Follow()
		defer cards.Close()
		views = cards.Views()
	}
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
		case v, ok := <-views:
			seq++
			if !ok {
				if cards.Lagged() {
					_ = out.send(api.Event{Seq: seq, Lagged: true}) // the reader may be gone
				}
				return
			}
			if out.send(api.Event{Seq: seq, Cards: s.Errors.Readers(v)}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
