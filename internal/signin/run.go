package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
)

// kind is what a request of one kind does.
type kind struct {
	Rules
	check func(*Request) error            // refuses before it begins
	run   func(*Request) (outcome, error) // does it, and returns how it was approved, or why not
}

// kinds holds the rules and the steps of every kind of request.
var kinds = map[Kind]kind{
	KindSignIn:         {Rules{Access: caller.AccessOwner, Foreign: true, StepUp: StepPolicy}, (*Request).canSignIn, (*Request).signIn},
	KindTest:           {Rules{Access: caller.AccessOwner, StepUp: StepPolicy}, (*Request).canTest, (*Request).testMethod},
	KindAddMethod:      {Rules{Access: caller.AccessOwner, StepUp: StepStrongest, Recovers: true}, (*Request).canAdd, (*Request).addMethod},
	KindRemoveMethod:   {Rules{Access: caller.AccessOwner, StepUp: StepStrongest}, (*Request).canRemove, (*Request).removeMethod},
	KindLost:           {Rules{Access: caller.AccessOwner, StepUp: StepStrongest, Recovers: true}, (*Request).canLose, (*Request).lose},
	KindResync:         {Rules{Access: caller.AccessOwner, StepUp: StepStrongest}, (*Request).canResync, (*Request).resync},
	KindUnblock:        {Rules{Access: caller.AccessOwner, StepUp: StepStrongest}, (*Request).canUnblock, (*Request).unblock},
	KindSetPIN:         {Rules{Access: caller.AccessOwner, StepUp: StepNone, UserOnly: true, Desk: true}, (*Request).canCare, (*Request).setPIN},
	KindReset:          {Rules{Access: caller.AccessOwner, StepUp: StepNone, UserOnly: true, Desk: true}, (*Request).canCare, (*Request).reset},
	KindChangeToken:    {Rules{Access: caller.AccessAdmin, StepUp: StepStrongest}, (*Request).canChangeToken, (*Request).changeToken},
	KindExportTokens:   {Rules{Access: caller.AccessAdmin, StepUp: StepStrongest}, (*Request).canExport, (*Request).exportTokens},
	KindChangeVault:    {Rules{Access: caller.AccessAdmin, StepUp: StepStrongest}, (*Request).canChangeVault, (*Request).changeVault},
	KindUnlock:         {Rules{Access: caller.AccessAdmin, StepUp: StepNone, UserOnly: true, Desk: true}, (*Request).canUnlock, (*Request).unlock},
	KindBackup:         {Rules{Access: caller.AccessAdmin, StepUp: StepStrongest}, (*Request).canExport, (*Request).backup},
	KindExportAccounts: {Rules{Access: caller.AccessUser, StepUp: StepStrongest}, (*Request).canExportAccounts, (*Request).exportAccounts},
}

// Request is one thing in which a person takes part, from Begin to its decision. It is safe for
// concurrent use.
type Request struct {
	e        *Engine
	id       string
	user     Person // who is asked
	ask      Ask
	asked    policy.Strength // by the caller; None if it left that to policy
	caller   caller.Caller
	standing caller.Standing // of the caller, as seen by the user
	service  string
	policy   *policy.Policy // when it began
	rule     policy.Rule
	rules    Rules
	timeout  time.Duration
	begun    time.Time
	deadline time.Duration   // on the boot clock
	methods  []method.Method // the user's, when the request began
	seen     []fido.Key      // the keys that were plugged in when it began, until they are first asked
	steps    func(*Request) (outcome, error)

	ctx  context.Context // ends with the cause why
	end  context.CancelCauseFunc
	done chan struct{} // closed after the decision is known and nothing of the request runs on

	number string        // for a request from elsewhere: known to the call that began it alone
	atDesk chan struct{} // closed once the number was typed

	mu        sync.Mutex
	view      View
	prompts   []*openPrompt
	promptSeq int
	purpose   string        // of a touch: "to approve: …"
	telling   bool          // tell is about to be called
	sealed    bool          // a decision is being written: too late to deny
	checking  chan struct{} // a decision is being written: closed when it is known whether it stands
	yield     Yield
	tried     []string // what was tried, for the record
	unused    []Offer  // what was offered besides, and withdrawn
	watchers  map[chan View]struct{}
	offers    sync.WaitGroup // goroutines that still talk to a key
}

// ID is the request's id.
func (r *Request) ID() string { return r.id }

// Done is closed when the request has ended and its keys are let go.
func (r *Request) Done() <-chan struct{} { return r.done }

// View is the request's state now.
func (r *Request) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot()
}

// settling is how long a state may wait for the next one before it is told: states that no eye could
// see cost a key that needs no human a third of its time.
const settling = 5 * time.Millisecond

