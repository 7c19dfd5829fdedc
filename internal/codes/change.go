package codes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/ykoath"
)

// New is an account that is to be kept.
type New struct {
	Issuer, Name string
	oath.Params
	Counter uint64 // HOTP: of the first code
	Touch   bool   // each code takes a touch; on cards alone
	Seed    *secret.Secret
}

// maxPlaces bounds to how many places an account goes at once.
const maxPlaces = 8

// Add puts an account into the vault, or onto cards, or both: everywhere, or, with an error, nowhere. Where it could
// not be taken back from a card that has it already the error wraps ErrHalf and says so. It gives the ids of the
// accounts in the order of on, and wipes the seed.
func (b *Book) Add(ctx context.Context, n New, on []string) (ids []string, err error) {
	defer n.Seed.Wipe()
	if err := b.check(n, on); err != nil {
		return nil, err
	}
	raw, err := ykoath.FormatID(n.Issuer, n.Name, n.Kind, n.Period)
	if slices.ContainsFunc(on, isCard) && err != nil {
		return nil, err
	}
	// What is taken back must be what this call wrote: nothing of the name may be there before, from here or meanwhile.
	if slices.ContainsFunc(on, isCard) {
		select {
		case b.adding <- struct{}{}:
			defer func() { <-b.adding }()
		case <-ctx.Done():
			return nil, card.ErrCancelled
		}
		if err := b.freeOn(ctx, raw, on); err != nil {
			return nil, err
		}
		end, beginErr := b.begin(ctx, raw, begun{Account{Issuer: n.Issuer, Name: n.Name}.Title(), on})
		if beginErr != nil {
			return nil, beginErr
		}
		defer func() {
			if err != nil {
				end(err)
			} else {
				b.mended(raw)
			}
		}()
	}
	var written []card.ID
	undo := func(err error) error {
		for _, id := range written {
			gone := b.on(context.WithoutCancel(ctx), id, func(t card.Target) error { return b.Cards.Delete(context.WithoutCancel(ctx), t, []byte(raw)) })
			if gone != nil && !errors.Is(gone, ykoath.ErrNoAccount) {
				err = fmt.Errorf("%w: the card %s has it (%w). %w", ErrHalf, id, gone, err)
			}
		}
		return err
	}
	ids = make([]string, len(on))
	for i, place := range on {
		if !isCard(place) {
			continue
		}
		id := card.ID(place)
		ids[i] = cardAccountID(id, []byte(raw))
		err := b.on(ctx, id, func(t card.Target) error {
			return b.Cards.Put(ctx, t, card.New{
				ID: []byte(raw), Kind: n.Kind, Algorithm: n.Algorithm, Digits: n.Digits, Counter: n.Counter, Touch: n.Touch, Seed: n.Seed.Reveal(),
			})
		})
		if err != nil {
			if mayBeThere(err) {
				written = append(written, id)
			}
			return nil, undo(err)
		}
		written = append(written, id)
	}
	err = b.note(ctx, kindAddAccount, "added "+Account{Issuer: n.Issuer, Name: n.Name}.Title()+" ("+strings.Join(on, ", ")+")", func(tx *store.Tx) error {
		if slices.ContainsFunc(on, isCard) {
			if err := addings.Delete(tx, []byte(raw)); err != nil {
				return err
			}
		}
		i := slices.Index(on, Vault)
		if i < 0 {
			return nil
		}
		id, err := b.addToVault(tx, n)
		ids[i] = id
		return err
	})
	if err != nil {
		return nil, undo(err)
	}
	return ids, nil
}

// freeOn fails unless every card among places is there and open, and has no account of the id raw.
func (b *Book) freeOn(ctx context.Context, raw string, places []string) error {
	var ids []card.ID
	for _, place := range places {
		if isCard(place) {
			ids = append(ids, card.ID(place))
		}
	}
	found, err := b.lookFor(ctx, ids...)
	if err != nil {
		return err
	}
	for _, f := range found {
		wipeAccounts(f)
	}
	for _, place := range places {
		if !isCard(place) {
			continue
		}
		f, _, err := b.accountOn(found, card.ID(place), []byte(raw))
		switch {
		case err == nil:
			return fmt.Errorf("%s: %w", caller.Clean(f.Reader), ykoath.ErrExists)
		case errors.Is(err, ErrNoCard) || errors.Is(err, ErrTwins):
			return err
		case !errors.Is(err, ykoath.ErrNoAccount):
			return fmt.Errorf("%s: %w", caller.Clean(f.Reader), err)
		}
	}
	return nil
}

// mayBeThere reports whether a failed Put may have reached the card: one that the card, or fob-helper, refused did not.
func mayBeThere(err error) bool {
	for _, refusal := range []error{
		ykoath.ErrExists, ykoath.ErrFull, ykoath.ErrLocked, ykoath.ErrPassword, ykoath.ErrParams, ykoath.ErrTooOld, ykoath.ErrNoApplet,
		card.ErrBusy, card.ErrOther, card.ErrNoService, ErrNoCard,
	} {
		if errors.Is(err, refusal) {
			return false
		}
	}
	return true
}

