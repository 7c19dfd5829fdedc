package socketapi

import (
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
)

func (s *Server) cards(c *call) {
	all, err := s.Codes.CardList(c.r.Context())
	c.reply(s.Errors.Cards(all), err)
}

// cardID reads the card's id in the path.
func (c *call) cardID() (card.ID, bool) {
	id, ok := c.id("card")
	if ok && !card.ID(id).Valid() {
		c.fail(codes.ErrNoCard)
		return "", false
	}
	return card.ID(id), ok
}

func (s *Server) unlockCard(c *call) {
	id, ok := c.cardID()
	if !ok {
		return
	}
	var body api.CardUnlock
	if !c.body(&body) {
		body.Password.Wipe()
		return
	}
	c.done(s.Codes.UnlockCard(c.r.Context(), id, wire.Secret(body.Password), body.Remember))
}

func (s *Server) forgetCard(c *call) {
	if id, ok := c.cardID(); ok && c.noBody() {
		c.done(s.Codes.ForgetCard(c.r.Context(), id))
	}
}

func (s *Server) cardPassword(c *call) {
	id, ok := c.cardID()
	if !ok {
		return
	}
	var body api.CardPassword
	if !c.body(&body) {
		body.Password.Wipe()
		return
	}
	c.done(s.Codes.SetCardPassword(c.r.Context(), id, wire.Secret(body.Password)))
}

func (s *Server) resetCard(c *call) {
	if id, ok := c.cardID(); ok && c.noBody() {
		now, err := s.Codes.ResetCard(c.r.Context(), id)
		c.reply(api.CardReset{ID: string(now)}, err)
	}
}

func (s *Server) accounts(c *call) {
	q, ok := c.query("query")
	if !ok {
		return
	}
	l, err := s.Codes.List(c.r.Context(), q["query"])
	c.reply(s.Errors.Accounts(l), err)
}

func (s *Server) addAccount(c *call) {
	var body api.NewAccount
	if !c.body(&body) {
		body.Seed.Wipe()
		return
	}
	ids, err := s.Codes.Add(c.r.Context(), wire.NewAccount(body), body.On)
	c.reply(api.Added{IDs: ids}, err)
}

func (s *Server) patchAccount(c *call) {
	id, ok := c.id("account")
	if !ok {
		return
	}
	var body api.AccountPatch
	if !c.body(&body) {
		return
	}
	switch {
	case (body.Name == nil) == (body.Pinned == nil), body.Pinned != nil && body.Issuer != "":
		c.refuse(api.Errorf(api.CodeBadRequest, "change the name, with its issuer, or whether it is pinned, one at a time"))
	case body.Name != nil:
		now, err := s.Codes.Rename(c.r.Context(), id, body.Issuer, *body.Name)
		c.reply(api.Renamed{ID: now}, err)
	default:
		c.reply(api.Renamed{ID: id}, s.Codes.Pin(c.r.Context(), id, *body.Pinned))
	}
}

func (s *Server) deleteAccount(c *call) {
	if id, ok := c.id("account"); ok && c.noBody() {
		c.done(s.Codes.Delete(c.r.Context(), id))
	}
}

func (s *Server) codes(c *call) {
	var body api.CodesQuery
	if !c.body(&body) {
		return
	}
	l, err := s.Codes.Codes(c.r.Context(), body.Query)
	defer func() {
		for _, a := range l.Accounts {
			a.Code.Wipe()
		}
	}()
	c.reply(s.Errors.Accounts(l), err)
}

// code gives one account's code, and says before when the key has to be touched. A client that leaves gives it up.
func (s *Server) code(c *call) {
	id, ok := c.id("account")
	if !ok || !c.noBody() {
		return
	}
	ctx, end := c.stream()
	defer end()
	var out *lines
	begin := func() {
		if out == nil {
			l := c.lines()
			out = &l
		}
	}
	a, err := s.Codes.Code(ctx, id, func(codes.Account) {
		begin()
		_ = out.send(api.CodeLine{Touch: true}) // a client that is gone ends ctx
	})
	defer a.Code.Wipe()
	switch {
	case err != nil && out == nil:
		c.fail(err)
	case err != nil:
		_ = out.send(api.CodeLine{Error: s.Errors.Of(err)})
	default:
		begin()
		sent := wire.Account(a)
		_ = out.send(api.CodeLine{Account: &sent})
	}
}
