package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// maxPIN is the longest PIN that CTAP knows, in bytes of UTF-8 (CTAP 2.1 §6.5.1).
const maxPIN = 63

// question is the prompt that is being asked now; the zero value is none.
type question struct {
	prompt api.Prompt
	// first is a new PIN that was typed once.
	first []byte
	// answered is the id of the last prompt that was answered: it is not asked again when it still
	// stands in a state that was on its way.
	answered string
}

func (q question) active() bool { return q.prompt.ID != "" }

// prompt begins or ends a question as the state asks for it.
func (f *follower) prompt(ctx context.Context) {
	var wanted api.Prompt
	for _, p := range f.state.Prompts {
		if (p.Type == api.PromptPIN || p.Type == api.PromptConfirm) && p.ID != f.ask.answered {
			wanted = p
			break
		}
	}
	if wanted.ID == f.ask.prompt.ID {
		return
	}
	f.leavePrompt()
	if wanted.ID == "" {
		return
	}
	if wanted.Type == api.PromptPIN && f.pins != nil {
		f.answerFromInput(ctx, wanted)
		return
	}
	if _, err := f.app.keyboard(); err != nil {
		f.stop = usagef("%s There is no terminal to ask at: run this in one, or give the PIN on standard input with --pin -", sentence(wanted.Text))
		if wanted.Type != api.PromptPIN {
			f.stop = usagef("%s There is no terminal to ask at: run this in one", sentence(wanted.Text))
		}
		return
	}
	f.ask.prompt = wanted
	f.label()
}

// label asks for one line. The echo is set before anyone is invited to type.
func (f *follower) label() {
	p := f.ask.prompt
	if err := f.app.tty.setEcho(p.Type == api.PromptConfirm && p.Expect != ""); err != nil {
		f.stop = fmt.Errorf("cannot set up the terminal: %w", err)
		return
	}
	switch {
	case p.Type == api.PromptConfirm && p.Expect == "":
		f.show("%s [Enter] ", client.Show(p.Text))
	case p.New && f.ask.first != nil:
		f.show("The new PIN again: ")
	case p.Retries != nil && !p.New:
		f.show("%s (%s left): ", client.Show(p.Text), plural(*p.Retries, "try", "tries"))
	default:
		f.show("%s: ", client.Show(p.Text))
	}
}

// show writes where the person types: the terminal, also when stderr goes elsewhere. The format is
// ours, the arguments have been made safe.
func (f *follower) show(format string, args ...any) {
	f.screen.clear()
	var w io.Writer = f.screen.w
	if !f.screen.live && f.app.tty != nil {
		w = f.app.tty.tty
	}
	fmt.Fprintf(w, format, args...)
}

// leavePrompt ends a question that nobody need answer any more.
func (f *follower) leavePrompt() {
	if !f.ask.active() {
		return
	}
	clear(f.ask.first)
	f.ask.first, f.ask.prompt = nil, api.Prompt{}
	f.show("\n")
	if f.app.tty != nil {
		// A terminal that is gone needs no echo.
		_ = f.app.tty.setEcho(false)
	}
}

// answer takes the line that was typed at the question.
func (f *follower) answer(ctx context.Context, line []byte) {
	p := f.ask.prompt
	if !f.app.tty.echo {
		f.show("\n") // the terminal did not show the Enter either
	}
	again := func(format string, args ...any) {
		f.show(format+"\n", args...)
		f.label()
	}
	if p.Type == api.PromptConfirm {
		if string(line) != p.Expect {
			again("That was not it. Ctrl-C stops, and nothing happens.")
			return
		}
		f.pass(ctx, p, api.Answer{Prompt: p.ID, Confirm: string(line)})
		return
	}
	if why := unfit(p, line); why != "" {
		again("%s", why)
		return
	}
	if p.New && f.ask.first == nil {
		f.ask.first = bytes.Clone(line)
		f.label()
		return
	}
	if p.New {
		same := bytes.Equal(f.ask.first, line)
		clear(f.ask.first)
		f.ask.first = nil
		if !same {
			again("The two are not the same.")
			return
		}
	}
	f.pass(ctx, p, api.Answer{Prompt: p.ID, PIN: line})
}

