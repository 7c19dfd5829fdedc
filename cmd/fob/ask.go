package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
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
	// answered are the prompts that were answered: they are not asked again when they still stand in a
	// state that was on its way.
	answered map[string]bool
	// skipped is a prompt that was left for another one by Enter.
	skipped string
	// told is the prompt whose hint was shown.
	told string
	// or: the question on the screen begins with "Or", for a key would do too.
	or bool
}

func (q question) active() bool { return q.prompt.ID != "" }

// questions are the prompts that are answered by typing, and were not yet: the number first, which all
// else waits for, then the plain yes, which is least work.
func (f *follower) questions() (open []api.Prompt) {
	for _, p := range f.state.Prompts {
		if f.typable(p) && !f.ask.answered[p.ID] {
			open = append(open, p)
		}
	}
	first := map[string]int{api.PromptNumber: -2, api.PromptApprove: -1}
	slices.SortStableFunc(open, func(a, b api.Prompt) int { return first[a.Type] - first[b.Type] })
	return open
}

// typable reports whether a prompt is answered by typing, here. Who began the request is not asked what
// only the person at the desk may say.
func (f *follower) typable(p api.Prompt) bool {
	switch p.Type {
	case api.PromptPIN, api.PromptCode, api.PromptConfirm:
		return true
	case api.PromptNumber:
		return !f.own && !f.away
	case api.PromptApprove:
		return !f.own && !f.away && f.approves
	}
	return false
}

// asks reports whether a question stands.
func (f *follower) asks(id string) bool {
	return slices.ContainsFunc(f.questions(), func(p api.Prompt) bool { return p.ID == id })
}

// other is the code where p is a PIN, a number or a plain yes, or the PIN or the plain yes where p is a code:
// what may be typed in its place. None has no id.
func (f *follower) other(p api.Prompt) api.Prompt {
	for _, each := range f.questions() {
		switch {
		case p.Type == api.PromptConfirm, each.Type == p.Type:
		case each.Type == api.PromptCode, p.Type == api.PromptCode && (each.Type == api.PromptPIN || each.Type == api.PromptApprove):
			return each
		}
	}
	return api.Prompt{}
}

// prompt begins or ends a question as the state asks for it. A question stays as long as it stands: half
// of a code must not end up in a PIN.
func (f *follower) prompt(ctx context.Context) {
	open := f.questions()
	stands := f.ask.active() && f.asks(f.ask.prompt.ID)
	if !stands {
		f.leavePrompt()
		f.tellNoCodes()
	}
	for _, p := range open {
		if p.Type == api.PromptCode && f.codes != nil || p.Type == api.PromptPIN && f.pins != nil || p.Type == api.PromptNumber && f.numbers != nil {
			f.answerFromInput(ctx, p)
			return
		}
	}
	if stands || len(open) == 0 {
		return
	}
	wanted := open[0]
	if wanted.ID == f.ask.skipped && len(open) > 1 {
		wanted = open[1]
	}
	if _, err := f.app.keyboard(); err != nil {
		f.unanswerable(wanted)
		return
	}
	f.ask.prompt = wanted
	f.label()
}

// tellNoCodes says once why no code is asked for any more, although there are tokens.
func (f *follower) tellNoCodes() {
	for _, o := range f.state.Offers {
		if o.Type == "code" && o.State == "failed" && o.Reason != nil && o.Reason.Message != f.noCodes {
			f.noCodes = o.Reason.Message
			f.screen.say("%s", sentence(f.noCodes))
		}
	}
}

// unanswerable is a question where there is no terminal. Where a code is one way among others, or can be
// typed at another terminal, the request goes on without this one.
func (f *follower) unanswerable(p api.Prompt) {
	switch {
	case p.Type == api.PromptNumber:
		f.stop = usagef("%s There is no terminal to ask at: run this in one, or give the number on standard input with --number -", sentence(p.Text))
	case len(f.state.Offers) > 0 && hasPrompt(f.state, api.PromptCode):
	case p.Type == api.PromptPIN:
		f.stop = usagef("%s There is no terminal to ask at: run this in one, or give the PIN on standard input with --pin -", sentence(p.Text))
	case p.Type == api.PromptCode:
		f.stop = usagef("%s There is no terminal to ask at: run this in one, or give the codes on standard input with --code -", sentence(p.Text))
	default:
		f.stop = usagef("%s There is no terminal to ask at: run this in one", sentence(p.Text))
	}
}

// label asks for one line. The echo is set before anyone is invited to type. A code is shown as it is
// typed: it is spent in a moment, and mistakes are seen; so is a number, which another screen shows.
func (f *follower) label() {
	p := f.ask.prompt
	if err := f.app.tty.setEcho(p.Type != api.PromptPIN && (p.Type != api.PromptConfirm || p.Expect != "")); err != nil {
		f.stop = fmt.Errorf("cannot set up the terminal: %w", err)
		return
	}
	tries := ""
	if p.Retries != nil && !p.New {
		tries = " (" + plural(*p.Retries, "try", "tries") + " left)"
	}
	switch {
	case p.Type == api.PromptCode:
		f.labelCode(p)
	case p.Type == api.PromptNumber:
		f.show("%s%s.\nNumber: ", client.Show(p.Text), f.orCode(p))
	case p.Type == api.PromptApprove:
		f.show("%s%s.\nType yes to approve: ", client.Show(p.Text), f.orCode(p))
	case p.Type == api.PromptConfirm && p.Expect == "":
		f.show("%s [Enter] ", client.Show(p.Text))
	case p.New && f.ask.first != nil:
		f.show("The new PIN again: ")
	case f.other(p).ID != "":
		f.show("%s%s, or press Enter to type a code: ", client.Show(p.Text), tries)
	default:
		f.show("%s%s: ", client.Show(p.Text), tries)
	}
}

