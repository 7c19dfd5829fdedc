// Package vault seals Fob's secrets at rest under one random data key, which several slots each open.
//
// The data key is made with the vault and never stored in the open. It stands in slots, as LUKS does:
// each slot holds it sealed under a key of its own, which comes from a Keeper, from a passphrase or
// from a printed recovery key. Slots come and go without anything else being sealed anew.
package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// Options of New.
type Options struct {
	Store *store.Store // required
	// Keepers are tried in this order; at most one of each type.
	Keepers []Keeper
	// Rand is crypto/rand's if nil; it must be safe for concurrent use.
	Rand io.Reader
	// Now dates the slots; time.Now if nil.
	Now func() time.Time
	// Boot is the time since the machine started, sleep included; that of clock.System if nil.
	Boot func() time.Duration
	// Log receives what an administrator should know; nothing is logged if nil.
	Log *slog.Logger
}

// Vault is the vault of one database. It is safe for concurrent use.
type Vault struct {
	store   *store.Store
	keepers []Keeper
	kinds   map[SlotType]kind
	rand    io.Reader
	now     func() time.Time
	boot    func() time.Duration
	log     *slog.Logger

	opening chan struct{} // holds one while somebody opens the vault by its automatic slots
	until   atomic.Int64  // on boot, when the vault locks by itself; 0 if it does not

	mu      sync.Mutex     // guards what follows; never held while a keeper or Argon2 is waited for
	data    *secret.Secret // the data key; nil while the vault is not open
	sealers map[string]*Sealer
	locks   int     // how often Lock was called
	last    attempt // to open the vault by its automatic slots
	timer   *time.Timer
	claimed map[SlotType]bool
}

// attempt is one that was not broken off.
type attempt struct {
	n   int
	err error
}

