package card_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/virtual"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
	"github.com/fobproject/fob/internal/ykoath"
)

func TestMain(m *testing.M) {
	// A fuzzer starts workers, which have to hear of it by files of theirs, and needs no readers.
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") }) {
		os.Exit(m.Run())
	}
	os.Exit(reader.Run(m.Run))
}

// program builds fob-helper once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fob-card")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fob-helper")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/fob-helper").CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build fob-helper: %s", out)
	}
	return path, nil
})

// newCards are cards through a real fob-helper and pcscd.
func newCards(t *testing.T) *card.Cards {
	t.Helper()
	path, err := program()
	if err = errors.Join(err, reader.Available()); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	pool := helper.NewPool(helper.Options{Path: path})
	t.Cleanup(func() { _ = pool.Close() })
	return card.NewCards(pool)
}

// insert puts a new card into a reader for as long as the test runs.
func insert(t *testing.T, port int, o soft.Options) *soft.Card {
	t.Helper()
	c, err := soft.New(o)
	if err != nil {
		t.Fatal(err)
	}
	pull, err := reader.Insert(c, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pull)
	return c
}

// the gives the only card.
func the(t *testing.T, cards *card.Cards) card.Target {
	t.Helper()
	all, err := cards.List(t.Context())
	if err != nil || len(all) != 1 || all[0].Why() != nil {
		t.Fatalf("the cards are %+v, %v", all, err)
	}
	return card.Target{Reader: all[0].Reader, ID: all[0].ID}
}

// codes gives one card's accounts, opened by its key if it has one.
func codes(t *testing.T, cards *card.Cards, c card.Target, now time.Time) ([]card.Account, error) {
	t.Helper()
	keys := map[card.ID]*secret.Secret{}
	if c.Key != nil {
		keys[c.ID] = secret.New(c.Key)
	}
	all, err := cards.Codes(t.Context(), nil, keys, now)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if f.Reader == c.Reader {
			return f.Accounts, f.Why()
		}
	}
	return nil, card.ErrGone
}

func account(id string) card.New {
	return card.New{ID: []byte(id), Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Seed: []byte("12345678901234567890")}
}

