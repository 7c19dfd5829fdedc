package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

const (
	// cancelTimeout is how long a daemon may take to say that a request was cancelled.
	cancelTimeout = 3 * time.Second
	// overdueTime is how long after the deadline a daemon may take to say that it has passed.
	overdueTime = 15 * time.Second
)

// follower accompanies a request from this terminal until it is decided: it shows what is waited
// for, asks what the daemon wants asked, and picks the request when Enter is pressed.
type follower struct {
	app    *app
	client *client.Client
	// own: this process began the request, and takes it back when it is interrupted.
	own bool
	// approves: a plain yes is asked for where that is enough.
	approves bool
	// away: whoever sits here is not at the desk, and is asked neither for a number nor for a plain yes.
	away bool
	// asked is the user who was said to be asked; empty: whoever runs this.
	asked string
	// pins, codes and numbers come from standard input, or are nil: then they are asked for at the terminal.
	pins    *pinInput
	codes   *lineInput
	numbers *lineInput
	inputs  chan inputLine // what they had for a question
	kept    *inputLine     // a code among them that is for a later question
	screen  *screen

	noCodes string // why no code is asked for, as it was said
	number  string // what is to be typed at the desk, as it was said
	reading bool   // a line of standard input is waited for
	state   api.RequestState
	ask     question
	// overdue is when a daemon that said nothing more must have died on its feet.
	overdue time.Time
	// stop is why the person or a missing answer ended it; the request's own end is still awaited.
	stop error
}

// update is one thing that a stream of states says.
type update struct {
	state api.RequestState
	err   error
}

// run follows the states that next gives, and returns the last one. next is called from another
// goroutine, and must end when ctx does.
func (f *follower) run(ctx context.Context, next func() (api.RequestState, error)) (api.RequestState, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan update)
	f.inputs = make(chan inputLine)
	go func() {
		for {
			state, err := next()
			select {
			case updates <- update{state, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || !state.Pending {
				return
			}
		}
	}()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP)
	defer signal.Stop(signals)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer f.screen.clear()

	var late <-chan time.Time // runs while the end of a cancelled request is awaited
	for {
		var typed chan []byte
		if f.app.tty != nil {
			typed = f.app.tty.lines
		}
		select {
		case u := <-updates:
			if u.err != nil || !u.state.Pending {
				return f.end(u)
			}
			f.overdue = time.Now().Add(time.Until(u.state.Deadline) + overdueTime)
			if f.state = u.state; f.stop == nil {
				f.turn(ctx)
			}
		case in := <-f.inputs:
			f.reading = false
			f.fromInput(ctx, in)
		case line, ok := <-typed:
			if !ok {
				f.app.tty.close()
				f.app.tty = nil
				f.terminalGone()
				break
			}
			f.typed(ctx, line)
		case sig := <-signals:
			if sig == syscall.SIGTSTP {
				f.suspend()
				break
			}
			if f.stop != nil {
				return f.state, f.stop
			}
			f.stop = errStopped
		case now := <-tick.C:
			if !f.state.Deadline.IsZero() && now.After(f.overdue) {
				return f.state, fmt.Errorf("%w (it has said nothing since the request expired)", client.ErrLost)
			}
			f.draw()
		case <-late:
			return f.state, f.stop
		}
		if f.stop != nil && late == nil {
			if !f.own || f.state.ID == "" {
				return f.state, f.stop
			}
			f.cancel(ctx)
			late = time.After(cancelTimeout)
		}
	}
}

// end gives the last state, or why there is none.
func (f *follower) end(u update) (api.RequestState, error) {
	f.leavePrompt()
	switch {
	case f.stop != nil && !errors.Is(f.stop, errStopped):
		return u.state, f.stop
	case u.err == nil:
		return u.state, nil
	case errors.Is(u.err, io.EOF):
		return f.state, client.ErrLost
	default:
		return f.state, u.err
	}
}

