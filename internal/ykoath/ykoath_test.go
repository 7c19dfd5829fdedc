package ykoath_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/virtual"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/ykoath"
)

// inHand is a software card without a reader.
type inHand struct{ *card.Card }

func (h inHand) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	b := h.Answer(bytes.Clone(apdu))
	if b == nil {
		return nil, errPulled
	}
	return b, nil
}

var errPulled = errors.New("pulled")

// versions are those whose behaviour differs.
var versions = [][3]byte{{1, 0, 0}, {3, 4, 3}, {4, 2, 4}, {4, 2, 6}, {4, 3, 1}, {5, 2, 4}, {5, 3, 1}, {5, 4, 3}, {5, 7, 1}, {6, 0, 0}, {8, 0, 0}}

func newCard(t *testing.T, o card.Options) inHand {
	t.Helper()
	c, err := card.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return inHand{c}
}

func selected(t *testing.T, c ykoath.Card) *ykoath.Session {
	t.Helper()
	s, err := ykoath.Select(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// account is one with the seed of RFC 4226, Appendix D.
func account(id string, edit func(*ykoath.New)) ykoath.New {
	n := ykoath.New{ID: id, Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Seed: secret.New([]byte("12345678901234567890"))}
	if edit != nil {
		edit(&n)
	}
	return n
}

func put(t *testing.T, s *ykoath.Session, n ykoath.New) {
	t.Helper()
	if err := s.Put(t.Context(), n); err != nil {
		t.Fatalf("%q: %v", n.ID, err)
	}
}

// code computes one account's code.
func code(t *testing.T, s *ykoath.Session, id string, at time.Time) string {
	t.Helper()
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.ID == id {
			c, err := s.Calculate(t.Context(), a, at)
			if err != nil {
				t.Fatal(err)
			}
			return string(c.Code.Reveal())
		}
	}
	t.Fatalf("there is no %q among %v", id, all)
	return ""
}

// RFC 6238, Appendix B, and RFC 4226, Appendix D.
func TestCodesOfTheRFCs(t *testing.T) {
	c := newCard(t, card.Options{})
	s := selected(t, c)
	ten := "1234567890"
	seeds := map[oath.Algorithm]string{
		oath.SHA1:   strings.Repeat(ten, 2),
		oath.SHA256: strings.Repeat(ten, 3) + "12",
		oath.SHA512: strings.Repeat(ten, 6) + "1234",
	}
	for alg, seed := range seeds {
		put(t, s, account(string(alg), func(n *ykoath.New) { n.Algorithm, n.Digits, n.Seed = alg, 8, secret.New([]byte(seed)) }))
	}
	for at, want := range map[int64][3]string{
		59:          {"94287082", "46119246", "90693936"},
		1111111109:  {"07081804", "68084774", "25091201"},
		1111111111:  {"14050471", "67062674", "99943326"},
		1234567890:  {"89005924", "91819424", "93441116"},
		2000000000:  {"69279037", "90698825", "38618901"},
		20000000000: {"65353130", "77737706", "47863826"},
	} {
		for i, alg := range []oath.Algorithm{oath.SHA1, oath.SHA256, oath.SHA512} {
			if got := code(t, s, string(alg), time.Unix(at, 0)); got != want[i] {
				t.Errorf("%s at %d: %s, want %s", alg, at, got, want[i])
			}
		}
	}
	put(t, s, account("hotp", func(n *ykoath.New) { n.Kind = oath.HOTP }))
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314"} {
		if got := code(t, s, "hotp", time.Now()); got != want {
			t.Errorf("HOTP %d: %s, want %s", i, got, want)
		}
	}
	put(t, s, account("hotp later", func(n *ykoath.New) { n.Kind, n.Counter = oath.HOTP, 5 }))
	if got := code(t, s, "hotp later", time.Now()); got != "254676" {
		t.Errorf("HOTP from 5: %s", got)
	}
}

