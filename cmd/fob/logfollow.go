package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

const (
	// followRetry is how long a daemon that went away is left alone before it is tried again.
	followRetry = time.Second
	// followPoll is how often the log is read where no event says that it has grown: events tell of one's
	// own log alone.
	followPoll = 2 * time.Second
)

// followLog prints entries, and then each new one that the query asks for, until ctx ends. A daemon that is
// started again is followed on from the entry that was printed last.
func (a *app) followLog(ctx context.Context, c *client.Client, query client.LogQuery, entries iter.Seq2[api.LogEntry, error]) error {
	l := logFollower{app: a, client: c, query: query, screen: newScreen(a.stderr), table: logTable{app: a}}
	if err := l.print(entries); err != nil {
		return err
	}
	for {
		err := l.watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, client.ErrLost) && !errors.Is(err, client.ErrNoDaemon) && !isCode(err, api.CodeShuttingDown) {
			return err
		}
		if !l.away {
			l.screen.say("The daemon went away. Waiting for it; Ctrl-C stops.")
			l.away = true
		}
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// logFollower follows the log over connections that come and go.
type logFollower struct {
	app    *app
	client *client.Client
	query  client.LogQuery // After is the entry up to which all was printed
	screen *screen
	table  logTable
	away   bool // the daemon went away, and that was said
}

// watch prints what comes, until the connection ends: without an error where a new one may go on at once.
func (l *logFollower) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan eventOrError)
	go func() {
		for event, err := range l.client.Events(ctx) {
			select {
			case events <- eventOrError{event, err}:
			case <-ctx.Done():
				return
			}
		}
		close(events)
	}()
	var poll <-chan time.Time
	if l.query.Everybody || l.query.User != "" {
		tick := time.NewTicker(followPoll)
		defer tick.Stop()
		poll = tick.C
	}
	for {
		grown := uint64(0)
		select {
		case e, ok := <-events:
			switch {
			case !ok || e.event.Lagged: // whoever is too slow begins anew
				return ctx.Err()
			case e.err != nil:
				return e.err
			case e.event.Snapshot != nil:
				// What came before the connection is read after it: nothing falls between.
				if l.away {
					l.screen.say("The daemon is back.")
					l.away = false
				}
			case e.event.Log == 0 || e.event.Log <= l.query.After:
				continue
			}
			grown = e.event.Log
		case <-poll:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := l.print(entriesAfter(ctx, l.client, l.query)); err != nil {
			return err
		}
		l.query.After = max(l.query.After, grown)
	}
}

type eventOrError struct {
	event api.Event
	err   error
}

// print prints what there is, also where reading on fails.
func (l *logFollower) print(entries iter.Seq2[api.LogEntry, error]) error {
	var all []api.LogEntry
	var failed error
	for e, err := range entries {
		if err != nil {
			failed = err
			break
		}
		l.query.After = max(l.query.After, e.Seq)
		if !l.app.json {
			all = append(all, e)
		} else if err := l.app.printJSONLine(e); err != nil {
			return err
		}
	}
	if err := l.table.print(all); err != nil {
		return err
	}
	if err := l.app.out.Flush(); err != nil {
		return err
	}
	return failed
}
