// Command fob-helper runs one operation on one device for fobd, and exits. It is the only program
// that is linked to the device libraries. It takes its operation on stdin and answers on stdout; it
// is not for people.
//
// As fob-helper watch it says on stdout which readers and cards there are, and each change, until its
// stdin ends. It sends no card a byte.
package main

import (
	"fmt"
	"maps"
	"os"

	"golang.org/x/term"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/fido/libfido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/pcsc"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fob-helper:", err)
		os.Exit(1)
	}
}

func run() error {
	watch := len(os.Args) == 2 && os.Args[1] == helper.WatchArg
	if len(os.Args) > 1 && !watch {
		return fmt.Errorf("cannot take arguments: fobd starts this program, use fob instead")
	}
	if term.IsTerminal(int(os.Stdin.Fd())) || term.IsTerminal(int(os.Stdout.Fd())) {
		return fmt.Errorf("cannot run on a terminal: fobd starts this program, use fob instead")
	}
	if err := helper.Harden(); err != nil {
		return err
	}
	if watch {
		return helper.ServeWatch(os.Stdin, os.Stdout, card.ServeWatch(new(pcsc.Readers)))
	}
	libfido.Warm()
	card.Warm()
	handlers := libfido.Handlers()
	maps.Copy(handlers, card.Handlers(new(pcsc.Readers)))
	return helper.Serve(os.Stdin, os.Stdout, handlers)
}
