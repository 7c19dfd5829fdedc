// Package client talks to fobd over its Unix socket: the one typed client that fob, the tray, the
// window and fob-pam share. It decides which daemon is meant and whether it may be believed.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// How long things may take. A key that is asked for its info may be busy elsewhere for a while; a
// passphrase is slow to check by design, and a keyring may ask a person before it opens.
const (
	connectTimeout = 2 * time.Second
	callTimeout    = 10 * time.Second
	keyTimeout     = 60 * time.Second
	unlockTimeout  = 60 * time.Second
	commitTimeout  = 120 * time.Second
)

// Bounds of what is read, in bytes.
const (
	maxLine  = 1 << 20
	maxBody  = 16 << 20
	maxError = 64 << 10
)

// Client calls one daemon. It connects when it is first used, checks at each connection who runs the
// daemon, and is safe for concurrent use. Calls fail with an *api.Error where the daemon refused, and
// otherwise with one of this package's errors.
type Client struct {
	cfg  Config
	path string
	http *http.Client
}

// New finds the daemon's socket as Config.Locate does; it does not connect yet.
func New(cfg Config) (*Client, error) {
	path, err := cfg.Locate()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, path: path}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
			DisableCompression: true,
			MaxIdleConns:       2,
			IdleConnTimeout:    30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Path is the socket that the client uses.
func (c *Client) Path() string { return c.path }

// Close drops idle connections; running calls go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// dial connects and turns away a daemon that runs as a stranger.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if err := c.cfg.checkFile(c.path); err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "unix", c.path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("%w: %s is another user's: permission denied", ErrUntrusted, c.path)
		}
		return nil, c.cfg.noDaemon(c.path, reason(err))
	}
	if err := c.checkPeer(conn.(*net.UnixConn)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkPeer asks the kernel who listens at the other end.
func (c *Client) checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if credErr != nil {
		return fmt.Errorf("%w: cannot tell who listens at %s: %w", ErrUntrusted, c.path, credErr)
	}
	if !c.cfg.trusts(cred.Uid) {
		return fmt.Errorf("%w: what listens at %s runs as uid %d, which is neither you, root nor %s",
			ErrUntrusted, c.path, cred.Uid, SystemUser)
	}
	return nil
}

// Status is the daemon's own account of itself.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return get[api.Status](ctx, c, callTimeout, "status")
}

// Keys lists the keys that are plugged in.
func (c *Client) Keys(ctx context.Context) ([]api.Key, error) {
	return get[[]api.Key](ctx, c, callTimeout, "keys")
}

// KeyInfo asks a key what it is; it may take as long as the key is busy.
func (c *Client) KeyInfo(ctx context.Context, id string) (api.KeyInfo, error) {
	return get[api.KeyInfo](ctx, c, keyTimeout, "keys", id)
}

// Methods lists a user's sign-in methods; the caller's own if user is empty.
func (c *Client) Methods(ctx context.Context, user string) ([]api.Method, error) {
	return call[[]api.Method](ctx, c, callTimeout, http.MethodGet, forUser(user), nil, "methods")
}

// PatchMethod renames a method or makes it the default, and answers what it is then.
func (c *Client) PatchMethod(ctx context.Context, id string, patch api.MethodPatch) (api.Method, error) {
	return call[api.Method](ctx, c, callTimeout, http.MethodPatch, nil, patch, "methods", id)
}

// Requests lists the pending requests.
func (c *Client) Requests(ctx context.Context) ([]api.RequestState, error) {
	return get[[]api.RequestState](ctx, c, callTimeout, "requests")
}

// Request is one request; also, for a while, one that was decided.
func (c *Client) Request(ctx context.Context, id string) (api.RequestState, error) {
	return get[api.RequestState](ctx, c, callTimeout, "requests", id)
}

// Answer answers a prompt. The PIN or code in it is the caller's to wipe.
func (c *Client) Answer(ctx context.Context, id string, answer api.Answer) error {
	return c.post(ctx, id, "answer", answer)
}

// Pick makes a pending request the one for which its keys blink.
func (c *Client) Pick(ctx context.Context, id string) error { return c.post(ctx, id, "pick", nil) }

// Deny ends a pending request as denied.
func (c *Client) Deny(ctx context.Context, id string) error { return c.post(ctx, id, "deny", nil) }

