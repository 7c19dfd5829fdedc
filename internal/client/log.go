package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// LogQuery says which entries of the log are wanted. The zero value asks for the caller's oldest ones.
type LogQuery struct {
	After  uint64 // entries with a larger number; 0: from the first
	Before uint64 // entries with a smaller number; 0: to the last
	Limit  int    // at most so many; 0: as many as the daemon gives at once
	Newest bool   // the last Limit entries instead of the first

	User      string // whose entries, for root; the caller's own if empty
	Everybody bool   // those of all users, for administrators
	Request   string // entries of this request only, and so on
	Service   string // its full name, or NAME alone for all "app:UID:NAME" and "pam:NAME"
	Decision  string
	Kind      string
	Method    string    // a method's id
	Since     time.Time // from then on; zero: from the first
	Until     time.Time // before then; zero: to the last
}

func (q LogQuery) values() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{
		"user": q.User, "request": q.Request, "service": q.Service, "decision": q.Decision, "kind": q.Kind, "method": q.Method,
	} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, seq := range map[string]uint64{"after": q.After, "before": q.Before} {
		if seq > 0 {
			v.Set(name, strconv.FormatUint(seq, 10))
		}
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	for name, on := range map[string]bool{"newest": q.Newest, "everybody": q.Everybody} {
		if on {
			v.Set(name, "true")
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Log reads a page of the log, oldest entry first. A page may be empty although More is set: then the
// entries that were looked at are not among those asked for, and Next says where to go on.
func (c *Client) Log(ctx context.Context, q LogQuery) (api.LogPage, error) {
	return call[api.LogPage](ctx, c, callTimeout, http.MethodGet, q.values(), nil, "log")
}

// Receipts reads the log entries of a request with their receipts.
func (c *Client) Receipts(ctx context.Context, request string) (api.LogPage, error) {
	return get[api.LogPage](ctx, c, callTimeout, "receipts", request)
}

// VerifyLog has the daemon check the whole log: its chain, all its signatures, and, unless head is empty,
// that a head which was noted elsewhere is in it: the hash of an entry, or its number, a colon and the hash.
// progress, which may be nil, is told how far the check is. The answer's BrokenAt and Reason say what does not
// hold; where there was no verdict it fails with the daemon's error, or with ErrLost.
func (c *Client) VerifyLog(ctx context.Context, head string, progress func(done, total uint64)) (api.LogCheck, error) {
	query := url.Values{}
	if head != "" {
		query.Set("head", head)
	}
	l, stop, err := c.open(ctx, http.MethodGet, query, nil, "log", "verify")
	if err != nil {
		return api.LogCheck{}, err
	}
	defer stop()
	for {
		check, err := decode[api.LogCheck](l)
		switch {
		case ctx.Err() != nil:
			return api.LogCheck{}, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return api.LogCheck{}, errNoVerdict
		case err != nil:
			return api.LogCheck{}, err
		case check.Error != nil:
			return api.LogCheck{}, check.Error
		case check.End:
			return check, nil
		case progress != nil:
			progress(check.Done, check.Total)
		}
	}
}

// errNoVerdict says that a check of the log ended before its end.
var errNoVerdict = &lostError{"the daemon went away in the middle: it is not known whether the log holds"}