// unfit says why a PIN need not be tried at all; a new one that the key would refuse costs nothing,
// but the sentence here is plainer.
func unfit(p api.Prompt, pin []byte) string {
	switch {
	case len(pin) == 0:
		return "Nothing was typed. Ctrl-C stops."
	case len(pin) > maxPIN:
		return fmt.Sprintf("A PIN has at most %d bytes.", maxPIN)
	case p.New && utf8.RuneCount(pin) < p.MinLength:
		return fmt.Sprintf("The key takes no PIN shorter than %d characters.", p.MinLength)
	}
	return ""
}

// pass sends an answer. Where the daemon refuses it and still asks, so does the terminal.
func (f *follower) pass(ctx context.Context, p api.Prompt, answer api.Answer) {
	err := f.client.Answer(ctx, f.state.ID, answer)
	answer.PIN.Wipe()
	f.ask.answered, f.ask.prompt = p.ID, api.Prompt{}
	switch {
	case err == nil, isCode(err, api.CodeNotPending), isCode(err, api.CodeNotFound):
		// Decided meanwhile, or asked anew: the next state says which.
	case f.pins != nil:
		f.stop = err
	default:
		f.screen.say("fob: %v", err)
		f.ask.answered = ""
		f.prompt(ctx)
		return
	}
	if f.app.tty != nil {
		// A terminal that is gone needs no echo.
		_ = f.app.tty.setEcho(false)
	}
}

// answerFromInput answers a question for a PIN from standard input.
func (f *follower) answerFromInput(ctx context.Context, p api.Prompt) {
	pin, err := f.pins.answer(p)
	refused, isRefusal := errors.AsType[*api.Error](err)
	switch {
	case isRefusal:
		f.stop = refused
		return
	case errors.Is(err, io.EOF):
		f.stop = usagef("%s There is no PIN left on standard input", sentence(p.Text))
		return
	case err != nil:
		f.stop = fmt.Errorf("cannot read the PIN from standard input: %w", err)
		return
	}
	f.pass(ctx, p, api.Answer{Prompt: p.ID, PIN: pin})
}

// pinInput reads PINs from standard input, one a line. It keeps the last one that a key has, or is
// thought to have: the key may ask for it more than once in a request.
type pinInput struct {
	r     *bufio.Reader
	last  []byte
	asked api.Prompt // the question that last answered
}

// answer gives a copy of the PIN for a question. One that turned out wrong is never tried again: the
// key counts, and it is refused with CodePINWrong.
func (in *pinInput) answer(p api.Prompt) ([]byte, error) {
	if !p.New && in.last != nil && in.asked.Key == p.Key {
		if p.Retries == nil || in.asked.Retries == nil || *p.Retries < *in.asked.Retries {
			text := "the PIN is wrong"
			if p.Retries != nil {
				text += ": " + plural(*p.Retries, "try", "tries") + " left"
			}
			return nil, api.Errorf(api.CodePINWrong, "%s", text)
		}
		in.asked = p
		return bytes.Clone(in.last), nil
	}
	pin, err := in.next()
	if err != nil {
		return nil, err
	}
	if why := unfit(p, pin); why != "" {
		clear(pin)
		return nil, api.Errorf(api.CodePINPolicy, "%s", why)
	}
	if !p.New {
		in.wipe()
		in.last, in.asked = bytes.Clone(pin), p
	}
	return pin, nil
}

// wipe forgets the last PIN.
func (in *pinInput) wipe() {
	if in != nil {
		clear(in.last)
		in.last = nil
	}
}

// pinsFrom makes what --pin asked for: nothing, or standard input. The value itself is not repeated
// in the message: it may be a PIN.
func pinsFrom(flag string, stdin *os.File) (*pinInput, error) {
	switch flag {
	case "":
		return nil, nil
	case "-":
		return &pinInput{r: bufio.NewReaderSize(stdin, 256)}, nil
	default:
		return nil, usagef("a PIN is never given on the command line, where others can read it: use --pin - and standard input")
	}
}

// next is the next line without its end; io.EOF where there is none. A line of more than 255 bytes
// is an error.
func (p *pinInput) next() ([]byte, error) {
	line, err := p.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errors.New("the line is too long")
	}
	if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	pin := bytes.Clone(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
	clear(line)
	return pin, nil
}
