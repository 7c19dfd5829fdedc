package signin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// shelf is accounts in the place of the vault's. The seed of each is "seed of ID".
type shelf struct {
	all   []signin.Account
	seeds int // that were read
}

// shelve puts accounts where the engine finds them. They are changed while it waits for a touch.
func (d *desk) shelve(all ...signin.Account) *shelf {
	d.t.Helper()
	s := &shelf{all: all}
	d.config.Accounts = func(_ *store.Tx, ids []string, seeds bool) (out []signin.Account, err error) {
		if len(ids) == 0 {
			for _, a := range s.all {
				ids = append(ids, a.ID)
			}
		}
		for _, id := range ids {
			i := slices.IndexFunc(s.all, func(a signin.Account) bool { return a.ID == id })
			if i < 0 {
				return nil, account.ErrNotFound
			}
			a := s.all[i]
			if seeds {
				if _, err := d.config.Vault.Sealer(account.Purpose); err != nil {
					return nil, err
				}
				a.Seed = secret.New([]byte("seed of " + id))
				s.seeds++
			}
			out = append(out, a)
		}
		return out, nil
	}
	d.anew()
	return s
}

// taken reads what a request gives: "ID=SEED", and the error at its end.
func taken(r *signin.Request) (got []string, err error) {
	for a, err := range r.Yield().Accounts {
		if err != nil {
			return got, err
		}
		got = append(got, a.ID+"="+string(a.Seed.Reveal()))
		a.Seed.Wipe()
	}
	return got, nil
}

func TestExportAccounts(t *testing.T) {
	k := newFakeKey("k1")
	three := []signin.Account{{ID: "a", Issuer: "Site", Name: "me"}, {ID: "b", Name: "you"}, {ID: "c", Issuer: "Other", Name: "they"}}
	sit(t, func(t *testing.T, d *desk) {
		ask := func(ids ...string) signin.Ask {
			return signin.Ask{Kind: signin.KindExportAccounts, Accounts: signin.AccountsAsk{IDs: ids}}
		}
		refused := func(a signin.Ask, want error) {
			t.Helper()
			if _, err := d.Begin(t.Context(), d.me, a); !errors.Is(err, want) {
				t.Errorf("%+v: %v, not %v", a, err, want)
			}
		}
		refused(ask(), signin.ErrNoAccounts)
		s := d.shelve()
		refused(ask(), signin.ErrNoAccounts)
		s.all = slices.Clone(three)
		refused(ask(), signin.ErrNoMethod)
		d.enrol(k, nil)
		refused(ask("z"), account.ErrNotFound)
		refused(ask("a", "b", "a"), signin.ErrBadRequest)
		if _, err := d.Begin(t.Context(), caller.Caller{UID: uid + 1, Door: caller.DoorSocket}, ask()); !errors.Is(err, caller.ErrForbidden) {
			t.Errorf("another user: %v", err)
		}

		// Those that were named, once it was approved.
		r := d.ask(ask("c", "a"))
		<-k.blinks
		if v := r.View(); !strings.Contains(v.Progress, "export of 2 accounts of the vault with their secrets for alice") {
			t.Errorf("it says %q", v.Progress)
		}
		if r.Yield().Accounts != nil || s.seeds > 0 {
			t.Error("secrets before the approval")
		}
		k.touches <- struct{}{}
		v := d.wants(r, signin.Approved)
		if s.seeds > 0 {
			t.Error("secrets were read before anybody takes them")
		}
		if got, err := taken(r); err != nil || !slices.Equal(got, []string{"c=seed of c", "a=seed of a"}) {
			t.Errorf("got %q, %v", got, err)
		}
		e := d.log()[v.LogSeq-1]
		if e.Kind != "export-accounts" || e.Receipt == nil || e.Reason != "handed out 2 accounts of the vault with their secrets: “Other: they”, “Site: me”" {
			t.Errorf("the log says %+v", e)
		}

		// All of them, and one by its name.
		r = d.ask(ask())
		d.touch(k)
		d.wants(r, signin.Approved)
		if got, err := taken(r); err != nil || len(got) != 3 {
			t.Errorf("got %q, %v", got, err)
		}
		r = d.ask(ask("b"))
		<-k.blinks
		if v := r.View(); !strings.Contains(v.Progress, "export of the account “you” with its secret") {
			t.Errorf("it says %q", v.Progress)
		}

		// Nothing after a denial, nor of accounts that are others by then.
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if r.Yield().Accounts != nil {
			t.Error("secrets after a denial")
		}
		time.Sleep(time.Hour) // whoever was denied waits
		for name, change := range map[string]func(){
			"renamed": func() { s.all[0].Name = "somebody else" }, "gone": func() { s.all = s.all[1:] },
		} {
			for _, late := range []bool{false, true} {
				s.all = slices.Clone(three)
				r = d.ask(ask())
				<-k.blinks
				if !late {
					change()
				}
				k.touches <- struct{}{}
				v := d.end(r)
				if late {
					change()
					if got, err := taken(r); err == nil || len(got) > 0 {
						t.Errorf("%s after the approval: %q, %v", name, got, err)
					}
				} else if v.Decision != signin.Cancelled || r.Yield().Accounts != nil || v.Err == nil {
					t.Errorf("%s: it ends %+v", name, v)
				}
			}
		}

		// A vault that is sealed gives nothing.
		s.all = slices.Clone(three)
		r = d.ask(ask())
		d.touch(k)
		d.wants(r, signin.Approved)
		if err := d.LockVault(d.me); err != nil {
			t.Fatal(err)
		}
		if got, err := taken(r); !errors.Is(err, vault.ErrSealed) || len(got) > 0 {
			t.Errorf("sealed after the approval: %q, %v", got, err)
		}
		refused(ask(), vault.ErrSealed)
	}, k)
}

// Every account that is handed out is named in the log, however many there are.
func TestExportOfManyAccountsIsLoggedWhole(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		var all []signin.Account
		for i := range account.Max {
			all = append(all, signin.Account{ID: fmt.Sprint(i), Issuer: strings.Repeat("字", 60), Name: fmt.Sprintf("%04d%s", i, strings.Repeat("界", 60))})
		}
		d.shelve(all...)
		d.enrol(k, nil)
		before := len(d.log())
		r := d.ask(signin.Ask{Kind: signin.KindExportAccounts})
		d.touch(k)
		v := d.wants(r, signin.Approved)
		page, err := d.Log(t.Context(), d.me, signin.LogQuery{After: uint64(before), Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, e := range page.Entries {
			if e.Kind != "export-accounts" || len(e.Reason) > audit.MaxText || !strings.HasPrefix(e.Reason, "handed out 1000 accounts of the vault with their secrets: “") {
				t.Errorf("the log says %+v", e)
			}
			text += e.Reason
		}
		for i := range all {
			if !strings.Contains(text, fmt.Sprintf("%04d界", i)) {
				t.Fatalf("the log does not name account %d", i)
			}
		}
		if last := page.Entries[len(page.Entries)-1]; last.Seq != v.LogSeq || last.Receipt == nil {
			t.Errorf("the last is %+v", last)
		}
		if got, err := taken(r); err != nil || len(got) != len(all) {
			t.Errorf("%d are handed out, %v", len(got), err)
		}
	}, k)
}
