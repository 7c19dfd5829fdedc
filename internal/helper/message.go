package helper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What fobd sends.
const (
	doRun    = "run"    // with Op and Args; once
	doCancel = "cancel" // give the operation up; the child still answers
)

// What the child sends, in this order; done and failed are its last words.
const (
	stateReady  = "ready"  // it is started and waits for its operation
	stateBegun  = "begun"  // it has read its operation: from here on it must not be run again
	stateDone   = "done"   // with Result
	stateFailed = "failed" // with Error
)

// stateNews is what a child that watches sends after ready, any number of times, with Result.
const stateNews = "news"

// request is a message to the child.
type request struct {
	Do   string          `json:"do"`
	Op   string          `json:"op,omitempty"`
	Args json.RawMessage `json:"args,omitempty"`
}

// reply is a message from the child.
type reply struct {
	State  string          `json:"state"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *OpError        `json:"error,omitempty"`
}

// errTooLong says that a message is longer than MaxMessage, or than maxNews where that holds.
var errTooLong = errors.New("cannot use a message that is too long")

// headerLen is the length in bytes of the length before each message.
const headerLen = 4

// frame puts the length before a message. The result is a copy: whoever has secrets in either wipes both.
func frame(body []byte) ([]byte, error) {
	if len(body) > MaxMessage {
		return nil, errTooLong
	}
	out := make([]byte, headerLen, headerLen+len(body))
	binary.BigEndian.PutUint32(out, uint32(len(body)))
	return append(out, body...), nil
}

// readFrame reads one message. It returns io.EOF where the stream ends between messages, and
// io.ErrUnexpectedEOF where it ends inside one. It allocates no more than what has arrived calls for.
func readFrame(r io.Reader) ([]byte, error) { return readFrameUpTo(r, MaxMessage) }

// readFrameUpTo is readFrame of at most so many bytes.
func readFrameUpTo(r io.Reader, most uint32) ([]byte, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > most {
		return nil, fmt.Errorf("%w: of more than %d bytes", errTooLong, most)
	}
	// A length is a claim: what is large grows as it arrives.
	if n <= 64<<10 {
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, midway(err)
		}
		return body, nil
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		return nil, midway(err)
	}
	return body.Bytes(), nil
}

// midway turns an end of the stream inside a message into the error that says so.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseRequest reads a message to the child.
func parseRequest(b []byte) (request, error) {
	var q request
	if err := decode(b, &q); err != nil {
		return request{}, err
	}
	switch {
	case q.Do == doRun && q.Op != "":
		return q, nil
	case q.Do == doCancel && q.Op == "" && q.Args == nil:
		return q, nil
	}
	return request{}, fmt.Errorf("cannot make sense of a request to %.20q", q.Do)
}

// parseReply reads a message from the child. It keeps no copy of b but the result, which may hold a code or a key.
func parseReply(b []byte) (reply, error) {
	var p reply
	var fields map[string]json.RawMessage // a json.Decoder, which would know the fields, has a buffer that nobody can wipe
	if err := json.Unmarshal(b, &fields); err != nil {
		return reply{}, err
	}
	for name, raw := range fields {
		var err error
		switch name {
		case "state":
			err = json.Unmarshal(raw, &p.State)
		case "result":
			p.Result = raw
		case "error":
			err = decode(raw, &p.Error)
		default:
			err = errors.New("cannot read a reply with other fields")
		}
		if err != nil {
			return reply{}, err
		}
	}
	hasResult, hasError := p.Result != nil, p.Error != nil
	switch {
	case (p.State == stateReady || p.State == stateBegun) && !hasResult && !hasError:
	case (p.State == stateDone || p.State == stateNews) && hasResult && !hasError:
	case p.State == stateFailed && !hasResult && hasError:
		p.Error.clean()
	default:
		return reply{}, fmt.Errorf("cannot make sense of a reply in state %.20q", p.State)
	}
	return p, nil
}

// decode reads exactly one JSON value and refuses fields that v does not have.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("cannot read more than one value from a message")
	}
	return nil
}
