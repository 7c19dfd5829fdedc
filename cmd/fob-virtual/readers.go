package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/virtual/reader"
)

func newReadersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "readers -- COMMAND [ARGUMENT...]",
		Short: "Run a command where two virtual smart card readers are",
		Long: `Run a command where pcscd has two virtual readers, at the ports 35963 and 35964, into which fob-virtual card puts
cards. They are in namespaces of their own: nothing outside sees them, and the command sees no network. It needs
pcscd, and vsmartcard-vpcd's driver, which packaging/build/vpcd.sh puts below bin/; no root.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("say what to run: fob-virtual readers -- COMMAND")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runWithReaders(args) },
	}
}

// exitError is the exit code of the command that was run.
type exitError struct{ *exec.ExitError }

func runWithReaders(args []string) error {
	var cmd *exec.Cmd
	if reader.Inside() {
		if err := reader.Available(); err != nil {
			return err
		}
		cmd = exec.Command(args[0], args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	} else {
		var err error
		if cmd, err = reader.Command(append([]string{"readers", "--"}, args...)...); err != nil {
			return err
		}
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitError{exit}
	}
	return err
}
