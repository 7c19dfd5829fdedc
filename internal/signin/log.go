package signin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
)

// LogQuery says which entries of the log to read. An empty field asks for nothing in particular.
type LogQuery struct {
	// User names whose entries; the caller's own if empty. Everybody's are an administrator's to read.
	User      string
	Everybody bool

	After        uint64
	Before       uint64 // 0: none
	Limit        int
	Newest       bool
	Request      string
	Service      string // its full name, or NAME alone for all "…:NAME"
	Decision     string
	Kind         string
	Method       string // id
	Since, Until time.Time
}

// Log reads decisions, oldest first.
func (e *Engine) Log(ctx context.Context, c caller.Caller, q LogQuery) (audit.Page, error) {
	if err := checkLogService(q.Service); err != nil {
		return audit.Page{}, err
	}
	query := audit.Query{
		After: q.After, Before: q.Before, Limit: q.Limit, Newest: q.Newest, Request: q.Request,
		Service: q.Service, Decision: q.Decision, Kind: q.Kind, Method: q.Method, Since: q.Since, Until: q.Until,
	}
	ofRequest := q.Request != "" && q.User == "" && e.cfg.System && c.UID == 0 // root asks for what it began, for anybody
	if q.Everybody || ofRequest {
		if err := e.admin(c); err != nil {
			return audit.Page{}, err
		}
	} else {
		who, err := e.own(ctx, c, q.User)
		if err != nil {
			return audit.Page{}, err
		}
		query.UID = &who.UID
	}
	var page audit.Page
	err := e.cfg.Store.View(func(tx *store.Tx) (err error) {
		page, err = audit.List(tx, query)
		return err
	})
	return page, err
}

// checkLogService allows a service's full name, and its name alone.
func checkLogService(service string) error {
	switch {
	case service == "":
		return nil
	case strings.ContainsRune(service, ':'):
		return checkFullName(service)
	}
	return checkServiceName(service)
}

// VerifyLog checks the whole log: its chain, every signature of the instance and every key's, and that a
// head which was noted elsewhere, if there is one, is in it. It fails with an *audit.BrokenError that names
// the first entry that does not hold. progress may be nil.
func (e *Engine) VerifyLog(ctx context.Context, c caller.Caller, head *audit.KnownHead, progress func(done, total uint64)) (audit.Verdict, error) {
	if err := e.admin(c); err != nil {
		return audit.Verdict{}, err
	}
	if err := e.enter(); err != nil {
		return audit.Verdict{}, err
	}
	defer e.running.Done()
	return audit.Verify(ctx, e.cfg.Store, audit.Check{
		Instance: e.cfg.Store.InstanceID(), Head: head, Assertion: checkReceipt, Progress: progress,
	})
}

// checkReceipt makes sure that a key signed what an entry of the log says.
func checkReceipt(e audit.Entry) error {
	r := e.Receipt
	signed, proof, err := fido.VerifyReceipt(fido.Receipt{
		RPID: r.RPID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm,
		ClientData: r.ClientData, AuthData: r.AuthData, Signature: r.Signature,
	})
	if err != nil {
		return err
	}
	err = signed.Agrees(fido.ClientData{
		Instance: signed.Instance, Request: e.Request, Kind: e.Kind, Require: e.Require, User: e.User, Service: e.Service, Place: e.Place,
		Origin: e.Origin, Host: e.Host, Executable: e.Executable, CommandHash: e.CommandHash, SSHKey: e.SSHKey,
	})
	switch {
	case err != nil:
		return err
	case signed.UID != e.UID:
		return fmt.Errorf("the key signed for uid %d, the entry is uid %d's", signed.UID, e.UID)
	case "fob:"+signed.Instance != r.RPID:
		return errors.New("the key signed for another instance")
	case e.Strength == policy.Verified.String() && !proof.UserVerified:
		return errors.New("the entry says verified, but the key did not check a PIN or fingerprint")
	}
	return nil
}

// kindPrune is the log's word for PruneLog, which is no request.
const kindPrune = "prune-log"

// prunePage is how many entries one transaction removes.
const prunePage = 500

// maxAhead is how far the clock may be ahead of the newest entry to be believed.
const maxAhead = 24 * time.Hour

// PruneLog removes entries that are older than keep, on the newest day of the log: a clock that runs far
// ahead, and will be set right, removes nothing. The chain of the rest can still be checked. ctx ends it
// between two transactions.
func (e *Engine) PruneLog(ctx context.Context, keep time.Duration) (removed uint64, err error) {
	newest, err := e.newestEntry()
	if err != nil {
		return 0, fmt.Errorf("cannot prune the log: %w", err)
	}
	before := e.cfg.Clock.Now()
	if latest := newest.Add(maxAhead); before.After(latest) {
		before = latest
	}
	before = before.Add(-keep)
	for {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		var p audit.Pruned
		err := e.cfg.Store.Update(ctx, func(tx *store.Tx) (err error) {
			p, err = audit.Prune(tx, before, prunePage)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("cannot prune the log: %w", err)
		}
		removed += uint64(p.Entries)
		if !p.More {
			break
		}
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		return e.note(tx, kindPrune, e.itself(), e.itself().UID, fmt.Sprintf("removed %d entries of before %s", removed, before.UTC().Format(time.DateOnly)))
	})
}

// newestEntry is when the newest entry was made; zero where there is none.
func (e *Engine) newestEntry() (made time.Time, err error) {
	err = e.cfg.Store.View(func(tx *store.Tx) error {
		seq, _, err := audit.Head(tx)
		if err != nil || seq == 0 {
			return err
		}
		last, err := audit.Get(tx, seq)
		made = last.Time
		return err
	})
	return made, err
}

// LogHead is the number and the hash of the newest entry.
func (e *Engine) LogHead() (seq uint64, hash [32]byte, err error) {
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		seq, hash, err = audit.Head(tx)
		return err
	})
	return seq, hash, err
}