// Watch gives the request's states, the latest whenever it has changed and settled. The last one has
// the decision and is told at once; the channel is closed after it. Call stop to watch no longer.
func (r *Request) Watch() (states <-chan View, stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ch := make(chan View, 1)
	if !r.view.Pending() {
		ch <- r.snapshot()
		close(ch)
		return ch, func() {}
	}
	r.settle()
	if r.watchers == nil {
		r.watchers = make(map[chan View]struct{})
	}
	r.watchers[ch] = struct{}{}
	return ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, ch)
	}
}

// outcome is how a request was approved.
type outcome struct {
	view func(*View) // fills in what the approval proved
	// err is a part that failed after the approval stood, such as the backup key.
	err error
}

// run does the request's steps and ends it. Whatever goes wrong, the request ends and says how.
func (r *Request) run() {
	defer close(r.done)
	defer r.ask.Wipe()
	out, err := r.guarded()
	if err == nil {
		r.finish(Approved, out.err, out.view)
	} else {
		if cause := context.Cause(r.ctx); cause != nil {
			err = cause // what ended the request, not what fell over because of it
		}
		d := decisionOf(err)
		seq, logErr := r.recordEnd(d, err)
		if logErr != nil {
			r.e.cfg.Log.Error("cannot write the log", "request", r.id, "decision", d, "error", logErr)
		}
		r.finish(d, personsEnd(err), func(v *View) { v.LogSeq = seq })
	}
	r.end(errCancelled) // frees the context; offers that still run stop now
	r.offers.Wait()
}

// guarded runs the steps; a panic in them is the request's failure and not the daemon's.
func (r *Request) guarded() (out outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.e.cfg.Log.Error("request panicked", "request", r.id, "panic", fmt.Sprint(p))
			out, err = outcome{}, errors.New("the request failed inside")
		}
	}()
	if out, err := r.byGrant(); err == nil || !errors.Is(err, grant.ErrNone) {
		return out, err
	}
	if r.remote() {
		r.offers.Go(r.askNumber)
	}
	return r.steps(r)
}

// personsEnd is the error that goes with a decision: none where a person or the clock decided.
func personsEnd(err error) error {
	for _, decided := range []error{errDenied, errReported, errExpired, errCancelled} {
		if errors.Is(err, decided) {
			return nil
		}
	}
	return err
}

// finish publishes the decision. The request no longer counts as pending by then: who has heard of
// its end may begin another.
func (r *Request) finish(d Decision, err error, fill func(*View)) {
	r.e.forget(r)
	r.publish(func(v *View) {
		v.Decision, v.Err = d, err
		r.prompts = nil
		if fill != nil {
			fill(v)
		}
	})
	r.e.cfg.Log.Info("request ended", "request", r.id, "kind", r.ask.Kind, "service", r.service, "user", r.user.Name, "uid", r.caller.UID, "door", r.caller.Door, "decision", d)
}

// stop ends the request for a reason, unless its decision was written already. While one is being
// written it waits for how that ends.
func (r *Request) stop(why error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.checking != nil {
		checked := r.checking
		r.mu.Unlock()
		<-checked
		r.mu.Lock()
	}
	if r.sealed || !r.view.Pending() || r.ctx.Err() != nil {
		return ErrNotPending
	}
	r.end(why)
	return nil
}

// sealLocked is the point of no return: it fails with the reason if the request has ended or its time is
// over (also time slept through), and from then on nobody can deny it. It is called with the lock held.
func (r *Request) sealLocked() error {
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	if r.e.cfg.Clock.Boot() > r.deadline {
		r.end(errExpired)
		return errExpired
	}
	r.sealed = true
	return nil
}

// check seals the request while its decision is written, or it is found out whether there is one; the
// function that it returns must be told.
func (r *Request) check() (checked func(decided bool), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.sealLocked(); err != nil {
		return nil, err
	}
	r.checking = make(chan struct{})
	return func(decided bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sealed = decided
		close(r.checking)
		r.checking = nil
	}, nil
}

// publish changes the view and tells everyone who watches.
func (r *Request) publish(change func(*View)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.view.Pending() {
		return
	}
	change(&r.view)
	r.noteFailures()
	r.e.board.show(r.snapshot())
	if !r.view.Pending() {
		r.tell()
	} else if len(r.watchers) > 0 {
		r.settle()
	}
}

// settle tells the state soon. The caller holds r.mu.
func (r *Request) settle() {
	if r.telling {
		return
	}
	r.telling = true
	time.AfterFunc(settling, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tell()
	})
}

// tell gives the state to those who watch, and closes after the last one. The caller holds r.mu.
func (r *Request) tell() {
	r.telling = false
	v := r.snapshot()
	for ch := range r.watchers {
		select { // the latest state takes the place of one nobody has read
		case <-ch:
		default:
		}
		ch <- v
		if !v.Pending() {
			close(ch)
			delete(r.watchers, ch)
		}
	}
}

