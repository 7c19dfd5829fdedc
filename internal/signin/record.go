package signin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
)

// approval is what one tap proved, verified but not yet on disk.
type approval struct {
	method  method.Method
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
// time the key is asked. about names the method that the request adds or removes, if any.
func (r *Request) clientData(need policy.Strength, about string) (verbatim []byte, hash [32]byte, err error) {
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(r.e.cfg.Rand, nonce); err != nil {
		return nil, hash, fmt.Errorf("cannot make a nonce: %w", err)
	}
	return fido.ClientData{
		Instance: r.e.cfg.Store.InstanceID(),
		Request:  r.id,
		Kind:     string(r.ask.Kind),
		Require:  need.String(),
		User:     r.e.cfg.Owner.Name,
		UID:      r.e.cfg.Owner.UID,
		Service:  r.service,
		Place:    string(r.caller.Place),
		Origin:   r.ask.Claimed.Origin.String(),
		Host:     r.ask.Claimed.Host.String(),
		Command:  r.ask.Claimed.Command.String(),
		Method:   about,
		Nonce:    nonce,
		Time:     r.e.cfg.Clock.Now().UTC(),
	}.Encode()
}

// entry begins a log entry of this request. Commands may hold secrets: the log keeps the
// executable and a hash.
func (r *Request) entry(d Decision, reason string) audit.Entry {
	e := audit.Entry{
		Time:         r.e.cfg.Clock.Now().UTC(),
		Request:      r.id,
		Kind:         string(r.ask.Kind),
		Decision:     string(d),
		UID:          r.e.cfg.Owner.UID,
		User:         r.e.cfg.Owner.Name,
		Service:      r.service,
		CallerUID:    r.caller.UID,
		Place:        string(r.caller.Place),
		Require:      r.ask.Require.String(),
		Strength:     policy.None.String(),
		Origin:       r.ask.Claimed.Origin.String(),
		Host:         r.ask.Claimed.Host.String(),
		SelfAsserted: r.e.cfg.SelfAsserted,
		Reason:       reason,
	}
	if command := r.ask.Claimed.Command.String(); command != "" {
		sum := sha256.Sum256([]byte(command))
		e.Executable = executable(command)
		e.CommandHash = hex.EncodeToString(sum[:])
	}
	return e
}

// executable is the program of a command line: its first word that is no variable, and not what
// follows it.
func executable(command string) string {
	for word := range strings.FieldsSeq(command) {
		if !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

// approvedBy is the entry of an approval by a tap.
func (r *Request) approvedBy(a approval, reason string) audit.Entry {
	e := r.entry(Approved, reason)
	e.Strength = a.strength().String()
	e.Method, e.MethodName = a.method.ID, a.method.Name
	e.Receipt = &a.receipt
	return e
}

// commit is the decision: one transaction with the advanced counters (apply) and the entry, on disk when
// commit returns. Before it the request can still be denied, after it no more; while it goes on, whoever
// denies waits for how it ends. It gives the entry's number in the log.
func (r *Request) commit(apply func(*store.Tx) error, e audit.Entry) (seq uint64, err error) {
	return r.commitStep(true, apply, e)
}

// commitStep is commit, after which, unless it is the last step, the request goes on and can be denied.
func (r *Request) commitStep(last bool, apply func(*store.Tx) error, e audit.Entry) (seq uint64, err error) {
	checked, err := r.check()
	if err != nil {
		return 0, err
	}
	defer func() { checked(last && err == nil) }()
	err = r.e.cfg.Store.Update(context.Background(), func(tx *store.Tx) (err error) {
		if apply != nil {
			if err := apply(tx); err != nil {
				return err
			}
		}
		seq, err = log(tx, e)
		return err
	})
	return seq, err
}

// log adds an entry to the log, and notes that its time has been.
func log(tx *store.Tx, e audit.Entry) (seq uint64, err error) {
	stored, err := audit.Append(tx, e)
	if err != nil {
		return 0, err
	}
	return stored.Seq, clock.Note(tx, stored.Time)
}

// decide puts a tap's approval on disk, with what else changes by it, and makes the outcome.
// reason goes to the log; last says that the request ends with it.
func (r *Request) decide(a approval, last bool, reason string, apply func(*store.Tx) error) (outcome, error) {
	defer a.done()
	seq, err := r.commitStep(last, func(tx *store.Tx) error {
		if _, err := method.Advance(tx, r.e.cfg.Owner.UID, a.method.ID, r.use(a)); err != nil {
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
	if err != nil {
		return outcome{}, err
	}
	return outcome{view: func(v *View) {
		v.Strength, v.SelfAsserted, v.LogSeq = a.strength(), r.e.cfg.SelfAsserted, seq
	}}, nil
}

// possibleClone is the log's word for a tap that does not count because the key's counter went back.
// Such an entry decides nothing by itself.
const possibleClone = "possible-clone"

// suspect records that a key's counter went back, and returns why the tap does not count.
func (r *Request) suspect(a approval, why error) error {
	r.e.cfg.Log.Warn("a key's counter went back: it may have been cloned", "request", r.id, "method", a.method.ID)
	entry := r.approvedBy(a, "the key's counter went back: it may have been cloned")
	entry.Decision, entry.Strength = possibleClone, policy.None.String()
	err := r.e.cfg.Store.Update(context.Background(), func(tx *store.Tx) error {
		if err := method.MarkSuspect(tx, r.e.cfg.Owner.UID, a.method.ID); err != nil && !errors.Is(err, method.ErrNotFound) {
			return err
		}
		_, err := log(tx, entry)
		return err
	})
	if err != nil {
		r.e.cfg.Log.Error("cannot record a possible clone", "request", r.id, "method", a.method.ID, "error", err)
	}
	r.e.announceMethods()
	return fmt.Errorf("%w (%s)", why, a.method.Name)
}

// recordEnd logs a decision that is no approval. Such an entry is of use, but nothing depends on
// it: where the disk is full the request still ends.
func (r *Request) recordEnd(d Decision, why error) (seq uint64, err error) {
	reason := ""
	if err := personsEnd(why); err != nil {
		reason = err.Error()
	}
	entry := r.entry(d, reason)
	err = r.e.cfg.Store.Update(context.Background(), func(tx *store.Tx) (err error) {
		seq, err = log(tx, entry)
		return err
	})
	return seq, err
}

// announceMethods tells subscribers of the user's methods after a change.
func (e *Engine) announceMethods() {
	ms, err := e.methodsOf(e.cfg.Owner)
	if err != nil {
		e.cfg.Log.Error("cannot read the methods", "error", err)
		return
	}
	e.board.methodsChanged(e.cfg.Owner.UID, ms)
}
