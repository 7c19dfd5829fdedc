package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/vault"
)

const (
	// preflightLimit bounds the silent question which of several keys holds a credential: some
	// firmware takes it for a real one and waits for a touch.
	preflightLimit = time.Second
	// appShare is how long a key blinks at a time for a request that an ordinary program began.
	appShare = 15 * time.Second
	// quickAnswer is a touch time-out too early to be one; after quickLimit of them in a row the
	// key is taken to be broken.
	quickAnswer = 500 * time.Millisecond
	quickLimit  = 3
)

// holder is a plugged key that holds, or may hold, credentials of some of the user's methods.
type holder struct {
	key     fido.Key
	methods []method.Method
	slot    vault.TapSlot // of the vault, where the key is asked to open that
	// claim was made before the key was asked what it holds; nil if it was not asked. Whoever makes
	// the key blink takes it over.
	claim *claim
}

// approve gets one tap that proves at least need, from any plugged key that holds a credential of
// ms. only restricts it to one key, by id; about names the method that the request is about. The
// caller calls done on the approval once it is on disk or given up.
func (r *Request) approve(ctx context.Context, need policy.Strength, ms []method.Method, only, about string) (approval, error) {
	defer r.withdraw(OfferByKey)
	if err := r.desk(ctx); err != nil {
		return approval{}, err
	}
	holders, err := r.holders(ctx, ms, only)
	if err != nil {
		return approval{}, err
	}
	if need == policy.Verified && len(holders) > 1 {
		purpose := r.purpose
		r.touchFor("to use it")
		chosen, err := r.choose(ctx, holders)
		if err != nil {
			return approval{}, err
		}
		holders = []holder{{key: chosen, methods: ms}}
		r.touchFor("%s", purpose)
	}
	return r.race(ctx, holders, need, about)
}

// race offers all holders at once. The first tap that proves enough wins, and the others are let go
// at once; one that fails stands in nobody's way.
func (r *Request) race(ctx context.Context, holders []holder, need policy.Strength, about string) (approval, error) {
	for _, h := range holders {
		r.offer(h.key.ID, func(o *Offer) { o.KeyName = h.key.Name })
	}
	if len(holders) == 1 {
		return r.shownTap(ctx, holders[0], need, about)
	}
	return first(ctx, r, holders, func(ctx context.Context, h holder) (approval, error) { return r.shownTap(ctx, h, need, about) }, approval.done)
}

// first asks all at once. The first who has an answer wins, and the others are let go at once; one that
// fails stands in nobody's way. late gets the answers that came too late.
func first[H, T any](ctx context.Context, r *Request, among []H, ask func(context.Context, H) (T, error), late func(T)) (none T, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errCancelled)
	type result struct {
		answer T
		err    error
	}
	results := make(chan result)
	for _, h := range among {
		r.offers.Go(func() {
			answer, err := ask(ctx, h)
			select {
			case results <- result{answer, err}:
			case <-ctx.Done(): // another won, or the request is over
				if err == nil {
					late(answer)
				}
			}
		})
	}
	var failures []error
	for range among {
		select {
		case res := <-results:
			if res.err == nil {
				return res.answer, nil
			}
			failures = append(failures, res.err)
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
	return none, telling(failures)
}

// telling chooses, of several offers' failures, the one that says most: a key without a credential
// is only worth a word if that is all there was.
func telling(failures []error) error {
	for _, err := range failures {
		if !errors.Is(err, ErrKeyNotOwn) && !errors.Is(err, ErrKeyNoSlot) {
			return err
		}
	}
	return failures[0]
}

// safely runs an operation; a panic in it is its failure, and lets go of the key as any other.
func (r *Request) safely(op func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.e.cfg.Log.Error("an operation on a key panicked", "request", r.id, "panic", fmt.Sprint(p))
			err = errors.New("the operation failed inside")
		}
	}()
	return op()
}

// shownTap is tap with its end shown in the offer.
func (r *Request) shownTap(ctx context.Context, h holder, need policy.Strength, about string) (a approval, err error) {
	defer func() {
		if ctx.Err() != nil {
			return // another offer won, or the request is over
		}
		r.offer(h.key.ID, func(o *Offer) {
			if err != nil {
				o.State, o.Err = OfferFailed, err
				return
			}
			o.State, o.MethodID, o.MethodName = OfferDone, a.method.ID, a.method.Name
		})
	}()
	return r.tap(ctx, h, need, about)
}

