package signin

import (
	"errors"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// endsCodes reports whether err means that no code will do for a while: the offer ends, others go on.
func endsCodes(err error) bool {
	return slices.ContainsFunc([]error{lockout.ErrLocked, vault.ErrSealed, clock.ErrBack, oath.ErrOutOfStep, token.ErrDisabled, token.ErrNotFound, store.ErrDamaged},
		func(e error) bool { return errors.Is(err, e) })
}

// codeOffer is the standing offer to type a code.
type codeOffer struct {
	r     *Request
	shown string // what may be typed
	open  *openPrompt
}

// offerCodes asks for a code of one of the methods: a token's, or a recovery code.
func (r *Request) offerCodes(w wanted) *codeOffer {
	c := &codeOffer{r: r}
	var shown []string
	if w.typed && r.tokenProblem(w) == nil {
		tokens := method.Of(w.methods, method.TypeToken)
		slices.SortStableFunc(tokens, func(a, b method.Method) int { return defaultFirst(a.Default, b.Default) })
		var names []string
		for _, m := range tokens {
			names = append(names, "“"+m.Name+"”")
		}
		shown = append(shown, "the code that "+strings.Join(names, " or ")+" shows")
		offer := Offer{Type: OfferByCode, State: OfferCode}
		if len(tokens) == 1 {
			offer.MethodID, offer.MethodName = tokens[0].ID, tokens[0].Name
		}
		r.publish(func(v *View) { v.Offers = append(v.Offers, offer) })
	}
	if codes := method.Of(w.methods, method.TypeRecovery); w.recovery && r.hasCodes(codes) {
		shown = append(shown, "a recovery code")
		r.publish(func(v *View) {
			v.Offers = append(v.Offers, Offer{Type: OfferByRecovery, State: OfferCode, MethodID: codes[0].ID, MethodName: codes[0].Name})
		})
	}
	c.shown = strings.Join(shown, ", or ")
	c.ask("")
	return c
}

// defaultFirst orders the default before the others.
func defaultFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// ask opens the prompt.
func (c *codeOffer) ask(hint string) {
	c.open = c.r.openPrompt(Prompt{Type: PromptCode, Text: hint + "Type " + c.shown + " " + c.r.purposeOf()})
}

// answers gives what is typed; nil, which gives nothing for ever, once the offer has ended.
func (c *codeOffer) answers() <-chan Answer {
	if c.open == nil {
		return nil
	}
	return c.open.answers
}

// again asks once more after a code that did not count.
func (c *codeOffer) again(why error) {
	c.close()
	c.ask(firstUpper(why.Error()) + ". ")
}

// failed ends the offer and says why.
func (c *codeOffer) failed(why error) {
	c.close()
	c.r.mark(OfferByCode, OfferFailed, why)
	c.r.mark(OfferByRecovery, OfferFailed, why)
}

func (c *codeOffer) withdraw() {
	c.close()
	c.r.withdraw(OfferByCode)
	c.r.withdraw(OfferByRecovery)
}

func (c *codeOffer) close() {
	if c.open != nil {
		c.r.closePrompt(c.open)
		c.open = nil
	}
}