func isCard(place string) bool { return place != Vault }

// check refuses what cannot be added anywhere, before anything is written.
func (b *Book) check(n New, on []string) error {
	if len(on) == 0 || len(on) > maxPlaces {
		return ErrWhere
	}
	for i, place := range on {
		if slices.Contains(on[:i], place) || isCard(place) && !card.ID(place).Valid() {
			return ErrWhere
		}
	}
	a := account.Account{Issuer: n.Issuer, Name: n.Name, Params: n.Params, Counter: n.Counter}
	if err := a.Check(); err != nil {
		return err
	}
	if n.Seed.Len() == 0 || n.Seed.Len() > oath.MaxSeed {
		return account.ErrSeed
	}
	if slices.Contains(on, Vault) {
		if n.Touch {
			return ErrTouch
		}
		if _, err := b.Vault.Sealer(account.Purpose); err != nil {
			return err
		}
		return b.Store.View(func(tx *store.Tx) error { return account.Free(tx, n.Issuer, n.Name) })
	}
	return nil
}

// addToVault adds an account to the vault and gives its id.
func (b *Book) addToVault(tx *store.Tx, n New) (string, error) {
	id, err := b.newID()
	if err != nil {
		return "", err
	}
	sealer, err := b.Vault.Sealer(account.Purpose)
	if err != nil {
		return "", err
	}
	sealed, err := sealer.Seal([]byte(id), n.Seed.Reveal())
	if err != nil {
		return "", err
	}
	return id, account.Add(tx, account.Account{
		ID: id, Issuer: n.Issuer, Name: n.Name, Params: n.Params, Counter: n.Counter, Added: b.Now().UTC(),
	}, sealed)
}

// newID makes an id of 50 random bits, of signs that people do not confuse.
func (b *Book) newID() (string, error) {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	id := make([]byte, 10)
	if _, err := io.ReadFull(b.Rand, id); err != nil {
		return "", fmt.Errorf("cannot make an id: %w", err)
	}
	for i := range id {
		id[i] = alphabet[id[i]%32]
	}
	return string(id), nil
}

// Rename gives an account another issuer and name, and gives the id that it has then.
func (b *Book) Rename(ctx context.Context, id, issuer, name string) (string, error) {
	if err := account.CheckName(issuer, name); err != nil {
		return "", err
	}
	to := Account{Issuer: issuer, Name: name}.Title()
	on, raw, ok := splitID(id)
	if !ok {
		var was account.Account
		return id, b.Store.Update(ctx, func(tx *store.Tx) (err error) {
			if was, err = account.Get(tx, id); err != nil {
				return err
			}
			if _, err = account.Rename(tx, id, issuer, name); err != nil {
				return err
			}
			return b.Note(tx, kindRenameAccount, "renamed "+inVault(was).Title()+" to "+to)
		})
	}
	found, err := b.lookFor(ctx, on)
	if err != nil {
		return "", err
	}
	f, a, err := b.accountOn(found, on, raw)
	if err != nil {
		return "", err
	}
	clear(a.Code)
	next, err := ykoath.FormatID(issuer, name, a.Kind, a.Period)
	if err != nil {
		return "", err
	}
	t, done := b.target(f)
	defer done()
	if err := b.Cards.Rename(ctx, t, raw, []byte(next)); err != nil {
		return "", err
	}
	now := cardAccountID(on, []byte(next))
	return now, b.note(context.WithoutCancel(ctx), kindRenameAccount, "renamed "+Account{Issuer: a.Issuer, Name: a.Name}.Title()+" to "+to, func(tx *store.Tx) error {
		return movePin(tx, id, now)
	})
}

// Delete removes an account for good.
func (b *Book) Delete(ctx context.Context, id string) error {
	on, raw, ok := splitID(id)
	if !ok {
		return b.Store.Update(ctx, func(tx *store.Tx) error {
			a, err := account.Get(tx, id)
			if err != nil {
				return err
			}
			if err := errors.Join(account.Delete(tx, id), setPin(tx, id, false)); err != nil {
				return err
			}
			return b.Note(tx, kindDeleteAccount, "deleted "+inVault(a).Title())
		})
	}
	a := ykoath.ParseID(string(raw), oath.TOTP)
	if err := b.on(ctx, on, func(t card.Target) error { return b.Cards.Delete(ctx, t, bytes.Clone(raw)) }); err != nil {
		return err
	}
	b.mended(string(raw))
	return b.note(context.WithoutCancel(ctx), kindDeleteAccount, "deleted "+Account{Issuer: a.Issuer, Name: a.Name}.Title()+" from the card "+string(on), func(tx *store.Tx) error {
		return setPin(tx, id, false)
	})
}
