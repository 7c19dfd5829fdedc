package signin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// recoveryName is what recovery codes are called among a user's methods.
const recoveryName = "Recovery codes"

// canAddRecovery refuses recovery codes where there is nothing that they would be the fallback of.
func (r *Request) canAddRecovery() error {
	m := &r.ask.Method
	if m.Backup || m.BackupName != "" || m.Serial != "" || m.Name != "" || r.ask.KeyID != "" {
		return badRequest("recovery codes have no name, key or serial number")
	}
	if len(r.methods) == len(method.Of(r.methods, method.TypeRecovery)) {
		return ErrNoCodesAlone
	}
	m.Name = recoveryName
	return nil
}

// addRecovery makes new recovery codes, which take the place of all earlier ones, and hands them to whoever
// began the request.
func (r *Request) addRecovery() (outcome, error) {
	id, err := r.e.newID()
	if err != nil {
		return outcome{}, err
	}
	now := r.e.cfg.Clock.Now().UTC()
	m := method.Method{ID: id, UID: r.user.UID, User: r.user.Name, Type: method.TypeRecovery, Name: method.FreeName(r.methods, recoveryName), Added: now}
	var codes []*secret.Secret
	out, err := r.commit(true, r.afterStepUp(func(tx *store.Tx) error {
		for _, c := range codes {
			c.Wipe() // of a transaction that is run again
		}
		mine, err := method.List(tx, r.user.UID)
		if err != nil {
			return err
		}
		for _, old := range method.Of(mine, method.TypeRecovery) {
			if _, err := method.Remove(tx, r.user.UID, old.ID, true); err != nil {
				return err
			}
			m.Name = old.Name
		}
		if codes, err = recovery.Make(tx, r.user.UID, r.e.cfg.Rand, now); err != nil {
			return err
		}
		m, err = method.Add(tx, m)
		return err
	}), r.entry(Approved, "made new recovery codes"))
	if err != nil {
		for _, c := range codes {
			c.Wipe()
		}
		return outcome{}, err
	}
	r.e.announceMethods(r.user)
	r.yieldTo(Yield{RecoveryCodes: codes})
	m.Left = recovery.Count
	return outcome{view: func(v *View) {
		out.view(v)
		v.Methods = []method.Method{m}
	}}, nil
}

// kindHelpdesk is the log's word for IssueHelpdesk, which is no request.
const kindHelpdesk = "helpdesk-code"

// IssueHelpdesk makes an administrator's one-time code for a user: it adds a method without another
// approval, once, until it expires, and does nothing else. It is root's alone, at the system instance.
func (e *Engine) IssueHelpdesk(ctx context.Context, c caller.Caller, user string, valid time.Duration) (*secret.Secret, recovery.Issued, error) {
	if err := caller.AccessRoot.Check(c, e.instance()); err != nil {
		return nil, recovery.Issued{}, err
	}
	if user == "" {
		return nil, recovery.Issued{}, badRequest("say for whom, with --user")
	}
	who, err := e.byName(ctx, user)
	if err != nil {
		return nil, recovery.Issued{}, err
	}
	var code *secret.Secret
	var issued recovery.Issued
	err = e.noted(ctx, who.uid, func(tx *store.Tx) (err error) {
		code.Wipe() // of a transaction that is run again
		if code, issued, err = recovery.Issue(tx, who.UID, who.Name, c.UID, valid, e.cfg.Rand, e.cfg.Clock.Moment()); err != nil {
			return err
		}
		return e.note(tx, kindHelpdesk, who, c.UID, "issued a one-time code, valid until "+issued.Until.UTC().Format(time.DateTime))
	})
	if err != nil {
		code.Wipe()
		return nil, recovery.Issued{}, err
	}
	return code, issued, nil
}

// helped checks an administrator's one-time code before anything is done with it; it is used up in the
// transaction that stores the method. Wrong ones are counted as any wrong code.
func (r *Request) helped() error {
	now := r.e.cfg.Clock.Moment()
	var refused error
	var done audit.Entry
	err := r.update(func(tx *store.Tx) error {
		done = audit.Entry{}
		if err := lockout.Check(tx, r.user.UID, r.from(), now); err != nil {
			return err
		}
		_, refused = recovery.CheckIssued(tx, r.user.UID, r.user.Name, r.ask.Helpdesk, now)
		if refused == nil || !errors.Is(refused, recovery.ErrWrong) && !errors.Is(refused, recovery.ErrExpired) {
			return refused
		}
		refused = ErrHelpdesk
		locked, err := lockout.Wrong(tx, r.user.UID, r.from(), now)
		if err != nil {
			return err
		}
		if locked != nil {
			refused = locked
		}
		done, err = log(tx, r.entry(wrongCode, refused.Error()))
		return err
	})
	if err != nil {
		return err
	}
	if done.Seq > 0 {
		r.e.logged(done)
	}
	return refused
}

// mayDoWithout reports whether the request needs no approval: root in the system instance, and an
// administrator's one-time code where a method is added.
func (r *Request) mayDoWithout() bool {
	return r.stated() || r.ask.Helpdesk != nil && r.ask.Kind == KindAddMethod
}

// mayBeFirst refuses the first method of a user in the system instance unless somebody vouches for them:
// in a user instance the user could make another instance anyway.
func (r *Request) mayBeFirst() error {
	if len(r.methods) > 0 || !r.e.cfg.System || r.stated() || r.ask.Authorized || r.ask.Helpdesk != nil {
		return nil
	}
	return ErrNotFirst
}

// approved does a change of the user's methods: after the approval that it needs, or without where none is.
func (r *Request) approved(w wanted, done string, apply func(*store.Tx) error) (outcome, error) {
	if r.mayDoWithout() {
		return r.commit(true, r.afterStepUp(apply), r.entry(Approved, done))
	}
	return r.resolve(w, done, apply)
}

// spendHelp uses an administrator's one-time code up, in the transaction that stores the method.
func (r *Request) spendHelp(tx *store.Tx) error {
	if r.ask.Helpdesk == nil {
		return nil
	}
	err := recovery.SpendIssued(tx, r.user.UID, r.user.Name, r.ask.Helpdesk, r.e.cfg.Clock.Moment())
	if errors.Is(err, recovery.ErrWrong) || errors.Is(err, recovery.ErrExpired) {
		return ErrHelpdesk
	}
	return err
}

// codesLeft says how many recovery codes are left, where there are any.
func codesLeft(tx *store.Tx, ms []method.Method) (int, error) {
	at := slices.IndexFunc(ms, func(m method.Method) bool { return m.Type == method.TypeRecovery })
	if at < 0 {
		return 0, nil
	}
	return recovery.Left(tx, ms[at].UID)
}
