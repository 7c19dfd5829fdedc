package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Handler runs one operation in the child. ctx ends when fobd gives the operation up, or is gone; the
// operation should then end the wait on its device and return. The result is sent as JSON. An error
// that is, or wraps, an *OpError is sent as it is; of any other, the text alone is sent.
//
// args are wiped after the handler returns.
type Handler func(ctx context.Context, args json.RawMessage) (result any, err error)

// Handle makes a Handler of a function with its own types, and refuses arguments with fields that A
// does not have.
func Handle[A, R any](f func(context.Context, A) (R, error)) Handler {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args A
		if err := decode(raw, &args); err != nil {
			// The text of a decoding error may quote what it read, and args may hold a PIN.
			return nil, &OpError{Name: "FOB_BAD_ARGUMENTS", Text: "cannot read the operation's arguments"}
		}
		return f(ctx, args)
	}
}

// lingering is how long a handler may take after fobd is gone.
const lingering = 2 * time.Second

// errAbandoned says that fobd is gone and the operation would not end.
var errAbandoned = errors.New("cannot end the operation: nobody waits for it any more")

// Serve is the child's side: it waits for one call on in, runs its handler, writes the answer to out
// and returns; the process should then exit. It returns nil if in ends before a call came, and an
// error, with the handler still running, if fobd is gone and the handler does not end within 2 s.
func Serve(in io.Reader, out io.Writer, handlers map[string]Handler) error {
	if err := send(out, reply{State: stateReady}); err != nil {
		return err
	}
	first, err := readFrame(in)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the call: %w", err)
	}
	defer clear(first)
	call, err := parseRequest(first)
	if err != nil || call.Do != doRun {
		return errors.New("cannot make sense of the call") // not its text: it may quote a PIN
	}
	defer clear(call.Args)
	if err := send(out, reply{State: stateBegun}); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := make(chan struct{})
	go watch(in, cancel, gone)

	answer := make(chan reply, 1)
	go func() { answer <- run(ctx, call, handlers) }()
	select {
	case a := <-answer:
		err := send(out, a)
		// The end of a process takes the processor from what fobd does with the answer: it says when.
		select {
		case <-gone:
		case <-time.After(lingering):
		}
		return err
	case <-gone:
	}
	select {
	case a := <-answer:
		return send(out, a)
	case <-time.After(lingering):
		return errAbandoned
	}
}

// watch ends the operation on a cancel message, and closes gone when the other side is gone or talks
// nonsense.
func watch(in io.Reader, cancel context.CancelFunc, gone chan<- struct{}) {
	for {
		b, err := readFrame(in)
		if err == nil {
			if q, bad := parseRequest(b); bad == nil && q.Do == doCancel {
				cancel()
				continue
			}
		}
		cancel()
		close(gone)
		return
	}
}

// run calls the handler and puts its outcome into a reply.
func run(ctx context.Context, call request, handlers map[string]Handler) reply {
	h, ok := handlers[call.Op]
	if !ok {
		return failed(&OpError{Name: "FOB_UNKNOWN_OPERATION", Text: "cannot run this operation"})
	}
	result, err := h(ctx, call.Args)
	if err != nil {
		return failed(err)
	}
	b, err := json.Marshal(result)
	if err != nil {
		return failed(&OpError{Name: "FOB_BAD_RESULT", Text: "cannot send the result"})
	}
	// The envelope needs some room of its own.
	if len(b) > MaxMessage-1024 {
		return failed(&OpError{Name: "FOB_BAD_RESULT", Text: "cannot send the result: it is too long"})
	}
	return reply{State: stateDone, Result: b}
}

func failed(err error) reply {
	op, ok := errors.AsType[*OpError](err)
	if !ok {
		op = &OpError{Name: "FOB_FAILED", Text: err.Error()}
	}
	sent := *op
	sent.clean()
	return reply{State: stateFailed, Error: &sent}
}

func send(out io.Writer, p reply) error {
	defer clear(p.Result)
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cannot write a reply: %w", err)
	}
	defer clear(body)
	defer scrub(len(body))
	b, err := frame(body)
	if err != nil {
		return fmt.Errorf("cannot write a reply: %w", err)
	}
	defer clear(b)
	if _, err := out.Write(b); err != nil {
		return fmt.Errorf("cannot write a reply: %w", err)
	}
	return nil
}
