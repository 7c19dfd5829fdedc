// Package authz asks polkit whether a program on the system bus may do one of Fob's privileged
// action, and keeps the tickets by which the socket learns that polkit said yes.
//
// A subject is named by its connection to the bus, never by a process id, which can be another's by
// the time that it is looked at. In doubt the answer is no.
package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Action is what polkit decides about: the id of an action in packaging/polkit.
type Action string

// The actions, and all that there are.
const (
	// ActionFirstMethod is a user's registering their first sign-in method: their password proves
	// that it is them.
	ActionFirstMethod Action = "io.github.fobproject.fob.add-first-method"
)

// Actions are all actions.
func Actions() []Action { return []Action{ActionFirstMethod} }

// How a check can end, beside a yes.
var (
	// ErrRefused says that polkit said no, or that nobody was there to ask.
	ErrRefused = errors.New("polkit did not allow it")
	// ErrDismissed says that the person closed the dialog.
	ErrDismissed = errors.New("the password dialog was closed: nothing was changed")
	// ErrUnavailable says that polkit could not be asked, or that its answer made no sense.
	ErrUnavailable = errors.New("cannot ask polkit")
	// ErrBusy says that too many questions are open, the subject's own or everybody's.
	ErrBusy = errors.New("polkit is being asked already")
	// ErrGone says that the subject left the bus.
	ErrGone = errors.New("the program that asked has left the bus")
)

var (
	errTimeout = fmt.Errorf("%w: nobody answered in time. Try again", ErrUnavailable)
	errClosed  = fmt.Errorf("%w: Fob is shutting down", ErrUnavailable)
	errTooMany = fmt.Errorf("%w: too many dialogs are open. Try again in a minute", ErrBusy)
)

// Bounds of the questions that are open at a time, beside one a subject. One user alone cannot take
// all of them from the others, and is counted first.
const (
	maxOfUser = 4
	maxAll    = 8
)

// defaultTimeout bounds a question: a person types a password.
const defaultTimeout = 2 * time.Minute

// OwnerUser is the user as whom polkit is on the bus where it gives up root's rights, as on Debian 12.
const OwnerUser = "polkitd"

// Options are an Authority's. The zero value is valid.
type Options struct {
	// Log gets a line when polkit can no longer be asked, and when it can again. Nil: none.
	Log *slog.Logger
	// Owners are the uids that may own polkit's name on the bus; root alone if there are none. Where
	// there is an OwnerUser its uid must be among them, or polkit is taken for an impostor.
	Owners []uint32
	// Timeout bounds a question, the time in which a person types included; 2 minutes if it is 0.
	Timeout time.Duration
}

// Authority is polkit on a bus. It connects when it is first asked, and again after the bus went away.
// Its methods are safe for concurrent use.
type Authority struct {
	address string
	log     *slog.Logger
	owners  []uint32
	timeout time.Duration

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	dialing chan struct{} // held while a connection is looked for or made

	mu        sync.Mutex
	asking    map[string]*question // by subject
	ofUser    map[uint32]int       // how many of them are a user's
	asked     uint64               // numbers the questions
	line      *line                // where the next question goes; nil if one must be made
	problem   string               // why polkit could not be asked last; empty if it could
	maxOfUser int
}

// Open gives polkit on the bus at an address such as "unix:path=/run/dbus/system_bus_socket". It
// connects to nothing yet.
func Open(address string, o Options) *Authority {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Owners) == 0 {
		o.Owners = []uint32{0}
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	ctx, end := context.WithCancel(context.Background())
	return &Authority{
		address: address, log: o.Log, owners: slices.Clone(o.Owners), timeout: o.Timeout,
		ctx: ctx, end: end, dialing: make(chan struct{}, 1),
		asking: make(map[string]*question), ofUser: make(map[uint32]int), maxOfUser: maxOfUser,
	}
}

