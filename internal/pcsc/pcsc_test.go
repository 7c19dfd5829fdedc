package pcsc_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ebfe/scard"

	fobcard "github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/pcsc"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/virtual"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
	"github.com/fobproject/fob/internal/ykoath"
)

func TestMain(m *testing.M) { os.Exit(reader.Run(m.Run)) }

// insert puts a new card into a reader for as long as the test runs, or until the function that it gives is called.
func insert(t *testing.T, port int, o card.Options) (*card.Card, func()) {
	t.Helper()
	if err := reader.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c, err := card.New(o)
	if err != nil {
		t.Fatal(err)
	}
	pull, err := reader.Insert(c, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pull)
	return c, pull
}

// use selects the applet in a reader.
func use(t *testing.T, name string, f func(*ykoath.Session) error) error {
	return new(pcsc.Readers).Use(t.Context(), name, func(c ykoath.Card) error {
		s, err := ykoath.Select(t.Context(), c)
		if err != nil {
			return err
		}
		return f(s)
	})
}

func seed() *secret.Secret { return secret.New([]byte("12345678901234567890")) }

func TestTwoCards(t *testing.T) {
	_, pull := insert(t, reader.FirstPort, card.Options{})
	insert(t, reader.SecondPort, card.Options{Version: [3]byte{1, 0, 0}})
	names, err := new(pcsc.Readers).List(t.Context())
	if err != nil || len(names) != 2 || names[0] != reader.First || names[1] != reader.Second {
		t.Fatalf("the readers are %v, %v", names, err)
	}
	for name, want := range map[string]string{reader.First: "5.4.3", reader.Second: "1.0.0"} {
		err := use(t, name, func(s *ykoath.Session) error {
			if got := s.Version().String(); got != want {
				t.Errorf("in %s is %s", name, got)
			}
			if err := s.Put(t.Context(), ykoath.New{ID: name, Kind: oath.HOTP, Algorithm: oath.SHA1, Digits: 6, Seed: seed()}); err != nil {
				return err
			}
			c, err := s.Calculate(t.Context(), ykoath.ParseID(name, oath.HOTP), time.Now())
			if got := string(c.Code.Reveal()); got != "755224" {
				t.Errorf("the first code is %s", got)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	pull()
	if names, err = new(pcsc.Readers).List(t.Context()); err != nil || len(names) != 1 || names[0] != reader.Second {
		t.Errorf("then the readers are %v, %v", names, err)
	}
	if err := use(t, reader.First, func(*ykoath.Session) error { return nil }); !errors.Is(err, fobcard.ErrGone) {
		t.Errorf("of a reader without card: %v", err)
	}
	if err := use(t, "another", func(*ykoath.Session) error { return nil }); !errors.Is(err, fobcard.ErrGone) {
		t.Errorf("of a reader that is not there: %v", err)
	}
}

// What List leaves to the first Use is no other's: a card that says nothing would hold that up.
func TestOneContextEach(t *testing.T) {
	silent, _ := insert(t, reader.FirstPort, card.Options{})
	insert(t, reader.SecondPort, card.Options{})
	r := new(pcsc.Readers)
	if names, err := r.List(t.Context()); err != nil || len(names) != 2 {
		t.Fatalf("the readers are %v, %v", names, err)
	}
	silent.SetFault(card.FaultMute, 0)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	asked, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.Use(ctx, reader.First, func(c ykoath.Card) error {
			close(asked)
			_, err := ykoath.Select(ctx, c)
			return err
		})
	}()
	<-asked
	for range 2 {
		start := time.Now()
		err := r.Use(t.Context(), reader.Second, func(c ykoath.Card) error { _, err := ykoath.Select(t.Context(), c); return err })
		if d := time.Since(start); err != nil || d > time.Second {
			t.Errorf("after %v: %v", d, err)
		}
	}
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the silent card: %v", err)
	}
}

// other is another program that uses the card.
func other(t *testing.T, name string, mode scard.ShareMode) *scard.Card {
	t.Helper()
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ctx.Release() })
	c, err := ctx.Connect(name, mode, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACardThatAnotherProgramUses(t *testing.T) {
	insert(t, reader.FirstPort, card.Options{})
	nothing := func(*ykoath.Session) error { return nil }
	t.Run("for itself is named as busy after 2 s", func(t *testing.T) {
		c := other(t, reader.First, scard.ShareExclusive)
		start := time.Now()
		err := use(t, reader.First, nothing)
		if d := time.Since(start); !errors.Is(err, fobcard.ErrBusy) || d < 1900*time.Millisecond || d > 4*time.Second {
			t.Errorf("after %v: %v", d, err)
		}
		if err := c.Disconnect(scard.LeaveCard); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("for itself for a moment is waited for", func(t *testing.T) {
		c := other(t, reader.First, scard.ShareExclusive)
		time.AfterFunc(500*time.Millisecond, func() { _ = c.Disconnect(scard.LeaveCard) })
		if err := use(t, reader.First, nothing); err != nil {
			t.Error(err)
		}
	})
	t.Run("in a transaction without end is named as busy", func(t *testing.T) {
		c := other(t, reader.First, scard.ShareShared)
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := use(t, reader.First, nothing); !errors.Is(err, fobcard.ErrBusy) {
			t.Error(err)
		}
		if err := c.Disconnect(scard.LeaveCard); err != nil { // ends the transaction
			t.Fatal(err)
		}
	})
	t.Run("and resets is connected to anew", func(t *testing.T) {
		for range 20 {
			c := other(t, reader.First, scard.ShareShared)
			if err := c.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(20*time.Millisecond, func() { _ = c.Disconnect(scard.ResetCard) }) // while the next waits for its transaction
			if err := use(t, reader.First, nothing); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("cannot come between SELECT and the last word", func(t *testing.T) {
		c := other(t, reader.First, scard.ShareShared)
		defer func() { _ = c.Disconnect(scard.LeaveCard) }()
		selected := make(chan error, 1)
		err := use(t, reader.First, func(s *ykoath.Session) error {
			go func() { // another applet, which is not there: ours would not be selected any more
				_, err := c.Transmit([]byte{0, 0xa4, 4, 0, 5, 0xa0, 0, 0, 3, 8})
				selected <- err
			}()
			time.Sleep(100 * time.Millisecond)
			_, err := s.List(t.Context())
			return err
		})
		if err != nil {
			t.Errorf("in the transaction: %v", err)
		}
		if err := <-selected; err != nil {
			t.Errorf("the other program's, after it: %v", err)
		}
		if _, err := c.Transmit([]byte{0, 0xa4, 4, 0, 5, 0xa0, 0, 0, 3, 8}); err != nil {
			t.Errorf("the card was not let go: %v", err)
		}
	})
}

func TestTouchAndGivingUp(t *testing.T) {
	c, _ := insert(t, reader.FirstPort, card.Options{Touch: virtual.TouchManual})
	err := use(t, reader.First, func(s *ykoath.Session) error {
		return s.Put(t.Context(), ykoath.New{ID: "a", Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Seed: seed(), Touch: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	calculate := func(ctx context.Context) error {
		return new(pcsc.Readers).Use(ctx, reader.First, func(card ykoath.Card) error {
			s, err := ykoath.Select(ctx, card)
			if err != nil {
				return err
			}
			_, err = s.Calculate(ctx, ykoath.ParseID("a", oath.TOTP), time.Now())
			return err
		})
	}
	go func() {
		for !c.Touch() {
		}
	}()
	if err := calculate(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := calculate(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
		t.Errorf("given up after %v: %v", time.Since(start), err)
	}
	for !c.Touch() { // what was given up in this process still waits
	}
}

func TestPulledAtEveryStep(t *testing.T) {
	for step := range 5 {
		c, pull := insert(t, reader.FirstPort, card.Options{})
		c.SetFault(card.FaultGone, step)
		err := use(t, reader.First, func(s *ykoath.Session) error {
			if err := s.Put(t.Context(), ykoath.New{ID: "a", Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Seed: seed()}); err != nil {
				return err
			}
			if _, err := s.CalculateAll(t.Context(), time.Now()); err != nil {
				return err
			}
			return s.Delete(t.Context(), "a")
		})
		if err == nil || !errors.Is(err, fobcard.ErrGone) && !errors.Is(err, fobcard.ErrReader) && !errors.Is(err, fobcard.ErrMute) && !errors.Is(err, fobcard.ErrReset) {
			t.Errorf("at step %d: %v", step, err)
		}
		pull()
	}
}
