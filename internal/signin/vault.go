package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// kindRestore is the log's word for Restore, which is no request.
const kindRestore = "restore"

// Vault says how the vault is, and by which slots it can be opened.
func (e *Engine) Vault(_ context.Context, c caller.Caller) (s vault.Status, err error) {
	if err := e.admin(c); err != nil {
		return vault.Status{}, err
	}
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		s, err = e.cfg.Vault.Status(tx)
		return err
	})
	return s, err
}

// unsealed fails with vault.ErrSealed unless the vault is open.
func (e *Engine) unsealed() error {
	_, err := e.cfg.Vault.Sealer(token.Purpose)
	return err
}

// LockVault forgets the vault's key: until it is unlocked, what needs a secret fails with
// vault.ErrSealed. Keys go on working.
func (e *Engine) LockVault(c caller.Caller) error {
	if err := e.admin(c); err != nil {
		return err
	}
	e.cfg.Vault.Lock()
	return nil
}

// UnlockVault opens the vault: by a passphrase or the recovery key, or, with nil, by itself. It takes
// ownership of by.
func (e *Engine) UnlockVault(ctx context.Context, c caller.Caller, by *secret.Secret) error {
	defer by.Wipe()
	if err := e.admin(c); err != nil {
		return err
	}
	if by == nil {
		return e.cfg.Vault.Open(ctx)
	}
	return e.cfg.Vault.Unlock(ctx, by)
}

// canChangeVault refuses a change of slots that makes no sense. Before the first sign-in method there is
// nobody to approve it.
func (r *Request) canChangeVault() error {
	switch a := r.ask.Vault; a.Action {
	case SlotAdd, SlotChange, SlotRemove:
	default:
		return badRequest("there is no change %q of the vault", caller.Clean(string(a.Action)))
	}
	if err := r.e.unsealed(); err != nil {
		return err
	}
	r.ask.Method.Name = r.ask.Vault.Name
	r.stepUpNeed()
	switch a := r.ask.Vault; {
	case a.addsKey():
		return r.canAddKeySlot()
	case a.Verify || a.LockAfter != 0 || r.ask.KeyID != "":
		return badRequest("only a security key is chosen, verifies its user, or locks the vault after a time")
	}
	if len(r.methods) == 0 || r.mayDoWithout() {
		return nil
	}
	return r.canApprove(r.byStrongest())
}

// changeVault adds, changes or removes a slot. What takes long is done before the approval, so that the
// old way in works until the new one is on disk.
func (r *Request) changeVault() (outcome, error) {
	a := r.ask.Vault
	if a.addsKey() {
		return r.addKeySlot()
	}
	defer a.Passphrase.Wipe()
	change, err := r.prepareSlot(a)
	if err != nil {
		return outcome{}, err
	}
	committed := false
	defer func() { change.Done(context.WithoutCancel(r.ctx), committed) }()
	slot := string(change.Slot().Type) + " " + change.Slot().ID
	done := r.slotDone(change.Slot())
	var out outcome
	if len(r.methods) == 0 {
		out, err = r.commit(true, r.afterStepUp(change.Apply), r.entry(Approved, done))
	} else {
		r.touchFor("to approve: %s", r.subject())
		w := r.byStrongest()
		w.about = string(a.Action) + " " + slot
		out, err = r.approved(w, done, change.Apply)
	}
	if err != nil {
		return outcome{}, err
	}
	committed = true
	r.yieldTo(Yield{RecoveryKey: change.Recovery()})
	return out, nil
}

// slotDone is the log's word for what was done to a slot.
func (r *Request) slotDone(s vault.Slot) string {
	done := map[VaultAction]string{SlotAdd: "added", SlotChange: "changed", SlotRemove: "removed"}[r.ask.Vault.Action]
	return fmt.Sprintf("%s a way to open the vault: %s %s", done, s.Type, s.ID)
}

func (r *Request) prepareSlot(a VaultAsk) (*vault.Change, error) {
	v := r.e.cfg.Vault
	switch a.Action {
	case SlotAdd:
		return v.PrepareAdd(r.ctx, vault.SlotSpec{Type: vault.SlotType(a.Type), Name: a.Name, Passphrase: a.Passphrase})
	case SlotChange:
		return v.PrepareChange(r.ctx, a.ID, a.Passphrase)
	default:
		return v.PrepareRemove(r.ctx, a.ID)
	}
}

// Backup is everything that an instance knows, with the key to what is sealed in it.
type Backup struct {
	Made    time.Time
	DataKey *secret.Secret
	store.Copy
}

// backup hands everything to whoever began the request.
func (r *Request) backup() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	out, err := r.approved(r.byStrongest(), "made a backup", nil)
	if err != nil {
		return outcome{}, err
	}
	b := &Backup{Made: r.e.cfg.Clock.Now().UTC()}
	if b.DataKey, err = r.e.cfg.Vault.DataKey(); err == nil {
		b.Copy, err = r.e.cfg.Store.Copy()
	}
	if err != nil {
		return outcome{err: fmt.Errorf("it was approved, but the backup could not be made: %w", err), view: out.view}, nil
	}
	r.yieldTo(Yield{Backup: b})
	return out, nil
}

// Restored says what a restored backup brought.
type Restored struct {
	Made    time.Time
	Methods int
	Tokens  int
	// Accounts is how many accounts for other sites it brought.
	Accounts int
	// CodesEnded is how many recovery codes and one-time codes it brought that count no more.
	CodesEnded int
}