// Seeds of every length give the codes that oathtool gives, which pads and hashes by itself.
func TestCodesOfSeedsOfEveryLength(t *testing.T) {
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		missing(t, "oathtool")
	}
	at := time.Unix(1700000000, 0)
	for alg, block := range map[oath.Algorithm]int{oath.SHA1: 64, oath.SHA256: 64, oath.SHA512: 128} {
		s := selected(t, newCard(t, card.Options{}))
		for _, n := range []int{1, 10, 13, 14, 15, 20, 32, block - 1, block, block + 1, 200} {
			seed := bytes.Repeat([]byte{byte(n), 7, 0xff}, n)[:n]
			put(t, s, account(fmt.Sprint(n), func(a *ykoath.New) { a.Algorithm, a.Seed = alg, secret.New(bytes.Clone(seed)) }))
			out, err := exec.Command(tool, "--totp="+string(alg), "--now=2023-11-14 22:13:20 UTC", fmt.Sprintf("%x", seed)).Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := code(t, s, fmt.Sprint(n), at); got != strings.TrimSpace(string(out)) {
				t.Errorf("%s with %d bytes: %s, oathtool says %s", alg, n, got, out)
			}
		}
	}
}

func TestEveryVersion(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, v := range versions {
		t.Run(fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]), func(t *testing.T) {
			c := newCard(t, card.Options{Version: v, Delay: time.Millisecond})
			s := selected(t, c)
			if got := s.Version(); got != (ykoath.Version{Major: v[0], Minor: v[1], Patch: v[2]}) || s.Locked() || s.Password() {
				t.Errorf("it is %v, locked %v", got, s.Locked())
			}
			put(t, s, account("Site:a", nil))
			put(t, s, account("60/Site:b", nil))
			put(t, s, account("c", func(n *ykoath.New) { n.Kind = oath.HOTP }))
			err := s.Put(t.Context(), account("d", func(n *ykoath.New) { n.Touch = true }))
			if s.Version().CanTouch() != (err == nil) || err != nil && !errors.Is(err, ykoath.ErrTooOld) {
				t.Errorf("with touch: %v", err)
			}
			err = s.Put(t.Context(), account("e", func(n *ykoath.New) { n.Algorithm = oath.SHA512 }))
			if s.Version().CanSHA512() != (err == nil) || err != nil && !errors.Is(err, ykoath.ErrTooOld) {
				t.Errorf("with SHA-512: %v", err)
			}
			if err := s.Rename(t.Context(), "Site:a", "Site:z"); s.Version().CanRename() != (err == nil) || err != nil && !errors.Is(err, ykoath.ErrTooOld) {
				t.Errorf("renamed: %v", err)
			} else if err == nil && s.Rename(t.Context(), "Site:z", "Site:a") != nil {
				t.Error("not renamed back")
			}
			codes, err := s.CalculateAll(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range codes {
				alone := "" // what the same account gives alone
				if c.Kind == oath.TOTP && !c.Touch {
					alone = code(t, s, c.ID, now)
				}
				if got := string(c.Code.Reveal()); got != alone || (c.Kind == oath.TOTP) != (c.Period > 0) || c.Touch != (c.ID == "d") {
					t.Errorf("%+v is %q, alone %q", c, got, alone)
				}
				if alone != "" && (c.From.After(now) || !c.Until.After(now) || c.Until.Sub(c.From) != time.Duration(c.Period)*time.Second) {
					t.Errorf("%q is good from %v until %v at %v", c.ID, c.From, c.Until, now)
				}
			}
			if s.Version().CanTouch() {
				if got := code(t, s, "d", now); len(got) != 6 {
					t.Errorf("with a touch: %q", got)
				}
			}
			if err := s.Delete(t.Context(), "c"); err != nil {
				t.Error(err)
			}
			if err := s.Delete(t.Context(), "c"); !errors.Is(err, ykoath.ErrNoAccount) {
				t.Errorf("deleted twice: %v", err)
			}
			id := s.DeviceID()
			if err := s.Reset(t.Context()); err != nil || s.DeviceID() == id {
				t.Errorf("reset: %v; its id was %s and is %s", err, id, s.DeviceID())
			}
			if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("after the reset it has %v, %v", all, err)
			}
		})
	}
}

