package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fobproject/fob/internal/api"
)

// tokenPage is how many tokens Tokens asks for at once: as many as the daemon gives.
const tokenPage = 1000

// TokenQuery says which tokens of the registry are wanted. The zero value asks for the first ones.
type TokenQuery struct {
	After string // only tokens behind this serial number
	Limit int    // at most so many; 0: as many as the daemon gives at once
	User  string // this user's alone, by login name
}

// TokenPage reads a page of the registry, ascending by serial number.
func (c *Client) TokenPage(ctx context.Context, q TokenQuery) (api.TokenPage, error) {
	query := url.Values{}
	if q.After != "" {
		query.Set("after", q.After)
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.User != "" {
		query.Set("user", q.User)
	}
	return call[api.TokenPage](ctx, c, callTimeout, http.MethodGet, query, nil, "tokens")
}

// Tokens gives the whole registry, page by page, ascending by serial number; with user that user's
// tokens alone. An error is the last thing that it gives.
func (c *Client) Tokens(ctx context.Context, user string) iter.Seq2[api.Token, error] {
	return func(yield func(api.Token, error) bool) {
		q := TokenQuery{Limit: tokenPage, User: user}
		for {
			page, err := c.TokenPage(ctx, q)
			if err != nil {
				yield(api.Token{}, err)
				return
			}
			for _, t := range page.Tokens {
				if !yield(t, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			n := len(page.Tokens)
			if n == 0 || page.Tokens[n-1].Serial == q.After {
				yield(api.Token{}, fmt.Errorf("%w (a page that leads nowhere)", ErrBadAnswer))
				return
			}
			q.After = page.Tokens[n-1].Serial
		}
	}
}

// Token is one token of the registry.
func (c *Client) Token(ctx context.Context, serial string) (api.Token, error) {
	return get[api.Token](ctx, c, callTimeout, "tokens", serial)
}

// PatchToken names a token or gives it to a user, and answers what it is then.
func (c *Client) PatchToken(ctx context.Context, serial string, patch api.TokenPatch) (api.Token, error) {
	return call[api.Token](ctx, c, callTimeout, http.MethodPatch, nil, patch, "tokens", serial)
}

// Import is a set of tokens on its way into the registry. Nothing is imported before Commit. It is for
// one goroutine, and ends with Commit or Abort.
type Import struct{ up *upload }

// Import begins an import. The tokens may take as long as they like to come; ending ctx breaks it off.
func (c *Client) Import(ctx context.Context, options api.ImportOptions) (*Import, error) {
	up, err := c.upload(ctx, "tokens")
	if err != nil {
		return nil, err
	}
	i := &Import{up}
	if err := up.first(api.ImportLine{Options: &options}); err != nil {
		return nil, i.refused(err)
	}
	return i, nil
}

// Add passes on a token, and wipes its seed. Where the daemon has refused the import meanwhile it fails
// with the daemon's error, and the import is over.
func (i *Import) Add(t api.TokenSeed) error {
	defer t.Seed.Wipe()
	return i.refused(i.up.line(api.ImportLine{Token: &t}))
}

// refused is err, or, where the daemon answered before it was asked to, what it answered.
func (i *Import) refused(err error) error {
	early, ok := errors.AsType[*earlyReply](err)
	if !ok {
		return err
	}
	report, err := importReport(early.reply)
	switch {
	case err != nil:
		return err
	case report.Error != nil:
		return report.Error
	default:
		return fmt.Errorf("%w (an import that ended before its end)", ErrBadAnswer)
	}
}

// Commit has everything imported that was added, and gives the daemon's report. Report.Error is set where
// nothing was imported because of what the report says. Where the answer does not come it is not known
// whether anything was imported: then the error is ErrLost.
func (i *Import) Commit() (api.ImportReport, error) {
	reply, err := i.up.commit(api.ImportLine{Commit: true})
	if err != nil {
		return api.ImportReport{}, err
	}
	return importReport(reply)
}

// Abort ends the import; nothing is imported unless Commit was called.
func (i *Import) Abort() { i.up.abort() }

// importReport reads an answer. A report that says why nothing was imported has the form of an error.
func importReport(r reply) (api.ImportReport, error) {
	if r.status != http.StatusUnprocessableEntity {
		return decodeReply[api.ImportReport](r)
	}
	r.status = http.StatusOK
	report, err := decodeReply[api.ImportReport](r)
	if err == nil && report.Error == nil {
		err = fmt.Errorf("%w (HTTP status %d)", ErrBadAnswer, http.StatusUnprocessableEntity)
	}
	return report, err
}
