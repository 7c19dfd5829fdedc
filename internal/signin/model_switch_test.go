package signin_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/signin"
)

// setDefault makes another method the one that is offered first.
func (m *model) setDefault(a, b, c int) {
	user, by := []uint32{uid, bobUID}[a%2], callers[c%len(callers)]
	if c/16%4 != 0 {
		by = desks[user]
	}
	ids := slices.Sorted(maps.Keys(m.users[user].names))
	if len(ids) == 0 {
		return
	}
	id := ids[b%len(ids)]
	_, err := m.d.SetDefaultMethod(context.Background(), by.Caller, accounts[user], id)
	m.say("%s makes %s the default of %d: %v", by.name, id, user, err)
	switch may := (by.UID == user || by.UID == 0) && id != m.users[user].recovery; { // recovery codes are a fallback
	case err == nil && !may:
		m.wrong("%s changes the default of %d", by.name, user)
	case err != nil && may && m.broken == nil:
		m.wrong("%s cannot change the default of %d: %v", by.name, user, err)
	case err == nil:
		m.users[user].standard = id
	}
}

// isStandard says whether an offer is that of the method which was the default when q began.
func (q *asked) isStandard(o signin.Offer) bool {
	return q.standard.Type != "" && o.Type == q.standard.Type && o.KeyID == q.standard.KeyID
}

// standardOffer is what the default method is offered as.
func (u *person) standardOffer() (o signin.Offer) {
	switch u.standard {
	case "":
	case u.token:
		o.Type = signin.OfferByCode
	case u.recovery:
		o.Type = signin.OfferByRecovery
	}
	for id, x := range u.keys {
		if x.ID == u.standard {
			o.Type, o.KeyID = signin.OfferByKey, id
		}
	}
	return o
}

// inOrder checks that the default is offered first, in the list and in words.
func (m *model) inOrder(q *asked, v signin.View) {
	at := slices.IndexFunc(v.Offers, q.isStandard)
	if at > 0 {
		m.wrong("%s does not offer the default first: %+v", q, v.Offers)
	}
	if at != 0 || v.Offers[0].State != signin.OfferTouch && v.Offers[0].State != signin.OfferCode {
		return
	}
	first := slices.IndexFunc(v.Prompts, func(p signin.Prompt) bool { return p.Type == signin.PromptTouch || p.Type == signin.PromptCode })
	if first < 0 || v.Prompts[first].KeyID != q.standard.KeyID || strings.HasPrefix(v.Progress, "Touch") != (q.standard.KeyID != "") {
		m.wrong("%s does not ask for the default first: %q, %+v", q, v.Progress, v.Prompts)
	}
}

// switchOver begins with one way and goes on with another: a key blinks and a code is typed, or a wrong code is
// typed and the key touched.
func (m *model) switchOver(a, b, c int) {
	q := &asked{by: callers[[]int{0, 0, 1, 7}[a%4]], kind: "sign-in", service: services[[]int{0, 3}[b%2]], origin: origins[c%4], user: []uint32{uid, bobUID}[b/2%2]}
	if q.by.desk != 0 {
		q.user, q.origin = q.by.desk, ""
	}
	if m.start(q, signin.Ask{}); q.r == nil {
		return
	}
	m.opens(q)
	for _, n := range [][]int{{0}, {6}, {5, 0}, {5, 6}, {8, 5}, {6, 0}}[c/4%6] {
		if !q.over {
			m.typesFor(q, desks[q.user], n)
			m.observe()
		}
	}
	m.touches(q)
}

// recorded checks that what was tried for q, and did not decide it, is in its record.
func (m *model) recorded(q *asked, e audit.Entry) {
	if len(e.Tried) >= 16 { // all that is kept
		return
	}
	says := func(n int, start string) {
		for _, text := range e.Tried {
			if strings.HasPrefix(text, start) {
				n--
			}
		}
		if n > 0 {
			m.wrong("%s ends %s, and its record lacks %q: %q", q, e.Decision, start, e.Tried)
		}
	}
	says(q.misses, "number: wrong")
	says(q.mistyped, "code: ")
	if q.numbered && !q.raced { // else the record may be the sooner one
		says(1, "number: right")
	}
	for _, o := range q.open {
		switch {
		case o.MethodName != "" && slices.ContainsFunc(m.entries[q.id], func(e audit.Entry) bool { return e.Decision == "approved" && e.MethodName == o.MethodName }):
			if slices.Contains(e.Tried, fmt.Sprintf("%s “%s”: was not used", o.Type, o.MethodName)) {
				m.wrong("%s is approved by %s, and its record says that it was not used: %q", q, o.MethodName, e.Tried)
			}
		case (o.Type == signin.OfferByCode || o.Type == signin.OfferByRecovery) && q.mistyped > 0: // it was taken: see above
		case o.Type != signin.OfferByKey:
			says(1, fmt.Sprintf("%s “%s”: ", o.Type, o.MethodName))
		case !q.lit[o.KeyID].IsZero(): // not touched since
			says(1, fmt.Sprintf("key “%s”: ", o.KeyName))
		}
	}
}

// leftOpen gives the offers that can be taken now.
func leftOpen(v signin.View) []signin.Offer {
	return slices.DeleteFunc(slices.Clone(v.Offers), func(o signin.Offer) bool { return o.State != signin.OfferTouch && o.State != signin.OfferCode })
}