// Check asks whether the connection subject, its unique name as the bus daemon gave it with its uid, may
// do the action. Polkit may ask a person for a password meanwhile. Nil means yes, now and once; otherwise it
// fails with ErrRefused, ErrDismissed, ErrUnavailable, ErrBusy, ErrGone or the cause of ctx, at whose
// end polkit takes its dialog away. A connection's name says who it is on one bus only, and until that
// ends: ctx must end with the connection.
//
// Details are shown by some dialogs and seen by polkit's rules: at most 8, with names of small letters,
// digits, "_" and "-", at most 32 long. Their values are cleaned and cut as caller.Clean does.
func (a *Authority) Check(ctx context.Context, subject string, uid uint32, action Action, details map[string]string) error {
	if !slices.Contains(Actions(), action) {
		return fmt.Errorf("%w: %q is no action of Fob's", ErrRefused, action)
	}
	if !isUniqueName(subject) {
		return fmt.Errorf("%w: the caller is no connection of the bus", ErrRefused)
	}
	shown, err := cleanDetails(details)
	if err != nil {
		return err
	}
	q, err := a.begin(ctx, subject, uid)
	if err != nil {
		return err
	}
	defer a.finish(q)
	err = a.ask(q, action, shown)
	if q.ctx.Err() != nil { // also where polkit answered: that is too late
		err = context.Cause(q.ctx)
	}
	a.note(err)
	return err
}

// Close ends all questions with ErrUnavailable and leaves the bus.
func (a *Authority) Close() { a.end() }

// question is one check, from begin to finish.
type question struct {
	subject string
	uid     uint32          // the subject's
	id      string          // for cancelling, unique in this process
	ctx     context.Context // ends with its caller's, in time, when the subject leaves, and with Close
	cancel  context.CancelCauseFunc
	stop    func() // frees what ctx holds
}

// begin takes one of the places for questions, or says that there is none.
func (a *Authority) begin(ctx context.Context, subject string, uid uint32) (*question, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ctx.Err() != nil:
		return nil, errClosed
	case a.asking[subject] != nil:
		return nil, fmt.Errorf("%w: answer the dialog that is open, or close it", ErrBusy)
	case a.ofUser[uid] >= a.maxOfUser, len(a.asking) >= maxAll:
		return nil, errTooMany
	}
	a.asked++
	q := &question{subject: subject, uid: uid, id: fmt.Sprintf("fob-%d", a.asked)}
	timed, stopTime := context.WithTimeoutCause(ctx, a.timeout, errTimeout)
	q.ctx, q.cancel = context.WithCancelCause(timed)
	stopClose := context.AfterFunc(a.ctx, func() { q.cancel(errClosed) })
	q.stop = func() { stopClose(); q.cancel(nil); stopTime() }
	a.asking[subject] = q
	a.ofUser[uid]++
	return q, nil
}

func (a *Authority) finish(q *question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.asking, q.subject)
	if a.ofUser[q.uid]--; a.ofUser[q.uid] == 0 {
		delete(a.ofUser, q.uid)
	}
	q.stop()
}

// gone ends the question of a subject that left the bus. It must not wait.
func (a *Authority) gone(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.asking[subject]; q != nil {
		q.cancel(ErrGone)
	}
}

// note logs where polkit becomes unavailable for another reason than before, or answers again.
func (a *Authority) note(err error) {
	problem := ""
	switch {
	case errors.Is(err, errTimeout), errors.Is(err, errClosed):
		return // that says more of the person, or of us, than of polkit
	case errors.Is(err, ErrUnavailable):
		problem = err.Error()
	case err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrDismissed):
		return
	}
	a.mu.Lock()
	before := a.problem
	a.problem = problem
	a.mu.Unlock()
	switch {
	case problem == before:
	case problem != "":
		a.log.Warn("polkit cannot be asked: only root can do what needs it", slog.String("error", problem))
	default:
		a.log.Info("polkit answers again")
	}
}
