package busapi

import (
	"encoding/hex"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// maxPerPeer bounds the requests of one connection; the engine's own bound is lower today.
const maxPerPeer = 8

// table is the whole interface.
func (s *session) table() []member {
	return []member{
		{name: "Verify", access: caller.AccessOwner, fn: s.verify, replies: true},
		{name: "VerifyCode", access: caller.AccessOwner, fn: s.verifyCode},
		{name: "Cancel", access: caller.AccessOwner, fn: s.cancel},
		{name: "Receipt", access: caller.AccessOwner, fn: s.receipt},
		{name: "Status", access: caller.AccessOwner, fn: s.status},
		{name: "Authorize", access: caller.AccessOwner, fn: s.authorize, waits: true},
	}
}

func (s *session) verify(c *call, user, service string, details map[string]dbus.Variant) (id, number string, _ *dbus.Error) {
	if !c.answer {
		return "", "", busError(api.Errorf(api.CodeBadRequest, "a call of Verify must want its reply: the id is in it"))
	}
	body, bad := parseDetails(details)
	if bad != nil {
		return "", "", busError(bad)
	}
	body.User, body.Service = user, service
	ask, bad := wire.Ask(body)
	if bad != nil {
		return "", "", busError(bad)
	}
	if !c.peer.room() {
		return "", "", s.fail(signin.ErrTooMany)
	}
	if !s.d.hold() {
		return "", "", s.fail(signin.ErrShuttingDown)
	}
	req, err := s.d.Engine.Begin(c.peer.ctx, c.peer.who, ask)
	if err != nil {
		s.d.pumps.Done()
		return "", "", s.fail(err)
	}
	c.peer.add(req.ID())
	id, number = req.ID(), req.Number()
	s.reply(c, id, number)
	go func() {
		defer s.d.pumps.Done()
		defer c.peer.remove(req.ID())
		s.pump(c.peer, req)
	}()
	return id, number, nil
}

// authorize gives a ticket for the user's first method. It waits for a person.
func (s *session) authorize(c *call) (string, *dbus.Error) {
	if s.d.Config.Authorize == nil {
		return "", busError(api.Errorf(api.CodeBadRequest, "nobody need be authorized here"))
	}
	ticket, err := s.d.Config.Authorize(c.peer.ctx, c.peer.who, c.peer.name)
	if err != nil {
		return "", s.fail(err)
	}
	defer ticket.Wipe()
	return string(ticket.Reveal()), nil
}

// verifyCode returns an approval's id; whatever else becomes of the code is an error.
func (s *session) verifyCode(c *call, user, service, code string, details map[string]dbus.Variant) (string, *dbus.Error) {
	body, bad := parseDetails(details)
	if bad != nil {
		return "", busError(bad)
	}
	if body.TimeoutMS != 0 {
		return "", busError(api.Errorf(api.CodeBadRequest, "VerifyCode waits for nobody: it takes no timeout_ms"))
	}
	if code == "" {
		return "", busError(api.Errorf(api.CodeBadRequest, "the code is empty"))
	}
	body.User, body.Service, body.Code = user, service, api.Secret(code)
	ask, bad := wire.Ask(body)
	if bad != nil {
		return "", busError(bad)
	}
	v, err := s.d.Engine.VerifyCode(c.peer.ctx, c.peer.who, ask)
	if err != nil {
		return "", s.fail(err)
	}
	return v.ID, nil
}

// cancel knows only what the same connection began.
func (s *session) cancel(c *call, id string) *dbus.Error {
	id, bad := wire.ID("request", id)
	if bad != nil {
		return busError(bad)
	}
	if !c.peer.has(id) {
		return s.fail(signin.ErrNotFound)
	}
	if err := s.d.Engine.Cancel(c.peer.who, id); err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *session) receipt(c *call, id string) (map[string]dbus.Variant, *dbus.Error) {
	id, bad := wire.ID("request", id)
	if bad != nil {
		return nil, busError(bad)
	}
	page, err := s.d.Engine.Log(c.peer.ctx, c.peer.who, signin.LogQuery{Request: id, Newest: true, Limit: 1})
	if err == nil && len(page.Entries) == 0 {
		err = signin.ErrNotFound
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return receiptMap(page.Entries[0]), nil
}

func (s *session) status(c *call) (map[string]dbus.Variant, *dbus.Error) {
	st, err := s.d.Engine.Status(c.peer.ctx, c.peer.who)
	if err != nil {
		return nil, s.fail(err)
	}
	out := wire.Status(st)
	if s.d.Config.Status != nil {
		s.d.Config.Status(c.peer.ctx, &out)
	}
	head, err := hex.DecodeString(out.LogHead)
	if err != nil {
		return nil, s.fail(err)
	}
	return variants(map[string]any{
		"version": out.Version, "instance": out.Instance, "id": out.ID, "user": out.User, "uid": out.UID,
		"place": out.Place, "started": out.Started.UnixMilli(), "pending": uint32(out.Pending),
		"methods": uint32(out.Methods), "keys": uint32(out.Keys), "log_seq": out.LogSeq, "log_head": head,
	}), nil
}

// receiptMap is an entry of the log as the contract's a{sv}.
func receiptMap(e audit.Entry) map[string]dbus.Variant {
	m := map[string]any{
		"request": e.Request, "kind": e.Kind, "decision": e.Decision, "strength": e.Strength, "require": e.Require,
		"user": e.User, "service": e.Service, "place": e.Place, "time": e.Time.UnixMilli(),
		"self_asserted": e.SelfAsserted, "log_seq": e.Seq, "log_prev": e.Prev[:], "log_hash": e.Hash[:],
	}
	if r := e.Receipt; r != nil {
		m["rp_id"], m["algorithm"] = r.RPID, int32(r.Algorithm)
		m["credential_id"], m["public_key"] = r.CredentialID, r.PublicKey
		m["client_data"], m["auth_data"], m["signature"] = r.ClientData, r.AuthData, r.Signature
	}
	return variants(m)
}

func variants(m map[string]any) map[string]dbus.Variant {
	out := make(map[string]dbus.Variant, len(m))
	for k, v := range m {
		out[k] = dbus.MakeVariant(v)
	}
	return out
}
