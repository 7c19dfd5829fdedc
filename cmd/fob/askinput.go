package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// inputLine is what standard input has for a question.
type inputLine struct {
	prompt api.Prompt
	line   []byte
	err    error
	// later: it was read at a question for a recovery code, which a token's code does not answer.
	later bool
}

// maxTokenCode is how long a token's code can be: what is longer is a recovery code.
const maxTokenCode = 10

// isTokens reports whether a line is the code of a token, or the end: no recovery code.
func (in inputLine) isTokens() bool {
	return len(bytes.ReplaceAll(bytes.ReplaceAll(in.line, []byte(" "), nil), []byte("-"), nil)) <= maxTokenCode
}

// answerFromInput answers a question from standard input. Whoever writes there may take their time: the
// line comes to fromInput when it is there.
func (f *follower) answerFromInput(ctx context.Context, p api.Prompt) {
	from := f.codes
	switch p.Type {
	case api.PromptNumber:
		from = f.numbers
	case api.PromptPIN:
		if pin, err := f.pins.known(p); pin != nil || err != nil {
			f.fromInput(ctx, inputLine{prompt: p, line: pin, err: err})
			return
		}
		from = f.pins.in
	}
	later := p.Type == api.PromptCode && f.provesToken() && f.asksRecovery()
	if kept := f.kept; kept != nil && p.Type == api.PromptCode && !later {
		f.kept = nil
		f.fromInput(ctx, inputLine{prompt: p, line: kept.line, err: kept.err})
		return
	}
	if f.reading || f.kept != nil {
		return
	}
	f.reading = true
	go func() {
		line, err := from.next()
		select {
		case f.inputs <- inputLine{p, line, err, later}:
		case <-ctx.Done():
			clear(line)
		}
	}()
	// Mostly it is there already, and nothing need be shown meanwhile.
	select {
	case in := <-f.inputs:
		f.reading = false
		f.fromInput(ctx, in)
	case <-time.After(inputPatience):
	}
}

// inputPatience is how long a line of standard input is waited for before anything else goes on.
const inputPatience = 100 * time.Millisecond

// fromInput answers with a line of standard input. It is for one question alone, and used once.
func (f *follower) fromInput(ctx context.Context, in inputLine) {
	p := in.prompt
	switch {
	case f.stop != nil:
		clear(in.line)
		return
	case in.later && in.err != nil && !errors.Is(in.err, io.EOF):
	case in.later && in.isTokens():
		f.kept = &in
		f.turn(ctx)
		return
	case !f.asks(p.ID): // somebody else was faster
		clear(in.line)
		f.turn(ctx)
		return
	}
	answer, what, err := api.Answer{Prompt: p.ID, Code: in.line}, "code", in.err
	switch p.Type {
	case api.PromptNumber:
		answer, what = api.Answer{Prompt: p.ID, Number: strings.TrimSpace(string(in.line))}, "number"
		if err == nil && answer.Number == "" {
			err = io.EOF
		}
	case api.PromptPIN:
		answer, what = api.Answer{Prompt: p.ID, PIN: in.line}, "PIN"
		if err == nil {
			err = f.pins.take(p, in.line)
		}
	}
	if err == nil {
		err = f.send(ctx, p, answer)
	}
	switch {
	case errors.Is(err, io.EOF):
		f.stop = usagef("%s There is no %s left on standard input", sentence(p.Text), what)
	case errors.Is(err, errLongLine):
		f.stop = usagef("cannot read the %s from standard input: %v", what, err)
	case err != nil:
		f.stop = err
	}
}

// provesToken reports whether codes are typed that are a token's test, and no approval's alone.
func (f *follower) provesToken() bool {
	return f.state.Kind == api.KindAddMethod || f.state.Kind == api.KindResync
}

// asksRecovery reports whether a recovery code is the only one that is asked for now.
func (f *follower) asksRecovery() bool {
	recovery := false
	for _, o := range f.state.Offers {
		switch o.Type {
		case "code":
			return false
		case "recovery":
			recovery = true
		}
	}
	return recovery
}

// pinInput takes PINs from standard input. It keeps the last one that a key has, or is thought to have:
// the key may ask for it more than once in a request.
type pinInput struct {
	in    *lineInput
	last  []byte
	asked api.Prompt // the question that last answered
}

// known gives a copy of the PIN that answered for this key before, or nil. One that turned out wrong is
// never tried again: the key counts, and it is refused with CodePINWrong.
func (in *pinInput) known(p api.Prompt) ([]byte, error) {
	if p.New || in.last == nil || in.asked.Key != p.Key {
		return nil, nil
	}
	if p.Retries == nil || in.asked.Retries == nil || *p.Retries < *in.asked.Retries {
		text := "the PIN is wrong"
		if p.Retries != nil {
			text += ": " + plural(*p.Retries, "try", "tries") + " left"
		}
		return nil, api.Errorf(api.CodePINWrong, "%s", text)
	}
	return bytes.Clone(in.last), nil
}

// take remembers the PIN that answers a question, unless it need not be tried at all.
func (in *pinInput) take(p api.Prompt, pin []byte) error {
	if why := unfit(p, pin); why != "" {
		clear(pin)
		return api.Errorf(api.CodePINPolicy, "%s", why)
	}
	if !p.New {
		in.wipe()
		in.last, in.asked = bytes.Clone(pin), p
	}
	return nil
}

// wipe forgets the last PIN.
func (in *pinInput) wipe() {
	if in != nil {
		clear(in.last)
		in.last = nil
	}
}