// Report ends a pending request as denied, and reports that the user did not begin it.
func (c *Client) Report(ctx context.Context, id string) error { return c.post(ctx, id, "report", nil) }

// Cancel takes a pending request back.
func (c *Client) Cancel(ctx context.Context, id string) error { return c.post(ctx, id, "cancel", nil) }

// Remember says whether the approval of a pending request is to be remembered. Where policy does not let
// it be it fails with api.CodeNotRemembered.
func (c *Client) Remember(ctx context.Context, id string, on bool) error {
	return c.post(ctx, id, "remember", api.Remember{Remember: on})
}

func (c *Client) post(ctx context.Context, id, verb string, body any) error {
	_, err := call[json.RawMessage](ctx, c, callTimeout, http.MethodPost, nil, body, "requests", id, verb)
	return err
}

// forUser is the query that asks for what is a user's; the caller's own if user is empty.
func forUser(user string) url.Values {
	query := url.Values{}
	if user != "" {
		query.Set("user", user)
	}
	return query
}

func get[T any](ctx context.Context, c *Client, timeout time.Duration, path ...string) (T, error) {
	return call[T](ctx, c, timeout, http.MethodGet, nil, nil, path...)
}

// call does one round trip and decodes the answer; a T of json.RawMessage takes an empty one too.
func call[T any](ctx context.Context, c *Client, timeout time.Duration, verb string, query url.Values, body any, path ...string) (T, error) {
	var answer T
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, c.cfg.noDaemon(c.path, fmt.Sprintf("it said nothing for %v", timeout)))
	defer cancel()
	resp, err := c.do(ctx, verb, query, body, path...)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return answer, c.broken(ctx, err)
	case len(data) > maxBody:
		return answer, fmt.Errorf("%w (more than %d bytes)", ErrBadAnswer, maxBody)
	}
	if raw, ok := any(&answer).(*json.RawMessage); ok {
		*raw = data
		return answer, nil
	}
	if err := checkType(resp.Header, "application/json"); err != nil {
		return answer, err
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, fmt.Errorf("%w (%w)", ErrBadAnswer, err)
	}
	return answer, nil
}

// do sends a request and gives a response that is a success.
func (c *Client) do(ctx context.Context, verb string, query url.Values, body any, path ...string) (*http.Response, error) {
	u, err := address(path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = query.Encode()
	var payload []byte
	var content io.Reader
	if body != nil {
		if payload, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("cannot write the request: %w", err)
		}
		defer clear(payload) // it may hold a PIN; the transport is done with it when Do returns
		content = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, verb, u.String(), content)
	if err != nil {
		return nil, fmt.Errorf("cannot write the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// address is the route of a path's elements.
func address(path []string) (*url.URL, error) {
	u := &url.URL{Scheme: "http", Host: "fob", Path: "/"}
	u = u.JoinPath(api.Version)
	for _, element := range path {
		// JoinPath would clean "." and ".." away: what a person typed stays one element.
		if element == "" || element == "." || element == ".." {
			return nil, api.Errorf(api.CodeBadRequest, "%q is no id", element)
		}
		u = u.JoinPath(url.PathEscape(element))
	}
	return u, nil
}

// broken turns a failure of the transport into one of this package's errors.
func (c *Client) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrNoDaemon), errors.Is(err, ErrUntrusted):
		// Do wraps in "Get "http://fob/v1/status"", which says nothing to a person.
		if e, ok := errors.AsType[*url.Error](err); ok {
			return e.Err
		}
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return c.cfg.noDaemon(c.path, "the connection broke off")
	default:
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fmt.Errorf("%w (%w)", ErrBadAnswer, err)
	}
}

// readError reads the error that came in place of an answer.
func readError(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		data = nil
	}
	return errorIn(resp.StatusCode, data)
}

// errorIn is the error in the body of an answer that is no success.
func errorIn(status int, data []byte) error {
	var body api.ErrorBody
	if json.Unmarshal(data, &body) != nil || body.Error == nil || body.Error.Code == "" {
		return fmt.Errorf("%w (HTTP status %d)", ErrBadAnswer, status)
	}
	return body.Error
}

func checkType(h http.Header, want string) error {
	if got, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || got != want {
		return fmt.Errorf("%w (it is %.40q, not %s)", ErrBadAnswer, h.Get("Content-Type"), want)
	}
	return nil
}
