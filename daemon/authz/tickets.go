package authz

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/fobproject/fob/internal/secret"
)

var (
	// ErrTicket says that a ticket is wrong, spent, too old, or for something else.
	ErrTicket = errors.New("the approval is used up or too old: ask for it again")
	// ErrTooManyTickets says that too many are out and unused.
	ErrTooManyTickets = errors.New("too many approvals wait to be used: try again in two minutes")
)

const (
	ticketBytes    = 16 // random ones in a ticket
	ticketLife     = 2 * time.Minute
	maxUserTickets = 4
	maxTickets     = 256
)

// Tickets are proofs that polkit said yes, carried from the bus to the socket by the program that got
// them there. Each is good once, within 2 minutes, for one user and one action. They are kept in memory
// alone. The methods are safe for concurrent use.
type Tickets struct {
	boot   func() time.Duration
	random io.Reader

	mu     sync.Mutex
	issued []issued // oldest first
}

// issued is a ticket that is out. Of its text only the hash is kept.
type issued struct {
	hash   [sha256.Size]byte
	uid    uint32
	action Action
	until  time.Duration // on the boot clock
}

// NewTickets makes an empty Tickets. Time comes from the boot clock, which nobody can set, and random is
// crypto/rand.Reader outside tests.
func NewTickets(boot func() time.Duration, random io.Reader) *Tickets {
	return &Tickets{boot: boot, random: random}
}

// Issue makes a ticket of 32 hexadecimal digits, for a user for whom Check has just allowed the action.
// It fails with ErrTooManyTickets where 4 of the user's, or 256 in all, are out.
func (t *Tickets) Issue(uid uint32, action Action) (*secret.Secret, error) {
	raw := make([]byte, ticketBytes)
	defer clear(raw)
	if _, err := io.ReadFull(t.random, raw); err != nil {
		return nil, fmt.Errorf("cannot make a ticket: %w", err)
	}
	text := make([]byte, hex.EncodedLen(len(raw)))
	hex.Encode(text, raw)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetOld()
	own := 0
	for _, i := range t.issued {
		if i.uid == uid {
			own++
		}
	}
	if own >= maxUserTickets || len(t.issued) >= maxTickets {
		clear(text)
		return nil, ErrTooManyTickets
	}
	t.issued = append(t.issued, issued{sha256.Sum256(text), uid, action, t.boot() + ticketLife})
	return secret.New(text), nil
}

// Redeem fails with ErrTicket unless the ticket was issued to this user for this action, and was not
// shown before. One that is shown for anything else is spent as well.
func (t *Tickets) Redeem(uid uint32, action Action, ticket *secret.Secret) error {
	shown := sha256.Sum256(ticket.Reveal())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetOld()
	at := -1
	for i := range t.issued {
		if subtle.ConstantTimeCompare(t.issued[i].hash[:], shown[:]) == 1 {
			at = i
		}
	}
	if at < 0 {
		return ErrTicket
	}
	found := t.issued[at]
	t.issued = slices.Delete(t.issued, at, at+1)
	if found.uid != uid || found.action != action {
		return ErrTicket
	}
	return nil
}

// forgetOld drops the tickets whose time is over.
func (t *Tickets) forgetOld() {
	now, old := t.boot(), 0
	for old < len(t.issued) && t.issued[old].until <= now {
		old++
	}
	t.issued = slices.Delete(t.issued, 0, old)
}
