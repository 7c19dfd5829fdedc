package ykoath_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/ykoath"
)

// missing says that a program is not here: in CI, where it must be, the test fails.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", program)
	}
	t.Skipf("%s is missing", program)
}

// A card that misbehaves at any step fails what was asked, and what it holds is as before or as asked.
func TestFaultsAtEveryStep(t *testing.T) {
	for _, f := range card.Faults {
		if f == card.FaultMute {
			continue // without a reader it is as FaultGone; there is nobody here who waits
		}
		for step := range 8 {
			c := newCard(t, card.Options{})
			s := selected(t, c)
			key := derive(t, s, "x")
			put(t, s, account("a", nil))
			put(t, s, account("60/b", nil))
			if err := s.SetKey(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			c.SetFault(f, step)
			err := everything(t, c, key)
			c.SetFault(card.NoFault, 0)
			if f == card.FaultReset && step == 0 && err == nil {
				continue // SELECT comes after it
			}
			if f == card.FaultNoApplet && step > 0 || f == card.FaultLiar && step != 0 && step != 1 || f == card.FaultLength && err == nil {
				continue // it is not asked for that again
			}
			if err == nil {
				t.Errorf("%s at step %d: nothing failed", f, step)
			}
			if f == card.FaultNoApplet && !errors.Is(err, ykoath.ErrNoApplet) || f == card.FaultGone && !errors.Is(err, errPulled) ||
				f == card.FaultEndless && !errors.Is(err, ykoath.ErrNonsense) {
				t.Errorf("%s at step %d: %v", f, step, err)
			}
			s = selected(t, c)
			if s.Locked() {
				if err := s.Unlock(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
			if all, err := s.List(t.Context()); err != nil || len(all) < 2 || len(all) > 3 {
				t.Errorf("%s at step %d: then it has %v, %v", f, step, all, err)
			}
		}
	}
}

// everything unlocks the card and uses it, in ten instructions.
func everything(t *testing.T, c ykoath.Card, key *secret.Secret) error {
	s, err := ykoath.Select(t.Context(), c)
	if err != nil {
		return err
	}
	if err := s.Unlock(t.Context(), key); err != nil {
		return err
	}
	if _, err := s.List(t.Context()); err != nil {
		return err
	}
	if _, err := s.CalculateAll(t.Context(), time.Now()); err != nil { // two: 60/b is asked again
		return err
	}
	if err := s.Put(t.Context(), account("c", nil)); err != nil { // two
		return err
	}
	if _, err := s.Calculate(t.Context(), ykoath.ParseID("c", oath.TOTP), time.Now()); err != nil {
		return err
	}
	return s.Delete(t.Context(), "c")
}

// replay answers each instruction with the next part of what it was given.
type replay struct {
	answers []byte
	asked   int
}

func (r *replay) Transmit(context.Context, []byte) ([]byte, error) {
	r.asked++
	if r.asked > 1000 {
		return nil, errors.New("asked without end")
	}
	n := min(2, len(r.answers))
	if len(r.answers) > 0 {
		n = min(len(r.answers), 1+int(r.answers[0]))
		r.answers = r.answers[1:]
		n = min(n, len(r.answers))
	}
	out := r.answers[:n]
	r.answers = r.answers[n:]
	return append([]byte{}, out...), nil
}

// framed puts before each answer how long it is.
func framed(answers ...[]byte) []byte {
	var all []byte
	for _, a := range answers {
		all = append(append(all, byte(len(a)-1)), a...)
	}
	return all
}

func FuzzAnswers(f *testing.F) {
	hello := []byte{0x79, 3, 5, 4, 3, 0x71, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0}
	locked := []byte{0x79, 3, 5, 4, 3, 0x71, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x74, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x7b, 1, 1, 0x90, 0}
	fine := []byte{0x90, 0}
	list := []byte{0x72, 3, 0x21, 'a', 'b', 0x61, 5}
	more := []byte{0x72, 2, 0x11, 'c', 0x90, 0}
	codes := []byte{0x71, 1, 'a', 0x76, 5, 6, 0, 1, 2, 3, 0x71, 1, 'h', 0x77, 1, 6, 0x71, 1, 't', 0x7c, 1, 6, 0x71, 4, '6', '0', '/', 'x', 0x76, 5, 6, 0, 1, 2, 3, 0x90, 0}
	f.Add(framed(hello, fine, list, more, codes, []byte{0x76, 5, 8, 1, 2, 3, 4, 0x90, 0}))
	f.Add(framed(locked, []byte{0x69, 0x82}, fine, fine))
	f.Add(framed(locked, append([]byte{0x75, 20}, make([]byte, 22)...)))
	f.Add(framed([]byte{0x6a, 0x82}))
	f.Add(framed(hello, []byte{0x61, 0xff}, []byte{0x61, 0xff}))
	f.Add(framed(hello, []byte{0x72, 0x84, 0xff, 0xff, 0xff, 0xff, 0x90, 0}))
	f.Fuzz(func(t *testing.T, answers []byte) {
		r := &replay{answers: answers}
		s, err := ykoath.Select(t.Context(), r)
		if err != nil {
			return
		}
		if len(s.DeviceID()) != 16 {
			t.Error("a device without id")
		}
		key, err := s.DeriveKey(secret.New([]byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Unlock(t.Context(), key); err == nil && s.Locked() {
			t.Error("unlocked and locked")
		}
		all, err := s.List(t.Context())
		if err == nil {
			for _, a := range all {
				if a.ID == "" || len(a.ID) > ykoath.MaxID || (a.Kind == oath.TOTP) != (a.Period > 0) {
					t.Errorf("lists %+v", a)
				}
			}
		}
		codes, err := s.CalculateAll(t.Context(), time.Unix(1700000000, 0))
		if err == nil {
			for _, c := range codes {
				if n := c.Code.Len(); n != 0 && (n < 6 || n > 8) {
					t.Errorf("a code of %d digits", n)
				}
			}
		}
		_ = s.Put(t.Context(), account("z", nil))
		_ = s.Rename(t.Context(), "z", "y")
		_ = s.Delete(t.Context(), "y")
	})
}

func FuzzID(f *testing.F) {
	for _, s := range []string{"a", "Site:a", "60/Site:a", ":", "60/", "\xff", "30/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		for _, kind := range []oath.Kind{oath.TOTP, oath.HOTP} {
			a := ykoath.ParseID(id, kind)
			made, err := ykoath.FormatID(a.Issuer, a.Name, kind, a.Period)
			if err == nil && ykoath.ParseID(made, kind) != (ykoath.Account{ID: made, Issuer: a.Issuer, Name: a.Name, Kind: kind, Period: a.Period}) {
				t.Errorf("%q became %q", id, made)
			}
		}
	})
}
