package socketapi

import (
	"net/http"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
)

func (s *Server) tokens(c *call) {
	q, ok := c.query("after", "limit", "user")
	if !ok {
		return
	}
	query := token.Query{After: q["after"]}
	var bad *api.Error
	if query.Limit, bad = parseLimit(q["limit"], token.MaxLimit); bad != nil {
		c.refuse(bad)
		return
	}
	ts, more, err := s.Engine.Tokens(c.r.Context(), c.who, q["user"], query)
	c.reply(wire.TokenPage(ts, more), err)
}

func (s *Server) token(c *call) {
	serial, ok := c.id("token")
	if !ok {
		return
	}
	t, err := s.Engine.Token(c.r.Context(), c.who, serial)
	c.reply(wire.Token(t), err)
}

func (s *Server) patchToken(c *call) {
	serial, ok := c.id("token")
	if !ok {
		return
	}
	var body api.TokenPatch
	if !c.body(&body) {
		return
	}
	var t token.Token
	var err error
	switch {
	case body.Name == nil && body.User == nil, body.Name != nil && body.User != nil:
		c.refuse(api.Errorf(api.CodeBadRequest, "change name or user, one at a time"))
		return
	case body.Name != nil:
		t, err = s.Engine.RenameToken(c.r.Context(), c.who, serial, *body.Name)
	default:
		t, err = s.Engine.AssignToken(c.r.Context(), c.who, serial, *body.User)
	}
	c.reply(wire.Token(t), err)
}

// Bounds of an import.
const (
	maxImportLine  = 4 << 10
	maxImportBytes = 256 << 20
)

// importTokens takes tokens line by line and imports them at the last one. A body that ends before
// that changes nothing.
func (s *Server) importTokens(c *call) {
	done, ok := s.bulk(c)
	if !ok {
		return
	}
	defer done()
	lines, ok := c.bodyLines(maxImportLine, maxImportBytes)
	if !ok {
		return
	}
	defer lines.wipe()
	var imp *signin.Import
	for {
		var line api.ImportLine
		if err := lines.next(&line); err != nil {
			c.refuse(err)
			return
		}
		var err error
		switch {
		case imp == nil && line.Options != nil && line.Token == nil && !line.Commit:
			imp, err = s.Engine.BeginImport(c.who, wire.ImportOptions(*line.Options))
		case imp != nil && line.Token != nil && line.Options == nil && !line.Commit:
			err = imp.Add(wire.ImportRow(line.Token))
		case imp != nil && line.Commit && line.Options == nil && line.Token == nil:
			if bad := lines.end(); bad != nil {
				c.refuse(bad)
				return
			}
			s.commitImport(c, imp)
			return
		default:
			c.refuse(api.Errorf(api.CodeBadRequest, "line %d: options come first, then a token a line, then commit", lines.n))
			return
		}
		if err != nil {
			lines.broken()
			c.fail(err)
			return
		}
	}
}

func (s *Server) commitImport(c *call, imp *signin.Import) {
	report, err := imp.Commit(c.r.Context())
	if err != nil && report.ProblemsTotal == 0 {
		c.fail(err)
		return
	}
	status := http.StatusOK
	if err != nil {
		status = s.Errors.Of(err).Code.Meaning().HTTP
	}
	writeJSON(c.w, status, s.Errors.ImportReport(report, err))
}
