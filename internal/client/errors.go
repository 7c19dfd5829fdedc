package client

import "errors"

// What a call can end in besides an *api.Error, which the daemon itself answered.
var (
	// ErrNoDaemon: nothing answers. The error's text says where, why, and how to start a daemon.
	ErrNoDaemon = errors.New("no daemon answers")
	// ErrUntrusted: something answers, but runs as a user who is neither oneself, root nor the system
	// instance's.
	ErrUntrusted = errors.New("cannot trust the daemon's socket")
	// ErrLost: the daemon went away before the decision. Nothing was approved.
	ErrLost = errors.New("the daemon went away before the decision: nothing was approved")
	// ErrBadAnswer: what answered does not speak as fobd does.
	ErrBadAnswer = errors.New("the answer makes no sense: does something else than fobd listen there?")
	// ErrNoReceipt: the log entry is not a key's approval, so there is no signature to check.
	ErrNoReceipt = errors.New("there is no signature to check")
	// ErrReceipt: the receipt does not prove what the log entry says.
	ErrReceipt = errors.New("the receipt does not hold")
)

// lostError is an ErrLost with the words of the occasion: there was a decision, but what was to follow
// it did not come.
type lostError struct{ text string }

func (e *lostError) Error() string { return e.text }

func (e *lostError) Is(target error) bool { return target == ErrLost }
