package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/fobproject/fob/internal/virtual"
)

// keyFlags are the flags as typed.
type keyFlags struct {
	link, state, name       string
	touch, attestation, alg string
	fault                   string
	quirks                  []string
	delay, timeout          time.Duration
	pin, alwaysUV, resetAny bool
}

func newKeyCommand() *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use:   "key --link PATH",
		Short: "Be a FIDO2 key, which libfido2 opens at PATH",
		Long: `Be a FIDO2 key, which libfido2 opens at PATH, until SIGTERM or Ctrl-C.

It is for tests and demos and keeps nobody out: its private keys lie in the state file in the clear.
It prints "ready PATH" once it can be opened, and a line each time it waits for a touch. A line on
stdin (with --touch manual) or SIGUSR1 touches it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runKey(cmd, f) },
	}
	p := c.Flags()
	p.StringVar(&f.link, "link", "", "make this symbolic link to the key's device node, and remove it at the end")
	p.StringVar(&f.state, "state", "", "keep credentials, counter and PIN in this file (in memory if left out)")
	p.StringVar(&f.touch, "touch", "auto", "who touches the key: auto, manual or never")
	p.DurationVar(&f.delay, "delay", 0, "with --touch auto, how long after it began to wait")
	p.DurationVar(&f.timeout, "touch-timeout", 30*time.Second, "how long it waits for a touch")
	p.BoolVar(&f.pin, "pin", false, "read the key's PIN from the first line of stdin")
	p.BoolVar(&f.alwaysUV, "always-uv", false, "ask for the PIN whatever the program wants")
	p.StringVar(&f.attestation, "attestation", "self", "how it vouches for new credentials: self, x5c or none")
	p.StringVar(&f.alg, "alg", "es256,eddsa", "the algorithms it has, best first")
	p.StringVar(&f.fault, "fault", "none", "misbehave: "+joined(virtual.Faults))
	p.StringSliceVar(&f.quirks, "quirk", nil, "be like some firmware: "+strings.Join(virtual.QuirkNames(), ", "))
	p.BoolVar(&f.resetAny, "reset-any-time", false, "allow a reset later than 10 seconds after start")
	p.StringVar(&f.name, "name", "", "begin each printed line with this name")
	return c
}

// joined lists names for people.
func joined[S ~string](all []S) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// sayer prints lines, each after the device's name if it has one.
func sayer(cmd *cobra.Command, name string) func(string) {
	if name != "" {
		name += ": "
	}
	return func(line string) { fmt.Fprintln(cmd.OutOrStdout(), name+line) }
}

// options reads the flags, apart from the PIN.
func (f keyFlags) options() (virtual.Options, error) {
	o := virtual.Options{
		StateFile: f.state, Delay: f.delay, TouchTimeout: f.timeout, AlwaysUV: f.alwaysUV, ResetAnyTime: f.resetAny,
	}
	var err error
	if o.Touch, err = virtual.ParseTouchMode(f.touch); err != nil {
		return o, err
	}
	if o.Attestation, err = virtual.ParseAttestation(f.attestation); err != nil {
		return o, err
	}
	for a := range strings.SplitSeq(f.alg, ",") {
		switch a {
		case "es256":
			o.Algorithms = append(o.Algorithms, virtual.ES256)
		case "eddsa":
			o.Algorithms = append(o.Algorithms, virtual.EdDSA)
		default:
			return o, fmt.Errorf("cannot find the algorithm %q: there are es256 and eddsa", a)
		}
	}
	for _, q := range f.quirks {
		if err := o.Quirks.Set(q); err != nil {
			return o, err
		}
	}
	return o, nil
}

// runKey is the key until the command's context is done.
func runKey(cmd *cobra.Command, f keyFlags) error {
	if f.link == "" {
		return usageError{errors.New("say where the key is to be: --link PATH")}
	}
	o, err := f.options()
	if err != nil {
		return usageError{err}
	}
	fault, err := virtual.ParseFault(f.fault)
	if err != nil {
		return usageError{err}
	}
	in := bufio.NewReader(cmd.InOrStdin())
	if f.pin {
		if o.PIN, err = readPIN(cmd, in); err != nil {
			return err
		}
	}
	say := sayer(cmd, f.name)
	waits := make(chan struct{}, 1)
	o.OnWait = func(string) {
		select {
		case waits <- struct{}{}:
		default: // a line about it is on its way
		}
	}
	k, err := virtual.NewKey(o)
	if err != nil {
		return err
	}
	defer k.Close()
	k.SetFault(fault)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	defer signal.Stop(signals)
	if err := k.Link(f.link); err != nil {
		return err
	}
	say("ready " + f.link)
	if o.Touch == virtual.TouchManual {
		go touchByLine(in, k) // ends with the process: a read of stdin cannot be given up
	}
	prompt := "waiting for touch: " + whoTouches(o.Touch, o.Delay)
	return attend(cmd.Context(), k, waits, signals, func() { say(prompt) })
}

func whoTouches(touch virtual.TouchMode, delay time.Duration) string {
	switch touch {
	case virtual.TouchManual:
		return "press Enter"
	case virtual.TouchNever:
		return "nobody will"
	default:
		return "it touches itself after " + delay.String()
	}
}

// attend prompts and touches until ctx is done.
func attend(ctx context.Context, k *virtual.Key, waits <-chan struct{}, touches <-chan os.Signal, prompt func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-waits:
			prompt()
		case <-touches:
			k.Touch()
		}
	}
}

// touchByLine touches the key or card once a line, until stdin ends.
func touchByLine(in *bufio.Reader, k interface{ Touch() bool }) {
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		k.Touch()
	}
}

// readPIN takes a line from the terminal, without echo, or from any other stdin.
func readPIN(cmd *cobra.Command, in *bufio.Reader) (string, error) {
	var line []byte
	var err error
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(cmd.ErrOrStderr(), "PIN of the software key: ")
		line, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
	} else {
		line, err = in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the PIN: %w", err)
	}
	pin := bytes.TrimRight(line, "\r\n")
	if len(pin) == 0 {
		return "", errors.New("cannot set an empty PIN")
	}
	return string(pin), nil
}
