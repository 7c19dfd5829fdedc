package daemon_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// newAccount is one for the vault.
func newAccount(name string) api.NewAccount {
	return api.NewAccount{
		Issuer: "Site", Name: name, Kind: "totp", Algorithm: "SHA1", Digits: 6, Period: 30,
		Seed: api.Seed("12345678901234567890"), On: []string{api.AccountVault},
	}
}

// inVault are the accounts in the vault: this machine may have a card of its own.
func inVault(found api.Accounts) []api.Account {
	return slices.DeleteFunc(found.Accounts, func(a api.Account) bool { return a.Where != api.AccountVault })
}

// Without a reader, and without the service that has readers, the vault is there.
func TestAccountsWithoutReaders(t *testing.T) {
	i := start(t, "")
	ids, err := i.AddAccount(limit(t), newAccount("me"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := i.Codes(limit(t), "")
	mine := inVault(found)
	if err != nil || len(mine) != 1 || len(mine[0].Code) != 6 {
		t.Fatalf("the codes are %+v, %v", found, err)
	}
	if text := fmt.Sprintf("%+v %v", mine, mine); strings.Contains(text, string(mine[0].Code)) {
		t.Errorf("a code shows in %s", text)
	}
	t.Run("an id that is none is not found", func(t *testing.T) {
		for _, id := range []string{"none", "0123456789abcdef-QQ", "0123456789abcdef-", "0123456789abcdef-!!", "-", "..", strings.Repeat("x", 128), "a b"} {
			for what, err := range map[string]error{
				"code":   errOf(i.Code(limit(t), id, nil)),
				"rename": errOf(i.PatchAccount(limit(t), id, api.AccountPatch{Name: new("x")})),
				"delete": i.DeleteAccount(limit(t), id),
				"unlock": i.UnlockCard(limit(t), id, api.CardUnlock{Password: api.Secret("x")}),
				"reset":  errOf(i.ResetCard(limit(t), id)),
			} {
				if err == nil {
					t.Fatalf("%s of %q went", what, id)
				}
				switch c := codeOf(t, err); c {
				case api.CodeNotFound, api.CodeNoCard, api.CodeNoCardService, api.CodeBadRequest:
				default:
					t.Errorf("%s of %q is %s: %v", what, id, c, err)
				}
			}
		}
	})
	t.Run("of many adds of one name one succeeds", func(t *testing.T) {
		var added atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if _, err := i.AddAccount(limit(t), newAccount("you")); err == nil {
					added.Add(1)
				} else if codeOf(t, err) != api.CodeAccountExists {
					t.Errorf("refused with %v", err)
				}
			})
		}
		all.Wait()
		if added.Load() != 1 {
			t.Errorf("%d were added", added.Load())
		}
	})
	t.Run("what cannot be is refused in words, and nothing is kept of it", func(t *testing.T) {
		for name, edit := range map[string]func(*api.NewAccount){
			"no name": func(n *api.NewAccount) { n.Name = "" }, "0 digits": func(n *api.NewAccount) { n.Digits = 0 },
			"99 digits": func(n *api.NewAccount) { n.Digits = 99 }, "no secret": func(n *api.NewAccount) { n.Seed = nil },
			"a bad period": func(n *api.NewAccount) { n.Period = 1 << 30 }, "4 kB": func(n *api.NewAccount) { n.Name = strings.Repeat("x", 4096) },
			"a control character": func(n *api.NewAccount) { n.Name = "a\x1bb" }, "a bidi character": func(n *api.NewAccount) { n.Name = "a\u202eb" },
			"nowhere": func(n *api.NewAccount) { n.On = nil }, "a path": func(n *api.NewAccount) { n.On = []string{"/dev/hidraw0"} },
		} {
			n := newAccount("other")
			edit(&n)
			if _, err := i.AddAccount(limit(t), n); err == nil || codeOf(t, err) != api.CodeBadRequest {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	found, err = i.Accounts(limit(t), "")
	if mine := inVault(found); err != nil || len(mine) != 2 || mine[0].Code != nil {
		t.Errorf("at the end there are %+v, %v", mine, err)
	}
	if err := i.DeleteAccount(limit(t), ids[0]); err != nil {
		t.Error(err)
	}
	page, err := i.Log(limit(t), client.LogQuery{})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(page)
	for _, want := range []string{"added Site: me (vault)", "showed the code of Site: me", "deleted Site: me"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the log lacks %q: %s", want, text)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }
