package signin

import (
	"context"
	"fmt"
	"iter"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
)

// The log's words for changes of tokens in which nobody need take part.
const (
	kindImport = "import-tokens"
	kindAssign = "assign-token"
	kindRename = "rename-token"
)

// Tokens lists tokens of the registry, those of a user where it is not empty, ascending from the one
// behind q.After on; more says that others follow.
func (e *Engine) Tokens(ctx context.Context, c caller.Caller, user string, q token.Query) (found []token.Token, more bool, err error) {
	if e.admin(c) != nil || user != "" { // who is no administrator sees their own
		owner, err := e.own(ctx, c, user)
		if err != nil && e.admin(c) == nil {
			owner, err = e.byName(ctx, user) // a user instance keeps tokens of others too
		}
		if err != nil {
			return nil, false, err
		}
		q.UID = &owner.UID
	}
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		found, more, err = token.List(tx, q)
		return err
	})
	return found, more, err
}

// Token gives one token, or token.ErrNotFound.
func (e *Engine) Token(_ context.Context, c caller.Caller, serial string) (t token.Token, err error) {
	if err := caller.AccessOwner.Check(c, e.instance()); err != nil {
		return t, err
	}
	err = e.cfg.Store.View(func(tx *store.Tx) (err error) {
		t, err = token.Get(tx, serial)
		return err
	})
	if err == nil && e.admin(c) != nil && (t.Owner == nil || t.Owner.UID != c.UID) {
		return token.Token{}, token.ErrNotFound // others' do not exist
	}
	return t, err
}

// AssignToken gives a token to a user, by login name: the instance's own where it is empty.
func (e *Engine) AssignToken(ctx context.Context, c caller.Caller, serial, user string) (token.Token, error) {
	if err := e.admin(c); err != nil {
		return token.Token{}, err
	}
	if e.cfg.System && user == "" {
		return token.Token{}, badRequest("say to whom the token is given")
	}
	owner, err := e.byName(ctx, user)
	if err != nil {
		return token.Token{}, err
	}
	return e.changeToken(ctx, c, func(tx *store.Tx) (token.Token, error) {
		t, err := token.Assign(tx, serial, token.Owner{UID: owner.UID, User: owner.Name})
		if err != nil {
			return t, err
		}
		return t, e.note(tx, kindAssign, owner, c.UID, fmt.Sprintf("the token %s belongs to %s", t.Serial, owner.Name))
	})
}

// RenameToken gives a token a name for people.
func (e *Engine) RenameToken(ctx context.Context, c caller.Caller, serial, name string) (token.Token, error) {
	if err := e.admin(c); err != nil {
		return token.Token{}, err
	}
	return e.changeToken(ctx, c, func(tx *store.Tx) (token.Token, error) {
		t, err := token.Rename(tx, serial, name)
		if err != nil {
			return t, err
		}
		return t, e.note(tx, kindRename, e.concerned(t), c.UID, fmt.Sprintf("the token %s is called “%s”", t.Serial, t.Title()))
	})
}

// concerned is whose log tells of a change of a token: its owner's, or the instance's own.
func (e *Engine) concerned(t token.Token) Person {
	if t.Owner != nil {
		return Person{UID: t.Owner.UID, Name: t.Owner.User}
	}
	return e.itself()
}

func (e *Engine) changeToken(ctx context.Context, c caller.Caller, change func(*store.Tx) (token.Token, error)) (t token.Token, err error) {
	err = e.noted(ctx, func() uint32 { return e.concerned(t).UID }, func(tx *store.Tx) (err error) {
		t, err = change(tx)
		return err
	})
	return t, err
}

// canChangeToken refuses a change of a token that is not there, and one that would take the last method
// away unless it is forced. What concerns no sign-in method needs no approval.
func (r *Request) canChangeToken() error {
	a := &r.ask.Token
	switch a.Action {
	case TokenUnassign, TokenDisable, TokenEnable, TokenRemove:
	default:
		return badRequest("there is no change %q of a token", caller.Clean(string(a.Action)))
	}
	t, err := r.e.Token(context.Background(), r.caller, a.Serial)
	if err != nil {
		return err
	}
	a.Serial, r.ask.Method.Name = t.Serial, t.Title()
	if a.Action == TokenRemove {
		return t.MayRemove()
	}
	if t.Method == "" {
		return nil
	}
	if a.Action != TokenEnable {
		if err := r.mayTake(t.Method, a.Force); err != nil {
			return err
		}
	}
	r.stepUpNeed()
	if r.mayDoWithout() {
		return nil
	}
	return r.canApprove(r.byStrongest())
}

// tokenDone are the log's words for changes that were made.
var tokenDone = map[TokenAction]string{TokenUnassign: "unassigned", TokenDisable: "disabled", TokenEnable: "enabled", TokenRemove: "removed"}

