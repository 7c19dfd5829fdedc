package card

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/ykoath"
)

// Runner runs one operation in a process of its own; helper.Pool does.
type Runner interface {
	Run(ctx context.Context, c helper.Call, result any) error
}

// Cards runs operations on cards through fob-helper. It is safe for concurrent use: pcscd orders operations on one
// card. Errors wrap a sentinel of this package or of ykoath, and name the card's reader.
type Cards struct {
	r    Runner
	room chan struct{} // holds a value for each operation that runs
	mu   sync.Mutex
	left map[string]error // by reader: what keeps a card busy that an operation has left, or waits on
}

// NewCards makes Cards that run their operations on r.
func NewCards(r Runner) *Cards {
	return &Cards{r: r, room: make(chan struct{}, maxRunning), left: map[string]error{}}
}

// maxRunning bounds how many operations, each a process, run at a time; others wait.
const maxRunning = 8

// maxReaders bounds what the helper may list.
const maxReaders = 32

// List asks the card in each reader what it is.
func (c *Cards) List(ctx context.Context) ([]Found, error) { return c.list(ctx, listArgs{}) }

// Codes is List with the accounts of each card, and the codes of now that it gives without more; where readers are
// named, of the cards that were seen in them alone. keys open cards that have a password; one without its key is listed
// with ykoath.ErrLocked as its trouble.
func (c *Cards) Codes(ctx context.Context, readers []string, keys map[ID]*secret.Secret, now time.Time) ([]Found, error) {
	a := listArgs{Readers: readers, Accounts: true, Now: now.Unix(), Keys: map[ID][]byte{}}
	for id, key := range keys {
		a.Keys[id] = key.Reveal()
	}
	return c.list(ctx, a)
}

func (c *Cards) list(ctx context.Context, a listArgs) ([]Found, error) {
	c.mu.Lock()
	a.Left = slices.Collect(maps.Keys(c.left))
	c.mu.Unlock()
	var all []Found
	if err := c.do(ctx, "cards", opList, listTime, a, &all); errors.Is(err, ErrNoService) {
		return nil, ErrNoService // of no card
	} else if err != nil {
		return nil, err
	}
	if len(all) > maxReaders || slices.ContainsFunc(all, func(f Found) bool { return !f.plausible() }) {
		return nil, fmt.Errorf("cards: %w: it lists what cannot be", ErrHelper)
	}
	for _, f := range all {
		for i := range f.Accounts {
			f.Accounts[i].name()
		}
	}
	c.met(a.Readers, all)
	return all, nil
}

// met notes which cards answer again, which have fallen silent, and why a card is busy where that is known. asked are
// the readers whose cards were asked; none: all.
func (c *Cards) met(asked []string, all []Found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.left, func(reader string, _ error) bool {
		return (len(asked) == 0 || slices.Contains(asked, reader)) && !slices.ContainsFunc(all, func(f Found) bool { return f.Reader == reader && f.Why() == ErrBusy })
	})
	for i, f := range all {
		switch f.Why() {
		case ErrBusy:
			if why := c.left[f.Reader]; why != nil {
				all[i].Trouble = report(why).Name
			}
		case ErrMute, ErrTimeout:
			c.left[f.Reader] = ErrMute
		}
	}
}

// leave notes what keeps the card in a reader busy; nil for nothing.
func (c *Cards) leave(reader string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == nil {
		delete(c.left, reader)
	} else if c.left[reader] == nil && len(c.left) < maxReaders {
		c.left[reader] = why
	}
}

