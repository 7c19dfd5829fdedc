// Package codes gives the codes that people type into other sites, and keeps the accounts that they come from: on all
// cards that are in a reader, and in the vault. It is the user's own instance's: the machine's has no accounts.
//
// Accounts are never sign-in methods, and nothing here reads the seeds of tokens. Each code that is given, and each
// change, is a line in the log, which names the account and never the code.
package codes

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
	"github.com/fobproject/fob/internal/ykoath"
)

// What may become of a call, besides the errors of account, card, ykoath and vault.
var (
	ErrNoCard = errors.New("there is no such card in a reader: see “fob cards”")
	// ErrTwins says that an id does not tell which card is meant.
	ErrTwins = errors.New("two cards that are in readers have the same id: take one of them out")
	ErrWhere = errors.New("an account goes into the vault, or onto cards by their ids, each named once")
	// ErrTooFast says that too many passwords of cards are being tried.
	ErrTooFast = errors.New("too many passwords of cards are being tried: wait some seconds, and try again")
	ErrTouch   = errors.New("a key or card can want a touch at each code, the vault cannot")
	// ErrPins says that no more accounts can be pinned.
	ErrPins = fmt.Errorf("%d accounts are pinned, and no more can be: unpin some with “fob accounts unpin”, those on cards that are away by their ids", maxPins)
	// ErrHalf says that an account is on some of the cards that it was meant for, and could not be taken off again.
	ErrHalf = errors.New("the account could not be written everywhere, nor taken back")
)

// Vault is where the vault's accounts are, as cards are by their ids.
const Vault = "vault"

// Config is what a Book is made of. All fields must be set.
type Config struct {
	Store *store.Store
	Vault *vault.Vault
	Cards *card.Cards
	// Note adds an entry to the log, of something that the user did and that is no request.
	Note func(tx *store.Tx, kind, reason string) error
	Now  func() time.Time
	Rand io.Reader
	Log  *slog.Logger
}

// Book is the accounts and codes of one user. It is safe for concurrent use.
type Book struct {
	Config
	adding chan struct{} // holds one value while an account is added to a card
	trying chan struct{} // holds one value while a card's password is tried, and a while after a wrong one
	tries  chan struct{} // holds one for each that is to be tried
	mu     sync.Mutex
	keys   map[card.ID]*secret.Secret // of cards that were unlocked, not by what the vault keeps
	seen   map[card.ID]string         // the reader in which a card was last

	breaking sync.Mutex        // guards broken, and is held while the log is told
	broken   map[string]broken // by the id on cards
}

// Open makes a Book.
func Open(c Config) *Book {
	b := &Book{
		Config: c, adding: make(chan struct{}, 1), trying: make(chan struct{}, 1), tries: make(chan struct{}, maxTries),
		keys: map[card.ID]*secret.Secret{}, seen: map[card.ID]string{}, broken: map[string]broken{},
	}
	b.findBroken()
	return b
}

// Account is an account, wherever it is.
type Account struct {
	ID     string // of the account, over all places
	Where  string // Vault, or a card's id
	Reader string // of the card
	Issuer string // untrusted where it is on a card, as is Name
	Name   string
	Kind   oath.Kind
	Period int // seconds; 0 for HOTP
	Touch  bool
	Pinned bool
	// Code is nil where none was computed: for HOTP, which would be used up, for accounts that take a touch, and where
	// the vault is sealed. It is the caller's to wipe.
	Code  *secret.Secret
	Until time.Time // when the code ends; zero for HOTP
}

// Title is what the account is called in a sentence.
func (a Account) Title() string {
	issuer, name := caller.Clean(a.Issuer).String(), caller.Clean(a.Name).String()
	if issuer == "" {
		return name
	}
	return issuer + ": " + name
}

// Listing is accounts, and why some places could not be asked.
type Listing struct {
	Accounts []Account
	Problems []error
}

// cardAccountID is a card's account's id: the card's, and the bytes of its own.
func cardAccountID(id card.ID, account []byte) string {
	return string(id) + "-" + base64.RawURLEncoding.EncodeToString(account)
}

// splitID undoes cardAccountID; ok is false for an account of the vault.
func splitID(id string) (on card.ID, account []byte, ok bool) {
	first, rest, ok := strings.Cut(id, "-")
	if !ok || !card.ID(first).Valid() {
		return "", nil, false
	}
	account, err := base64.RawURLEncoding.DecodeString(rest)
	return card.ID(first), account, err == nil && len(account) > 0 && len(account) <= ykoath.MaxID
}

// List gives the accounts that fit query best, pinned ones first, without codes; all for none.
func (b *Book) List(ctx context.Context, query string) (Listing, error) {
	l, err := b.everything(ctx, query, false)
	for i := range l.Accounts {
		l.Accounts[i].Code.Wipe()
		l.Accounts[i].Code = nil
	}
	return l, err
}

