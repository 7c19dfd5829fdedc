package socketapi

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// lineTimeout is how long a line of a long body may let itself be waited for: the client may be asking a
// person for the passphrase of the file that it reads.
const lineTimeout = 2 * time.Minute

// bodyLines is a body that is read line by line, each a JSON object.
type bodyLines struct {
	c       *call
	control *http.ResponseController
	buf     []byte
	scan    *bufio.Scanner
	n       int // of the line read last
	total   int
	max     int
}

// bulk lets one long body in at a time: each may take much memory. It answers and reports false where
// there is one already.
func (s *Server) bulk(c *call) (done func(), ok bool) {
	if !s.bulky.TryLock() {
		c.w.Header().Set("Connection", "close")
		c.refuse(api.Errorf(api.CodeTooMany, "another import or restore is under way: try again when it has ended"))
		return nil, false
	}
	return s.bulky.Unlock, true
}

// bodyLines begins to read a body of lines of at most line bytes, total bytes in all. It answers and
// reports false where the body is no such thing.
func (c *call) bodyLines(line, total int) (*bodyLines, bool) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-ndjson" {
		c.w.Header().Set("Connection", "close")
		writeError(c.w, http.StatusUnsupportedMediaType, api.Errorf(api.CodeBadRequest, "the body's Content-Type is application/x-ndjson"))
		return nil, false
	}
	l := &bodyLines{c: c, control: http.NewResponseController(c.w), buf: make([]byte, line), max: total}
	l.scan = bufio.NewScanner(c.r.Body)
	l.scan.Buffer(l.buf, line)
	return l, true
}

// next reads the next line into v. Where there is none the body is not whole.
func (l *bodyLines) next(v any) *api.Error {
	_ = l.control.SetReadDeadline(time.Now().Add(lineTimeout)) // a socket always can
	l.n++
	if !l.scan.Scan() {
		return l.ended(l.scan.Err())
	}
	b := l.scan.Bytes()
	if l.total += len(b) + 1; l.total > l.max {
		l.broken()
		return api.Errorf(api.CodeTooLarge, "the body is larger than %d bytes", l.max)
	}
	if err := decode(b, v); err != nil {
		l.broken()
		return api.Errorf(err.Code, "line %d: %s", l.n, err.Message)
	}
	clear(b)
	return nil
}

// end makes sure that nothing follows.
func (l *bodyLines) end() *api.Error {
	_ = l.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	if l.scan.Scan() {
		l.broken()
		return api.Errorf(api.CodeBadRequest, "line %d: nothing comes after commit", l.n+1)
	}
	if err := l.scan.Err(); err != nil {
		return l.ended(err)
	}
	_ = l.control.SetReadDeadline(time.Time{})
	return nil
}

func (l *bodyLines) ended(err error) *api.Error {
	l.broken()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return api.Errorf(api.CodeTooLarge, "line %d is longer than %d bytes", l.n, len(l.buf))
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
		return api.Errorf(api.CodeBadRequest, "the body ends without commit: nothing was changed")
	default:
		return api.Errorf(api.CodeBadRequest, "cannot read the body")
	}
}

// broken says that the rest of the body will not be read.
func (l *bodyLines) broken() { l.c.w.Header().Set("Connection", "close") }

// wipe forgets what was read.
func (l *bodyLines) wipe() { clear(l.buf) }