// New makes a Vault. It reads nothing yet: Open does.
func New(o Options) (*Vault, error) {
	if o.Store == nil {
		return nil, errors.New("cannot make a vault without a store")
	}
	v := &Vault{
		store: o.Store, keepers: o.Keepers, kinds: kinds(standard), rand: o.Rand, now: o.Now, boot: o.Boot, log: o.Log,
		opening: make(chan struct{}, 1),
		sealers: make(map[string]*Sealer), claimed: make(map[SlotType]bool),
	}
	if v.rand == nil {
		v.rand = rand.Reader
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.boot == nil {
		v.boot = clock.System().Boot
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	seen := make(map[SlotType]bool)
	for _, k := range o.Keepers {
		if kind, ok := v.kinds[k.Type()]; !ok || !kind.automatic() || seen[k.Type()] {
			return nil, fmt.Errorf("cannot make a vault with a keeper of type %q: %w", k.Type(), ErrBadType)
		}
		seen[k.Type()] = true
	}
	return v, nil
}

// Open opens the vault by its automatic slots, and makes it if there is none yet: a data key, in a slot
// whose key goes to the first keeper that takes one. It is cheap where the vault is open. Callers that
// come while one of them tries share its outcome.
//
// It fails with ErrSealed, and in words with the reason, where no automatic slot opens the vault; and
// with ErrDamaged where the database holds only parts of one.
func (v *Vault) Open(ctx context.Context) error {
	open, before := v.progress()
	if open {
		return nil
	}
	select {
	case v.opening <- struct{}{}:
		defer func() { <-v.opening }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// A keeper that hangs costs its deadline once, and not once for each who waits.
	switch open, now := v.progress(); {
	case open:
		return nil
	case now.n != before.n && now.err != nil:
		return now.err
	}
	err := v.open(ctx)
	if ctx.Err() == nil {
		v.mu.Lock()
		v.last = attempt{v.last.n + 1, err}
		v.mu.Unlock()
	}
	return err
}

func (v *Vault) progress() (open bool, last attempt) {
	v.lapse()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.data != nil, v.last
}

// open is Open for the one whose turn it is.
func (v *Vault) open(ctx context.Context) error {
	locks := v.lockCount()
	recs, err := v.load()
	if err != nil {
		return err
	}
	if !recs.made {
		return v.make(ctx, locks)
	}
	var why []error
	for _, k := range v.keepers {
		for _, e := range recs.of(k.Type()) {
			data, err := v.openKept(ctx, k, e, recs.head)
			if ctx.Err() != nil {
				data.Wipe()
				return ctx.Err()
			}
			if err == nil {
				return v.install(data, locks, e.record)
			}
			why = append(why, err)
		}
	}
	return v.sealedBecause(recs, why)
}

// openKept gives the data key out of a slot whose key is with a keeper.
func (v *Vault) openKept(ctx context.Context, k Keeper, e entry, head header) (*secret.Secret, error) {
	if e.fault != nil {
		return nil, e.fault
	}
	key, err := k.Get(ctx)
	if err != nil {
		return nil, at(k, err)
	}
	defer key.Wipe()
	data, err := v.unseal(ctx, e.record, key, head)
	return data, at(k, err)
}

// make makes the vault. A key that was put into a keeper stays there if the rest fails: the next try
// uses it.
func (v *Vault) make(ctx context.Context, locks int) error {
	data, err := v.random(keySize)
	if err != nil {
		return err
	}
	kept, err := v.keep(ctx, data)
	if err != nil {
		data.Wipe()
		return fmt.Errorf("cannot make the vault: %w", err)
	}
	defer v.release(kept.keeper.Type())
	head := v.newHeader(data)
	err = v.store.Update(ctx, func(tx *store.Tx) error {
		recs, err := v.scan(tx)
		if err != nil {
			return err
		}
		if recs.made || len(recs.entries) > 0 {
			return ErrConflict
		}
		return errors.Join(headers.Put(tx, headerKey, head), slots.Put(tx, kept.record.key(), kept.record))
	})
	if err != nil {
		data.Wipe()
		return fmt.Errorf("cannot make the vault: %w", err)
	}
	v.log.Info("made the vault", slog.String("key", kept.keeper.Where()))
	return v.install(data, locks, kept.record)
}

// Unlock opens the vault with what a person typed: a recovery key, if it reads as one, or a
// passphrase. The caller wipes typed. On a vault that is open it tells whether typed would open it; one
// that a tap has opened then locks by itself no more.
//
// It fails with ErrNoSlot where no slot is a person's; with ErrTypo where typed opens nothing and reads
// as a recovery key with a typing mistake; with ErrWrongSecret where it opens nothing; and with
// ErrDamaged where there are only damaged slots to try, or what it opens is another vault's.
func (v *Vault) Unlock(ctx context.Context, typed *secret.Secret) error {
	locks := v.lockCount()
	recs, err := v.load()
	if err != nil {
		return err
	}
	var faulty, foreign error
	tried, typo := false, false
	for _, e := range v.quickFirst(recs.entries) {
		if e.fault != nil {
			faulty = e.fault
			continue
		}
		input, err := v.kinds[e.Type].read(typed)
		if err != nil {
			tried, typo = true, typo || errors.Is(err, ErrTypo)
			continue
		}
		data, err := v.unseal(ctx, e.record, input, recs.head)
		input.Wipe()
		switch {
		case err == nil:
			return v.install(data, locks, e.record)
		case errors.Is(err, ErrDamaged):
			foreign = err
		case !errors.Is(err, errWrongKey):
			return err
		}
		tried = true
	}
	switch {
	case foreign != nil:
		return foreign
	case typo:
		return ErrTypo
	case tried:
		return ErrWrongSecret
	case faulty != nil:
		return faulty
	}
	return ErrNoSlot
}

// Lock forgets the keys. Sealers that were handed out fail with ErrSealed from then on, and so does
// an Open or Unlock that is under way. A later Open opens the vault again.
func (v *Vault) Lock() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lock("it was asked to")
}

// forget is lock's, and is called with the lock held.
func (v *Vault) forget() {
	for _, s := range v.sealers {
		s.die()
	}
	clear(v.sealers)
	v.data.Wipe()
	v.data = nil
	v.until.Store(0)
}

func (v *Vault) lockCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.locks
}

// install makes data the open vault's key and owns it, unless Lock was called since locks was counted.
func (v *Vault) install(data *secret.Secret, locks int, by record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.data != nil:
		data.Wipe()
		v.untilLocked(by, true)
		return nil
	case v.locks != locks:
		data.Wipe()
		return ErrSealed
	}
	v.data, v.last.err = data, nil
	v.untilLocked(by, false)
	v.log.Info("the vault is open", slog.String("slot", by.ID), slog.String("type", string(by.Type)))
	return nil
}

// DataKey gives a copy of the data key, for a backup; the caller wipes it. It fails with ErrSealed.
func (v *Vault) DataKey() (*secret.Secret, error) {
	v.lapse()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.data == nil {
		return nil, ErrSealed
	}
	return secret.New(append([]byte(nil), v.data.Reveal()...)), nil
}

// random gives n random bytes.
func (v *Vault) random(n int) (*secret.Secret, error) { return randomFrom(v.rand, n) }

func randomFrom(r io.Reader, n int) (*secret.Secret, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return secret.New(b), nil
}
