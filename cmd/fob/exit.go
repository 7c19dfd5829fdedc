package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// endedError is a request that ended without approval. What there is to say was said already.
type endedError struct{ state api.RequestState }

func (e *endedError) Error() string { return "the request was " + e.state.Decision }

// errStopped says that the person stopped waiting.
var errStopped = errors.New("stopped")

// report tells a person of an error on stderr and gives the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	code := exitCode(err)
	if err == nil {
		return code
	}
	if _, ok := errors.AsType[*endedError](err); ok {
		return code
	}
	fmt.Fprintf(a.stderr, "fob: %s\n", client.Show(err.Error()))
	if _, ok := errors.AsType[*usageError](err); ok && cmd != nil {
		fmt.Fprintf(a.stderr, "See: %s --help\n", cmd.CommandPath())
	}
	return code
}

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	if err == nil {
		return api.ExitOK
	}
	if ended, ok := errors.AsType[*endedError](err); ok {
		return endedCode(ended.state)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return api.ExitUsage
	}
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Code.Meaning().Exit
	}
	switch {
	case errors.Is(err, client.ErrNoDaemon), errors.Is(err, client.ErrLost):
		return api.ExitNoDaemon
	case errors.Is(err, client.ErrUntrusted):
		return api.ExitForbidden
	case errors.Is(err, client.ErrNoReceipt):
		return api.ExitNotFound
	case errors.Is(err, errStopped), errors.Is(err, context.Canceled):
		return api.ExitDenied
	default:
		return api.ExitInternal
	}
}

// endedCode is the exit code of a decision. Where nobody decided, the reason counts.
func endedCode(s api.RequestState) int {
	switch {
	case s.Decision == api.Approved && s.Error == nil:
		return api.ExitOK
	case s.Error != nil && s.Decision != api.Expired && s.Decision != api.Reported:
		return s.Error.Code.Meaning().Exit
	default:
		return api.ExitDenied
	}
}