// turn looks at a new state: what is asked, what is waited for.
func (f *follower) turn(ctx context.Context) {
	f.tellNumber(ctx)
	before := f.ask.prompt.ID
	f.prompt(ctx)
	if f.stop != nil || f.ask.active() && f.ask.prompt.ID != before {
		return
	}
	// Enter is only listened to where a person sees that it would do something; where there is no
	// keyboard, how says what to do instead.
	if f.pickable() && f.screen.live && !f.ask.active() {
		_, _ = f.app.keyboard()
	}
	f.draw()
}

// tellNumber shows once what whoever is asked types at the desk.
func (f *follower) tellNumber(ctx context.Context) {
	n := f.state.Number
	if !f.own || n == "" || n == f.number {
		return
	}
	f.number = n
	who := "type it at your desk"
	if f.asked != "" {
		// Where it cannot be told who one is, the name that was given is right all the same.
		if s, err := f.client.Status(ctx); err != nil || s.User != f.state.User {
			who = f.state.User + " types it at their desk"
		}
	}
	f.screen.say("Number: %s — %s: fob requests approve %s", n, who, f.state.ID)
}

// draw shows the line of progress, unless a question stands in its place.
func (f *follower) draw() {
	if f.ask.active() && !f.screen.above || f.state.ID == "" || f.stop != nil {
		return
	}
	// Where lines cannot be updated, only those are shown in which somebody is asked for something.
	if f.screen.live || len(f.state.Prompts) > 0 || f.pickable() {
		f.screen.progress(f.waiting(), f.state.Deadline)
	}
	if f.screen.above && f.ask.prompt.Type == api.PromptCode {
		_, text, purpose := codeWords(f.ask.prompt)
		if _, or := f.beside(); or != f.ask.or && purpose != "" && strings.HasPrefix(text, typeA) {
			f.ask.or = or
			f.screen.reword(or)
		}
	}
}

// waiting says what the request waits for, in the daemon's words; but who has no terminal can neither
// press Enter nor type.
func (f *follower) waiting() string {
	keyless := f.app.tty == nil && !hasOffer(f.state, "touch")
	switch {
	case f.ask.prompt.Type == api.PromptCode:
		text, _ := f.beside()
		return text
	case f.app.tty == nil && f.codes == nil && hasPrompt(f.state, api.PromptCode):
		return sentence(f.state.Progress) + " To type a code, run fob requests tap " + f.state.ID
	case keyless && hasOffer(f.state, "pick"):
		return sentence(withoutEnter(f.state.Progress)) + " To use it for this request, run fob requests tap " + f.state.ID
	case keyless && hasOffer(f.state, "paused"):
		return "The key stopped blinking. To go on, run fob requests tap " + f.state.ID
	case f.state.Progress != "":
		return f.state.Progress
	default:
		return "Waiting: " + subject(f.state)
	}
}

// beside is the line above the question for a code: what a key would have to do, what Enter alone would, or
// else what the code is for. or says that the code is one way of two.
func (f *follower) beside() (line string, or bool) {
	what := ""
	switch other := f.other(f.ask.prompt); other.Type {
	case api.PromptPIN:
		what = "type the PIN of the key " + quoted(other.KeyName, other.Key)
	case api.PromptApprove:
		what = "approve without a code"
	}
	for _, o := range f.state.Offers {
		if o.State == "pick" || o.State == "paused" {
			what = "use the key " + quoted(o.KeyName, o.Key)
			break
		}
	}
	_, text, purpose := codeWords(f.ask.prompt)
	if what == "" && f.codeFirst() {
		return text + " " + purpose + ", or touch the key " + f.blinking(), false
	}
	progress := strings.TrimSuffix(f.state.Progress, ", or type a code") // which the question says
	if slices.ContainsFunc(f.questions(), func(p api.Prompt) bool { return strings.HasSuffix(p.Text, progress) }) {
		progress = ""
	}
	or = what != "" || hasOffer(f.state, "touch")
	switch {
	case what != "" && progress != "":
		return "Press Enter to " + what + ". " + progress, or
	case what != "":
		return strings.TrimSpace("Press Enter to " + what + " " + purpose), or
	case progress != "":
		return progress, or
	case purpose != "":
		return strings.ToUpper(purpose[:1]) + purpose[1:], or
	default:
		return text, or
	}
}

