package signin_test

import (
	"errors"
	"maps"
	"slices"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
)

// whyCancelled says what is wrong with a cancel: that nothing which the outside knows of has caused it. Empty
// if something has.
func (m *model) whyCancelled(q *asked, err error) string {
	ok := func(caused bool, but string) string {
		if caused {
			return ""
		}
		return but
	}
	changed := !maps.Equal(m.users[q.user].names, q.methods)
	switch {
	case err == nil:
		return ok(q.mayCancel, "and nobody did that")
	case errors.Is(err, signin.ErrCallerGone):
		return ok(q.gone, "and who began it is there")
	case errors.Is(err, signin.ErrShuttingDown):
		return ok(q.shut, "and nothing shuts down")
	case m.broken != nil: // whatever could not be written or read then
		return ""
	case errors.Is(err, fido.ErrPINNotSet):
		return ok(q.wantsPIN(), "and needs no PIN")
	case errors.Is(err, signin.ErrPINPlace):
		return ok(q.wantsPIN() && q.remote && m.pin, "and a PIN could be typed")
	case errors.Is(err, signin.ErrFewRetries):
		return ok(q.wantsPIN() && m.pin, "and needs no PIN")
	case errors.Is(err, signin.ErrKeyNotOwn):
		return ok(!q.found || q.stray && q.wantsPIN(), "and a key of theirs is plugged in")
	case errors.Is(err, signin.ErrNoKey):
		return ok(!q.found, "and a key is plugged in")
	case errors.Is(err, signin.ErrKeyRegistered), errors.Is(err, signin.ErrKeyNotFound):
		return ok(q.kind == "add-method", "and registers nothing")
	case errors.Is(err, clock.ErrBack):
		return ok(q.refused["back"], "and no code was typed while the clock was back")
	case errors.Is(err, lockout.ErrLocked):
		unasked := q.kind == "add-method" && m.boot() < m.lock(q).until // whom nothing but codes could approve
		return ok(q.refused["locked"] || unasked, "and no code was typed while codes were refused")
	case errors.Is(err, signin.ErrMethodsChanged):
		return ok(q.kind != "sign-in" && (changed || m.pin), "and their methods are the same") // a PIN makes one stronger
	case errors.Is(err, method.ErrNotFound), errors.Is(err, token.ErrNotFound), errors.Is(err, token.ErrDisabled):
		return ok(changed, "and their methods are the same")
	}
	return "and that is no reason"
}

// wantsPIN says whether a tap without the key's PIN is too little for q.
func (q *asked) wantsPIN() bool {
	if q.kind != "sign-in" {
		return max(q.strongest, q.need) == policy.Verified
	}
	return q.need == policy.Verified && (q.raised || !q.rule.takes("key"))
}

// looksForKeys notes whether q, which asks the keys now, finds one that holds one of its methods.
func (m *model) looksForKeys(q *asked) {
	q.found = slices.ContainsFunc(m.keys, func(k *fakeKey) bool {
		x, ok := m.users[q.user].keyOf(k)
		return ok && q.methods[x.ID] && !m.out[k]
	})
}
