package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// vaultRPID names the vault of this instance to keys: a credential that opens it approves nothing, and one
// that approves opens nothing.
func (e *Engine) vaultRPID() string { return "fob-vault:" + e.cfg.Store.InstanceID() }

// canUnlock refuses to wait for a tap that could not open the vault.
func (r *Request) canUnlock() error {
	r.ask.Require = policy.None // it approves nothing
	slots, err := r.e.cfg.Vault.TapSlots()
	if err != nil {
		return err
	}
	if len(slots) == 0 {
		return ErrNoKeySlot
	}
	r.seen, err = r.e.plugged(r.ask.KeyID)
	return err
}

// unlock opens the vault by a tap on a key that has a slot.
func (r *Request) unlock() (outcome, error) {
	slots, err := r.e.cfg.Vault.TapSlots()
	if err != nil {
		return outcome{}, err
	}
	defer r.withdraw(OfferByKey)
	r.touchFor("to open the vault")
	holders, err := r.slotHolders(r.ctx, slots)
	if err != nil {
		return outcome{}, err
	}
	for _, h := range holders {
		r.offer(h.key.ID, func(o *Offer) { o.KeyName = h.key.Name })
	}
	opened, err := first(r.ctx, r, holders, r.tapToOpen, func(o slotOpening) { o.Drop() })
	if err != nil {
		return outcome{}, err
	}
	defer opened.Drop()
	out, err := r.commit(true, nil, r.entry(Approved, fmt.Sprintf("opened the vault by the slot “%s” (%s)", opened.slot.Name, opened.slot.ID)))
	if err != nil {
		return outcome{}, err
	}
	out.err = opened.Open()
	return out, nil
}

// slotOpening is a slot that a tap has opened.
type slotOpening struct {
	*vault.Opening
	slot vault.TapSlot
}

// slotHolders finds the plugged keys that can be asked, and for which slot. One key is simply asked for the one slot;
// of several, those that say at once that they hold no credential are left out.
func (r *Request) slotHolders(ctx context.Context, slots []vault.TapSlot) ([]holder, error) {
	keys, err := r.pluggedSince(r.ask.KeyID)
	if err != nil {
		return nil, err
	}
	all := asHolders(keys)
	if len(all) == 1 && len(slots) == 1 {
		all[0].slot = slots[0]
		return all, nil
	}
	return r.shortlist(ctx, all, ErrKeyNoSlot, func(h *holder) bool { return r.findSlot(ctx, h, slots) })
}

// findSlot asks a key silently which of the slots it opens: the first of which it does not say that it has nothing.
// One that says neither within preflightLimit is asked aloud.
func (r *Request) findSlot(ctx context.Context, h *holder, slots []vault.TapSlot) bool {
	for _, s := range slots {
		if err := r.asks(ctx, h.key, s.RPID, [][]byte{s.Credential}); !errors.Is(err, fido.ErrNoCredential) {
			h.slot = s
			return true
		}
	}
	return false
}

// tapToOpen makes one key blink, and finds out whether what it gives opens its slot.
func (r *Request) tapToOpen(ctx context.Context, h holder) (o slotOpening, err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			r.offer(h.key.ID, func(o *Offer) { o.State, o.Err = OfferFailed, err })
		}
	}()
	given, err := r.tapSecret(ctx, h, h.slot.Tap, nil)
	if err != nil {
		return slotOpening{}, err
	}
	defer given.Wipe()
	opening, err := r.e.cfg.Vault.PrepareOpen(ctx, h.slot.ID, given)
	if err != nil {
		return slotOpening{}, fmt.Errorf("%s: %w", h.key.Name, err)
	}
	return slotOpening{opening, h.slot}, nil
}

// tapSecret makes one key blink for the secret that it makes of a slot's salt; the caller wipes it. made is
// the credential where it is known: then the answer is verified too. A wrong secret is found out by the slot.
func (r *Request) tapSecret(ctx context.Context, h holder, t vault.Tap, made *fido.Credential) (given *secret.Secret, err error) {
	uv := &userVerification{r: r, key: h.key, wanted: t.Verify}
	letGo, err := r.blink(ctx, h, uv, func(ctx context.Context) error {
		_, hash, err := r.clientData(policy.None, "")
		if err != nil {
			return err
		}
		answers, err := r.e.cfg.Devices.Assert(ctx, h.key, fido.AssertArgs{
			RPID: t.RPID, ClientDataHash: hash[:], Allow: [][]byte{t.Credential}, Salt: t.Salt, PIN: fido.RevealPIN(uv.pin), UV: uv.builtin,
		}, r.opLimit())
		switch {
		case errors.Is(err, fido.ErrPINRequired) && !t.Verify:
			return fmt.Errorf("%s: %w", h.key.Name, ErrSlotMode) // with a PIN it would give another secret
		case err != nil:
			return err
		}
		given = secret.New(answers[0].Secret)
		if made != nil {
			if _, err := fido.VerifyAssertion(*made, hash, answers[0], t.Verify); err != nil {
				return fmt.Errorf("%s: %w: %w", h.key.Name, fido.ErrBadAnswer, err)
			}
		}
		return nil
	})
	if errors.Is(err, fido.ErrNoCredential) {
		err = ErrKeyNoSlot
	}
	if err != nil {
		given.Wipe()
		return nil, err
	}
	letGo()
	return given, nil
}