// Codes is List with the codes of the moment, where an account has one without more.
func (b *Book) Codes(ctx context.Context, query string) (Listing, error) {
	l, err := b.everything(ctx, query, true)
	given := 0
	for _, a := range l.Accounts {
		if a.Code != nil {
			given++
		}
	}
	if err != nil || given == 0 {
		return l, err
	}
	text := fmt.Sprintf("showed the codes of %d accounts", given)
	if given == 1 {
		i := slices.IndexFunc(l.Accounts, func(a Account) bool { return a.Code != nil })
		text = "showed the code of " + l.Accounts[i].Title()
	}
	if err := b.note(ctx, kindCodes, text, nil); err != nil {
		l.wipe()
		return Listing{}, err
	}
	return l, nil
}

func (l Listing) wipe() {
	for _, a := range l.Accounts {
		a.Code.Wipe()
	}
}

// everything asks all cards and the vault at once.
func (b *Book) everything(ctx context.Context, query string, codes bool) (l Listing, err error) {
	var found []card.Found
	var cardsErr error
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		found, cardsErr = b.look(ctx)
	}()
	mine, problem, err := b.vaultAccounts(query, codes)
	<-asked
	if err != nil {
		for _, f := range found {
			wipeAccounts(f)
		}
		return Listing{}, err
	}
	l.Accounts = mine
	if cardsErr != nil && !errors.Is(cardsErr, card.ErrNoService) {
		l.Problems = append(l.Problems, cardsErr)
	}
	for _, f := range found {
		if why := f.Why(); why != nil && !errors.Is(why, ykoath.ErrNoApplet) {
			l.Problems = append(l.Problems, fmt.Errorf("%s: %w", caller.Clean(f.Reader), why))
		}
		for _, a := range f.Accounts {
			entry := onCard(f, a)
			if fit(entry, query) == 0 {
				clear(a.Code)
				continue
			}
			l.Accounts = append(l.Accounts, entry)
		}
	}
	l.Accounts = closest(l.Accounts, query)
	if problem != nil && slices.ContainsFunc(l.Accounts, func(a Account) bool { return a.Where == Vault }) {
		l.Problems = slices.Insert(l.Problems, 0, problem)
	}
	// A machine without card readers has nothing to say of them, unless what was looked for may be on a card.
	if errors.Is(cardsErr, card.ErrNoService) && len(l.Accounts) == 0 {
		l.Problems = append(l.Problems, cardsErr)
	}
	l.Problems = append(l.Problems, b.brokenOff(ctx, found)...)
	pinned, err := b.pinned()
	if err != nil {
		l.wipe()
		return Listing{}, err
	}
	for i := range l.Accounts {
		l.Accounts[i].Pinned = pinned[l.Accounts[i].ID]
	}
	slices.SortStableFunc(l.Accounts, func(a, b Account) int {
		if a.Pinned != b.Pinned {
			if a.Pinned {
				return -1
			}
			return 1
		}
		return strings.Compare(strings.ToLower(a.Title()), strings.ToLower(b.Title()))
	})
	return l, nil
}

func onCard(f card.Found, a card.Account) Account {
	e := Account{
		ID: cardAccountID(f.ID, a.ID), Where: string(f.ID), Reader: f.Reader,
		Issuer: a.Issuer, Name: a.Name, Kind: a.Kind, Period: a.Period, Touch: a.Touch,
	}
	if len(a.Code) > 0 {
		e.Code = secret.New(a.Code)
	}
	if a.Until > 0 {
		e.Until = time.Unix(a.Until, 0)
	}
	return e
}

func inVault(a account.Account) Account {
	return Account{ID: a.ID, Where: Vault, Issuer: a.Issuer, Name: a.Name, Kind: a.Kind, Period: a.Period}
}

// ends is when a TOTP code of now does.
func ends(now time.Time, period int) time.Time {
	return time.Unix((now.Unix()/int64(period)+1)*int64(period), 0)
}

