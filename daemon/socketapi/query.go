package socketapi

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/signin"
)

type wireMethod = method.Method

// act runs one of the engine's calls that take a request's id and no body.
func (c *call) act(do func(c caller.Caller, id string) error) {
	if !c.noBody() {
		return
	}
	if id, ok := c.id("request"); ok {
		c.done(do(c.who, id))
	}
}

// query reads the query string, in which only the fields allowed may stand, once each. It answers and
// reports false where that fails.
func (c *call) query(allowed ...string) (map[string]string, bool) {
	q, err := parseQuery(c.r.URL.RawQuery, allowed)
	if err != nil {
		c.refuse(err)
		return nil, false
	}
	return q, true
}

func parseQuery(raw string, allowed []string) (map[string]string, *api.Error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, api.Errorf(api.CodeBadRequest, "the query is malformed")
	}
	q := make(map[string]string, len(values))
	for name, vs := range values {
		switch {
		case !slices.Contains(allowed, name):
			return nil, api.Errorf(api.CodeBadRequest, "unknown query field %q", shown(name))
		case len(vs) != 1:
			return nil, api.Errorf(api.CodeBadRequest, "query field %q stands twice", name)
		case vs[0] == "":
			continue
		}
		v, bad := wire.Field(name, vs[0])
		if bad != nil {
			return nil, bad
		}
		q[name] = v
	}
	return q, nil
}

// maxLogPage is the most entries that one page of the log holds.
const maxLogPage = 1000

func parseLogQuery(q map[string]string) (signin.LogQuery, *api.Error) {
	out := signin.LogQuery{
		Request: q["request"], User: q["user"], Service: q["service"], Decision: q["decision"], Kind: q["kind"], Method: q["method"],
	}
	var err error
	for name, into := range map[string]*uint64{"after": &out.After, "before": &out.Before} {
		if s := q[name]; s != "" {
			if *into, err = strconv.ParseUint(s, 10, 64); err != nil {
				return out, api.Errorf(api.CodeBadRequest, "%s is the number of an entry", name)
			}
		}
	}
	var bad *api.Error
	if out.Limit, bad = parseLimit(q["limit"], maxLogPage); bad != nil {
		return out, bad
	}
	for name, into := range map[string]*bool{"newest": &out.Newest, "everybody": &out.Everybody} {
		if *into, bad = parseBool(q, name); bad != nil {
			return out, bad
		}
	}
	for name, into := range map[string]*time.Time{"since": &out.Since, "until": &out.Until} {
		if s := q[name]; s != "" {
			if *into, err = time.Parse(time.RFC3339, s); err != nil {
				return out, api.Errorf(api.CodeBadRequest, "%s is a time as in 2026-01-31T12:00:00Z", name)
			}
		}
	}
	return out, nil
}

// parseBool reads a field that is true or false; false where nothing was said.
func parseBool(q map[string]string, name string) (bool, *api.Error) {
	switch q[name] {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	}
	return false, api.Errorf(api.CodeBadRequest, "%s is true or false", name)
}

// parseLimit reads how many things a page holds; 0 where nothing was said.
func parseLimit(s string, most int) (int, *api.Error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, api.Errorf(api.CodeBadRequest, "limit is 1 to %d", most)
	}
	return n, nil
}
