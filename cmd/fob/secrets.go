package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// maxInputLine is the longest line of standard input that is taken for a secret, in bytes.
const maxInputLine = 2048

// errLongLine says that a line is no PIN, code, passphrase or seed.
var errLongLine = errors.New("the line is too long")

// lineInput is standard input where the command line names it as the source of secrets: one a line, in
// the order in which they are asked for.
type lineInput struct{ r *bufio.Reader }

// input is standard input, read by lines. There is one: what it has read ahead is for the next question.
func (a *app) input() *lineInput {
	if a.lines == nil {
		a.lines = &lineInput{bufio.NewReaderSize(a.stdin, maxInputLine)}
	}
	return a.lines
}

// next is the next line without its end; io.EOF where there is none. A line that is too long is
// errLongLine.
func (in *lineInput) next() ([]byte, error) {
	line, err := in.r.ReadSlice('\n')
	defer clear(line)
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errLongLine
	}
	if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))), nil
}

// given is what the command line says of where PINs, codes and numbers come from.
type given struct{ pin, code, number string }

// flags are those of every command that may be asked for a PIN and a code.
func (g *given) flags(cmd *cobra.Command) {
	pinFlag(cmd, &g.pin)
	codeFlag(cmd, &g.code)
}

// pinFlag is the flag of every command that may be asked for a PIN.
func pinFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "pin", "", "read the PIN from standard input, for scripts: `-` is the only value")
}

// codeFlag is the flag of every command that may be asked for a token's code.
func codeFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "code", "", "read codes from standard input, one a line: `-` is the only value")
}

// numberFlag is the flag of every command that may be asked for the number of a request from elsewhere.
func numberFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "number", "", "read the number from standard input, for scripts: `-` is the only value")
}

func passphraseFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "passphrase", "", "read the passphrase from standard input: `-` is the only value")
}

// check refuses values. They are not repeated in the message: they may be secrets.
func (g given) check() error {
	if err := fromInput("pin", "a PIN", g.pin); err != nil {
		return err
	}
	if err := fromInput("code", "a code", g.code); err != nil {
		return err
	}
	return fromInput("number", "a number", g.number)
}

// fromInput checks the value of a flag that names the source of a secret.
func fromInput(flag, what, value string) error {
	if value == "" || value == "-" {
		return nil
	}
	return usagef("%s is never given on the command line, where others can read it: use --%s - and standard input", what, flag)
}

// readInput takes a secret from standard input.
func (a *app) readInput(what string) ([]byte, error) {
	line, err := a.input().next()
	switch {
	case errors.Is(err, io.EOF), err == nil && len(line) == 0:
		return nil, usagef("there is no %s on standard input", what)
	case errors.Is(err, errLongLine):
		return nil, usagef("cannot read the %s from standard input: %v", what, err)
	case err != nil:
		return nil, fmt.Errorf("cannot read the %s from standard input: %w", what, err)
	}
	return line, nil
}

// ask asks one line at the terminal, outside of any request; with echo it is shown as it is typed. It
// fails with errNoTerminal, and with errStopped at Ctrl-C and Ctrl-D. The line is the caller's to wipe, and
// once nothing more is asked it gives the terminal back with askedAll.
func (a *app) ask(question string, echo bool) ([]byte, error) {
	k, err := a.keyboard()
	if err != nil {
		return nil, err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP)
	defer signal.Stop(signals)
	label := func() error {
		if err := k.setEcho(echo); err != nil {
			return fmt.Errorf("cannot set up the terminal: %w", err)
		}
		_, err := fmt.Fprintf(k.tty, "%s: ", question)
		return err
	}
	if err := label(); err != nil {
		return nil, err
	}
	for {
		select {
		case line, ok := <-k.lines:
			if !ok {
				a.tty.close()
				a.tty = nil
				return nil, errStopped
			}
			if !echo {
				fmt.Fprintln(k.tty) // the terminal did not show the Enter
			}
			return line, nil
		case sig := <-signals:
			if sig != syscall.SIGTSTP {
				fmt.Fprintln(k.tty)
				return nil, errStopped
			}
			if err := k.suspend(); err != nil {
				return nil, errStopped
			}
			if err := label(); err != nil {
				return nil, err
			}
		}
	}
}

// askedAll gives the terminal back as it was.
func (a *app) askedAll() {
	if a.tty != nil {
		a.tty.rest()
	}
}

// say writes a line to the terminal at which something is asked.
func (k *keyboard) say(text string) { fmt.Fprintln(k.tty, text) }

// noTerminal is err, or where there is no terminal, a usage error that says what to do instead.
func noTerminal(err error, what, instead string) error {
	if errors.Is(err, errNoTerminal) {
		return usagef("there is no terminal to ask for the %s at: run this in one, or %s", what, instead)
	}
	return err
}

// secretLine is a secret that exists already: from standard input where the flag, which is called what it
// is, says so, or asked for.
func (a *app) secretLine(flag, what, question string) ([]byte, error) {
	return a.secretFrom(flag, what, question, what)
}

// secretFrom is secretLine for a flag of another name.
func (a *app) secretFrom(flag, what, question, name string) ([]byte, error) {
	if flag == "-" {
		return a.readInput(what)
	}
	defer a.askedAll()
	for {
		line, err := a.ask(question, false)
		if err != nil {
			return nil, noTerminal(err, what, "give it on standard input with --"+name+" -")
		}
		if len(line) > 0 {
			return line, nil
		}
		a.tty.say("Nothing was typed. Ctrl-C stops.")
	}
}

// minPassphrase is the shortest new passphrase, in characters.
const minPassphrase = 8

// passphrase is one that exists already.
func (a *app) passphrase(flag, question string) ([]byte, error) {
	return a.secretLine(flag, "passphrase", question)
}

// newPassphrase is a new one: from standard input, or typed twice. of says what it is for.
func (a *app) newPassphrase(flag, of string) ([]byte, error) {
	return a.newSecret(flag, "passphrase", of, minPassphrase)
}

// newSecret is a new secret of at least so many characters: from standard input where the flag, which is called what
// it is, says so, or typed twice. of says what it is for.
func (a *app) newSecret(flag, what, of string, least int) ([]byte, error) {
	if flag == "-" {
		line, err := a.readInput(what)
		if err == nil && utf8.RuneCount(line) < least {
			clear(line)
			err = usagef("a %s has at least %d characters", what, least)
		}
		return line, err
	}
	defer a.askedAll()
	for {
		first, err := a.ask("New "+what+" for "+of, false)
		if err != nil {
			return nil, noTerminal(err, what, "give it on standard input with --"+what+" -")
		}
		if utf8.RuneCount(first) < least {
			clear(first)
			a.tty.say(fmt.Sprintf("A %s has at least %d characters. Ctrl-C stops.", what, least))
			continue
		}
		second, err := a.ask("The "+what+" again", false)
		if err != nil {
			clear(first)
			return nil, err
		}
		same := bytes.Equal(first, second)
		clear(second)
		if same {
			return first, nil
		}
		clear(first)
		a.tty.say("The two are not the same.")
	}
}
