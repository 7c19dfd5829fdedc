package pcsc_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ebfe/scard"

	fobcard "github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/pcsc"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
)

// seen writes what a watch tells: "1+ 2-" is a card in the first reader and none in the second.
func seen(readers []fobcard.Reader, err error) string {
	if err != nil {
		for _, kind := range []error{fobcard.ErrNoService, fobcard.ErrReader} {
			if errors.Is(err, kind) {
				return kind.Error()
			}
		}
		return "?" + err.Error()
	}
	var all []string
	for _, r := range readers {
		name := map[string]string{reader.First: "1", reader.Second: "2"}[r.Name]
		for _, m := range []struct {
			mark string
			is   bool
		}{{"+", r.Card}, {"-", !r.Card}, {"m", r.Mute}, {"!", r.Exclusive}} {
			if m.is {
				name += m.mark
			}
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// watch gives what a watch tells, and the function that awaits the next of it.
func watch(t *testing.T) func(want string) time.Time {
	t.Helper()
	if err := reader.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	type told struct {
		text string
		at   time.Time
	}
	all := make(chan told, 100)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- new(pcsc.Readers).Watch(ctx, func(readers []fobcard.Reader, err error) error {
			all <- told{seen(readers, err), time.Now()}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
		for len(all) > 0 {
			t.Errorf("it told too: %s", (<-all).text)
		}
		time.Sleep(100 * time.Millisecond) // what was abandoned ends
	})
	return func(want string) time.Time {
		t.Helper()
		select {
		case got := <-all:
			if got.text != want {
				t.Fatalf("it tells %q, not %q", got.text, want)
			}
			return got.at
		case <-time.After(8 * time.Second):
			t.Fatalf("it does not tell %q", want)
		}
		return time.Time{}
	}
}

func TestWatch(t *testing.T) {
	next := watch(t)
	next("1- 2-")
	start := time.Now()
	c, pull := insert(t, reader.FirstPort, card.Options{})
	t.Logf("a card is told of %v after it was put in", next("1+ 2-").Sub(start))
	_, pullSecond := insert(t, reader.SecondPort, card.Options{})
	next("1+ 2+")
	for range 3 { // what other programs do to a card is no news
		h := other(t, reader.First, scard.ShareShared)
		if _, err := h.Status(); err != nil {
			t.Fatal(err)
		}
		if err := h.Disconnect(scard.ResetCard); err != nil {
			t.Fatal(err)
		}
	}
	pull()
	next("1- 2+")
	if n := c.Answered(); n != 0 {
		t.Errorf("the card was sent %d instructions", n)
	}
	pullSecond()
	next("1- 2-")
}

func TestWatchOfAServiceThatEnds(t *testing.T) {
	t.Cleanup(func() {
		if reader.Available() != nil {
			return
		}
		if err := errors.Join(reader.Readers(true), reader.Stop(), reader.Start()); err != nil {
			t.Error(err)
		}
	})
	next := watch(t)
	next("1- 2-")
	for range 2 {
		if err := reader.Stop(); err != nil {
			t.Fatal(err)
		}
		next(fobcard.ErrNoService.Error())
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		next("1- 2-")
	}
	_, pull := insert(t, reader.SecondPort, card.Options{})
	next("1- 2+")
	pull()
	next("1- 2-")
	if err := errors.Join(reader.Stop(), reader.Readers(false), reader.Start()); err != nil {
		t.Fatal(err)
	}
	next(fobcard.ErrNoService.Error())
	next("") // it came back without readers
}

func TestWatchOfACardThatAProgramHasForItself(t *testing.T) {
	_, pull := insert(t, reader.FirstPort, card.Options{})
	h := other(t, reader.First, scard.ShareExclusive)
	next := watch(t)
	next("1+! 2-")
	if err := h.Disconnect(scard.LeaveCard); err != nil {
		t.Fatal(err)
	}
	next("1+ 2-")
	pull()
	next("1- 2-")
}

// With or without a service: what tell says ends it.
func TestWatchEndsWithWhatTellSays(t *testing.T) {
	enough := errors.New("enough")
	if err := new(pcsc.Readers).Watch(t.Context(), func([]fobcard.Reader, error) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("it ended with %v", err)
	}
}
