package codes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
	"github.com/fobproject/fob/internal/ykoath"
)

// Card is a card in a reader.
type Card struct {
	card.Found
	// Open says that its accounts can be used: it has no password, or was unlocked.
	Open bool
	// Remembered says that its password's key is kept in the vault.
	Remembered bool
}

// keyPurpose names the key under which the access keys of cards are sealed.
const keyPurpose = "card keys"

// cardKey is a card's access key as it is kept: sealed, with the card's id bound to it.
type cardKey struct {
	Sealed []byte `json:"sealed"`
}

var cardKeys = store.NewBucket[cardKey]("card-keys")

// CardList gives the cards that are in a reader.
func (b *Book) CardList(ctx context.Context) ([]Card, error) {
	found, err := b.look(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Card, len(found))
	for i, f := range found {
		for _, a := range f.Accounts {
			clear(a.Code)
		}
		out[i] = Card{Found: f, Open: f.Why() == nil}
		if f.ID == "" {
			continue
		}
		err := b.Store.View(func(tx *store.Tx) (err error) {
			out[i].Remembered, err = cardKeys.Has(tx, []byte(f.ID))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// look asks all cards for their accounts, with the keys that are known.
func (b *Book) look(ctx context.Context) ([]card.Found, error) {
	found, err := b.ask(ctx, nil)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, reader := range b.seen {
		i := slices.IndexFunc(found, func(f card.Found) bool { return f.Reader == reader && silent(f) })
		if i >= 0 && !slices.ContainsFunc(found, func(f card.Found) bool { return f.ID == id }) {
			found[i].ID = id // most likely: each operation looks whether it is
		}
	}
	clear(b.seen)
	for i, f := range found {
		if f.ID != "" && twin(found, i) < 0 {
			b.seen[f.ID] = f.Reader
		}
	}
	return found, nil
}

// lookFor is look for a few cards: they alone are asked where each is in the reader in which it was last, so that no
// other one is waited for.
func (b *Book) lookFor(ctx context.Context, ids ...card.ID) ([]card.Found, error) {
	var readers []string
	b.mu.Lock()
	for _, id := range ids {
		if reader, ok := b.seen[id]; ok {
			readers = append(readers, reader)
		}
	}
	b.mu.Unlock()
	if len(readers) == 0 || len(readers) < len(ids) {
		return b.look(ctx)
	}
	found, err := b.ask(ctx, readers)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(f card.Found) bool { return f.ID == id }) {
			for _, f := range found {
				wipeAccounts(f)
			}
			return b.look(ctx)
		}
	}
	return found, nil
}

// ask asks the cards in readers, or all for none, for their accounts, with the keys that are known.
func (b *Book) ask(ctx context.Context, readers []string) ([]card.Found, error) {
	keys := b.knownKeys()
	defer func() {
		for _, k := range keys {
			k.Wipe()
		}
	}()
	return b.Cards.Codes(ctx, readers, keys, b.Now())
}

// silent reports whether a card said nothing, not even what it is.
func silent(f card.Found) bool {
	return f.ID == "" && slices.Contains([]error{card.ErrBusy, card.ErrWaits, card.ErrMute, card.ErrTimeout}, f.Why())
}

// twin finds another card with the id of the i-th; -1 if there is none.
func twin(found []card.Found, i int) int {
	return slices.IndexFunc(found, func(f card.Found) bool { return f.ID == found[i].ID && f.Reader != found[i].Reader })
}

// knownKeys gives copies of the access keys that are known: from this run, and from the vault while it is open.
func (b *Book) knownKeys() map[card.ID]*secret.Secret {
	keys := map[card.ID]*secret.Secret{}
	if sealer, err := b.Vault.Sealer(keyPurpose); err == nil {
		err := b.Store.View(func(tx *store.Tx) error {
			for item, err := range cardKeys.All(tx, nil) {
				if err != nil {
					return err
				}
				key, err := sealer.Open(item.Key, item.Value.Sealed)
				if err != nil {
					b.Log.Warn("a card's remembered password cannot be read: unlock the card again", "card", string(item.Key), "error", err)
					continue
				}
				keys[card.ID(item.Key)] = key
			}
			return nil
		})
		if err != nil {
			b.Log.Warn("a card's remembered password cannot be read: unlock the card again", "error", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, key := range b.keys {
		keys[id].Wipe()
		keys[id] = copyOf(key)
	}
	return keys
}

func copyOf(s *secret.Secret) *secret.Secret {
	return secret.New(append([]byte(nil), s.Reveal()...))
}

// target is a card for an operation; done wipes the key in it.
func (b *Book) target(f card.Found) (t card.Target, done func()) {
	keys := b.knownKeys()
	return card.Target{Reader: f.Reader, ID: f.ID, Key: keys[f.ID].Reveal()}, func() {
		for _, k := range keys {
			k.Wipe()
		}
	}
}

// where finds a card that is in a reader now.
func (b *Book) where(ctx context.Context, id card.ID) (card.Found, error) {
	b.mu.Lock()
	reader, seen := b.seen[id]
	b.mu.Unlock()
	if seen {
		return card.Found{ID: id, Reader: reader}, nil // each operation looks whether it is still there
	}
	all, err := b.Cards.List(ctx)
	if err != nil {
		return card.Found{}, err
	}
	for i, f := range all {
		if f.ID == id && twin(all, i) >= 0 {
			return card.Found{}, ErrTwins
		}
		if f.ID == id {
			return f, nil
		}
	}
	return card.Found{}, ErrNoCard
}

// on runs an operation on a card. Where the card is not in the reader in which it was last, it is looked for once.
func (b *Book) on(ctx context.Context, id card.ID, do func(card.Target) error) error {
	for try := range 2 {
		f, err := b.where(ctx, id)
		if err != nil {
			return err
		}
		t, done := b.target(f)
		err = do(t)
		done()
		if try == 0 && (errors.Is(err, card.ErrOther) || errors.Is(err, card.ErrGone)) {
			b.forgetPlace(id)
			continue
		}
		return err
	}
	return ErrNoCard
}

func (b *Book) forgetPlace(id card.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, id)
}

const (
	// maxTries is how many passwords may wait to be tried: a card itself does not count wrong ones.
	maxTries = 8
	// afterWrong is how long the next one waits after one that failed.
	afterWrong = time.Second
)

// UnlockCard opens a card with its password, which it wipes, until fobd ends; where remember is set by what the vault
// keeps instead, while that is open.
func (b *Book) UnlockCard(ctx context.Context, id card.ID, password *secret.Secret, remember bool) error {
	defer password.Wipe()
	var sealer *vault.Sealer
	if remember {
		var err error
		if sealer, err = b.Vault.Sealer(keyPurpose); err != nil {
			return err
		}
	}
	select {
	case b.tries <- struct{}{}:
		defer func() { <-b.tries }()
	default:
		return ErrTooFast
	}
	select {
	case b.trying <- struct{}{}:
	case <-ctx.Done():
		return card.ErrCancelled
	}
	var key *secret.Secret
	err := b.on(ctx, id, func(t card.Target) (err error) {
		key, err = b.Cards.Unlock(ctx, t, password)
		return err
	})
	if err != nil {
		// Also where the client has left: it may have guessed by how long the answer takes.
		time.AfterFunc(afterWrong, func() { <-b.trying })
		return err
	}
	<-b.trying
	if key == nil {
		return fmt.Errorf("%w (it gave no key)", ykoath.ErrNonsense)
	}
	return b.keep(ctx, id, key, sealer)
}

// keep keeps a card's access key, of which it takes ownership: in the vault alone, which is locked with it, or in memory
// until fobd ends.
func (b *Book) keep(ctx context.Context, id card.ID, key *secret.Secret, sealer *vault.Sealer) error {
	if sealer != nil {
		sealed, err := sealer.Seal([]byte(id), key.Reveal())
		if err == nil {
			err = b.note(ctx, kindCardPassword, "keeps the password of the card "+string(id), func(tx *store.Tx) error {
				return cardKeys.Put(tx, []byte(id), cardKey{sealed})
			})
		}
		key.Wipe()
		if err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys[id].Wipe()
	delete(b.keys, id)
	if sealer == nil {
		b.keys[id] = key
	}
	return nil
}

// ForgetCard forgets a card's password: it has to be unlocked again.
func (b *Book) ForgetCard(ctx context.Context, id card.ID) error {
	b.mu.Lock()
	b.keys[id].Wipe()
	delete(b.keys, id)
	b.mu.Unlock()
	kept := false
	err := b.Store.View(func(tx *store.Tx) (err error) {
		kept, err = cardKeys.Has(tx, []byte(id))
		return err
	})
	if err != nil || !kept {
		return err
	}
	return b.note(ctx, kindCardPassword, "forgot the password of the card "+string(id), func(tx *store.Tx) error {
		return cardKeys.Delete(tx, []byte(id))
	})
}

// SetCardPassword sets the password of a card that is open, or takes it away where it is empty. What was kept of the
// old one is kept of the new one. It wipes the password.
func (b *Book) SetCardPassword(ctx context.Context, id card.ID, password *secret.Secret) error {
	defer password.Wipe()
	kept := false
	err := b.Store.View(func(tx *store.Tx) (err error) {
		kept, err = cardKeys.Has(tx, []byte(id))
		return err
	})
	if err != nil {
		return err
	}
	var sealer *vault.Sealer
	if kept && password.Len() > 0 {
		if sealer, err = b.Vault.Sealer(keyPurpose); err != nil {
			return err // before the card has a password that nobody has kept
		}
	}
	var key *secret.Secret
	err = b.on(ctx, id, func(t card.Target) (err error) {
		key, err = b.Cards.SetPassword(ctx, t, password)
		return err
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the card has it, also where the client is gone
	if key == nil {
		if err := b.ForgetCard(ctx, id); err != nil {
			return err
		}
		return b.note(ctx, kindCardPassword, "took the password off the card "+string(id), nil)
	}
	if err := b.note(ctx, kindCardPassword, "set the password of the card "+string(id), nil); err != nil {
		key.Wipe()
		return err
	}
	return b.keep(ctx, id, key, sealer)
}

// ResetCard removes every account and the password of a card, and gives its new id.
func (b *Book) ResetCard(ctx context.Context, id card.ID) (card.ID, error) {
	var now card.ID
	err := b.on(ctx, id, func(t card.Target) (err error) {
		now, err = b.Cards.Reset(ctx, t)
		return err
	})
	if err != nil {
		return "", err
	}
	b.forgetPlace(id)
	ctx = context.WithoutCancel(ctx)
	return now, errors.Join(b.ForgetCard(ctx, id), b.note(ctx, kindResetCard, "reset the card "+string(id)+", which is "+string(now)+" now", nil))
}