// unended reports whether an operation that failed so may go on on the card, or another one does.
func unended(err error) bool {
	for _, e := range []error{ErrCancelled, ErrTimeout, ErrHelper, ErrBusy} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Why is what the trouble of a card that was found is; nil if it has none.
func (f Found) Why() error {
	if f.Trouble == "" {
		return nil
	}
	if err, ok := names[f.Trouble]; ok {
		return err
	}
	return ErrReader
}

func (f Found) plausible() bool {
	if len(f.Accounts) > ykoath.MaxAccounts || slices.ContainsFunc(f.Accounts, func(a Account) bool { return !a.plausible() }) {
		return false
	}
	return f.Reader != "" && len(f.Reader) <= 256 && len(f.Version) <= 16 && (f.ID.Valid() || f.ID == "" && f.Trouble != "")
}

// Code gives one account's code: the one of now, or for HOTP the next, which is then used. The card may wait for a
// touch.
func (c *Cards) Code(ctx context.Context, t Target, account []byte, kind oath.Kind, now time.Time) (Account, error) {
	var a Account
	c.leave(t.Reader, ErrWaits)
	err := c.run(ctx, t.Reader, opCode, touchTime, codeArgs{t, account, kind, now.Unix()}, &a)
	if !unended(err) {
		c.leave(t.Reader, nil)
	}
	if err != nil {
		return Account{}, err
	}
	if !a.plausible() || len(a.Code) == 0 {
		return Account{}, fmt.Errorf("%s: %w", clean(t.Reader), ykoath.ErrNonsense)
	}
	a.name()
	return a, nil
}

// Put adds an account; it never replaces one. It wipes nothing.
func (c *Cards) Put(ctx context.Context, t Target, n New) error {
	return c.run(ctx, t.Reader, opPut, quickTime, putArgs{t, n}, nil)
}

// Rename gives an account another id.
func (c *Cards) Rename(ctx context.Context, t Target, account, to []byte) error {
	return c.run(ctx, t.Reader, opRename, quickTime, renameArgs{t, account, to}, nil)
}

// Delete removes an account for good.
func (c *Cards) Delete(ctx context.Context, t Target, account []byte) error {
	return c.run(ctx, t.Reader, opDelete, quickTime, deleteArgs{t, account}, nil)
}

// SetPassword sets the card's password, or takes it away where it is empty. It gives the access key that opens the
// card from now on; nil for a card without password.
func (c *Cards) SetPassword(ctx context.Context, t Target, password *secret.Secret) (*secret.Secret, error) {
	return c.key(ctx, t, opPassword, passwordArgs{t, password.Reveal()})
}

// Unlock tries a password and gives the access key that it makes for this card, which Target.Key takes.
func (c *Cards) Unlock(ctx context.Context, t Target, password *secret.Secret) (*secret.Secret, error) {
	return c.key(ctx, t, opUnlock, unlockArgs{t, password.Reveal()})
}

func (c *Cards) key(ctx context.Context, t Target, op string, args any) (*secret.Secret, error) {
	var key []byte
	if err := c.run(ctx, t.Reader, op, quickTime, args, &key); err != nil {
		return nil, err
	}
	if key == nil {
		return nil, nil
	}
	return secret.New(key), nil
}

// Reset removes every account and the password of the card, and gives its new id.
func (c *Cards) Reset(ctx context.Context, t Target) (ID, error) {
	var id ID
	if err := c.run(ctx, t.Reader, opReset, quickTime, resetArgs{t}, &id); err != nil {
		return "", err
	}
	if !id.Valid() {
		return "", fmt.Errorf("%s: %w", clean(t.Reader), ykoath.ErrNonsense)
	}
	return id, nil
}

// name reads issuer and name out of the id: sent beside it they would let a few hostile cards fill a whole answer.
func (a *Account) name() {
	read := ykoath.ParseID(string(a.ID), a.Kind)
	a.Issuer, a.Name = read.Issuer, read.Name
}

func (a Account) plausible() bool {
	digits := len(a.Code) == 0 || len(a.Code) >= oath.MinDigits && len(a.Code) <= oath.MaxDigits
	for _, d := range a.Code {
		digits = digits && d >= '0' && d <= '9'
	}
	return digits && len(a.ID) > 0 && len(a.ID) <= ykoath.MaxID && (a.Kind == oath.HOTP || a.Kind == oath.TOTP && a.Period >= 1 && a.Period <= oath.MaxPeriod)
}

func clean(reader string) string { return caller.Clean(reader).String() }

// run runs an operation on the card in a reader.
func (c *Cards) run(ctx context.Context, reader, op string, timeout time.Duration, args, result any) error {
	err := c.do(ctx, reader, op, timeout, args, result)
	switch {
	case errors.Is(err, ErrBusy):
		c.mu.Lock()
		defer c.mu.Unlock()
		if why := c.left[reader]; why != nil {
			return fmt.Errorf("%s: %w", clean(reader), detailed{ErrBusy, why.Error()})
		}
	case errors.Is(err, ErrTimeout):
		c.leave(reader, ErrMute)
	}
	return err
}

// do runs an operation and gives its failure a sentinel.
func (c *Cards) do(ctx context.Context, device, op string, timeout time.Duration, args, result any) error {
	device = clean(device)
	select {
	case c.room <- struct{}{}:
		defer func() { <-c.room }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", device, ErrCancelled)
	}
	err := c.r.Run(ctx, helper.Call{Op: op, Device: device, Args: args, Timeout: timeout}, result)
	if err == nil {
		return nil
	}
	code, isCode := errors.AsType[*helper.OpError](err)
	kind, known := error(nil), false
	if isCode {
		kind, known = names[code.Name]
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", device, ErrCancelled)
	case known && code.Text != kind.Error():
		return fmt.Errorf("%s: %w", device, detailed{kind, code.Text})
	case known:
		return fmt.Errorf("%s: %w", device, kind)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", device, ErrTimeout)
	}
	return fmt.Errorf("%w: %w", ErrHelper, err)
}

// detailed is a sentinel with what the helper said of it.
type detailed struct {
	kind error
	text string
}

func (d detailed) Error() string { return d.text }
func (d detailed) Unwrap() error { return d.kind }
