package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"syscall"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// begin begins a request, accompanies it to its end and says how it ended; done says what an
// approval did. The error carries the exit code.
func (a *app) begin(ctx context.Context, request api.BeginRequest, g given, done func(s api.RequestState, won string) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	stream, f, err := a.follow(ctx, request, g)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer f.pins.wipe()
	state, err := f.run(ctx, stream.Next)
	defer state.RecoveryKey.Wipe()
	defer func() {
		for _, code := range state.RecoveryCodes {
			code.Wipe()
		}
	}()
	if err != nil {
		// What was done before it was broken off is said all the same: of two keys the first stays.
		if state.Decision == api.Approved {
			if err := a.printEnd(state, a.approver(ctx, c, state), done); err != nil {
				return err
			}
		}
		return err
	}
	return a.ended(state, a.approver(ctx, c, state), done)
}

// take begins a request whose approval is followed by what it gives, and passes that on to take. Nothing
// but the daemon's words for a refusal is printed.
func (a *app) take(ctx context.Context, request api.BeginRequest, g given, take func(iter.Seq2[api.Yield, error]) error) error {
	stream, f, err := a.follow(ctx, request, g)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer f.pins.wipe()
	state, err := f.run(ctx, stream.Next)
	if err != nil {
		return err
	}
	if state.Decision != api.Approved || state.Error != nil {
		return a.ended(state, "", nil)
	}
	// From here on Ctrl-C breaks off what is taken, and what is half done is undone.
	lines := stream.Yield()
	interrupted, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	defer context.AfterFunc(interrupted, stream.Close)()
	err = take(lines)
	if interrupted.Err() != nil {
		return errStopped
	}
	return err
}

// follow begins a request and makes ready to accompany it.
func (a *app) follow(ctx context.Context, request api.BeginRequest, g given) (*client.Stream, *follower, error) {
	if err := g.check(); err != nil {
		return nil, nil, err
	}
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	stream, err := c.Begin(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	f := a.follower(c, g)
	f.own, f.asked = true, request.User
	return stream, f, nil
}

func (a *app) follower(c *client.Client, g given) *follower {
	f := &follower{app: a, client: c, screen: newScreen(a.stderr)}
	if g.pin == "-" {
		f.pins = &pinInput{in: a.input()}
	}
	if g.code == "-" {
		f.codes = a.input()
	}
	if g.number == "-" {
		f.numbers = a.input()
	}
	return f
}

// watch accompanies a request that another program began, after ready had a look at it.
func (a *app) watch(ctx context.Context, c *client.Client, id string, g given, how attendance, ready func(api.RequestState) error) error {
	f := a.follower(c, g)
	f.approves, f.away = how.approves, how.away
	defer f.pins.wipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	states, stop := iter.Pull2(c.Watch(ctx, id))
	next := func() (api.RequestState, error) {
		state, err, ok := states()
		if !ok {
			return state, client.ErrLost
		}
		return state, err
	}
	// The first state is shown and acted upon before anything is asked.
	first, err := next()
	if err != nil {
		stop()
		return gone(err, id)
	}
	if !first.Pending {
		stop()
		return a.ended(first, a.approver(ctx, c, first), nil)
	}
	if err := ready(first); err != nil {
		stop()
		return gone(err, id)
	}
	if err := c.Pick(ctx, id); err != nil {
		stop()
		return gone(err, id)
	}
	pending := &first
	state, err := f.run(ctx, func() (api.RequestState, error) {
		if state := pending; state != nil {
			pending = nil
			return *state, nil
		}
		return next()
	})
	if err != nil {
		if state.ID != "" && exitCode(err) == api.ExitDenied {
			return fmt.Errorf("%w: the request goes on without this terminal", err)
		}
		return err
	}
	return a.ended(state, a.approver(ctx, c, state), nil)
}

// ended prints how a request ended and gives the error that carries the exit code.
func (a *app) ended(s api.RequestState, won string, done func(s api.RequestState, won string) error) error {
	if err := a.printEnd(s, won, done); err != nil {
		return err
	}
	if s.Error != nil {
		fmt.Fprintf(a.stderr, "fob: %s\n", client.Show(s.Error.Message))
	}
	if endedCode(s) != api.ExitOK {
		return &endedError{s}
	}
	return nil
}

func (a *app) printEnd(s api.RequestState, won string, done func(s api.RequestState, won string) error) error {
	switch {
	case s.Decision == api.Approved && len(s.RecoveryCodes) > 0 && done != nil:
		return done(s, won) // the codes are the result, and stand where they were asked for alone
	case a.json:
		return a.printJSON(s)
	case s.Decision == api.Approved && done != nil:
		return done(s, won)
	}
	_, err := fmt.Fprintln(a.out, outcome(s, won))
	return err
}

// outcome says in a sentence how a request ended, and by what it was approved.
func outcome(s api.RequestState, won string) string {
	what := subject(s)
	switch s.Decision {
	case api.Approved:
		text := "Approved: " + what
		switch {
		case remembered(s) && won != "":
			text += ", as an approval with " + won + " is remembered"
		case remembered(s):
			text += ", as an approval is remembered"
		case won != "":
			text += ", with " + won
		}
		if s.Strength != "" && s.Strength != noStrength {
			text += " (strength: " + client.Show(s.Strength) + ")"
		}
		if s.Grant != "" && !remembered(s) {
			text += "; it is remembered from now on (fob remember)"
		}
		return text + "."
	case api.Denied:
		return "Denied: " + what + "."
	case api.Reported:
		return "Denied and reported: " + what + "."
	case api.Expired:
		return "Expired: nobody approved the " + what + " in time."
	case api.Cancelled:
		if s.Error != nil {
			return "Failed: " + what + "."
		}
		return "Cancelled: " + what + "."
	default:
		return client.Show(s.Decision) + ": " + what + "."
	}
}

// noStrength is the daemon's word for an approval that proves nothing by itself.
const noStrength = "none"

// remembered reports whether nobody was asked, because an approval of before is remembered.
func remembered(s api.RequestState) bool {
	return s.Grant != "" && (s.Strength == "" || s.Strength == noStrength)
}

// approver names the method that approved, as the log has it; empty where that cannot be told: the
// approval stands without it.
func (a *app) approver(ctx context.Context, c *client.Client, s api.RequestState) string {
	if a.json || s.Decision != api.Approved || s.LogSeq == 0 {
		return ""
	}
	for _, user := range []string{"", s.User} { // one's own log, or for root that of whom it asked
		page, err := c.Log(ctx, client.LogQuery{After: s.LogSeq - 1, Limit: 1, User: user})
		if err == nil && len(page.Entries) > 0 && page.Entries[0].Request == s.ID {
			return quoted(page.Entries[0].MethodName, page.Entries[0].Method)
		}
	}
	return ""
}
