// Package helper runs one device operation in a process of its own: the protocol between fobd and
// fob-helper, the spare process that stands ready, and what becomes of one that crashes or hangs.
//
// The protocol is length-prefixed JSON on the child's stdin and stdout: a 4-byte big-endian length,
// then a message. The child says that it is ready; fobd sends one call and, if the operation is to
// be given up, one cancel message; the child says that it has begun, answers, and exits. In its second
// mode, watch, the child is sent nothing: it says that it is ready, and then what it sees, until its
// stdin ends. The package knows no device library: fido names its operations and their types, and
// cmd/fob-helper says which code serves them.
package helper

import (
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/caller"
)

// MaxMessage bounds a message in bytes, both ways.
const MaxMessage = 1 << 20

// How a helper process can fail, as opposed to the operation that it runs.
var (
	ErrCrashed = errors.New("the helper process ended without an answer")
	ErrHung    = errors.New("the helper process did not end in time and was killed")
	ErrGarbage = errors.New("the helper process answered something that makes no sense")
	ErrStart   = errors.New("cannot start the helper process")
	ErrClosed  = errors.New("the pool of helper processes is closed")
)

// OpError is an operation's own failure, as the child reported it: the device library's code as it
// is, its name, and a short text without secrets.
type OpError struct {
	Code int    `json:"code"`
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	// Cause says what the child itself saw where the library's code does not tell it, such as a
	// device that is gone. The package that names the operation lists the causes.
	Cause string `json:"cause,omitempty"`
}

func (e *OpError) Error() string { return fmt.Sprintf("%s (%d): %s", e.Name, e.Code, e.Text) }

// clean bounds what came from the child, which has read what a device wrote.
func (e *OpError) clean() {
	e.Name = caller.Clean(e.Name).String()
	e.Text = caller.Clean(e.Text).String()
	e.Cause = caller.Clean(e.Cause).String()
}