// tap makes one key blink until it was touched and its answer is verified. The key stays held, so
// that its counters reach the disk in the order in which they were made, until letGo.
func (r *Request) tap(ctx context.Context, h holder, need policy.Strength, about string) (a approval, err error) {
	uv := &userVerification{r: r, key: h.key, wanted: need == policy.Verified}
	letGo, err := r.blink(ctx, h, uv, func(ctx context.Context) (err error) {
		a, err = r.assert(ctx, h, need, about, uv)
		return err
	})
	if errors.Is(err, fido.ErrNoCredential) {
		err = ErrKeyNotOwn
	}
	if err != nil {
		return approval{}, err
	}
	a.letGo = letGo
	return a, nil
}

// blink runs an operation that waits for a touch, when it is this request's turn and until the key
// was touched: the key's own time-out and a lost turn begin it again, until ctx ends. On success
// the key is still held: call letGo.
func (r *Request) blink(ctx context.Context, h holder, uv *userVerification, op func(context.Context) error) (letGo func(), err error) {
	if err := r.desk(ctx); err != nil { // whoever calls this: no key blinks for who may be elsewhere
		if h.claim != nil {
			h.claim.leave()
		}
		return nil, err
	}
	k, claim := h.key, h.claim
	if claim == nil {
		claim = r.e.turns.join(ctx, k.ID, r.claimant())
	} else {
		claim.rebind(ctx)
	}
	defer func() {
		uv.wipe()
		if err != nil {
			claim.leave()
		}
	}()
	for quick := 0; ; {
		if err := uv.prepare(ctx); err != nil {
			return nil, err
		}
		lease, err := claim.wait(func(s claimState, others []string) { r.showQueue(ctx, k, s, others) })
		if err != nil {
			return nil, err
		}
		r.showTouch(ctx, k)
		begun := r.e.cfg.Clock.Boot()
		if err = uv.recheck(lease.ctx); err == nil {
			err = r.safely(func() error { return op(lease.ctx) })
		}
		revoked := lease.revoked()
		uv.wipe()
		if err == nil {
			r.showTouched(ctx, k)
			return sync.OnceFunc(func() { lease.release(true); claim.leave() }), nil
		}
		lease.release(false)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case revoked || uv.again(err):
		case errors.Is(err, fido.ErrTouchTimeout):
			if r.e.cfg.Clock.Boot()-begun > quickAnswer {
				quick = 0
				continue
			}
			if quick++; quick >= quickLimit {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// assert asks the key once and verifies its answer.
func (r *Request) assert(ctx context.Context, h holder, need policy.Strength, about string, uv *userVerification) (approval, error) {
	verbatim, hash, err := r.clientData(need, about)
	if err != nil {
		return approval{}, err
	}
	args := fido.AssertArgs{RPID: r.e.rpID(), ClientDataHash: hash[:], Allow: credentialIDs(h.methods), PIN: fido.RevealPIN(uv.pin), UV: uv.builtin}
	answers, err := r.e.cfg.Devices.Assert(ctx, h.key, args, r.opLimit())
	if err != nil {
		return approval{}, err
	}
	for _, answer := range answers {
		at := slices.IndexFunc(h.methods, func(m method.Method) bool { return slices.Equal(m.Key.CredentialID, answer.CredentialID) })
		if at < 0 {
			continue
		}
		m := h.methods[at]
		proof, err := fido.VerifyAssertion(fido.Credential{
			ID: m.Key.CredentialID, PublicKey: m.Key.PublicKey, Algorithm: m.Key.Algorithm, RPID: m.Key.RPID, Counter: m.Key.Counter,
		}, hash, answer, need == policy.Verified)
		a := approval{
			method: m, need: need, keyID: h.key.ID, proof: proof,
			receipt: audit.Receipt{
				RPID: m.Key.RPID, CredentialID: m.Key.CredentialID, PublicKey: m.Key.PublicKey, Algorithm: m.Key.Algorithm,
				ClientData: verbatim, AuthData: answer.AuthData, Signature: answer.Signature,
			},
		}
		if errors.Is(err, fido.ErrCounterBack) {
			return approval{}, r.suspect(a, method.ErrClone)
		}
		if err != nil {
			return approval{}, fmt.Errorf("%s: %w: %w", h.key.Name, fido.ErrBadAnswer, err)
		}
		return a, nil
	}
	return approval{}, fmt.Errorf("%s: %w: it answered for another credential", h.key.Name, fido.ErrBadAnswer)
}

// holders finds the plugged keys that can be asked. One key is simply asked; of several, those that
// say at once that they hold no credential are left out. Before they are asked, this request stands in
// their queues: a key that blinks for another request stops, so that no tap goes to that one while
// this one is looking.
func (r *Request) holders(ctx context.Context, ms []method.Method, only string) ([]holder, error) {
	keys, err := r.pluggedSince(only)
	if err != nil {
		return nil, err
	}
	all := make([]holder, len(keys))
	for i, k := range keys {
		all[i] = holder{key: k, methods: ms}
	}
	if len(all) == 1 {
		return all, nil
	}
	return r.shortlist(ctx, all, ErrKeyNotOwn, func(h *holder) bool {
		return !errors.Is(r.asks(ctx, h.key, r.e.rpID(), credentialIDs(ms)), fido.ErrNoCredential)
	})
}

// pluggedSince are the keys that were plugged in when the request began, the first time; later, those that are now.
func (r *Request) pluggedSince(only string) ([]fido.Key, error) {
	if keys := r.seen; keys != nil {
		r.seen = nil
		return keys, nil
	}
	return r.e.plugged(only)
}

// shortlist stands in the queues of several keys while each is asked whether it may hold what is wanted, and leaves
// those of the others. It fails with none where all are others.
func (r *Request) shortlist(ctx context.Context, all []holder, none error, holds func(*holder) bool) ([]holder, error) {
	for i := range all {
		all[i].claim = r.e.turns.join(ctx, all[i].key.ID, r.claimant())
	}
	answers := make([]bool, len(all))
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() { answers[i] = holds(&all[i]) })
	}
	asked.Wait()
	err := context.Cause(ctx)
	var able []holder
	for i, h := range all {
		if answers[i] && err == nil {
			able = append(able, h)
		} else {
			h.claim.leave()
		}
	}
	if err == nil && len(able) == 0 {
		err = none
	}
	return able, err
}

// asks asks the key silently, within preflightLimit, for one of the credentials of an RP ID: nil if it has one,
// fido.ErrNoCredential if it says that it has none, another error where it says neither.
func (r *Request) asks(ctx context.Context, k fido.Key, rpID string, ids [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, preflightLimit)
	defer cancel()
	done, err := r.e.turns.exclusive(ctx, k.ID)
	if err != nil {
		return err // it blinks for another request
	}
	defer done()
	_, hash, err := r.clientData(policy.None, "")
	if err != nil {
		return err
	}
	_, err = r.e.cfg.Devices.Assert(ctx, k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash[:], Allow: ids, Silent: true}, preflightLimit)
	return err
}

