// Package helper runs one device operation in a process of its own: the protocol between fobd and
// fob-helper, the spare process that stands ready, and what becomes of one that crashes or hangs.
//
// The protocol is length-prefixed JSON on the child's stdin and stdout: a 4-byte big-endian length,
// then a message. fobd sends one Call and, if the operation is to be given up, one cancel message;
// the child answers with one Reply and exits. The package knows no device library: fido names its
// operations and their types, and cmd/fob-helper says which code serves them.
package helper

import (
	"errors"
	"fmt"
)

// MaxMessage bounds a message in bytes, both ways.
const MaxMessage = 1 << 20

// How a helper process can fail, as opposed to the operation that it runs.
var (
	ErrCrashed = errors.New("the helper process ended without an answer")
	ErrHung    = errors.New("the helper process did not end in time and was killed")
	ErrGarbage = errors.New("the helper process answered something that makes no sense")
	ErrStart   = errors.New("cannot start the helper process")
)

// OpError is an operation's own failure, as the child reported it: the device library's code as it
// is, its name, and a short text without secrets.
type OpError struct {
	Code int    `json:"code"`
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

func (e *OpError) Error() string { return fmt.Sprintf("%s (%d): %s", e.Name, e.Code, e.Text) }
