// Package logind asks the session manager (org.freedesktop.login1) where a caller sits.
//
// Each question is asked afresh, and of a session manager that runs as root: whatever goes wrong
// with it, the caller is remote.
package logind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/caller"
)

const (
	// budget bounds a question, connecting included, from when its turn has come.
	budget = time.Second
	// patience bounds the wait for its turn.
	patience = time.Second
	// pause is how long the bus is left in peace that says that too much was asked of it.
	pause = 50 * time.Millisecond
)

// seat is where the keys are: a machine's devices belong to its first seat unless somebody moves them.
const seat = "seat0"

// What may keep the session manager from answering.
var (
	errNotAsked = errors.New("not asked yet")
	errNoBus    = errors.New("cannot reach the system bus")
	errAbsent   = errors.New("no session manager is on the system bus")
	errImpostor = errors.New("the session manager's name on the system bus is another user's")
	errLost     = errors.New("the connection to the session manager was lost")
	errSilent   = fmt.Errorf("the session manager did not answer within %v", budget)
	errGarbled  = errors.New("the session manager's answer cannot be believed")
	errClosed   = errors.New("closed")
)

// Options are for machines that are put together otherwise, as in tests. The zero value is right for
// all others.
type Options struct {
	// OwnerUID is the user as whom the session manager must run: root.
	OwnerUID uint32
	// Proc is where the kernel shows its processes; empty: /proc.
	Proc string
}

// Logind is a client of the session manager. It connects at the first question, and again at the next
// one after the connection was lost. Its methods are safe for concurrent use.
type Logind struct {
	address string
	log     *slog.Logger
	o       Options
	life    context.Context
	end     context.CancelFunc
	turn    chan struct{} // held by who connects
	turns   turns         // of the questions

	mu      sync.Mutex
	link    *link // nil while there is none
	problem error // of the last question; nil if it was answered
}

// Open gives a client of the session manager on the system bus with the given address, which begins
// with "unix:". It does not connect yet.
func Open(address string, log *slog.Logger, o Options) *Logind {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	l := &Logind{address: address, log: log, o: o, turn: make(chan struct{}, 1), problem: errNotAsked}
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// Close ends the connection. Whoever is asked about afterwards is remote.
func (l *Logind) Close() { l.end() }

// State is "connected", or why the last question was not answered, for people.
func (l *Logind) State() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.life.Err() != nil:
		return errClosed.Error()
	case l.problem != nil:
		return caller.Clean(l.problem.Error()).String() // it may quote what the bus said
	case l.link == nil || !l.link.conn.Connected():
		return errLost.Error()
	}
	return "connected"
}

// Standing decides where c sits as seen by the user with the given id. It answers within two
// seconds, and takes for remote what cannot be told by then, or before ctx ends. How many questions are
// asked at a time is bounded, and one user's leave room for the others'.
//
// What it knows of c it knows of the process with c.PID, which must have begun before c.Accepted, run
// as c.UID, and live until the question is answered: so the session is that process's. Not proven is
// that it is the process that connected: within the short time from connect(2) to c.Accepted, a
// process that is another one of the same user could have got the id, and a process may hand its
// connection to another. That gains a program what any program of the user's has who can begin
// another in the session; place never raises strength.
func (l *Logind) Standing(ctx context.Context, c caller.Caller, user uint32) caller.Standing {
	facts, err := l.inTurn(ctx, c, user)
	if err != nil {
		facts = caller.Facts{CallerUID: c.UID, User: user}
	}
	return facts.Standing()
}

// inTurn waits for the question's turn, asks, and notes how that went. A question that was begun is
// asked to its end also when ctx ends: until then the bus counts the replies that it waits for.
func (l *Logind) inTurn(ctx context.Context, c caller.Caller, user uint32) (caller.Facts, error) {
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := l.turns.take(waiting, c.UID); err != nil {
		l.log.Debug("cannot tell where a caller sits: too many ask at once", slog.Any("error", err))
		return caller.Facts{}, err
	}
	asked, end := context.WithTimeout(l.life, budget)
	v, over := new(visit), make(chan struct{})
	context.AfterFunc(asked, func() {
		l.leave(v, errors.Is(asked.Err(), context.DeadlineExceeded))
		l.turns.give(c.UID)
		close(over)
	})
	type answer struct {
		facts caller.Facts
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // a bus that does not read makes a call wait for ever
		defer end()
		facts, err := l.facts(asked, v, c, user)
		answered <- answer{facts, err}
	}()
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		a.err = ctx.Err()
	case <-over:
		select {
		case a = <-answered:
		default:
			a.err = asked.Err()
		}
	}
	switch {
	case a.err == nil:
		l.set(nil)
	case ctx.Err() != nil, errors.Is(a.err, errProcess): // says nothing of the session manager
		l.log.Debug("cannot tell where a caller sits", slog.Any("error", a.err))
	case errors.Is(asked.Err(), context.DeadlineExceeded):
		l.set(errSilent)
	default:
		l.set(a.err)
	}
	return a.facts, a.err
}

// facts holds on to the caller's process and asks about it; once more where the session manager, or a
// session, went away meanwhile, or the bus had too much to do.
func (l *Logind) facts(ctx context.Context, v *visit, c caller.Caller, user uint32) (caller.Facts, error) {
	p, err := hold(l.o.Proc, c)
	if err != nil {
		return caller.Facts{}, err
	}
	defer p.release()
	f := caller.Facts{CallerUID: c.UID, User: user, Seat: seat}
	err = l.ask(ctx, v, &f, c.PID)
	if isError(err, limitsExceeded) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	if isPassing(err) && ctx.Err() == nil {
		err = l.ask(ctx, v, &f, c.PID)
	}
	if err == nil {
		err = p.check()
	}
	return f, err
}

func (l *Logind) ask(ctx context.Context, v *visit, f *caller.Facts, pid int32) error {
	k, err := l.join(ctx, v)
	if err != nil {
		return err
	}
	defer func() { l.leave(v, ctx.Err() != nil) }()
	q, err := k.question(ctx, l.o.OwnerUID)
	if err != nil {
		return err
	}
	f.Own, f.Manager, f.UserSessions, err = q.sessions(uint32(pid), f.User, f.Seat)
	if err == nil {
		err = q.confirm()
	}
	if err != nil {
		k.forget()
		return err
	}
	f.OwnKnown, f.SessionsKnown = true, true
	return nil
}

// set notes how a question went, and logs what is new.
func (l *Logind) set(problem error) {
	l.mu.Lock()
	same := problem == nil && l.problem == nil || problem != nil && l.problem != nil && problem.Error() == l.problem.Error()
	l.problem = problem
	l.mu.Unlock()
	switch {
	case same, l.life.Err() != nil:
	case problem != nil:
		l.log.Warn("cannot ask the session manager: every caller is taken for remote", slog.Any("error", problem))
	default:
		l.log.Info("the session manager answers")
	}
}