// choose lets a person pick one of several keys by touching it.
func (r *Request) choose(ctx context.Context, among []holder) (fido.Key, error) {
	defer r.withdraw(OfferByKey)
	for _, h := range among {
		r.offer(h.key.ID, func(o *Offer) { o.KeyName = h.key.Name })
	}
	return first(ctx, r, among, func(ctx context.Context, h holder) (fido.Key, error) {
		letGo, err := r.blink(ctx, h, new(userVerification), func(ctx context.Context) error {
			return r.e.cfg.Devices.Select(ctx, h.key, r.opLimit())
		})
		switch {
		case err == nil:
			letGo()
		case ctx.Err() == nil:
			r.offer(h.key.ID, func(o *Offer) { o.State, o.Err = OfferFailed, err })
		}
		return h.key, err
	}, func(fido.Key) {})
}

// plugged lists the keys that are plugged in now, or the one that only names.
func (e *Engine) plugged(only string) ([]fido.Key, error) {
	keys, problems, err := e.cfg.Discover()
	if err != nil {
		return nil, fmt.Errorf("cannot look for keys: %w", err)
	}
	if only != "" {
		keys = slices.DeleteFunc(slices.Clone(keys), func(k fido.Key) bool { return k.ID != only })
		if len(keys) == 0 {
			return nil, ErrKeyNotFound
		}
	}
	if len(keys) == 0 && len(problems) > 0 {
		return nil, fmt.Errorf("%w (%s: %s)", ErrNoKey, problems[0].Name, problems[0].Text)
	}
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	return keys, nil
}

// claimant is the request as the queue of a key sees it.
func (r *Request) claimant() claimant {
	c := claimant{id: r.id, label: r.subject(), root: r.caller.UID == 0}
	if isApp(r.service) {
		c.limit = appShare
	}
	return c
}

// opLimit is how long an operation that waits for a touch may take: a little longer than the
// request, whose own end tells the key to give up.
func (r *Request) opLimit() time.Duration {
	return max(r.deadline-r.e.cfg.Clock.Boot(), 0) + 2*time.Second
}

// asHolders lists keys that nobody has asked yet.
func asHolders(keys []fido.Key) []holder {
	all := make([]holder, len(keys))
	for i, k := range keys {
		all[i] = holder{key: k}
	}
	return all
}

func credentialIDs(ms []method.Method) [][]byte {
	ids := make([][]byte, len(ms))
	for i, m := range ms {
		ids[i] = m.Key.CredentialID
	}
	return ids
}
