package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

const (
	// chunkSize is how much of a body is sent at once, in bytes, and chunkTime how long at most a line
	// waits for more to come.
	chunkSize = 32 << 10
	chunkTime = time.Second
	// refusalTimeout is how long an answer may take to arrive after the daemon has stopped to listen.
	refusalTimeout = 2 * time.Second
)

// upload is a request with a body of lines that grows while it is sent, over a connection of its own.
// net/http's transport is not used for it: where the daemon refuses before the end, as when the vault is
// sealed, that loses the answer to the error of the write that it interrupts; and it keeps copies of what
// passes through.
type upload struct {
	c    *Client
	ctx  context.Context
	conn net.Conn
	buf  []byte    // lines that were not sent yet
	sent time.Time // when the last ones were

	answered chan struct{} // closed when the answer is there
	reply    reply         // then
	failed   error         // or then: why there is none
	done     func() bool   // ends the watch over ctx
}

// reply is what the daemon said to an upload.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// earlyReply says that the daemon answered before it had the whole.
type earlyReply struct{ reply }

func (e *earlyReply) Error() string { return "the daemon answered before the end" }

// refusal is the error in the answer.
func (e *earlyReply) refusal() error {
	if _, err := decodeReply[json.RawMessage](e.reply); err != nil {
		return err
	}
	return fmt.Errorf("%w (it ended before its end)", ErrBadAnswer)
}

// upload begins one, at a route. It must end with commit or abort.
func (c *Client) upload(ctx context.Context, path ...string) (*upload, error) {
	u, err := address(path)
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	up := &upload{c: c, ctx: ctx, conn: conn, buf: make([]byte, 0, chunkSize), answered: make(chan struct{})}
	up.done = context.AfterFunc(ctx, func() { conn.Close() })
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		u.RequestURI(), u.Host)
	if _, err := io.WriteString(conn, head); err != nil {
		up.abort()
		return nil, c.broken(ctx, err)
	}
	go up.read()
	return up, nil
}

// read waits for the answer. Whoever is writing then is stopped: the daemon does not listen any more.
func (up *upload) read() {
	defer close(up.answered)
	defer up.conn.SetWriteDeadline(time.Unix(1, 0)) // a connection that is closed needs none
	resp, err := http.ReadResponse(bufio.NewReader(up.conn), &http.Request{Method: http.MethodPost})
	if err != nil {
		up.failed = err
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		up.failed = err
	case len(body) > maxBody:
		up.failed = fmt.Errorf("%w (more than %d bytes)", ErrBadAnswer, maxBody)
	}
	up.reply = reply{resp.StatusCode, resp.Header, body}
}

// first is line for the first one, which is sent at once: what is refused altogether is refused soon.
func (up *upload) first(v any) error {
	if err := up.line(v); err != nil {
		return err
	}
	return up.flush()
}

// line adds a line to the body. Where the daemon has answered already it fails with an *earlyReply.
// After an error the upload is over.
func (up *upload) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		up.abort()
		return fmt.Errorf("cannot write the request: %w", err)
	}
	defer clear(data) // it may hold a seed
	if len(up.buf)+len(data)+1 > chunkSize {
		if err := up.flush(); err != nil {
			return err
		}
	}
	if len(data) >= chunkSize {
		return up.send(data, []byte("\n"))
	}
	up.buf = append(append(up.buf, data...), '\n')
	if time.Since(up.sent) > chunkTime {
		return up.flush()
	}
	return nil
}

// flush sends the lines that are waiting.
func (up *upload) flush() error {
	if len(up.buf) == 0 {
		return nil
	}
	up.sent = time.Now()
	err := up.send(up.buf)
	clear(up.buf)
	up.buf = up.buf[:0]
	return err
}

// send sends one chunk (RFC 9112 §7.1).
func (up *upload) send(data ...[]byte) error {
	select {
	case <-up.answered:
		return up.early()
	default:
	}
	size := 0
	for _, part := range data {
		size += len(part)
	}
	chunk := net.Buffers(slices.Concat([][]byte{fmt.Appendf(nil, "%x\r\n", size)}, data, [][]byte{[]byte("\r\n")}))
	if _, err := chunk.WriteTo(up.conn); err != nil {
		return up.broken(err)
	}
	return nil
}

// broken is what a failed write means: that there is an answer, or will be at once, or that the daemon is
// gone.
func (up *upload) broken(err error) error {
	select {
	case <-up.answered:
		return up.early()
	case <-time.After(refusalTimeout):
	case <-up.ctx.Done():
	}
	up.abort()
	return up.c.broken(up.ctx, err)
}

// early ends the upload with the answer that came before its end.
func (up *upload) early() error {
	up.abort()
	if up.failed != nil {
		return up.c.broken(up.ctx, up.failed)
	}
	return &earlyReply{up.reply}
}

// commit sends the last line and waits for the answer, whatever it is. Where none comes the error is
// ErrLost: the daemon may have done what it was asked for, or not.
func (up *upload) commit(last any) (reply, error) {
	defer up.abort()
	err := up.line(last)
	if err == nil {
		err = up.flush()
	}
	if err == nil {
		if _, writeErr := io.WriteString(up.conn, "0\r\n\r\n"); writeErr != nil {
			err = up.broken(writeErr)
		}
	}
	if early, ok := errors.AsType[*earlyReply](err); ok {
		return early.reply, nil
	}
	if err != nil {
		return reply{}, err
	}
	select {
	case <-up.answered:
	case <-time.After(commitTimeout):
		return reply{}, &lostError{fmt.Sprintf("the daemon said nothing for %v: it is not known whether it did what it was told", commitTimeout)}
	}
	switch {
	case up.failed == nil:
		return up.reply, nil
	case up.ctx.Err() != nil:
		return reply{}, context.Cause(up.ctx)
	case errors.Is(up.failed, ErrBadAnswer):
		return reply{}, up.failed
	default:
		return reply{}, &lostError{"the daemon went away: it is not known whether it did what it was told"}
	}
}

// abort hangs up. What was not committed was never said.
func (up *upload) abort() {
	up.done()
	up.conn.Close()
	clear(up.buf)
	up.buf = up.buf[:0]
}

// decodeReply reads an answer as call does.
func decodeReply[T any](r reply) (T, error) {
	var v T
	if r.status < 200 || r.status > 299 {
		return v, errorIn(r.status, r.body)
	}
	if err := checkType(r.header, "application/json"); err != nil {
		return v, err
	}
	if err := json.Unmarshal(r.body, &v); err != nil {
		return v, fmt.Errorf("%w (%w)", ErrBadAnswer, err)
	}
	return v, nil
}
