package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// outcome is what came of a flood.
type outcome struct {
	Refused uint64
	Seconds float64
}

func (o *outcome) add(more outcome) {
	o.Refused += more.Refused
	o.Seconds += more.Seconds
}

// The flood's shape. A user may have 32 connections; more calls on the way than these bring nothing.
const (
	floodConns = 32
	floodAhead = 16 // calls on the way over each
)

// runFlood begins requests at a socket, as the crowd's second user and for them, as fast as it can until
// standard input ends. It spends as little on an answer as it can.
func runFlood(args []string) error {
	if len(args) != 1 {
		return errRole
	}
	call, err := postOf("/v1/requests", api.BeginRequest{Service: service})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first, err := dialAs(ctx, firstUID+1, args[0])
	if err != nil {
		return err
	}
	_ = first.Close() // it only had to show that there is something to flood
	start := time.Now()
	var all sync.WaitGroup
	counts := make(chan uint64, floodConns)
	for range floodConns {
		all.Go(func() { counts <- flood(ctx, args[0], bytes.Repeat(call, floodAhead)) })
	}
	fmt.Println("ready")
	untilStdinEnds()
	cancel()
	all.Wait()
	close(counts)
	var total outcome
	for n := range counts {
		total.Refused += n
	}
	total.Seconds = time.Since(start).Seconds()
	return json.NewEncoder(os.Stdout).Encode(total)
}

// flood is one connection's part, and of those that take its place. It gives how many calls were refused.
func flood(ctx context.Context, socket string, calls []byte) (refused uint64) {
	for ctx.Err() == nil {
		c, err := dialAs(ctx, firstUID+1, socket)
		if err != nil {
			continue // the socket's queue is full
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		refused += pour(c, calls)
		stop()
		_ = c.Close()
	}
	return refused
}

// pour sends calls over a connection until one of them begins a request, or it breaks.
func pour(c net.Conn, calls []byte) (refused uint64) {
	a := answers{buf: make([]byte, 64<<10)}
	for {
		if _, err := c.Write(calls); err != nil {
			return refused
		}
		for answered := 0; answered < floodAhead; {
			n, err := a.read(c)
			refused += uint64(n)
			if err != nil {
				return refused
			}
			answered += n
		}
	}
}

// errBegun says that a call was not refused.
var errBegun = errors.New("a request was begun")

// answers counts refusals in a stream of answers.
type answers struct {
	buf  []byte
	kept int // bytes in buf that may begin an answer
}

var (
	statusLine = []byte("HTTP/1.1 ")
	statusOK   = []byte("200")
)

// read reads what is there, and gives how many refusals began in it.
func (a *answers) read(c net.Conn) (refused int, err error) {
	n, err := c.Read(a.buf[a.kept:])
	if err != nil {
		return 0, err
	}
	rest := a.buf[:a.kept+n]
	for {
		at := bytes.Index(rest, statusLine)
		if at < 0 || len(rest) < at+len(statusLine)+len(statusOK) {
			break
		}
		rest = rest[at+len(statusLine):]
		if bytes.HasPrefix(rest, statusOK) {
			return refused, errBegun
		}
		refused++
	}
	// A status line may go on in what comes next.
	a.kept = copy(a.buf, rest[max(0, len(rest)-len(statusLine)-len(statusOK)+1):])
	return refused, nil
}