func TestAFullCard(t *testing.T) {
	for version, slots := range map[[3]byte]int{{5, 4, 3}: 32, {5, 7, 0}: 64} {
		c := newCard(t, card.Options{Version: version})
		s := selected(t, c)
		for i := range slots {
			put(t, s, account(fmt.Sprintf("Some issuer of a longer name %02d:somebody@example.com", i), nil))
		}
		if err := s.Put(t.Context(), account("one more", nil)); !errors.Is(err, ykoath.ErrFull) || !strings.HasPrefix(err.Error(), fmt.Sprintf("with %d accounts this card is full: delete ", slots)) {
			t.Errorf("one more: %v", err)
		}
		codes, err := s.CalculateAll(t.Context(), time.Now())
		if err != nil || len(codes) != slots || s.Version().Slots() != slots {
			t.Errorf("%d of %d codes, %v", len(codes), slots, err)
		}
	}
}

func TestPassword(t *testing.T) {
	c := newCard(t, card.Options{})
	s := selected(t, c)
	put(t, s, account("a", nil))
	key := derive(t, s, "correct horse")
	if err := s.SetKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	s = selected(t, c)
	if !s.Locked() || !s.Password() {
		t.Error("it is not locked")
	}
	for what, err := range map[string]error{
		"list":   errOf(s.List(t.Context())),
		"put":    s.Put(t.Context(), account("b", nil)),
		"codes":  errOf(s.CalculateAll(t.Context(), time.Now())),
		"delete": s.Delete(t.Context(), "a"),
		"key":    s.SetKey(t.Context(), nil),
	} {
		if !errors.Is(err, ykoath.ErrLocked) {
			t.Errorf("%s of a locked card: %v", what, err)
		}
	}
	if err := s.Unlock(t.Context(), derive(t, s, "wrong horse")); !errors.Is(err, ykoath.ErrPassword) || !s.Locked() {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := s.Unlock(t.Context(), derive(t, s, "correct horse")); err != nil || s.Locked() {
		t.Fatalf("with the right one: %v", err)
	}
	if err := errOf(s.List(t.Context())); err != nil {
		t.Error(err)
	}
	c.SetFault(card.FaultLiar, 1)
	s = selected(t, c)
	if err := s.Unlock(t.Context(), key); !errors.Is(err, ykoath.ErrNonsense) || !s.Locked() {
		t.Errorf("a card that does not know its password: %v", err)
	}
	c.SetFault(card.NoFault, 0)
	s = selected(t, c)
	if err := s.Unlock(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := s.SetKey(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s = selected(t, c); s.Locked() || s.Password() {
		t.Error("its password is still there")
	}
	t.Run("that was forgotten is mended by a reset", func(t *testing.T) {
		if err := s.SetKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		s := selected(t, c)
		if err := s.Reset(t.Context()); err != nil || s.Locked() {
			t.Errorf("%v, locked %v", err, s.Locked())
		}
		if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("it has %v, %v", all, err)
		}
	})
}

func derive(t *testing.T, s *ykoath.Session, password string) *secret.Secret {
	t.Helper()
	key, err := s.DeriveKey(secret.New([]byte(password)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func errOf[T any](_ T, err error) error { return err }

func TestTouch(t *testing.T) {
	c := newCard(t, card.Options{Touch: virtual.TouchNever, TouchTimeout: 20 * time.Millisecond})
	s := selected(t, c)
	put(t, s, account("a", func(n *ykoath.New) { n.Touch = true }))
	if _, err := s.Calculate(t.Context(), ykoath.ParseID("a", oath.TOTP), time.Now()); !errors.Is(err, ykoath.ErrTouch) {
		t.Errorf("without a touch: %v", err)
	}
}

func TestNothingIsReplaced(t *testing.T) {
	s := selected(t, newCard(t, card.Options{}))
	put(t, s, account("a", nil))
	put(t, s, account("b", nil))
	put(t, s, account("60/c", nil))
	before := code(t, s, "a", time.Unix(59, 0))
	if err := s.Put(t.Context(), account("a", func(n *ykoath.New) { n.Seed = secret.New([]byte("another")) })); !errors.Is(err, ykoath.ErrExists) {
		t.Errorf("put: %v", err)
	}
	if err := s.Rename(t.Context(), "b", "a"); !errors.Is(err, ykoath.ErrExists) {
		t.Errorf("renamed: %v", err)
	}
	if err := s.Rename(t.Context(), "60/c", "c"); !errors.Is(err, ykoath.ErrParams) {
		t.Errorf("renamed into another period: %v", err)
	}
	if err := s.Rename(t.Context(), "x", "y"); !errors.Is(err, ykoath.ErrNoAccount) {
		t.Errorf("renamed what is not there: %v", err)
	}
	if after := code(t, s, "a", time.Unix(59, 0)); after != before {
		t.Errorf("its code was %s and is %s", before, after)
	}
}

func TestRefusals(t *testing.T) {
	s := selected(t, newCard(t, card.Options{}))
	for name, edit := range map[string]func(*ykoath.New){
		"no name":              func(n *ykoath.New) { n.ID = "" },
		"a name of 65 bytes":   func(n *ykoath.New) { n.ID = strings.Repeat("x", 65) },
		"5 digits":             func(n *ykoath.New) { n.Digits = 5 },
		"9 digits":             func(n *ykoath.New) { n.Digits = 9 },
		"no secret":            func(n *ykoath.New) { n.Seed = nil },
		"another algorithm":    func(n *ykoath.New) { n.Algorithm = "MD5" },
		"another kind":         func(n *ykoath.New) { n.Kind = "ocra" },
		"TOTP with a counter":  func(n *ykoath.New) { n.Counter = 1 },
		"a counter of 33 bits": func(n *ykoath.New) { n.Kind, n.Counter = oath.HOTP, 1<<32 },
	} {
		if err := s.Put(t.Context(), account("a", edit)); !errors.Is(err, ykoath.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := account(strings.Repeat("x", 64), func(n *ykoath.New) {
		n.Algorithm, n.Seed, n.Kind, n.Counter, n.Touch = oath.SHA512, secret.New(make([]byte, 128)), oath.HOTP, 7, true
	})
	if err := s.Put(t.Context(), long); err != nil {
		t.Errorf("the longest that there is: %v", err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("it has %v, %v", all, err)
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct {
		id           string
		kind         oath.Kind
		issuer, name string
		period       int
	}{
		{"a", oath.TOTP, "", "a", 30},
		{"Site:a", oath.TOTP, "Site", "a", 30},
		{"60/Site:a", oath.TOTP, "Site", "a", 60},
		{"Site:a:b", oath.TOTP, "Site", "a:b", 30},
		{"15/a", oath.TOTP, "", "a", 15},
		{"60/Site:a", oath.HOTP, "60/Site", "a", 0},
	} {
		a := ykoath.ParseID(tt.id, tt.kind)
		if a.Issuer != tt.issuer || a.Name != tt.name || a.Period != tt.period || a.ID != tt.id {
			t.Errorf("%q reads as %+v", tt.id, a)
		}
		if id, err := ykoath.FormatID(tt.issuer, tt.name, tt.kind, tt.period); err != nil || id != tt.id {
			t.Errorf("%+v makes %q, %v", tt, id, err)
		}
	}
	for _, id := range []string{":a", "a:", "060/a", "0/a", "-1/a", "4000/a", "60/", "/a", ":", "", "\xff\xfe"} {
		if a := ykoath.ParseID(id, oath.TOTP); a.Name != id || a.Period != 30 || a.Issuer != "" {
			t.Errorf("%q reads as %+v", id, a)
		}
	}
	for _, bad := range []struct {
		issuer, name string
		period       int
	}{
		{"a:b", "c", 30}, {"", "a:b", 30}, {"", "60/a", 30}, {"60/a", "b", 30}, {"", "", 30}, {"a", "", 30}, {"", "\xff", 30},
		{strings.Repeat("i", 32), strings.Repeat("n", 32), 30}, {"", "a", 4000},
	} {
		if id, err := ykoath.FormatID(bad.issuer, bad.name, oath.TOTP, bad.period); !errors.Is(err, ykoath.ErrParams) {
			t.Errorf("%+v makes %q, %v", bad, id, err)
		}
	}
}