// orCode says what Enter alone does at a question in whose place a code would do.
func (f *follower) orCode(p api.Prompt) string {
	if f.other(p).Type == api.PromptCode {
		return ", or press Enter to type a code"
	}
	return ""
}

// labelCode asks for a code below a line that says what for and what else would do, and that goes on being
// updated. Why it is asked again stays, above both.
func (f *follower) labelCode(p api.Prompt) {
	hint, text, _ := codeWords(p)
	if hint != "" && f.ask.told != p.ID {
		f.ask.told = p.ID
		f.show("%s\n", client.Show(hint))
	}
	waiting, or := f.beside()
	switch f.ask.or = or; {
	case waiting == text, strings.HasPrefix(waiting, text+" "):
		text = "Code" // the rest stands above
	case or && strings.HasPrefix(text, typeA):
		text = orType + text[len(typeA):]
	}
	if f.screen.live {
		f.screen.ask(waiting, f.state.Deadline, client.Show(text)+": ")
		return
	}
	f.show("%s\n%s: ", client.Show(waiting), client.Show(text))
}

// typeA is how a question for a code begins, and orType where a key would do too.
const (
	typeA  = "Type "
	orType = "Or type "
)

// codeWords are a question for a code in its parts: why it is asked again, what to type, and what for.
func codeWords(p api.Prompt) (hint, text, purpose string) {
	text = p.Text
	if before, after, ok := strings.Cut(text, ". "+typeA); ok && !strings.HasPrefix(text, typeA) {
		hint, text = before+".", typeA+after
	}
	for _, end := range []string{"a recovery code", "” shows"} {
		if what, why, ok := strings.Cut(text, end+" "); ok {
			return hint, what + end, why
		}
	}
	return hint, text, ""
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
		// What was half typed was meant for this question. A terminal that is gone needs no echo.
		f.app.tty.flush()
		_ = f.app.tty.setEcho(false)
	}
}

// answer takes the line that was typed at the question.
func (f *follower) answer(ctx context.Context, line []byte) {
	p := f.ask.prompt
	f.screen.asked()
	if !f.app.tty.echo {
		f.show("\n") // the terminal did not show the Enter either
	}
	switch {
	case p.Type == api.PromptConfirm:
		if string(line) != p.Expect {
			f.again("That was not it. Ctrl-C stops, and nothing happens.")
			return
		}
		f.pass(ctx, p, api.Answer{Prompt: p.ID, Confirm: string(line)})
	case len(line) == 0 && f.ask.first == nil && f.enter(ctx, p):
	case p.Type == api.PromptNumber:
		f.answerNumber(ctx, p, line)
	case p.Type == api.PromptApprove:
		if string(line) != "yes" {
			f.again("That was not yes, and nothing is approved. Ctrl-C stops; to refuse it: fob requests deny " + client.Show(f.state.ID))
			return
		}
		f.pass(ctx, p, api.Answer{Prompt: p.ID, Approve: true})
	case p.Type == api.PromptCode:
		if len(line) == 0 {
			f.again("Nothing was typed. Ctrl-C stops.")
			return
		}
		f.pass(ctx, p, api.Answer{Prompt: p.ID, Code: line})
	default:
		f.answerPIN(ctx, p, line)
	}
}

// enter is Enter alone where it means something else than an answer: the key that is to blink, or the
// other question.
func (f *follower) enter(ctx context.Context, p api.Prompt) bool {
	other := f.other(p)
	switch {
	case p.Type == api.PromptCode && f.pickable():
		f.pick(ctx)
		f.label()
	case other.ID != "":
		f.ask.skipped, f.ask.prompt = p.ID, other
		f.label()
	default:
		return false
	}
	return true
}

// again says why an answer does not count, and asks for another.
func (f *follower) again(why string) {
	f.show("%s\n", why)
	f.label()
}

func (f *follower) answerNumber(ctx context.Context, p api.Prompt, line []byte) {
	number := strings.TrimSpace(string(line))
	if number == "" {
		f.again("Nothing was typed. Ctrl-C stops; to refuse it: fob requests deny " + client.Show(f.state.ID))
		return
	}
	f.pass(ctx, p, api.Answer{Prompt: p.ID, Number: number})
}

func (f *follower) answerPIN(ctx context.Context, p api.Prompt, line []byte) {
	if why := unfit(p, line); why != "" {
		f.again(why)
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
			f.again("The two are not the same.")
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

// pass sends an answer that was typed. Where the daemon refuses it and still asks, so does the terminal.
func (f *follower) pass(ctx context.Context, p api.Prompt, answer api.Answer) {
	f.ask.prompt = api.Prompt{}
	err := f.send(ctx, p, answer)
	if isCode(err, api.CodePlace) { // however often it is typed
		f.stop = err
		return
	}
	if err != nil {
		f.screen.say("fob: %v", err)
		delete(f.ask.answered, p.ID)
		f.prompt(ctx)
		return
	}
	if f.app.tty != nil {
		// A terminal that is gone needs no echo.
		_ = f.app.tty.setEcho(false)
	}
}

// send sends an answer and wipes it. That the request was decided meanwhile, or asks anew, is no error:
// the next state says which.
func (f *follower) send(ctx context.Context, p api.Prompt, answer api.Answer) error {
	err := f.client.Answer(ctx, f.state.ID, answer)
	answer.PIN.Wipe()
	answer.Code.Wipe()
	if f.ask.answered == nil {
		f.ask.answered = map[string]bool{}
	}
	f.ask.answered[p.ID] = true
	if isCode(err, api.CodeNotPending) || isCode(err, api.CodeNotFound) {
		return nil
	}
	return err
}
