package signin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

// approval is what one tap proved, verified but not yet on disk.
type approval struct {
	method  method.Method
	need    policy.Strength // what it had to prove
	keyID   string
	proof   fido.Proof
	receipt audit.Receipt
	letGo   func() // lets go of the key
}

// done lets go of the key that was tapped. It may be called on the zero value, and more than once.
func (a approval) done() {
	if a.letGo != nil {
		a.letGo()
	}
}

// strength is what the tap proves.
func (a approval) strength() policy.Strength {
	if a.proof.UserVerified {
		return policy.Verified
	}
	return policy.Key
}

// use is what the method's record learns from the tap.
func (r *Request) use(a approval) method.Use {
	return method.Use{Counter: a.proof.Counter, UserVerified: a.proof.UserVerified, KeyID: a.keyID, When: r.e.cfg.Clock.Now()}
}

// clientData makes what a key is asked to sign: what was shown, with a nonce of its own for every
// time the key is asked. need is what its answer must prove: less than the request requires where policy
// lets it. about names the method that the request adds or removes, if any. Commands may
// hold secrets, and these bytes stand in the log: the key signs the executable and a hash of the command.
func (r *Request) clientData(need policy.Strength, about string) (verbatim []byte, hash [32]byte, err error) {
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(r.e.cfg.Rand, nonce); err != nil {
		return nil, hash, fmt.Errorf("cannot make a nonce: %w", err)
	}
	program, command := r.command()
	return fido.ClientData{
		Instance:    r.e.cfg.Store.InstanceID(),
		Request:     r.id,
		Kind:        string(r.ask.Kind),
		Require:     need.String(),
		User:        r.user.Name,
		UID:         r.user.UID,
		Service:     r.service,
		Place:       string(r.standing.Place),
		Origin:      r.ask.Claimed.Origin.String(),
		Host:        r.ask.Claimed.Host.String(),
		Executable:  program,
		CommandHash: command,
		SSHKey:      r.ask.Claimed.SSHKey.String(),
		Method:      about,
		Nonce:       nonce,
		Time:        r.e.cfg.Clock.Now().UTC(),
	}.Encode()
}

// entry begins a log entry of this request.
func (r *Request) entry(d Decision, reason string) audit.Entry {
	e := audit.Entry{
		Time:         r.e.cfg.Clock.Now().UTC(),
		Request:      r.id,
		Kind:         string(r.ask.Kind),
		Decision:     string(d),
		UID:          r.user.UID,
		User:         r.user.Name,
		Service:      r.service,
		CallerUID:    r.caller.UID,
		Place:        string(r.standing.Place),
		Require:      r.ask.Require.String(),
		Strength:     policy.None.String(),
		Origin:       r.ask.Claimed.Origin.String(),
		Host:         r.ask.Claimed.Host.String(),
		SSHKey:       r.ask.Claimed.SSHKey.String(),
		Vouched:      r.vouched(),
		Tried:        r.triedSoFar(),
		SelfAsserted: !r.e.cfg.System,
		Reason:       reason,
	}
	e.Executable, e.CommandHash = r.command()
	return e
}

// approvedBy is the entry of an approval by a tap.
func (r *Request) approvedBy(a approval, reason string) audit.Entry {
	e := r.entry(Approved, reason)
	e.Require, e.Strength = a.need.String(), a.strength().String()
	e.Method, e.MethodName = a.method.ID, a.method.Name
	e.Receipt = &a.receipt
	return e
}

// commit is the decision: one transaction with the advanced counters (apply) and the entry, on disk when
// commit returns. Before it the request can still be denied, after it, if it is the last step, no more;
// while it goes on, whoever denies waits for how it ends.
func (r *Request) commit(last bool, apply func(*store.Tx) error, e audit.Entry) (outcome, error) {
	return r.commitBy(last, method.Method{}, apply, e)
}