// snapshot copies the view with its prompts and the line of progress. The caller holds r.mu.
func (r *Request) snapshot() View {
	v := r.view
	v.Offers = slices.Clone(v.Offers)
	slices.SortStableFunc(v.Offers, func(a, b Offer) int { return defaultFirst(r.isDefault(a), r.isDefault(b)) })
	v.Methods = slices.Clone(v.Methods)
	v.Prompts, v.Progress = nil, ""
	if v.Pending() {
		v.Prompts, v.Progress = r.words(v.Offers)
	}
	return v
}

// isDefault reports whether an offer is that of the user's default method, or may be, as far as that is known
// before the key was touched.
func (r *Request) isDefault(o Offer) bool {
	return slices.ContainsFunc(r.methods, func(m method.Method) bool {
		switch {
		case !m.Default || o.MethodID != "":
			return m.Default && o.MethodID == m.ID
		case o.Type == OfferByKey:
			return m.Key != nil && (m.Key.KeyID == o.KeyID || m.Key.KeyID == "")
		default: // the code of any of several tokens
			return o.Type == OfferByCode && m.Token != nil
		}
	})
}

// offer changes the offer of a key, adding it if it is new.
func (r *Request) offer(keyID string, change func(*Offer)) {
	r.offerWhile(context.Background(), keyID, change)
}

// offerWhile is offer unless ctx has ended: what was withdrawn does not come back.
func (r *Request) offerWhile(ctx context.Context, keyID string, change func(*Offer)) {
	r.publish(func(v *View) {
		if ctx.Err() != nil {
			return
		}
		at := slices.IndexFunc(v.Offers, func(o Offer) bool { return o.Type == OfferByKey && o.KeyID == keyID })
		if at < 0 {
			at = len(v.Offers)
			v.Offers = append(v.Offers, Offer{Type: OfferByKey, KeyID: keyID, State: OfferWaiting})
		}
		change(&v.Offers[at])
	})
}

// mark changes the state of the offers of a type.
func (r *Request) mark(t OfferType, s OfferState, why error) {
	r.publish(func(v *View) {
		for i := range v.Offers {
			if v.Offers[i].Type == t {
				v.Offers[i].State, v.Offers[i].Err = s, why
			}
		}
	})
}

// withdraw takes all offers of a type back, between one step and the next. That they were there stays in
// the record.
func (r *Request) withdraw(t OfferType) {
	r.publish(func(v *View) {
		v.Offers = slices.DeleteFunc(v.Offers, func(o Offer) bool {
			if o.Type != t {
				return false
			}
			r.unused = append(r.unused, o)
			return true
		})
	})
}

// openPrompt is a prompt that waits for its answer.
type openPrompt struct {
	Prompt
	answers  chan Answer // has room for one
	answered bool        // guarded by the request's mu
}

// prompt asks the person something and waits for the answer.
func (r *Request) prompt(ctx context.Context, p Prompt) (Answer, error) {
	open := r.openPrompt(p)
	defer r.closePrompt(open)
	select {
	case a := <-open.answers:
		return a, nil
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx)
	}
}

func (r *Request) openPrompt(p Prompt) *openPrompt {
	open := &openPrompt{Prompt: p, answers: make(chan Answer, 1)}
	r.publish(func(*View) {
		r.promptSeq++
		open.ID = fmt.Sprintf("p%d", r.promptSeq)
		r.prompts = append(r.prompts, open)
	})
	return open
}

func (r *Request) closePrompt(open *openPrompt) {
	r.publish(func(*View) {
		r.prompts = slices.DeleteFunc(r.prompts, func(o *openPrompt) bool { return o == open })
	})
	select { // an answer that came too late is not kept
	case late := <-open.answers:
		late.Wipe()
	default:
	}
}

// answer hands an answer to the prompt that it names. Only the first one counts.
func (r *Request) answer(a Answer) (err error) {
	defer func() {
		if err != nil {
			a.Wipe()
		}
	}()
	if a.Code.Len() > 0 {
		if a.Code, err = parseTyped(a.Code); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.prompts, func(o *openPrompt) bool { return o.ID == a.Prompt })
	if at < 0 {
		return ErrNotPending
	}
	open := r.prompts[at]
	if (open.Type == PromptPIN) != (a.PIN.Len() > 0) || (open.Type == PromptCode) != (a.Code.Len() > 0) ||
		(open.Type == PromptNumber) != (a.Number != "") || (open.Type == PromptApprove) != a.Approve {
		return badRequest("this prompt asks for something else")
	}
	if open.answered {
		return ErrNotPending
	}
	open.answered = true
	open.answers <- a // has room: nobody else sends
	return nil
}
