// Command fob-virtual is a security key made of software, for trying Fob without hardware.
package main

import (
	"context"
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
	if err != nil {
		fmt.Fprintln(os.Stderr, "fob-virtual:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "fob-virtual",
		Short:         "Software devices for tests and demos",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newKeyCommand())
	return root
}
