package wire

import (
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
)

// Cards are cards as they travel.
func (e *Errors) Cards(all []codes.Card) []api.Card {
	out := make([]api.Card, len(all))
	for i, c := range all {
		out[i] = api.Card{
			ID: string(c.ID), Reader: claim(c.Reader).String(), Version: c.Version, Slots: c.Slots, Accounts: len(c.Accounts),
			Password: c.Password, Open: c.Open, Remembered: c.Remembered, Problem: e.Of(c.Why()),
		}
	}
	return out
}

// Readers are readers as they travel.
func (e *Errors) Readers(v card.View) *api.Readers {
	out := &api.Readers{Readers: make([]api.Reader, len(v.Readers)), Problem: e.Of(v.Err)}
	for i, r := range v.Readers {
		out.Readers[i] = api.Reader{Reader: claim(r.Name).String(), Card: r.Card, Mute: r.Mute, Exclusive: r.Exclusive}
	}
	return out
}

// Accounts are accounts as they travel. The codes are not copied.
func (e *Errors) Accounts(l codes.Listing) api.Accounts {
	out := api.Accounts{Accounts: make([]api.Account, len(l.Accounts))}
	for i, a := range l.Accounts {
		out.Accounts[i] = Account(a)
	}
	for _, p := range l.Problems {
		out.Problems = append(out.Problems, *e.Of(p))
	}
	return out
}

// Account is an account as it travels. Its code is not copied.
func Account(a codes.Account) api.Account {
	out := api.Account{
		ID: a.ID, Where: a.Where, Reader: claim(a.Reader).String(), Issuer: claim(a.Issuer).String(), Name: claim(a.Name).String(),
		Kind: string(a.Kind), Period: a.Period, Touch: a.Touch, Pinned: a.Pinned, Code: a.Code.Reveal(),
	}
	if !a.Until.IsZero() {
		until := a.Until.UTC()
		out.Until = &until
	}
	return out
}

// AccountSeed is an account with its seed as it leaves. The seed is not copied.
func AccountSeed(a signin.Account) *api.AccountSeed {
	return &api.AccountSeed{
		Issuer: a.Issuer, Name: a.Name, Kind: string(a.Kind), Algorithm: string(a.Algorithm), Digits: a.Digits, Period: a.Period,
		Counter: a.Counter, Seed: a.Seed.Reveal(),
	}
}

// NewAccount reads an account that comes in. The seed's bytes move into it.
func NewAccount(n api.NewAccount) codes.New {
	return codes.New{
		Issuer: n.Issuer, Name: n.Name, Touch: n.Touch, Counter: n.Counter, Seed: secret.New(n.Seed),
		Params: oath.Params{Kind: oath.Kind(n.Kind), Algorithm: oath.Algorithm(n.Algorithm), Digits: n.Digits, Period: n.Period},
	}
}