// codeFirst reports whether a code is the default, and a touch the other way.
func (f *follower) codeFirst() bool {
	for _, o := range f.state.Offers {
		if o.State == "touch" || o.State == "code" {
			return o.State == "code" && hasOffer(f.state, "touch")
		}
	}
	return false
}

// blinking names the keys that wait for a touch.
func (f *follower) blinking() string {
	var keys []string
	for _, o := range f.state.Offers {
		if o.State == "touch" {
			keys = append(keys, quoted(o.KeyName, o.Key))
		}
	}
	return strings.Join(keys, " or ")
}

// withoutEnter cuts off what the daemon tells a person with a keyboard to press.
func withoutEnter(progress string) string {
	why, _, _ := strings.Cut(progress, "ress Enter")
	why = strings.TrimRight(strings.TrimRight(why, "Pp"), " .:")
	if why == "" {
		return "The key waits for you to choose"
	}
	return why
}

// pickable reports whether picking this request would do something.
func (f *follower) pickable() bool {
	return hasOffer(f.state, "pick") || hasOffer(f.state, "paused")
}

func hasPrompt(s api.RequestState, kind string) bool {
	return slices.ContainsFunc(s.Prompts, func(p api.Prompt) bool { return p.Type == kind })
}

func hasOffer(s api.RequestState, state string) bool {
	return slices.ContainsFunc(s.Offers, func(o api.Offer) bool { return o.State == state })
}

// typed takes a line from the keyboard: the answer to the question, or Enter to pick. Anything else
// was not meant for anybody.
func (f *follower) typed(ctx context.Context, line []byte) {
	defer clear(line)
	switch {
	case f.stop != nil:
	case f.ask.active():
		f.answer(ctx, line)
	case len(line) == 0 && f.pickable():
		f.pick(ctx)
	}
}

// pick has the keys blink for this request.
func (f *follower) pick(ctx context.Context) {
	if err := f.client.Pick(ctx, f.state.ID); err != nil && !isCode(err, api.CodeNotPending) {
		f.screen.say("fob: %v", err)
	}
}

// terminalGone: Ctrl-D, or the terminal was closed.
func (f *follower) terminalGone() {
	if f.ask.active() {
		f.stop = errStopped
	}
}

// cancel takes the request back; if even that fails, closing the stream does it.
func (f *follower) cancel(ctx context.Context) {
	f.leavePrompt()
	f.screen.clear()
	ctx, done := context.WithTimeout(ctx, cancelTimeout)
	defer done()
	if err := f.client.Cancel(ctx, f.state.ID); err != nil && !isCode(err, api.CodeNotPending) {
		f.screen.say("fob: %v", err)
	}
}

func (f *follower) suspend() {
	f.screen.clear()
	if f.app.tty == nil {
		// Without a terminal of our own there is nothing to put right before and after.
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
		return
	}
	f.screen.asked()
	if err := f.app.tty.suspend(); err != nil {
		f.stop = errStopped
	}
	if f.ask.active() && f.stop == nil {
		f.label()
		return
	}
	f.draw()
}

// subject says in a few words what a request is: "sign-in for alice by app:1000:mailer".
func subject(s api.RequestState) string {
	kind, ok := kindNames[s.Kind]
	if !ok {
		kind = s.Kind
	}
	text := kind + " for " + s.User
	if s.Kind == api.KindSignIn {
		text += " by " + s.Service
	}
	return client.Show(text)
}

func isCode(err error, code api.Code) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == code
}