// vaultAccounts gives the vault's accounts, and why they have no codes.
func (b *Book) vaultAccounts(query string, codes bool) (out []Account, problem, err error) {
	now := b.Now()
	var sealer *vault.Sealer
	err = b.Store.View(func(tx *store.Tx) error {
		all, err := account.List(tx)
		if err != nil {
			return err
		}
		for _, a := range all {
			e := inVault(a)
			if fit(e, query) == 0 {
				continue
			}
			if codes && a.Kind == oath.TOTP && problem == nil {
				if sealer == nil {
					if sealer, problem = b.Vault.Sealer(account.Purpose); problem != nil {
						out = append(out, e)
						continue
					}
				}
				if e.Code, err = codeOf(tx, sealer, a, now, 0); err != nil {
					return err
				}
				e.Until = ends(now, a.Period)
			}
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		Listing{Accounts: out}.wipe()
		return nil, nil, err
	}
	return out, problem, nil
}

// codeOf opens an account's seed and makes its code.
func codeOf(tx *store.Tx, sealer *vault.Sealer, a account.Account, now time.Time, counter uint64) (*secret.Secret, error) {
	sealed, err := account.Sealed(tx, a.ID)
	if err != nil {
		return nil, err
	}
	seed, err := sealer.Open([]byte(a.ID), sealed)
	if err != nil {
		return nil, err
	}
	defer seed.Wipe()
	return a.Code(seed, now, counter)
}

// Code gives one account's code: that of the moment, or for HOTP the next, which is then used. waiting is called where
// the account takes a touch, before that is waited for. The code is the caller's to wipe.
func (b *Book) Code(ctx context.Context, id string, waiting func(Account)) (Account, error) {
	if on, raw, ok := splitID(id); ok {
		return b.cardCode(ctx, on, raw, waiting)
	}
	var a account.Account
	var code *secret.Secret
	now := b.Now()
	sealer, err := b.Vault.Sealer(account.Purpose)
	if err != nil {
		return Account{}, err
	}
	err = b.Store.Update(ctx, func(tx *store.Tx) (err error) {
		code.Wipe() // of a try that was not kept
		if a, err = account.Get(tx, id); err != nil {
			return err
		}
		var counter uint64
		if a.Kind == oath.HOTP {
			if counter, err = account.Use(tx, id); err != nil {
				return err
			}
		}
		if code, err = codeOf(tx, sealer, a, now, counter); err != nil {
			return err
		}
		return b.Note(tx, kindCodes, "showed the code of "+inVault(a).Title())
	})
	if err != nil {
		code.Wipe()
		return Account{}, err
	}
	e := inVault(a)
	e.Code = code
	if a.Kind == oath.TOTP {
		e.Until = ends(now, a.Period)
	}
	return e, nil
}

func (b *Book) cardCode(ctx context.Context, on card.ID, raw []byte, waiting func(Account)) (Account, error) {
	found, err := b.lookFor(ctx, on)
	if err != nil {
		return Account{}, err
	}
	f, a, err := b.accountOn(found, on, raw)
	if err != nil {
		return Account{}, err
	}
	e := onCard(f, a)
	if e.Code == nil {
		if waiting == nil {
			waiting = func(Account) {}
		}
		got, err := b.calculate(ctx, f, a, func() { waiting(e) })
		if err != nil {
			return Account{}, err
		}
		got.Touch = a.Touch
		e = onCard(f, got)
	}
	if err := b.note(ctx, kindCodes, "showed the code of "+e.Title(), nil); err != nil {
		e.Code.Wipe()
		return Account{}, err
	}
	return e, nil
}

// unasked is after how long an HOTP account, of which a card does not tell whether it takes a touch, probably does.
const unasked = time.Second

// calculate has the card compute one account's code.
func (b *Book) calculate(ctx context.Context, f card.Found, a card.Account, waiting func()) (got card.Account, err error) {
	t, done := b.target(f)
	defer done()
	if a.Touch {
		waiting()
	}
	var perhaps <-chan time.Time
	if a.Kind == oath.HOTP {
		perhaps = time.After(unasked)
	}
	computed := make(chan struct{})
	go func() {
		defer close(computed)
		got, err = b.Cards.Code(ctx, t, a.ID, a.Kind, b.Now())
	}()
	select {
	case <-computed:
	case <-perhaps:
		waiting()
		<-computed
	}
	return got, err
}

// accountOn finds an account on a card, and wipes the codes of all others.
func (b *Book) accountOn(found []card.Found, on card.ID, raw []byte) (f card.Found, a card.Account, err error) {
	err = ErrNoCard
	for _, x := range found {
		if x.ID != on {
			wipeAccounts(x)
			continue
		}
		if f.ID == on {
			for _, y := range found {
				wipeAccounts(y)
			}
			return card.Found{}, card.Account{}, ErrTwins
		}
		f, err = x, x.Why()
		if err == nil {
			err = ykoath.ErrNoAccount
		}
		for _, y := range x.Accounts {
			if string(y.ID) == string(raw) {
				a, err = y, nil
			} else {
				clear(y.Code)
			}
		}
	}
	return f, a, err
}

func wipeAccounts(f card.Found) {
	for _, a := range f.Accounts {
		clear(a.Code)
	}
}

// note adds a line to the log, with what do changes.
func (b *Book) note(ctx context.Context, kind, text string, do func(*store.Tx) error) error {
	return b.Store.Update(ctx, func(tx *store.Tx) error {
		if do != nil {
			if err := do(tx); err != nil {
				return err
			}
		}
		return b.Note(tx, kind, text)
	})
}

// The log's words for what is done here.
const (
	kindCodes         = "codes"
	kindAddAccount    = "add-account"
	kindRenameAccount = "rename-account"
	kindDeleteAccount = "delete-account"
	kindCardPassword  = "card-password"
	kindResetCard     = "reset-card"
)
