package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// Grants lists a user's remembered approvals, the newest first; the caller's own if user is empty.
func (c *Client) Grants(ctx context.Context, user string) ([]api.Grant, error) {
	return call[[]api.Grant](ctx, c, callTimeout, http.MethodGet, forUser(user), nil, "grants")
}

// RevokeGrant takes one of a user's remembered approvals back.
func (c *Client) RevokeGrant(ctx context.Context, user, id string) error {
	_, err := call[json.RawMessage](ctx, c, callTimeout, http.MethodPost, nil, api.ForUser{User: user}, "grants", id, "revoke")
	return err
}

// RevokeGrants takes all of a user's remembered approvals back, and says how many there were.
func (c *Client) RevokeGrants(ctx context.Context, user string) (int, error) {
	revoked, err := call[api.Revoked](ctx, c, callTimeout, http.MethodPost, nil, api.ForUser{User: user}, "grants", "revoke")
	return revoked.Grants, err
}

// ConfirmName lets a user's methods be used again after the user id was given another name. It is root's
// alone, at a system instance.
func (c *Client) ConfirmName(ctx context.Context, user string) error {
	_, err := call[json.RawMessage](ctx, c, callTimeout, http.MethodPost, nil, api.ForUser{User: user}, "confirm-name")
	return err
}

// Helpdesk issues an administrator's one-time code for a user, valid for one minute to 24 hours in whole
// seconds. The code is told once, and is the caller's to wipe. It is root's alone, at a system instance.
func (c *Client) Helpdesk(ctx context.Context, user string, valid time.Duration) (api.HelpdeskCode, error) {
	return call[api.HelpdeskCode](ctx, c, callTimeout, http.MethodPost, nil, api.HelpdeskIssue{User: user, ValidS: int64(valid / time.Second)}, "helpdesk")
}

// Policy is the policy in force.
func (c *Client) Policy(ctx context.Context) (api.Policy, error) {
	return get[api.Policy](ctx, c, callTimeout, "policy")
}

// CheckPolicy says what holds for a service and a user, and why; for the caller if user is empty.
func (c *Client) CheckPolicy(ctx context.Context, service, user string) (api.PolicyCheck, error) {
	query := forUser(user)
	query.Set("service", service)
	return call[api.PolicyCheck](ctx, c, callTimeout, http.MethodGet, query, nil, "policy", "check")
}
