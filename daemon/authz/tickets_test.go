package authz_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/internal/secret"
)

const first, other = authz.ActionFirstMethod, authz.Action("io.github.fobproject.fob.other")

// newTickets makes Tickets whose boot clock is a test's.
func newTickets() *authz.Tickets {
	start := time.Now()
	return authz.NewTickets(func() time.Duration { return time.Since(start) }, rand.Reader)
}

func issue(t *testing.T, tickets *authz.Tickets, uid uint32, action authz.Action) *secret.Secret {
	t.Helper()
	ticket, err := tickets.Issue(uid, action)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestTickets(t *testing.T) {
	t.Run("are good once", func(t *testing.T) {
		tickets := newTickets()
		ticket := issue(t, tickets, 1000, first)
		wants(t, tickets.Redeem(1000, first, ticket), nil, "")
		wants(t, tickets.Redeem(1000, first, ticket), authz.ErrTicket, "ask for it again")
	})
	t.Run("are good once, also for many at a time", func(t *testing.T) {
		tickets := newTickets()
		ticket := issue(t, tickets, 1000, first)
		var good atomic.Int32
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if tickets.Redeem(1000, first, ticket) == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Errorf("it was good %d times", good.Load())
		}
	})
	t.Run("are of 128 random bits, and show nothing of themselves", func(t *testing.T) {
		tickets := newTickets()
		one, two := issue(t, tickets, 1000, first), issue(t, tickets, 1000, first)
		if one.Len() != 32 || strings.Trim(string(one.Reveal()), "0123456789abcdef") != "" || bytes.Equal(one.Reveal(), two.Reveal()) {
			t.Errorf("they are %q and %q", one.Reveal(), two.Reveal())
		}
	})
	for name, show := range map[string]func(tickets *authz.Tickets, ticket *secret.Secret) error{
		"another user":   func(ts *authz.Tickets, ticket *secret.Secret) error { return ts.Redeem(1001, first, ticket) },
		"root":           func(ts *authz.Tickets, ticket *secret.Secret) error { return ts.Redeem(0, first, ticket) },
		"another action": func(ts *authz.Tickets, ticket *secret.Secret) error { return ts.Redeem(1000, other, ticket) },
	} {
		t.Run("are no good for "+name+", and spent by that", func(t *testing.T) {
			tickets := newTickets()
			ticket := issue(t, tickets, 1000, first)
			wants(t, show(tickets, ticket), authz.ErrTicket, "")
			wants(t, tickets.Redeem(1000, first, ticket), authz.ErrTicket, "")
		})
	}
	t.Run("cannot be guessed, and wrong ones spend no others", func(t *testing.T) {
		tickets := newTickets()
		ticket := issue(t, tickets, 1000, first)
		good := string(ticket.Reveal())
		for _, wrong := range []string{"", good[:31], good + "0", strings.ToUpper(good) + " ", strings.Repeat("0", 32), strings.Repeat("0", 1<<20)} {
			wants(t, tickets.Redeem(1000, first, secret.New([]byte(wrong))), authz.ErrTicket, "")
		}
		wants(t, tickets.Redeem(1000, first, nil), authz.ErrTicket, "")
		wants(t, tickets.Redeem(1000, first, ticket), nil, "")
	})
	t.Run("last two minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tickets := newTickets()
			early, late := issue(t, tickets, 1000, first), issue(t, tickets, 1000, first)
			time.Sleep(2*time.Minute - time.Nanosecond)
			wants(t, tickets.Redeem(1000, first, early), nil, "")
			time.Sleep(time.Nanosecond)
			wants(t, tickets.Redeem(1000, first, late), authz.ErrTicket, "too old")
		})
	})
	t.Run("are at most 4 a user, until they are used or too old", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tickets := newTickets()
			ticket := issue(t, tickets, 1000, first)
			for range 3 {
				issue(t, tickets, 1000, other)
			}
			_, err := tickets.Issue(1000, first)
			wants(t, err, authz.ErrTooManyTickets, "two minutes")
			issue(t, tickets, 1001, first)
			wants(t, tickets.Redeem(1000, first, ticket), nil, "")
			issue(t, tickets, 1000, first)
			time.Sleep(2 * time.Minute)
			issue(t, tickets, 1000, first)
		})
	})
	t.Run("are at most 256 in all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tickets := newTickets()
			for uid := range uint32(256) {
				issue(t, tickets, uid, first)
			}
			_, err := tickets.Issue(256, first)
			wants(t, err, authz.ErrTooManyTickets, "")
			time.Sleep(2 * time.Minute)
			issue(t, tickets, 256, first)
		})
	})
	t.Run("are not made without randomness", func(t *testing.T) {
		broken := errors.New("no entropy")
		tickets := authz.NewTickets(func() time.Duration { return 0 }, iotest.ErrReader(broken))
		_, err := tickets.Issue(1000, first)
		wants(t, err, broken, "cannot make a ticket")
	})
}