func TestWithoutACard(t *testing.T) {
	cards := newCards(t)
	if all, err := cards.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("the cards are %+v, %v", all, err)
	}
	if _, err := cards.Code(t.Context(), card.Target{Reader: reader.First, ID: "0123456789abcdef"}, []byte("a"), oath.TOTP, time.Now()); !errors.Is(err, card.ErrGone) {
		t.Errorf("a code of none: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	cards := newCards(t)
	soft := insert(t, reader.FirstPort, soft.Options{Touch: virtual.TouchManual})
	c := the(t, cards)
	plain, counted, touched := account("Site:me"), account("Site:counted"), account("60/Site:touched")
	counted.Kind, touched.Touch = oath.HOTP, true
	for _, n := range []card.New{plain, counted, touched} {
		if err := cards.Put(t.Context(), c, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := cards.Put(t.Context(), c, plain); !errors.Is(err, ykoath.ErrExists) || !strings.HasPrefix(err.Error(), reader.First+": ") {
		t.Errorf("put twice: %v", err)
	}
	now := time.Unix(59, 0)
	all, err := codes(t, cards, c, now)
	if err != nil || len(all) != 3 {
		t.Fatalf("it has %+v, %v", all, err)
	}
	if a := all[0]; a.Issuer != "Site" || a.Name != "me" || a.Period != 30 || string(a.Code) != "287082" || a.Until != 60 {
		t.Errorf("the first is %+v", a)
	}
	if a := all[1]; a.Kind != oath.HOTP || len(a.Code) != 0 {
		t.Errorf("the second is %+v", a)
	}
	if a := all[2]; !a.Touch || len(a.Code) != 0 || a.Period != 60 {
		t.Errorf("the third is %+v", a)
	}
	for i, want := range []string{"755224", "287082"} {
		if a, err := cards.Code(t.Context(), c, counted.ID, oath.HOTP, now); err != nil || string(a.Code) != want {
			t.Errorf("counted code %d is %s, %v", i, a.Code, err)
		}
	}
	go func() {
		for !soft.Touch() {
		}
	}()
	if a, err := cards.Code(t.Context(), c, touched.ID, oath.TOTP, time.Unix(119, 0)); err != nil || string(a.Code) != "287082" || a.Until != 120 {
		t.Errorf("touched, it gives %+v, %v", a, err)
	}
	if err := cards.Rename(t.Context(), c, plain.ID, []byte("Site:you")); err != nil {
		t.Error(err)
	}
	if err := cards.Delete(t.Context(), c, plain.ID); !errors.Is(err, ykoath.ErrNoAccount) {
		t.Errorf("deleted under its old name: %v", err)
	}
	if err := cards.Delete(t.Context(), c, []byte("Site:you")); err != nil {
		t.Error(err)
	}
	wrong := c
	wrong.ID = "0123456789abcdef"
	if _, err := cards.Code(t.Context(), wrong, counted.ID, oath.HOTP, now); !errors.Is(err, card.ErrOther) {
		t.Errorf("of another card: %v", err)
	}
	id, err := cards.Reset(t.Context(), c)
	if err != nil || id == c.ID {
		t.Errorf("reset, it is %s, %v", id, err)
	}
	c.ID = id
	if all, err := codes(t, cards, c, now); err != nil || len(all) != 0 {
		t.Errorf("reset, it has %+v, %v", all, err)
	}
}

func TestPassword(t *testing.T) {
	cards := newCards(t)
	insert(t, reader.FirstPort, soft.Options{})
	c := the(t, cards)
	if err := cards.Put(t.Context(), c, account("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := cards.Unlock(t.Context(), c, secretOf("x")); !errors.Is(err, ykoath.ErrNoPassword) {
		t.Errorf("without a password: %v", err)
	}
	if _, err := cards.SetPassword(t.Context(), c, secret.New([]byte("correct horse"))); err != nil {
		t.Fatal(err)
	}
	all, err := cards.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].Password || all[0].ID != c.ID {
		t.Fatalf("the cards are %+v, %v", all, err)
	}
	if _, err := codes(t, cards, c, time.Now()); !errors.Is(err, ykoath.ErrLocked) {
		t.Errorf("without its password: %v", err)
	}
	if _, err := cards.Unlock(t.Context(), c, secret.New([]byte("wrong horse"))); !errors.Is(err, ykoath.ErrPassword) {
		t.Errorf("with another password: %v", err)
	}
	wrong := c
	wrong.Key = bytes.Repeat([]byte{1}, 16)
	if _, err := codes(t, cards, wrong, time.Now()); !errors.Is(err, ykoath.ErrPassword) {
		t.Errorf("with another key: %v", err)
	}
	key, err := cards.Unlock(t.Context(), c, secret.New([]byte("correct horse")))
	if err != nil {
		t.Fatal(err)
	}
	c.Key = key.Reveal()
	if all, err := codes(t, cards, c, time.Now()); err != nil || len(all) != 1 {
		t.Errorf("with its key: %+v, %v", all, err)
	}
	if key, err := cards.SetPassword(t.Context(), c, nil); err != nil || key != nil {
		t.Errorf("its password taken away: %v, %v", key, err)
	}
	c.Key = nil
	if _, err := codes(t, cards, c, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestTwoCardsAtOnce(t *testing.T) {
	cards := newCards(t)
	insert(t, reader.FirstPort, soft.Options{})
	insert(t, reader.SecondPort, soft.Options{Version: [3]byte{1, 0, 0}})
	all, err := cards.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Version != "5.4.3" || all[1].Version != "1.0.0" {
		t.Fatalf("the cards are %+v, %v", all, err)
	}
	var work sync.WaitGroup
	for _, f := range all {
		work.Go(func() {
			c := card.Target{Reader: f.Reader, ID: f.ID}
			for i := range 10 {
				if err := cards.Put(context.Background(), c, account(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
				if got, err := codes(t, cards, c, time.Now()); err != nil || len(got) != i+1 {
					t.Errorf("%d accounts after %d, %v", len(got), i, err)
				}
			}
		})
	}
	work.Wait()
}

func TestFaults(t *testing.T) {
	cards := newCards(t)
	for fault, want := range map[soft.Fault]error{
		soft.FaultGone: card.ErrGone, soft.Fault6F00: ykoath.ErrRefused, soft.FaultGarbage: ykoath.ErrNonsense, soft.FaultEndless: ykoath.ErrNonsense,
		soft.FaultNoApplet: ykoath.ErrNoApplet, soft.FaultLength: ykoath.ErrNonsense,
	} {
		t.Run(string(fault), func(t *testing.T) {
			s := insert(t, reader.FirstPort, soft.Options{})
			c := the(t, cards)
			s.SetFault(fault, 0)
			if fault != soft.FaultGone {
				all, err := cards.List(t.Context())
				if err != nil || len(all) != 1 || (all[0].Why() == nil) != (fault == soft.Fault6F00) {
					t.Errorf("the cards are %+v, %v", all, err)
				}
			}
			if _, err := codes(t, cards, c, time.Now()); err == nil || !errors.Is(err, want) && fault != soft.FaultGone && fault != soft.FaultGarbage {
				t.Errorf("its codes: %v", err)
			}
			if fault == soft.Fault6F00 {
				err := cards.Delete(t.Context(), c, []byte("x"))
				if err == nil || !strings.HasPrefix(err.Error(), reader.First+": the card reports an error of its own: take it out") || !strings.Contains(err.Error(), "status 6f00") {
					t.Errorf("an account deleted: %v", err)
				}
			}
			s.SetFault(soft.NoFault, 0)
			if fault == soft.FaultGone {
				return
			}
			if _, err := codes(t, cards, c, time.Now()); err != nil {
				t.Errorf("then its codes: %v", err)
			}
		})
	}
}

// A card that was reset in the middle, by whom nobody knows, fails what was asked and no more.
func TestAResetInTheMiddle(t *testing.T) {
	cards := newCards(t)
	s := insert(t, reader.FirstPort, soft.Options{})
	c := the(t, cards)
	if err := cards.Put(t.Context(), c, account("me")); err != nil {
		t.Fatal(err)
	}
	for step, want := range []error{nil, ykoath.ErrRefused} { // SELECT, CALCULATE ALL
		s.SetFault(soft.FaultReset, step)
		if _, err := codes(t, cards, c, time.Now()); !errors.Is(err, want) {
			t.Errorf("before step %d: %v", step, err)
		}
		if all, err := codes(t, cards, c, time.Now()); err != nil || len(all) != 1 {
			t.Errorf("then: %v, %v", all, err)
		}
	}
}

// A key in a USB port and one on a contactless reader answer a reset in other words, and are the same to us.
func TestContactAndContactless(t *testing.T) {
	cards := newCards(t)
	for _, contact := range []bool{true, false} {
		t.Run(fmt.Sprintf("contact %v", contact), func(t *testing.T) {
			insert(t, reader.FirstPort, soft.Options{Contact: contact})
			c := the(t, cards)
			if err := cards.Put(t.Context(), c, account("me")); err != nil {
				t.Fatal(err)
			}
			if all, err := codes(t, cards, c, time.Unix(59, 0)); err != nil || len(all) != 1 || string(all[0].Code) != "287082" {
				t.Errorf("its codes are %+v, %v", all, err)
			}
		})
	}
}

// hostile are cards in every reader, each with the longest answers that a card may give.
type hostile struct{}

func (hostile) List(context.Context) ([]string, error) {
	var all []string
	for i := range 32 {
		all = append(all, fmt.Sprintf("%s%02d", strings.Repeat("\x01", 126), i))
	}
	return append(all[:31], reader.First), nil
}

func (hostile) Use(_ context.Context, name string, f func(ykoath.Card) error) error {
	return f(hostileCard(name))
}

type hostileCard string // the reader's name

// Transmit gives 128 accounts with names of 64 bytes that JSON writes as six each, and in the first reader one.
func (c hostileCard) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	if apdu[2] == 4 { // SELECT
		return append(append([]byte{0x79, 3, 5, 4, 3, 0x71, 3}, c[len(c)-3:]...), 0x90, 0), nil
	}
	var all []byte
	for i := range 129 {
		if i == 128 && !strings.HasSuffix(string(c), "\x0107") {
			break // only that one has more than any may
		}
		all = append(all, 0x71, 64)
		all = append(all, bytes.Repeat([]byte{1, ':'}, 31)...)
		all = append(all, byte(i), 0xff, 0x76, 5, 8, 0x7f, 0xff, 0xff, 0xff)
		if c == reader.First {
			break
		}
	}
	return append(all, 0x90, 0), nil
}

// inProcess runs operations without a helper, within the bounds of one.
type inProcess map[string]helper.Handler

func (p inProcess) Run(ctx context.Context, c helper.Call, result any) error {
	args, err := json.Marshal(c.Args)
	if err != nil {
		return err
	}
	out, err := p[c.Op](ctx, args)
	if err != nil {
		return err
	}
	b, err := json.Marshal(out)
	if err == nil && len(b) > helper.MaxMessage-1024 {
		err = fmt.Errorf("an answer of %d bytes", len(b))
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, result)
}

// What cards say fits into an answer, however many they are and however much they say.
func TestHostileCards(t *testing.T) {
	cards := card.NewCards(inProcess(card.Handlers(hostile{})))
	all, err := cards.Codes(t.Context(), nil, nil, time.Unix(59, 0))
	if err != nil || len(all) != 32 {
		t.Fatalf("%d cards, %v", len(all), err)
	}
	for i, f := range all {
		want := 128
		switch f.Reader {
		case reader.First:
			want = 1
		case strings.Repeat("\x01", 126) + "07":
			if f.Why() != ykoath.ErrNonsense || len(f.Accounts) > 0 {
				t.Errorf("of too many accounts %d are listed, %v", len(f.Accounts), f.Why())
			}
			continue
		}
		if len(f.Accounts) != want || f.Why() != nil || f.Accounts[0].Issuer != "\x01" || len(f.Accounts[0].Code) != 8 {
			t.Errorf("card %d has %d accounts, %v", i, len(f.Accounts), f.Why())
		}
	}
}

// Debian's ykman, which nobody here wrote, reads what was written and writes what is read.
func TestWithYkman(t *testing.T) {
	cards := newCards(t)
	if _, err := exec.LookPath("ykman"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890
	insert(t, reader.FirstPort, soft.Options{})
	c := the(t, cards)
	if err := cards.Put(t.Context(), c, account("Fob:totp")); err != nil {
		t.Fatal(err)
	}
	hotp := account("Fob:hotp")
	hotp.Kind, hotp.Counter = oath.HOTP, 3
	if err := cards.Put(t.Context(), c, hotp); err != nil {
		t.Fatal(err)
	}
	ykman := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("ykman", append([]string{"-r", reader.First, "oath"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ykman %v: %s", args, out)
		}
		return string(out)
	}
	if list := ykman("accounts", "list"); !strings.Contains(list, "Fob:totp\n") || !strings.Contains(list, "Fob:hotp\n") {
		t.Errorf("ykman lists %s", list)
	}
	if code := ykman("accounts", "code", "-s", "Fob:hotp"); strings.TrimSpace(code) != "969429" {
		t.Errorf("ykman's HOTP code is %s", code)
	}
	ykman("accounts", "add", "-i", "Ykman", "-a", "SHA256", "-d", "8", "-P", "60", "totp", secret)
	ykman("accounts", "add", "-i", "Ykman", "-o", "HOTP", "-c", "1", "hotp", secret)
	for range 3 { // a period may end between the three
		before := time.Now()
		all, err := codes(t, cards, c, before)
		if err != nil {
			t.Fatal(err)
		}
		var ours, fobs string
		for _, a := range all {
			switch a.Name + a.Issuer {
			case "totpYkman":
				ours = string(a.Code)
				if a.Period != 60 || len(a.Code) != 8 {
					t.Errorf("ykman's account reads as %+v", a)
				}
			case "totpFob":
				fobs = string(a.Code)
			}
		}
		theirs, theirFobs := strings.TrimSpace(ykman("accounts", "code", "-s", "Ykman:totp")), strings.TrimSpace(ykman("accounts", "code", "-s", "Fob:totp"))
		tool, err := exec.Command("oathtool", "--totp=SHA256", "-d8", "-s60", "-b", secret).Output()
		if err != nil {
			t.Fatal(err)
		}
		if before.Unix()/30 != time.Now().Unix()/30 {
			continue
		}
		if ours != theirs || ours != strings.TrimSpace(string(tool)) || fobs != theirFobs {
			t.Errorf("the code is %s, ykman says %s, oathtool %s; of the other %s, ykman %s", ours, theirs, tool, fobs, theirFobs)
		}
		break
	}
	if a, err := cards.Code(t.Context(), c, []byte("Ykman:hotp"), oath.HOTP, time.Now()); err != nil || string(a.Code) != "287082" {
		t.Errorf("ykman's HOTP account gives %s, %v", a.Code, err)
	}
	ykman("access", "change", "-n", "correct horse")
	if _, err := codes(t, cards, c, time.Now()); !errors.Is(err, ykoath.ErrLocked) {
		t.Errorf("with ykman's password set: %v", err)
	}
	key, err := cards.Unlock(t.Context(), c, secretOf("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	c.Key = key.Reveal()
	if _, err := cards.SetPassword(t.Context(), c, secretOf("another horse")); err != nil {
		t.Fatal(err)
	}
	if list := ykman("accounts", "list", "-p", "another horse"); !strings.Contains(list, "Fob:totp") {
		t.Errorf("with the password that was set here ykman lists %s", list)
	}
}

func secretOf(s string) *secret.Secret { return secret.New([]byte(s)) }
