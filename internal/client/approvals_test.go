package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
)

func TestApprovals(t *testing.T) {
	ctx := t.Context()
	since := time.Date(2026, 1, 31, 13, 0, 0, 0, time.FixedZone("", 3600))
	for name, tt := range map[string]struct {
		do     func(*Client) (any, error)
		answer string
		asks   string
		gives  string
	}{
		"has an approval remembered": {
			func(c *Client) (any, error) { return nil, c.Remember(ctx, "r1", true) }, `{}`,
			`POST /v1/requests/r1/remember {"remember":true}`, `<nil>`,
		},
		"lists what is remembered for a user": {
			func(c *Client) (any, error) { gs, err := c.Grants(ctx, "bob"); return gs[0].ID, err }, `[{"id":"g1"}]`,
			`GET /v1/grants?user=bob`, `g1`,
		},
		"takes one remembered approval back": {
			func(c *Client) (any, error) { return nil, c.RevokeGrant(ctx, "", "g1") }, `{}`,
			`POST /v1/grants/g1/revoke {}`, `<nil>`,
		},
		"takes all of them back": {
			func(c *Client) (any, error) { return c.RevokeGrants(ctx, "bob") }, `{"grants":3}`,
			`POST /v1/grants/revoke {"user":"bob"}`, `3`,
		},
		"confirms a user's new name": {
			func(c *Client) (any, error) { return nil, c.ConfirmName(ctx, "bob") }, `{}`,
			`POST /v1/confirm-name {"user":"bob"}`, `<nil>`,
		},
		"issues a one-time code, which is not shown by accident": {
			func(c *Client) (any, error) { return c.Helpdesk(ctx, "bob", time.Hour) }, `{"user":"bob","code":"abcd","until":"2026-01-02T03:04:05Z"}`,
			`POST /v1/helpdesk {"user":"bob","valid_s":3600}`, `{bob [secret] 2026-01-02 03:04:05 +0000 UTC}`,
		},
		"reads the policy": {
			func(c *Client) (any, error) { p, err := c.Policy(ctx); return p.Source, err }, `{"tables":[],"source":"/etc/fob/policy.d"}`,
			`GET /v1/policy`, `/etc/fob/policy.d`,
		},
		"asks what holds for a service": {
			func(c *Client) (any, error) { p, err := c.CheckPolicy(ctx, "pam:sudo", "bob"); return p.Require, err }, `{"require":"key"}`,
			`GET /v1/policy/check?service=pam%3Asudo&user=bob`, `key`,
		},
		"asks for the log by everything that it can be asked by": {
			func(c *Client) (any, error) {
				p, err := c.Log(ctx, LogQuery{
					After: 7, Before: 9, Limit: 3, Newest: true, User: "bob", Everybody: true, Request: "r1", Service: "pam:sshd",
					Decision: api.Denied, Kind: api.KindSignIn, Method: "m1", Since: since, Until: since.Add(time.Hour),
				})
				return p.Next, err
			}, `{"entries":[],"more":true,"next":9}`,
			`GET /v1/log?after=7&before=9&decision=denied&everybody=true&kind=sign-in&limit=3&method=m1&newest=true&request=r1&service=pam%3Asshd` +
				`&since=2026-01-31T12%3A00%3A00Z&until=2026-01-31T13%3A00%3A00Z&user=bob`, `9`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked = strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(body))
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, tt.answer)
			})
			got, err := tt.do(c)
			if err != nil || asked != tt.asks || fmt.Sprint(got) != tt.gives {
				t.Errorf("asked %s\n  want %s\ngot %v, %v\n  want %s", asked, tt.asks, got, err, tt.gives)
			}
		})
	}
}

func TestVerifyLog(t *testing.T) {
	const hash = "00ff"
	verify := func(t *testing.T, lines string) (check api.LogCheck, progress string, err error) {
		t.Helper()
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if want := "/v1/log/verify?head=7%3A00ff"; r.RequestURI != want {
				t.Errorf("asked %s, want %s", r.RequestURI, want)
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
			io.WriteString(w, lines)
		})
		check, err = c.VerifyLog(t.Context(), "7:"+hash, func(done, total uint64) { progress += fmt.Sprint(done, "/", total, " ") })
		return check, progress, err
	}
	t.Run("tells how far it is, and the verdict", func(t *testing.T) {
		check, progress, err := verify(t, `{"done":5,"total":9}`+"\n"+`{"end":true,"first":1,"last":9,"signatures":2}`+"\n")
		if err != nil || progress != "5/9 " || check.Last != 9 || check.Signatures != 2 {
			t.Errorf("got %+v, %q, %v", check, progress, err)
		}
	})
	t.Run("gives the first entry that does not hold", func(t *testing.T) {
		check, _, err := verify(t, `{"end":true,"broken_at":4,"reason":"its hash is another"}`+"\n")
		if err != nil || check.BrokenAt != 4 || check.Reason == "" {
			t.Errorf("got %+v, %v", check, err)
		}
	})
	t.Run("gives the daemon's own error", func(t *testing.T) {
		_, _, err := verify(t, `{"end":true,"error":{"code":"log_broken","message":"there is no such head"}}`+"\n")
		if !errors.Is(err, &api.Error{Code: api.CodeLogBroken}) {
			t.Errorf("got %v", err)
		}
	})
	for name, lines := range map[string]string{
		"nothing":                    "",
		"progress alone":             `{"done":5,"total":9}` + "\n",
		"a verdict that breaks off":  `{"end":true,"first":1`,
		"a verdict in a broken line": `{"end":true,"first":1,"last":9}`,
	} {
		t.Run("takes no verdict from "+name, func(t *testing.T) {
			if check, _, err := verify(t, lines); !errors.Is(err, ErrLost) {
				t.Errorf("got %+v, %v", check, err)
			}
		})
	}
	t.Run("ends with its caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			io.WriteString(w, "{\"done\":1,\"total\":2}\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		if _, err := c.VerifyLog(ctx, "", func(uint64, uint64) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