// Restore puts a backup in the place of an empty state, all of it or nothing. Codes of before are not
// accepted again: recovery codes count no more, tokens that count time go on with the next code, those
// that count presses must be brought back into step. It takes ownership of b.
func (e *Engine) Restore(ctx context.Context, c caller.Caller, b *Backup) (Restored, error) {
	defer b.DataKey.Wipe()
	if err := e.admin(c); err != nil {
		return Restored{}, err
	}
	e.restoring.Lock()
	defer e.restoring.Unlock()
	e.mu.Lock()
	pending := len(e.requests)
	e.mu.Unlock()
	if pending > 0 {
		return Restored{}, fmt.Errorf("%w: %d requests are pending", ErrNotEmpty, pending)
	}
	change, err := e.cfg.Vault.PrepareAdopt(ctx, b.DataKey)
	if err != nil {
		return Restored{}, err
	}
	var done Restored
	err = e.cfg.Store.Replace(ctx, b.Copy, e.emptyOnly, func(tx *store.Tx) (err error) {
		done, err = e.settle(tx, c, b, change)
		return err
	})
	change.Done(context.WithoutCancel(ctx), err == nil)
	if err != nil {
		return Restored{}, err
	}
	if !e.cfg.System {
		e.announceMethods(e.cfg.Owner)
	}
	return done, nil
}

// MayRestore fails with ErrNotEmpty where Restore would.
func (e *Engine) MayRestore(c caller.Caller) error {
	if err := e.admin(c); err != nil {
		return err
	}
	return e.cfg.Store.View(e.emptyOnly)
}

// emptyOnly fails where there is something that a backup would replace.
func (e *Engine) emptyOnly(tx *store.Tx) error {
	some, err := method.Any(tx)
	if err != nil {
		return err
	}
	ts, _, err := token.List(tx, token.Query{Limit: 1})
	if err != nil {
		return err
	}
	accounts, err := e.accounts(tx)
	if err == nil && (some || len(ts) > 0 || accounts > 0) {
		err = ErrNotEmpty
	}
	return err
}

// accounts counts the accounts for other sites in the vault.
func (e *Engine) accounts(tx *store.Tx) (int, error) {
	if e.cfg.Accounts == nil {
		return 0, nil
	}
	all, err := e.cfg.Accounts(tx, nil, false)
	return len(all), err
}

// settle makes sure, in the transaction that restores, that all of it can be read, and that nothing of
// it counts for more than it did.
func (e *Engine) settle(tx *store.Tx, c caller.Caller, b *Backup, change *vault.Change) (Restored, error) {
	done := Restored{Made: b.Made}
	now := e.cfg.Clock.Now()
	if now.Before(b.Made) {
		return done, fmt.Errorf("%w: it shows %s, and the backup was made on %s. Set the clock right first",
			clock.ErrBack, now.UTC().Format(time.DateTime), b.Made.UTC().Format(time.DateTime))
	}
	if err := change.Fits(tx); err != nil {
		return done, err
	}
	opens, err := change.Opens(token.Purpose)
	if err != nil {
		return done, err
	}
	if done.Methods, err = e.restoredMethods(tx); err != nil {
		return done, err
	}
	if _, err := grant.Clear(tx); err != nil { // nobody knows what happened since
		return done, err
	}
	if done.CodesEnded, err = recovery.Clear(tx); err != nil { // nor which of them were used
		return done, err
	}
	if _, err := audit.VerifyTx(tx); err != nil {
		return done, fmt.Errorf("%w: %w", store.ErrBadCopy, err)
	}
	err = token.Restore(tx, opens, func(t token.Token) oath.State {
		done.Tokens++
		return oath.Restored(t.Params, t.State, now)
	})
	if err != nil {
		return done, err
	}
	if done.Accounts, err = e.restoredAccounts(tx, change); err != nil {
		return done, err
	}
	if err := change.Apply(tx); err != nil {
		return done, err
	}
	return done, e.note(tx, kindRestore, e.itself(), c.UID, fmt.Sprintf("restored a backup made on %s", b.Made.UTC().Format(time.DateTime)))
}

// restoredMethods counts the methods that a backup brought: those of a user instance must be its owner's.
func (e *Engine) restoredMethods(tx *store.Tx) (int, error) {
	if e.cfg.System {
		return method.Count(tx)
	}
	ms, err := method.OnlyOf(tx, e.cfg.Owner.UID)
	return len(ms), err
}

// restoredAccounts counts the accounts that a backup brought, which the restored vault must be able to open.
func (e *Engine) restoredAccounts(tx *store.Tx, change *vault.Change) (int, error) {
	if e.cfg.Accounts == nil {
		return 0, nil
	}
	if err := e.cfg.AccountsOpen(tx, change.Opens); err != nil {
		return 0, err
	}
	return e.accounts(tx)
}

// lockedOut says for how long codes are refused, for the status; nil if they are not.
func (e *Engine) lockedOut(tx *store.Tx, who Person) error {
	err := lockout.Check(tx, who.UID, lockout.Local, e.cfg.Clock.Moment())
	if err != nil && !errors.Is(err, lockout.ErrLocked) {
		return fmt.Errorf("the count of wrong codes cannot be read: %w", err)
	}
	return err
}