// addsKey reports whether a slot for a security key is asked for.
func (a VaultAsk) addsKey() bool {
	return a.Action == SlotAdd && a.Type == string(vault.TypeSecurityKey)
}

// canAddKeySlot refuses a slot for a security key that could not be made.
func (r *Request) canAddKeySlot() error {
	a := &r.ask.Vault
	switch {
	case r.e.cfg.System:
		return fmt.Errorf("%w: the machine's vault opens without a person. Your own opens by a tap: “fobd --user”", caller.ErrForbidden)
	case r.remote():
		return ErrNumberPlace
	case a.LockAfter == 0:
		a.LockAfter = vault.DefaultLockAfter
	case a.LockAfter < vault.MinLockAfter || a.LockAfter > vault.MaxLockAfter:
		return badRequest("the vault locks by itself after %v at least and %v at most", vault.MinLockAfter, vault.MaxLockAfter)
	}
	if err := r.e.cfg.Vault.MayAddTap(a.Name); err != nil {
		return err
	}
	_, err := r.e.plugged(r.ask.KeyID)
	return err
}

// addKeySlot makes a credential on a key, and a slot of the secret that it gives: one tap for each. The
// change was approved before.
func (r *Request) addKeySlot() (outcome, error) {
	if len(r.methods) > 0 && !r.mayDoWithout() {
		if err := r.stepUp("may add a way to open the vault", "a key that opens the vault"); err != nil {
			return outcome{}, err
		}
	}
	keys, err := r.e.plugged(r.ask.KeyID)
	if err != nil {
		return outcome{}, err
	}
	key := keys[0]
	if len(keys) > 1 {
		r.touchFor("to choose the one that is to open the vault")
		if key, err = r.choose(r.ctx, asHolders(keys)); err != nil {
			return outcome{}, err
		}
	}
	defer r.withdraw(OfferByKey)
	tap, given, err := r.makeKeySlot(r.ctx, key)
	if err != nil {
		return outcome{}, err
	}
	defer given.Wipe()
	name := r.ask.Vault.Name
	if name == "" && utf8.RuneCountInString(key.Name) <= vault.MaxName {
		name = key.Name
	}
	change, err := r.e.cfg.Vault.PrepareAdd(r.ctx, vault.SlotSpec{Type: vault.TypeSecurityKey, Name: name, Tap: tap, Given: given})
	if err != nil {
		return outcome{}, err
	}
	committed := false
	defer func() { change.Done(context.WithoutCancel(r.ctx), committed) }()
	out, err := r.commit(true, r.afterStepUp(change.Apply), r.entry(Approved, r.slotDone(change.Slot())))
	committed = err == nil
	return out, err
}

// makeKeySlot makes the credential, and has the key make its first secret.
func (r *Request) makeKeySlot(ctx context.Context, k fido.Key) (t vault.Tap, given *secret.Secret, err error) {
	info, err := r.info(ctx, k)
	if err != nil {
		return t, nil, err
	}
	if !info.SupportsHMACSecret() {
		return t, nil, fmt.Errorf("%s: %w: take another one", k.Name, fido.ErrNoHMACSecret)
	}
	if r.ask.Vault.Verify && !info.HasUV() && !info.HasPIN() {
		return t, nil, fmt.Errorf("%s: %w: set one with “fob keys set-pin”", k.Name, fido.ErrPINNotSet)
	}
	slots, err := r.e.cfg.Vault.TapSlots()
	if err != nil {
		return t, nil, err
	}
	random := make([]byte, 32+vault.TapSaltSize)
	if _, err := io.ReadFull(r.e.cfg.Rand, random); err != nil {
		return t, nil, fmt.Errorf("cannot make a salt: %w", err)
	}
	made, err := r.makeCredential(ctx, k, info, fido.MakeArgs{
		RPID: r.e.vaultRPID(), RPName: rpName + " vault", UserID: random[:32], UserName: r.user.Name, Exclude: r.slotCredentials(slots), HMACSecret: true,
	}, "a key that opens the vault", "to let it open the vault")
	if errors.Is(err, fido.ErrExcluded) {
		return t, nil, fmt.Errorf("%s: %w", k.Name, ErrKeyHasSlot)
	}
	if err != nil {
		return t, nil, err
	}
	if !made.HMACSecret {
		return t, nil, fmt.Errorf("%s: %w: take another one", k.Name, fido.ErrNoHMACSecret)
	}
	t = vault.Tap{
		RPID: r.e.vaultRPID(), Credential: made.CredentialID, Salt: random[32:],
		Verify: r.ask.Vault.Verify || info.AlwaysUV(), LockAfter: r.ask.Vault.LockAfter,
	}
	r.touchFor("once more, to see that it opens the vault")
	given, err = r.tapSecret(ctx, holder{key: k}, t, &fido.Credential{
		ID: t.Credential, PublicKey: made.PublicKey, Algorithm: made.Algorithm, RPID: t.RPID, Counter: made.Counter,
	})
	return t, given, err
}

// slotCredentials are those of this instance that keys may hold.
func (r *Request) slotCredentials(slots []vault.TapSlot) [][]byte {
	var ids [][]byte
	for _, s := range slots {
		if s.RPID == r.e.vaultRPID() {
			ids = append(ids, slices.Clone(s.Credential))
		}
	}
	return ids
}