// commitBy is commit of an approval by a method.
func (r *Request) commitBy(last bool, by method.Method, apply func(*store.Tx) error, e audit.Entry) (outcome, error) {
	checked, err := r.check()
	if err != nil {
		return outcome{}, err
	}
	defer func() { checked(last && err == nil) }()
	var done audit.Entry
	err = r.update(func(tx *store.Tx) (err error) {
		entry := e
		if apply != nil {
			if err := apply(tx); err != nil {
				return err
			}
		}
		if last {
			if err := r.remembered(tx, &entry, by, entry.Time); err != nil {
				return err
			}
		}
		done, err = log(tx, entry)
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	r.e.logged(done)
	s := policy.None
	_ = s.UnmarshalText([]byte(e.Strength)) // an entry's strength always has a name
	return r.outcomeOf(done, s), nil
}

// update is a transaction of the request, which its caller's leaving does not stop.
func (r *Request) update(fn func(*store.Tx) error) error {
	return r.e.cfg.Store.Update(context.Background(), fn)
}

// outcomeOf is what the view learns from an approval that is on disk.
func (r *Request) outcomeOf(done audit.Entry, s policy.Strength) outcome {
	return outcome{view: func(v *View) {
		v.Strength, v.SelfAsserted, v.LogSeq, v.Grant = s, !r.e.cfg.System, done.Seq, done.Grant
	}}
}

// log adds an entry to the log, and notes that its time has been.
func log(tx *store.Tx, e audit.Entry) (audit.Entry, error) {
	stored, err := audit.Append(tx, e)
	if err != nil {
		return audit.Entry{}, err
	}
	return stored, clock.Note(tx, stored.Time)
}

// logged tells of an entry that is on disk.
func (e *Engine) logged(done audit.Entry) {
	e.grown(done.UID, done.Seq)
	if done.Decision == string(Reported) && e.cfg.Reported != nil {
		e.cfg.Reported(done)
	}
}

// grown tells a user, and at the system instance root, who may read everybody's, that the log has grown.
func (e *Engine) grown(uid uint32, seq uint64) {
	if e.cfg.System && uid != 0 {
		e.board.logged(seq, uid, 0)
	} else {
		e.board.logged(seq, uid)
	}
}

// noted does a change in which nobody takes part, and tells about whom it is that the log has grown, if it
// has.
func (e *Engine) noted(ctx context.Context, about func() uint32, change func(*store.Tx) error) error {
	var before, after uint64
	err := e.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if before, _, err = audit.Head(tx); err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, _, err = audit.Head(tx)
		return err
	})
	if err == nil && after > before {
		e.grown(about(), after)
	}
	return err
}

// decide puts a tap's approval on disk, with what else changes by it, and makes the outcome.
// reason goes to the log; last says that the request ends with it.
func (r *Request) decide(a approval, last bool, reason string, apply func(*store.Tx) error) (outcome, error) {
	defer a.done()
	out, err := r.commitBy(last, a.method, func(tx *store.Tx) error {
		if _, err := method.Advance(tx, r.user.UID, a.method.ID, r.use(a)); err != nil {
			return err
		}
		if apply != nil {
			return apply(tx)
		}
		return nil
	}, r.approvedBy(a, reason))
	if errors.Is(err, method.ErrClone) {
		return outcome{}, r.suspect(a, err)
	}
	return out, err
}

// possibleClone is the log's word for a tap that does not count because the key's counter went back.
// Such an entry decides nothing by itself.
const possibleClone = "possible-clone"

// suspect records that a key's counter went back, and returns why the tap does not count.
func (r *Request) suspect(a approval, why error) error {
	r.e.cfg.Log.Warn("a key's counter went back: it may have been cloned", "request", r.id, "method", a.method.ID)
	entry := r.approvedBy(a, "the key's counter went back: it may have been cloned")
	entry.Decision, entry.Strength = possibleClone, policy.None.String()
	var done audit.Entry
	err := r.update(func(tx *store.Tx) (err error) {
		if err := method.MarkSuspect(tx, r.user.UID, a.method.ID); err != nil && !errors.Is(err, method.ErrNotFound) {
			return err
		}
		done, err = log(tx, entry)
		return err
	})
	if err != nil {
		r.e.cfg.Log.Error("cannot record a possible clone", "request", r.id, "method", a.method.ID, "error", err)
	} else {
		r.e.logged(done)
	}
	r.e.announceMethods(r.user)
	return fmt.Errorf("%w (%s)", why, a.method.Name)
}

// recordEnd logs a decision that is no approval, and what follows from it: whoever was denied waits, and
// whoever was reported is blocked. Such an entry is of use, but no approval depends on it: where the disk
// is full the request still ends.
func (r *Request) recordEnd(d Decision, why error) (seq uint64, err error) {
	reason := ""
	if err := personsEnd(why); err != nil {
		reason = err.Error()
	}
	entry := r.entry(d, reason)
	var done audit.Entry
	err = r.update(func(tx *store.Tx) (err error) {
		if err := r.throttleEnd(tx, d, why); err != nil {
			return err
		}
		done, err = log(tx, entry)
		return err
	})
	if err != nil {
		return 0, err // what is not on disk has no number
	}
	r.e.logged(done)
	return done.Seq, nil
}

// throttleEnd makes whoever was denied wait, and blocks whoever was reported. A request from elsewhere that
// nobody answered counts as denied: whoever gives up and begins again, over and over, is heard once.
func (r *Request) throttleEnd(tx *store.Tx, d Decision, why error) error {
	now := r.e.cfg.Clock.Moment()
	switch {
	case errors.Is(why, errThere): // nobody elsewhere makes anybody wait
		return nil
	case d == Reported:
		if err := r.dropGrantsOf(tx); err != nil {
			return err
		}
		if r.remote() {
			if err := throttle.Report(tx, r.who(), now); err != nil && !errors.Is(err, throttle.ErrLocal) {
				return err
			}
		}
	case d == Denied:
	case r.remote() && !errors.Is(why, ErrShuttingDown):
	default:
		return nil
	}
	_, err := throttle.Denied(tx, r.who(), now)
	return err
}

// announceMethods tells subscribers of the user's methods after a change.
func (e *Engine) announceMethods(u Person) {
	ms, err := e.methodsOf(u)
	if err != nil {
		e.cfg.Log.Error("cannot read the methods", "error", err)
		return
	}
	e.board.methodsChanged(u.UID, ms)
}
