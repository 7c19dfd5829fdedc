package socketapi

import (
	"errors"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
)

func (s *Server) remember(c *call) {
	id, ok := c.id("request")
	if !ok {
		return
	}
	var body api.Remember
	if c.body(&body) {
		c.done(s.Engine.Remember(c.r.Context(), c.who, id, body.Remember))
	}
}

func (s *Server) grants(c *call) {
	q, ok := c.query("user")
	if !ok {
		return
	}
	gs, err := s.Engine.Grants(c.r.Context(), c.who, q["user"])
	c.reply(wire.Grants(gs), err)
}

func (s *Server) revokeGrant(c *call) {
	id, ok := c.id("grant")
	if !ok {
		return
	}
	var body api.ForUser
	if c.body(&body) {
		c.done(s.Engine.RevokeGrant(c.r.Context(), c.who, body.User, id))
	}
}

func (s *Server) revokeGrants(c *call) {
	var body api.ForUser
	if !c.body(&body) {
		return
	}
	n, err := s.Engine.RevokeGrants(c.r.Context(), c.who, body.User)
	c.reply(api.Revoked{Grants: n}, err)
}

func (s *Server) confirmName(c *call) {
	var body api.ForUser
	if c.body(&body) {
		c.done(s.Engine.ConfirmUser(c.r.Context(), c.who, body.User))
	}
}

// helpdesk issues an administrator's one-time code: the answer is the only place where it stands.
func (s *Server) helpdesk(c *call) {
	var body api.HelpdeskIssue
	if !c.body(&body) {
		return
	}
	if body.ValidS < 0 || body.ValidS > int64(24*time.Hour/time.Second) {
		c.refuse(api.Errorf(api.CodeBadRequest, "valid_s is 60 to 86,400"))
		return
	}
	code, issued, err := s.Engine.IssueHelpdesk(c.r.Context(), c.who, body.User, time.Duration(body.ValidS)*time.Second)
	if err != nil {
		c.fail(err)
		return
	}
	defer code.Wipe()
	c.reply(api.HelpdeskCode{User: issued.User, Code: code.Reveal(), Until: issued.Until.UTC()}, nil)
}

func (s *Server) policy(c *call) {
	if _, ok := c.query(); !ok {
		return
	}
	p := wire.Policy(s.Engine.Policy())
	if s.Policy != nil {
		s.Policy(&p)
	}
	c.reply(p, nil)
}

func (s *Server) checkPolicy(c *call) {
	q, ok := c.query("service", "user")
	if !ok {
		return
	}
	x, err := s.Engine.ExplainPolicy(c.r.Context(), c.who, q["service"], q["user"])
	c.reply(wire.PolicyCheck(x.Service, x.User, x.Explanation), err)
}

// verifyLog tells how far the check is, and how it ends.
func (s *Server) verifyLog(c *call) {
	q, ok := c.query("head")
	if !ok {
		return
	}
	head, bad := wire.LogHead(q["head"])
	if bad != nil {
		c.refuse(bad)
		return
	}
	ctx, end := c.stream()
	defer end()
	out := c.lines()
	verdict, err := s.Engine.VerifyLog(ctx, c.who, head, func(done, total uint64) {
		_ = out.send(api.LogCheck{Done: done, Total: total}) // who left is noticed by ctx
	})
	if broken := (*audit.BrokenError)(nil); ctx.Err() != nil && !errors.As(err, &broken) {
		return
	}
	_ = out.send(s.Errors.LogCheck(verdict, err))
}