// changeToken takes a token from its user, disables it, enables it again or removes it. Where it is a sign-in method
// that is a change of the user's methods, and needs a fresh approval.
func (r *Request) changeToken() (outcome, error) {
	a := r.ask.Token
	t, err := r.e.Token(r.ctx, r.caller, a.Serial)
	if err != nil {
		return outcome{}, err
	}
	done := fmt.Sprintf("%s the token %s", tokenDone[a.Action], t.Serial)
	change := func(tx *store.Tx) error {
		now, err := token.Get(tx, t.Serial)
		if err != nil {
			return err
		}
		if now.Method != t.Method {
			return ErrMethodsChanged // it was activated meanwhile
		}
		if a.Action == TokenDisable && now.Method != "" {
			if err := r.leavesOne(tx, now.Method, a.Force); err != nil {
				return err
			}
		}
		switch a.Action {
		case TokenRemove:
			return token.Remove(tx, t.Serial)
		case TokenEnable:
			_, err := token.SetDisabled(tx, t.Serial, false)
			return err
		case TokenDisable:
			if _, err := token.SetDisabled(tx, t.Serial, true); err != nil || now.Method == "" {
				return err
			}
			return r.dropUseless(tx)
		}
		if m, err := r.methodByID(t.Method); err == nil {
			if err := r.dropMethod(tx, m, a.Force); err != nil {
				return err
			}
		}
		_, err = token.Unassign(tx, t.Serial)
		return err
	}
	if t.Method == "" {
		return r.commit(true, change, r.entry(Approved, done))
	}
	r.touchFor("to approve: %s", r.subject())
	w := r.byStrongest()
	w.about = string(a.Action) + " " + t.Serial
	out, err := r.approved(w, done, change)
	if err == nil {
		r.e.announceMethods(r.user)
	}
	return out, err
}

// canExport refuses to hand out seeds where nobody could approve it.
func (r *Request) canExport() error {
	if err := r.e.unsealed(); err != nil {
		return err
	}
	r.stepUpNeed()
	if r.mayDoWithout() {
		return nil
	}
	return r.canApprove(r.byStrongest())
}

// exportTokens hands all tokens with their seeds to whoever began the request.
func (r *Request) exportTokens() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	out, err := r.approved(r.byStrongest(), "handed out all tokens with their seeds", func(*store.Tx) error { return r.e.unsealed() })
	if err == nil {
		r.yieldTo(Yield{Tokens: r.e.exported()})
	}
	return out, err
}

// Exported is a token with what an export needs to bring it elsewhere.
type Exported struct {
	token.Token
	// Seed is the reader's to wipe.
	Seed *secret.Secret
}

// exportPage is how many tokens are read at a time: whoever takes them may be slow, and a commit may
// have to wait for a transaction that reads.
const exportPage = 500

// exported yields all tokens with their seeds.
func (e *Engine) exported() iter.Seq2[Exported, error] {
	return func(yield func(Exported, error) bool) {
		for after, more := "", true; more; {
			page, err := e.exportedPage(after, &more)
			if err != nil {
				yield(Exported{}, err)
				return
			}
			for n, t := range page {
				if after = t.Serial; !yield(t, nil) {
					for _, rest := range page[n+1:] {
						rest.Seed.Wipe()
					}
					return
				}
			}
		}
	}
}

func (e *Engine) exportedPage(after string, more *bool) (page []Exported, err error) {
	seeds, err := e.cfg.Vault.Sealer(token.Purpose)
	if err != nil {
		return nil, err
	}
	err = e.cfg.Store.View(func(tx *store.Tx) error {
		found, others, err := token.List(tx, token.Query{After: after, Limit: exportPage})
		if err != nil {
			return err
		}
		*more = others
		for _, t := range found {
			sealed, err := token.SealedSeed(tx, t.Serial)
			if err != nil {
				return err
			}
			seed, err := seeds.Open(token.Key(t.Serial), sealed)
			if err != nil {
				return fmt.Errorf("token %s: %w", t.Serial, err)
			}
			page = append(page, Exported{Token: t, Seed: seed})
		}
		return nil
	})
	return page, err
}

// Yield is what an approved request gives to whoever began it, and to nobody else: no listing, event or
// log has it. At most one field is set.
type Yield struct {
	// RecoveryKey is a new recovery key of the vault, to be written down.
	RecoveryKey *secret.Secret
	// RecoveryCodes are the user's new recovery codes.
	RecoveryCodes []*secret.Secret
	// Tokens are all tokens with their seeds.
	Tokens iter.Seq2[Exported, error]
	// Accounts are the accounts that were asked for, with their seeds.
	Accounts iter.Seq2[Account, error]
	// Backup is the whole database with the key that opens what is sealed in it.
	Backup *Backup
}

// Yield is what the request gives once it is approved.
func (r *Request) Yield() Yield {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.yield
}

func (r *Request) yieldTo(y Yield) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.yield = y
}
