// Command fob-virtual is a security key or a smart card made of software, for trying Fob without hardware.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if exit, ok := errors.AsType[exitError](err); ok {
		os.Exit(max(exit.ExitCode(), 1)) // it has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fob-virtual:", err)
		os.Exit(exitCode(err))
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is 2 for wrong usage and 1 for everything else.
func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "fob-virtual",
		Short:         "Software devices for tests and demos",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newKeyCommand(), newCardCommand(), newReadersCommand())
	root.Args = noArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

// noArgs refuses what is no flag and no command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("cannot make sense of %q: see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}
