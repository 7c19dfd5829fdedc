package virtual

import (
	"context"
	"time"
)

const (
	keepaliveEvery = 100 * time.Millisecond
	// assembleWithin is how long a message may take from its first packet to its last (CTAP 2.1
	// §11.2.5.2).
	assembleWithin = 500 * time.Millisecond
)

// wire is where a session's packets go.
type wire interface {
	write(report) error
	// discard drops packets that no program has read.
	discard() error
}

// session is the key between being plugged in and out. One goroutine, serve, owns it; the command that
// runs has a goroutine of its own, because the host may cancel it.
type session struct {
	auth   *authenticator
	sensor *sensor
	faults *faults
	ops    *journal
	port   wire

	link    link
	command *command // that runs, or nil
	crashed bool     // a quirk: mute until plugged in again
}

// command is one CTAP command that runs.
type command struct {
	message *message
	cancel  context.CancelCauseFunc
	done    chan result // buffered: it never blocks on the session
}

type result struct {
	answer []byte
	op     Op
	crash  bool
}

// serve answers the reports of in until in is closed or ctx is done.
func (s *session) serve(ctx context.Context, in <-chan report) {
	keepalive := time.NewTicker(keepaliveEvery)
	keepalive.Stop()
	unfinished := time.NewTimer(assembleWithin)
	unfinished.Stop()
	defer keepalive.Stop()
	defer unfinished.Stop()
	defer s.abandon()
	for {
		var done chan result
		if s.command != nil {
			done = s.command.done
		}
		select {
		case <-ctx.Done():
			return
		case r, ok := <-in:
			if !ok {
				return
			}
			if s.faults.is(FaultMute) || s.crashed {
				continue
			}
			was, idle := s.link.filling, s.command == nil
			s.take(ctx, s.link.feed(r))
			if s.link.filling && !was {
				unfinished.Reset(assembleWithin)
			} else if !s.link.filling {
				unfinished.Stop()
			}
			if idle && s.command != nil {
				keepalive.Reset(keepaliveEvery)
			}
		case r := <-done:
			keepalive.Stop()
			s.finish(r)
		case <-keepalive.C:
			s.keepAlive()
		case <-unfinished.C:
			if m := s.link.expire(); m != nil {
				s.send(m)
			}
		}
	}
}

// take carries out what a report meant.
func (s *session) take(ctx context.Context, e event) {
	switch {
	case e.reply != nil:
		if e.reset {
			s.abandon()
		}
		if e.reply.cmd == hidInit && e.reply.channel == broadcast {
			_ = s.port.discard() // a key on its way out: the write below fails too
		}
		s.send(e.reply)
	case e.run != nil && e.run.cmd == hidWink:
		s.wink(e.run)
	case e.run != nil:
		s.start(ctx, e.run)
	case e.cancel && s.command != nil:
		s.command.cancel(StatusKeepaliveCancel)
	}
}

func (s *session) wink(m *message) {
	s.link.done()
	if len(m.payload) != 0 {
		s.send(hidErrorMessage(m.channel, hidErrInvalidLen))
		return
	}
	now := time.Now()
	s.ops.add(Op{Command: "wink", Began: now, Ended: now})
	s.send(m)
}

func (s *session) start(ctx context.Context, m *message) {
	if len(m.payload) == 0 {
		s.link.done()
		s.send(hidErrorMessage(m.channel, hidErrInvalidLen))
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &command{message: m, cancel: cancel, done: make(chan result, 1)}
	s.command = c
	go func() { c.done <- s.auth.handle(ctx, m.payload) }()
}

// finish sends the answer of the command that has ended.
func (s *session) finish(r result) {
	c := s.command
	s.command = nil
	c.cancel(nil)
	s.link.done()
	s.crashed = s.crashed || r.crash
	r.op.Abandoned = s.silent() || r.crash
	if !r.op.Abandoned {
		s.send(&message{channel: c.message.channel, cmd: hidCBOR, payload: r.answer})
	}
	s.ops.add(r.op)
}

// abandon gives up the command that runs, if any, without an answer, and waits for its end.
func (s *session) abandon() {
	c := s.command
	if c == nil {
		return
	}
	s.command = nil
	c.cancel(StatusKeepaliveCancel)
	r := <-c.done
	r.op.Abandoned = true
	s.ops.add(r.op)
	s.link.done()
}

func (s *session) keepAlive() {
	if s.command == nil || s.auth.opts.Quirks.SilentWait {
		return
	}
	status := byte(keepaliveProcessing)
	if s.sensor.waiting() {
		status = keepaliveTouch
	}
	s.send(&message{channel: s.command.message.channel, cmd: hidKeepalive, payload: []byte{status}})
}

// silent reports whether a fault keeps the key from answering commands.
func (s *session) silent() bool {
	return s.crashed || s.faults.is(FaultMute) || s.faults.is(FaultMuteAfterInit)
}

// send writes a message. What cannot be written is lost: the host sees a key that is mute or gone.
func (s *session) send(m *message) {
	if m.cmd != hidInit && s.silent() {
		return
	}
	rs := m.reports()
	if m.cmd == hidCBOR && s.faults.is(FaultGarbageHID) {
		for i := range rs { // a command that there is not, longer than a message can be
			copy(rs[i][4:], []byte{0x55 | initBit, 0xff, 0xff})
		}
	}
	for _, r := range rs {
		if s.port.write(r) != nil {
			return
		}
	}
}
