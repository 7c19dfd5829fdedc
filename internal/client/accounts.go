package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// cardTimeout is how long cards may take: one in use is waited for, and some are slow.
const cardTimeout = 30 * time.Second

// Cards lists the cards that are in a reader.
func (c *Client) Cards(ctx context.Context) ([]api.Card, error) {
	return get[[]api.Card](ctx, c, cardTimeout, "cards")
}

// UnlockCard opens a card by its password, which is the caller's to wipe.
func (c *Client) UnlockCard(ctx context.Context, id string, by api.CardUnlock) error {
	return c.cardAct(ctx, by, id, "unlock")
}

// ForgetCard has the daemon forget what opens a card.
func (c *Client) ForgetCard(ctx context.Context, id string) error {
	return c.cardAct(ctx, nil, id, "forget")
}

// SetCardPassword sets the password of an open card, or takes it away where it is empty. It is the caller's to wipe.
func (c *Client) SetCardPassword(ctx context.Context, id string, password api.Secret) error {
	return c.cardAct(ctx, api.CardPassword{Password: password}, id, "password")
}

// ResetCard removes everything from a card, and gives the id that it has then.
func (c *Client) ResetCard(ctx context.Context, id string) (string, error) {
	r, err := call[api.CardReset](ctx, c, cardTimeout, http.MethodPost, nil, nil, "cards", id, "reset")
	return r.ID, err
}

func (c *Client) cardAct(ctx context.Context, body any, id, act string) error {
	_, err := call[json.RawMessage](ctx, c, cardTimeout, http.MethodPost, nil, body, "cards", id, act)
	return err
}

// Accounts lists the accounts that fit query best (api.CodesQuery), without codes.
func (c *Client) Accounts(ctx context.Context, query string) (api.Accounts, error) {
	var q url.Values
	if query != "" {
		q = url.Values{"query": {query}}
	}
	return call[api.Accounts](ctx, c, cardTimeout, http.MethodGet, q, nil, "accounts")
}

// Codes is Accounts with the codes of the moment, which are the caller's to wipe.
func (c *Client) Codes(ctx context.Context, query string) (api.Accounts, error) {
	return call[api.Accounts](ctx, c, cardTimeout, http.MethodPost, nil, api.CodesQuery{Query: query}, "codes")
}

// Code gives one account's code, the next one for HOTP. touch is called where the key has to be touched. The code is
// the caller's to wipe.
func (c *Client) Code(ctx context.Context, id string, touch func()) (api.Account, error) {
	l, stop, err := c.open(ctx, http.MethodPost, nil, nil, "codes", id)
	if err != nil {
		return api.Account{}, err
	}
	defer stop()
	for {
		line, err := decode[api.CodeLine](l)
		switch {
		case errors.Is(err, io.EOF):
			return api.Account{}, ErrLost
		case err != nil:
			return api.Account{}, err
		case line.Error != nil:
			return api.Account{}, line.Error
		case line.Account != nil:
			return *line.Account, nil
		case line.Touch && touch != nil:
			touch()
		}
	}
}

// AddAccount adds an account everywhere that it names, or nowhere, and gives the ids. The seed is the caller's to wipe.
func (c *Client) AddAccount(ctx context.Context, n api.NewAccount) ([]string, error) {
	a, err := call[api.Added](ctx, c, cardTimeout, http.MethodPost, nil, n, "accounts")
	return a.IDs, err
}

// PatchAccount renames an account or pins it, and gives the id that it has then.
func (c *Client) PatchAccount(ctx context.Context, id string, patch api.AccountPatch) (string, error) {
	r, err := call[api.Renamed](ctx, c, cardTimeout, http.MethodPatch, nil, patch, "accounts", id)
	return r.ID, err
}

// DeleteAccount removes an account for good.
func (c *Client) DeleteAccount(ctx context.Context, id string) error {
	_, err := call[json.RawMessage](ctx, c, cardTimeout, http.MethodPost, nil, nil, "accounts", id, "delete")
	return err
}
