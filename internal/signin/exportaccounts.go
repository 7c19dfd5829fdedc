package signin

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// What becomes of an export of accounts, besides the errors of Config.Accounts.
var (
	ErrNoAccounts      = errors.New("the vault has no accounts to export, and those on cards stay there: a card does not give its secrets away")
	ErrAccountsChanged = errors.New("the accounts were changed meanwhile: nothing more was handed out, begin again")
)

// Account is an account of the vault with what an export needs to bring it elsewhere.
type Account struct {
	ID     string
	Issuer string
	Name   string
	oath.Params
	Counter uint64 // HOTP: of the next code
	// Seed is the reader's to wipe; nil where it was not asked for.
	Seed *secret.Secret
}

func (a Account) title() string {
	if a.Issuer == "" {
		return caller.Clean(a.Name).String()
	}
	return caller.Clean(a.Issuer).String() + ": " + caller.Clean(a.Name).String()
}

// AccountsAsk says which accounts of the vault an export-accounts request hands out: all of them where IDs is
// empty.
type AccountsAsk struct {
	IDs    []string
	titles []string // theirs, when the request began
}

// canExportAccounts refuses to hand out accounts that are not there, or that nobody could approve. What is handed
// out is what was there then: that is what the person reads.
func (r *Request) canExportAccounts() error {
	if r.e.cfg.Accounts == nil {
		return ErrNoAccounts
	}
	var all []Account
	err := r.e.cfg.Store.View(func(tx *store.Tx) (err error) {
		all, err = r.e.cfg.Accounts(tx, r.ask.Accounts.IDs, false)
		return err
	})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return ErrNoAccounts
	}
	was := AccountsAsk{}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.ID] {
			return badRequest("an account is named twice")
		}
		seen[a.ID] = true
		was.IDs, was.titles = append(was.IDs, a.ID), append(was.titles, a.title())
	}
	r.ask.Accounts = was
	return r.canExport()
}

// exportAccounts hands accounts with their secrets to whoever began the request.
func (r *Request) exportAccounts() (outcome, error) {
	r.touchFor("to approve: %s", r.subject())
	w := r.byStrongest()
	w.about = accountsText(len(r.ask.Accounts.IDs))
	lines := exportLines(r.ask.Accounts.titles)
	more, last := lines[:len(lines)-1], lines[len(lines)-1]
	out, err := r.approved(w, last, func(tx *store.Tx) error {
		if err := r.e.unsealed(); err != nil {
			return err
		}
		for i := range r.ask.Accounts.IDs {
			if _, err := r.exportedAccount(tx, i, false); err != nil {
				return err
			}
		}
		for _, line := range more {
			if err := r.e.note(tx, string(KindExportAccounts), r.user, r.caller.UID, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		r.yieldTo(Yield{Accounts: r.exportedAccounts()})
	}
	return out, err
}

// exportedAccounts yields the accounts with their seeds, which are read one by one.
func (r *Request) exportedAccounts() iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for i := range r.ask.Accounts.IDs {
			var a Account
			err := r.e.cfg.Store.View(func(tx *store.Tx) (err error) {
				a, err = r.exportedAccount(tx, i, true)
				return err
			})
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// exportedAccount reads the i-th account, which must be what it was when the request began.
func (r *Request) exportedAccount(tx *store.Tx, i int, seed bool) (Account, error) {
	found, err := r.e.cfg.Accounts(tx, r.ask.Accounts.IDs[i:i+1], seed)
	if err != nil {
		return Account{}, err
	}
	if len(found) != 1 || found[0].title() != r.ask.Accounts.titles[i] {
		for _, a := range found {
			a.Seed.Wipe()
		}
		return Account{}, ErrAccountsChanged
	}
	return found[0], nil
}

func accountsText(n int) string {
	if n == 1 {
		return "1 account of the vault"
	}
	return fmt.Sprintf("%d accounts of the vault", n)
}

// exportSubject is what the person approves.
func exportSubject(a AccountsAsk) string {
	if len(a.titles) == 1 {
		return fmt.Sprintf("export of the account “%s” with its secret", a.titles[0])
	}
	return fmt.Sprintf("export of %s with their secrets", accountsText(len(a.titles)))
}

// maxExportLine bounds in bytes what an entry of the log says of the accounts: less than audit.MaxText.
const maxExportLine = 3 << 10

// exportLines names the accounts for the log, in as many entries as that takes. The last is the approval's own.
func exportLines(titles []string) (lines []string) {
	head := "handed out " + accountsText(len(titles)) + " with their secrets: "
	if len(titles) == 1 {
		head = "handed out 1 account of the vault with its secret: "
	}
	line := head
	for _, t := range titles {
		if len(line)+len(t) > maxExportLine {
			lines = append(lines, strings.TrimSuffix(line, ", ")+" (goes on)")
			line = head
		}
		line += "“" + t + "”, "
	}
	return append(lines, strings.TrimSuffix(line, ", "))
}
