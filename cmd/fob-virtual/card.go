package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/virtual"
	"github.com/fobproject/fob/internal/virtual/card"
)

// cardFlags are the flags as typed.
type cardFlags struct {
	port, slots          int
	state, version, name string
	touch, fault         string
	after                int
	delay, timeout       time.Duration
	fromOne, contact     bool
}

func newCardCommand() *cobra.Command {
	var f cardFlags
	c := &cobra.Command{
		Use:   "card [--port N]",
		Short: "Be a smart card with an OATH applet, in a virtual reader",
		Long: `Be a smart card with an OATH applet (Yubico's YKOATH protocol), until SIGTERM or Ctrl-C, in a reader of
vsmartcard-vpcd, whose pcscd must be running (internal/virtual/reader runs one that nothing outside can reach).

It is for tests and demos and keeps nobody out: its seeds lie in the state file in the clear.
It prints "ready PORT" once it is in the reader, and a line each time it waits for a touch. A line on
stdin (with --touch manual) or SIGUSR1 touches it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCard(cmd, f) },
	}
	p := c.Flags()
	p.IntVar(&f.port, "port", card.Port, "where the reader waits for its card, on this machine")
	p.StringVar(&f.state, "state", "", "keep accounts and password in this file (in memory if left out)")
	p.StringVar(&f.version, "applet-version", "5.4.3", "the applet's version, 1.0.0 to 8.0.0")
	p.IntVar(&f.slots, "slots", 0, "how many accounts it holds (32, or 64 from version 5.7 on)")
	p.StringVar(&f.touch, "touch", "auto", "who touches the card: auto, manual or never")
	p.DurationVar(&f.delay, "delay", 0, "with --touch auto, how long after it began to wait")
	p.DurationVar(&f.timeout, "touch-timeout", 15*time.Second, "how long it waits for a touch")
	p.BoolVar(&f.fromOne, "counter-from-one", false, "let new HOTP accounts begin with counter 1, as some firmware does")
	p.BoolVar(&f.contact, "contact", false, "answer a reset as in a USB port, not as on a contactless reader (NFC)")
	p.StringVar(&f.fault, "fault", "none", "misbehave: "+joined(card.Faults))
	p.IntVar(&f.after, "fault-after", 0, "with --fault, how many instructions it answers well before")
	p.StringVar(&f.name, "name", "", "begin each printed line with this name")
	return c
}

// options reads the flags.
func (f cardFlags) options() (card.Options, error) {
	o := card.Options{StateFile: f.state, Slots: f.slots, Delay: f.delay, TouchTimeout: f.timeout, CounterFromOne: f.fromOne, Contact: f.contact}
	var err error
	if o.Touch, err = virtual.ParseTouchMode(f.touch); err != nil {
		return o, err
	}
	parts := strings.Split(f.version, ".")
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || len(parts) != 3 {
			return o, fmt.Errorf("cannot make sense of the version %q: it is like 5.4.3", f.version)
		}
		o.Version[i] = byte(n)
	}
	if f.port < 1 || f.port > 65535 || f.slots < 0 || f.after < 0 {
		return o, errors.New("cannot use a port, or a number of slots or instructions, like that")
	}
	return o, nil
}

// runCard is the card until the command's context is done.
func runCard(cmd *cobra.Command, f cardFlags) error {
	o, err := f.options()
	if err != nil {
		return usageError{err}
	}
	fault, err := card.ParseFault(f.fault)
	if err != nil {
		return usageError{err}
	}
	say := sayer(cmd, f.name)
	o.OnWait = func() { say("waiting for touch: " + whoTouches(o.Touch, o.Delay)) }
	c, err := card.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetFault(fault, f.after)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	defer signal.Stop(signals)
	go func() {
		for range signals {
			c.Touch()
		}
	}()
	if o.Touch == virtual.TouchManual {
		go touchByLine(bufio.NewReader(cmd.InOrStdin()), c) // ends with the process: a read of stdin cannot be given up
	}
	return stayIn(cmd.Context(), c, f.port, func() { say("ready " + strconv.Itoa(f.port)) })
}

// stayIn puts the card into the reader, waiting for the reader for a while.
func stayIn(ctx context.Context, c *card.Card, port int, in func()) error {
	soon := time.Now().Add(5 * time.Second)
	for {
		err := c.Insert(ctx, port, in)
		if !errors.Is(err, card.ErrNoReader) || time.Now().After(soon) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
