package socketapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/signin"
)

// refuse answers with an error that is the door's own already.
func (c *call) refuse(err *api.Error) { writeError(c.w, err.Code.Meaning().HTTP, err) }

// fail answers with what a domain error becomes.
func (c *call) fail(err error) { c.refuse(c.s.Errors.Of(err)) }

// reply answers with v, or with err if there is one.
func (c *call) reply(v any, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	writeJSON(c.w, http.StatusOK, v)
}

// done answers a call that has nothing to say.
func (c *call) done(err error) { c.reply(struct{}{}, err) }

// id reads the id in the path. It answers and reports false where it is none.
func (c *call) id(what string) (string, bool) {
	id, err := wire.ID(what, c.r.PathValue("id"))
	if err != nil {
		c.refuse(err)
		return "", false
	}
	return id, true
}

func writeError(w http.ResponseWriter, status int, err *api.Error) {
	writeJSON(w, status, api.ErrorBody{Error: err})
}

func writeJSON(w http.ResponseWriter, status int, v any) { writeAs(w, status, "application/json", v) }

func writeAs(w http.ResponseWriter, status int, kind string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // package api's types always marshal
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"cannot write the answer"}}`)
	}
	b = append(b, '\n')
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may have left: nobody is there to tell
}

func (s *Server) requests(c *call) {
	writeJSON(c.w, http.StatusOK, s.Errors.States(s.Engine.List(c.who)))
}

func (s *Server) request(c *call) {
	id, ok := c.id("request")
	if !ok {
		return
	}
	v, err := s.Engine.Get(c.who, id)
	c.reply(s.Errors.State(v), err)
}

func (s *Server) answer(c *call) {
	id, ok := c.id("request")
	if !ok {
		return
	}
	var body api.Answer
	if !c.body(&body) {
		body.PIN.Wipe()
		body.Code.Wipe()
		return
	}
	a, bad := wire.Answer(body)
	if bad != nil {
		c.refuse(bad)
		return
	}
	c.done(s.Engine.Answer(c.r.Context(), c.who, id, a))
}

func (s *Server) pick(c *call)   { c.act(s.Engine.Pick) }
func (s *Server) deny(c *call)   { c.act(s.Engine.Deny) }
func (s *Server) report(c *call) { c.act(s.Engine.Report) }
func (s *Server) cancel(c *call) { c.act(s.Engine.Cancel) }

func (s *Server) keys(c *call) {
	ks, err := s.Engine.Keys(c.r.Context(), c.who)
	out := make([]api.Key, 0, len(ks))
	for _, k := range ks {
		out = append(out, wire.Key(k))
	}
	c.reply(out, err)
}

func (s *Server) key(c *call) {
	id, ok := c.id("key")
	if !ok {
		return
	}
	k, info, err := s.Engine.KeyInfo(c.r.Context(), c.who, id)
	c.reply(wire.KeyInfo(k, info), err)
}

func (s *Server) methods(c *call) {
	q, ok := c.query("user")
	if !ok {
		return
	}
	ms, err := s.Engine.Methods(c.r.Context(), c.who, q["user"])
	c.reply(wire.Methods(ms), err)
}

func (s *Server) patchMethod(c *call) {
	id, ok := c.id("method")
	if !ok {
		return
	}
	var body api.MethodPatch
	if !c.body(&body) {
		return
	}
	switch {
	case body.Name == nil && body.Default == nil:
		c.refuse(api.Errorf(api.CodeBadRequest, "nothing to change: give name, or default"))
		return
	case body.Name != nil && body.Default != nil:
		c.refuse(api.Errorf(api.CodeBadRequest, "change name or default, not both at once"))
		return
	case body.Default != nil && !*body.Default:
		c.refuse(api.Errorf(api.CodeBadRequest, "make another method the default instead"))
		return
	}
	change := func() (m wireMethod, err error) {
		return s.Engine.SetDefaultMethod(c.r.Context(), c.who, body.User, id)
	}
	if body.Name != nil {
		change = func() (m wireMethod, err error) {
			return s.Engine.RenameMethod(c.r.Context(), c.who, body.User, id, *body.Name)
		}
	}
	m, err := change()
	c.reply(wire.Method(m), err)
}

func (s *Server) logPage(c *call) {
	q, ok := c.query("after", "before", "method", "limit", "request", "newest", "user", "everybody", "service", "decision", "kind", "since", "until")
	if !ok {
		return
	}
	query, bad := parseLogQuery(q)
	if bad != nil {
		c.refuse(bad)
		return
	}
	page, err := s.Engine.Log(c.r.Context(), c.who, query)
	c.reply(wire.LogPage(page), err)
}

func (s *Server) receipts(c *call) {
	id, ok := c.id("request")
	if !ok {
		return
	}
	page, err := s.Engine.Log(c.r.Context(), c.who, signin.LogQuery{Request: id})
	if err == nil && len(page.Entries) == 0 {
		err = signin.ErrNotFound
	}
	c.reply(wire.LogPage(page), err)
}

func (s *Server) status(c *call) {
	st, err := s.Engine.Status(c.r.Context(), c.who)
	if err != nil {
		c.fail(err)
		return
	}
	out := wire.Status(st)
	if s.Status != nil {
		s.Status(c.r.Context(), &out)
	}
	writeJSON(c.w, http.StatusOK, out)
}
