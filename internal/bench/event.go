package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// eventRows measure how soon a listener hears of a request: from before its call is written to the socket to
// the line of events that tells of it, read by another connection, which is its user's. Two system instances
// with the same users take turns: in one nothing else is pending, in the other a request of each of 1,000
// others. What is pending for others must cost nothing. That takes root, which can connect as a user.
func eventRows(ctx context.Context, o options, dir string) (rows []Row, err error) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: events of a system instance are measured by root alone")
		return nil, nil
	}
	if err := letIn(dir); err != nil {
		return nil, err
	}
	const others = 1000
	quiet, err := newHearing(ctx, o, crowd{Dir: filepath.Join(dir, "quiet"), Users: 1 + others})
	defer func() { err = errors.Join(err, quiet.close()) }()
	if err != nil {
		return nil, err
	}
	busy, err := newHearing(ctx, o, crowd{Dir: filepath.Join(dir, "busy"), Users: 1 + others, Waiting: others})
	defer func() { err = errors.Join(err, busy.close()) }()
	if err != nil {
		return nil, err
	}
	limit, err := newTrip(ctx, o, dir)
	defer func() { err = errors.Join(err, limit.close()) }()
	if err != nil {
		return nil, err
	}

	const rounds, warm = 1000, 20
	var alone, among, bare []time.Duration
	for round := range rounds + warm {
		for _, way := range []struct {
			times *[]time.Duration
			trip  func(context.Context) (time.Duration, error)
		}{{&alone, quiet.hear}, {&among, busy.hear}, {&bare, limit.trip}} {
			took, err := way.trip(ctx)
			if err != nil {
				return nil, err
			}
			if round >= warm {
				*way.times = append(*way.times, took)
			}
		}
	}
	const least = "bare HTTP round trip + bare write and read"
	return []Row{
		newRow("request to event at a listener, p50", "ms", median(alone), nil, &Bound{What: least, Value: median(bare)}),
		newRow("request to event at a listener, p99", "ms", percentile(alone, 0.99), nil, &Bound{What: least, Value: percentile(bare, 0.99)}),
		newRow("request to event, 1,000 others pending, p50", "ms", median(among),
			&Bound{What: "none pending", Value: median(alone), Budget: 1.2}, &Bound{What: least, Value: median(bare)}),
		newRow("request to event, 1,000 others pending, p99", "ms", percentile(among, 0.99),
			&Bound{What: "none pending", Value: percentile(alone, 0.99)}, &Bound{What: least, Value: percentile(bare, 0.99)}),
	}, nil
}

// hearing is a system instance whose first user listens.
type hearing struct {
	crowd
	instance *child
	conn     net.Conn
	lines    *bufio.Reader
	call     []byte // begins a request of that user
}

// newHearing starts one. The caller closes it, also after an error.
func newHearing(ctx context.Context, o options, c crowd) (h *hearing, err error) {
	h = &hearing{crowd: c}
	if h.call, err = postOf("/v1/requests", api.BeginRequest{User: c.person(0).Name, Service: service}); err != nil {
		return h, err
	}
	if h.instance, err = startCrowd(ctx, o, c); err != nil {
		return h, err
	}
	if h.conn, err = dialAs(ctx, c.person(0).UID, c.socket()); err != nil {
		return h, err
	}
	if _, err := io.WriteString(h.conn, "GET /v1/events HTTP/1.1\r\nHost: fob\r\n\r\n"); err != nil {
		return h, fmt.Errorf("cannot listen to events: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
	if err != nil {
		return h, fmt.Errorf("cannot listen to events: %w", err)
	}
	h.lines = bufio.NewReader(resp.Body)
	first, err := h.next()
	if err == nil && (first.Snapshot == nil || len(first.Snapshot.Requests) > 0) {
		err = errors.New("the events do not begin with a snapshot without requests")
	}
	return h, err
}

func (h *hearing) next() (e api.Event, err error) {
	line, err := h.lines.ReadSlice('\n')
	if err == nil {
		err = json.Unmarshal(line, &e)
	}
	if err == nil && e.Lagged {
		err = errors.New("the listener was too slow")
	}
	if err != nil {
		err = fmt.Errorf("cannot listen to events: %w", err)
	}
	return e, err
}

// hear is how long it takes until the listener hears of a request that root begins for them. It returns when
// the request is over.
func (h *hearing) hear(ctx context.Context) (took time.Duration, err error) {
	asking, err := new(net.Dialer).DialContext(ctx, "unix", h.socket())
	if err != nil {
		return 0, err
	}
	defer func() {
		if asking != nil {
			err = errors.Join(err, asking.Close())
		}
	}()
	deadline := time.Now().Add(startLimit)
	if err := errors.Join(asking.SetDeadline(deadline), h.conn.SetDeadline(deadline)); err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := asking.Write(h.call); err != nil {
		return 0, err
	}
	for {
		_, err := h.lines.Peek(1) // each line comes in one piece
		now := time.Now()
		if err != nil {
			return 0, fmt.Errorf("the listener heard nothing: %w", err)
		}
		e, err := h.next()
		switch r := e.Request; {
		case err != nil:
			return 0, err
		case r == nil:
		case r.Pending && took == 0:
			took = now.Sub(start)
			err := asking.Close() // which cancels it
			asking = nil
			if err != nil {
				return 0, err
			}
		case !r.Pending:
			return took, nil
		}
	}
}

func (h *hearing) close() (err error) {
	if h.conn != nil {
		err = h.conn.Close()
	}
	if h.instance != nil {
		err = errors.Join(err, h.instance.end())
	}
	return err
}

// trip is what such news costs at least: a bare call and its answer, and some bytes to another process.
type trip struct {
	server     *bare
	http, echo net.Conn
	answers    *bufio.Reader
	call, line []byte
}

// newTrip starts the bare server. The caller closes it, also after an error.
func newTrip(ctx context.Context, o options, dir string) (t *trip, err error) {
	t = &trip{line: bytes.Repeat([]byte("x"), 512)} // about as long as the line of events
	if t.call, err = postOf(bareTrip, bareCall); err != nil {
		return t, err
	}
	if t.server, err = startBare(ctx, o, dir); err != nil {
		return t, err
	}
	if t.http, err = new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "bare.sock")); err != nil {
		return t, err
	}
	t.answers = bufio.NewReader(t.http)
	t.echo, err = new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "echo.sock"))
	return t, err
}

// trip makes both.
func (t *trip) trip(context.Context) (time.Duration, error) {
	back := make([]byte, len(t.line))
	return timed(func() error {
		if _, err := t.http.Write(t.call); err != nil {
			return err
		}
		resp, err := http.ReadResponse(t.answers, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if _, err := t.echo.Write(t.line); err != nil {
			return err
		}
		_, err = io.ReadFull(t.echo, back)
		return err
	})
}

func (t *trip) close() (err error) {
	for _, c := range []net.Conn{t.http, t.echo} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	if t.server != nil {
		err = errors.Join(err, t.server.end())
	}
	return err
}

// postOf is a call as it goes over the wire.
func postOf(path string, call api.BeginRequest) ([]byte, error) {
	body, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: fob\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body), nil
}
