package oath_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
)

const ascii = "12345678901234567890"

func sec(text string) *secret.Secret { return secret.New([]byte(text)) }

// seedOf is the seed that the RFCs' test values use with an algorithm: the digits over and over.
func seedOf(a oath.Algorithm) *secret.Secret {
	n := map[oath.Algorithm]int{oath.SHA1: 20, oath.SHA256: 32, oath.SHA512: 64}[a]
	return sec(strings.Repeat(ascii, 4)[:n])
}

var presses = []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"}

func hotp() oath.Params { return oath.Params{Kind: oath.HOTP, Algorithm: oath.SHA1, Digits: 6} }

func totp() oath.Params {
	return oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30}
}

// at is a time within a step of 30 seconds.
func at(step int64) time.Time { return time.Unix(step*30+7, 0) }

// code gives the code of a counter or a step, by trying them all: there is no other way to get one.
func code(t *testing.T, p oath.Params, counter uint64) *secret.Secret {
	t.Helper()
	out, err := exec.Command("oathtool", oathtool(p, counter)...).Output()
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("oathtool: %v", err)
		}
		t.Fatalf("oathtool: %v", err)
	}
	return sec(strings.TrimSpace(string(out)))
}

// oathtool is Debian's, which nobody here wrote.
func oathtool(p oath.Params, counter uint64) []string {
	args := []string{fmt.Sprintf("--digits=%d", p.Digits)}
	if p.Kind == oath.HOTP {
		args = append(args, "--hotp", fmt.Sprintf("--counter=%d", counter))
	} else {
		args = append(args, "--totp="+string(p.Algorithm), fmt.Sprintf("--time-step-size=%ds", p.Period),
			fmt.Sprintf("--now=@%d", counter*uint64(p.Period)))
	}
	return append(args, fmt.Sprintf("%x", seedOf(p.Algorithm).Reveal()))
}

func TestHOTPVectors(t *testing.T) { // RFC 4226, appendix D
	s := oath.State{}
	for n, want := range presses {
		var err error
		if s, err = oath.Verify(hotp(), sec(ascii), sec(want), s, time.Time{}); err != nil || s.Next != uint64(n+1) {
			t.Fatalf("code %d: %+v, %v", n, s, err)
		}
	}
}

func TestTOTPVectors(t *testing.T) { // RFC 6238, appendix B
	for _, v := range []struct {
		at                   int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	} {
		for a, want := range map[oath.Algorithm]string{oath.SHA1: v.sha1, oath.SHA256: v.sha256, oath.SHA512: v.sha512} {
			p := oath.Params{Kind: oath.TOTP, Algorithm: a, Digits: 8, Period: 30}
			s, err := oath.Verify(p, seedOf(a), sec(want), oath.State{}, time.Unix(v.at, 0))
			if err != nil || s.Next != uint64(v.at/30)+1 {
				t.Errorf("%s at %d: %+v, %v", a, v.at, s, err)
			}
		}
	}
}

func TestOathtool(t *testing.T) {
	for _, a := range []oath.Algorithm{oath.SHA1, oath.SHA256, oath.SHA512} {
		for _, digits := range []int{6, 7, 8} {
			for _, period := range []int{30, 60, 17} {
				p := oath.Params{Kind: oath.TOTP, Algorithm: a, Digits: digits, Period: period}
				const step = 50_000_000
				s, err := oath.Verify(p, seedOf(a), code(t, p, step), oath.State{}, time.Unix(step*int64(period)+1, 0))
				if err != nil || s.Next != step+1 {
					t.Errorf("%+v: %+v, %v", p, s, err)
				}
			}
		}
	}
	p := hotp()
	if s, err := oath.Verify(p, sec(ascii), code(t, p, 123_456), oath.State{Next: 123_450}, time.Time{}); err != nil || s.Next != 123_457 {
		t.Errorf("hotp: %+v, %v", s, err)
	}
}

func TestVerify(t *testing.T) {
	const step = 50_000_000
	for _, c := range []struct {
		name    string
		p       oath.Params
		counter uint64
		state   oath.State
		now     time.Time
		want    error
	}{
		{"takes the code of this moment", totp(), step, oath.State{}, at(step), nil},
		{"takes the one before", totp(), step - 1, oath.State{}, at(step), nil},
		{"takes the one after", totp(), step + 1, oath.State{}, at(step), nil},
		{"refuses one two steps old", totp(), step - 2, oath.State{}, at(step), oath.ErrWrong},
		{"refuses one two steps early", totp(), step + 2, oath.State{}, at(step), oath.ErrWrong},
		{"refuses one that was used", totp(), step, oath.State{Next: step + 1}, at(step), oath.ErrUsed},
		{"refuses one before one that was used", totp(), step - 1, oath.State{Next: step + 1}, at(step), oath.ErrUsed},
		{"takes the next after one that was used", totp(), step + 1, oath.State{Next: step + 1}, at(step), nil},
		{"refuses a used one after the clock was set back an hour", totp(), step - 120, oath.State{Next: step + 1}, at(step - 120), oath.ErrUsed},
		{"follows the drift that is known", totp(), step + 40, oath.State{Drift: 40}, at(step), nil},
		{"refuses this moment's code of a token that is ahead", totp(), step, oath.State{Drift: 40}, at(step), oath.ErrWrong},
		{"stands times before 1970", totp(), 0, oath.State{}, time.Unix(-1_000_000, 0), oath.ErrWrong},
		{"takes the code of the next press", hotp(), 5, oath.State{Next: 5}, time.Time{}, nil},
		{"takes one 10 presses ahead", hotp(), 15, oath.State{Next: 5}, time.Time{}, nil},
		{"refuses one 11 presses ahead", hotp(), 16, oath.State{Next: 5}, time.Time{}, oath.ErrWrong},
		{"refuses the press that was used", hotp(), 4, oath.State{Next: 5}, time.Time{}, oath.ErrUsed},
		{"refuses presses of long ago", hotp(), 2, oath.State{Next: 5}, time.Time{}, oath.ErrWrong},
		{"asks to be brought into step after a restore", hotp(), 5, oath.State{Next: 5, OutOfStep: true}, time.Time{}, oath.ErrOutOfStep},
		{"refuses a counter out of this world", hotp(), 5, oath.State{Next: oath.MaxCounter + 1}, time.Time{}, oath.ErrParams},
		{"refuses a period of 0 from a damaged record", oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6}, 5, oath.State{}, at(step), oath.ErrParams},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.p
			if p.Kind == oath.TOTP {
				p.Period = 30
			}
			typed := code(t, p, c.counter)
			s, err := oath.Verify(c.p, sec(ascii), typed, c.state, c.now)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && s != c.state {
				t.Errorf("a refused code changed the state: %+v", s)
			}
			if err == nil && s.Next != c.counter+1 {
				t.Errorf("the state after it: %+v", s)
			}
			if err == nil {
				if _, err := oath.Verify(c.p, sec(ascii), typed, s, c.now); !errors.Is(err, oath.ErrUsed) {
					t.Errorf("a second time: %v", err)
				}
			}
		})
	}
}

func TestDrift(t *testing.T) {
	t.Run("follows a token whose clock goes slowly off", func(t *testing.T) {
		s := oath.State{}
		for n, ahead := range []int64{0, 1, 1, 2, 2, 3, 3, 4} { // it gains a step every second sign-in
			now := int64(50_000_000 + n*1000)
			var err error
			if s, err = oath.Verify(totp(), sec(ascii), code(t, totp(), uint64(now+ahead)), s, at(now)); err != nil {
				t.Fatalf("at %d steps ahead: %v (%+v)", ahead, err, s)
			}
		}
	})
	t.Run("does not follow one code that was typed late", func(t *testing.T) {
		s := oath.State{}
		for n, offset := range []int64{-1, 1, -1, 0, 1} {
			now := int64(50_000_000 + n*1000)
			var err error
			if s, err = oath.Verify(totp(), sec(ascii), code(t, totp(), uint64(now+offset)), s, at(now)); err != nil || s.Drift != 0 {
				t.Fatalf("at %d: %+v, %v", offset, s, err)
			}
		}
	})
}

func TestResync(t *testing.T) {
	const step = 50_000_000
	for _, c := range []struct {
		name          string
		p             oath.Params
		first, second uint64
		state         oath.State
		want          error
		drift         int64
	}{
		{"finds a token 99 steps ahead", totp(), step + 99, step + 100, oath.State{}, nil, 100},
		{"finds a token 100 steps behind", totp(), step - 100, step - 99, oath.State{}, nil, -99},
		{"does not look further ahead", totp(), step + 100, step + 101, oath.State{}, oath.ErrWrong, 0},
		{"does not look further back", totp(), step - 101, step - 100, oath.State{}, oath.ErrWrong, 0},
		{"wants them in a row", totp(), step + 5, step + 7, oath.State{}, oath.ErrWrong, 0},
		{"wants them in order", totp(), step + 6, step + 5, oath.State{}, oath.ErrWrong, 0},
		{"refuses the same one twice", totp(), step + 5, step + 5, oath.State{}, oath.ErrWrong, 0},
		{"never goes below what was used", totp(), step - 50, step - 49, oath.State{Next: step + 1}, oath.ErrWrong, 0},
		{"refuses a first one that was used", totp(), step, step + 1, oath.State{Next: step + 1}, oath.ErrWrong, 0},
		{"looks around the drift that is known", totp(), step + 150, step + 151, oath.State{Drift: 100}, nil, 151},
		{"finds presses up to 1,000 ahead", hotp(), 1004, 1005, oath.State{Next: 5}, nil, 0},
		{"does not look further", hotp(), 1005, 1006, oath.State{Next: 5}, oath.ErrWrong, 0},
		{"takes the next two presses", hotp(), 5, 6, oath.State{Next: 5, OutOfStep: true}, nil, 0},
		{"refuses a press that was used", hotp(), 4, 5, oath.State{Next: 5}, oath.ErrWrong, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := code(t, c.p, c.first), code(t, c.p, c.second)
			s, err := oath.Resync(c.p, sec(ascii), first, second, c.state, at(step))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && s != c.state {
				t.Errorf("refused codes changed the state: %+v", s)
			}
			if err == nil && (s.Next != c.second+1 || s.Drift != c.drift || s.OutOfStep) {
				t.Errorf("the state after them: %+v", s)
			}
		})
	}
}

func TestRestored(t *testing.T) {
	const step = 50_000_000
	s := oath.Restored(totp(), oath.State{Next: step - 1000}, at(step))
	for _, offset := range []int64{-1, 0, 1} {
		if _, err := oath.Verify(totp(), sec(ascii), code(t, totp(), uint64(step+offset)), s, at(step)); err == nil {
			t.Errorf("a code of before, %d steps from now, is accepted after a restore", offset)
		}
	}
	if _, err := oath.Verify(totp(), sec(ascii), code(t, totp(), step+2), s, at(step+2)); err != nil {
		t.Errorf("the codes that come are refused: %v", err)
	}
	h := oath.Restored(hotp(), oath.State{Next: 5}, at(step))
	if _, err := oath.Verify(hotp(), sec(ascii), code(t, hotp(), 5), h, at(step)); !errors.Is(err, oath.ErrOutOfStep) {
		t.Errorf("one code of a token that counts presses: %v", err)
	}
	if h.Next != 5 {
		t.Errorf("the counter went from 5 to %d", h.Next)
	}
}

func TestCheck(t *testing.T) {
	for name, p := range map[string]oath.Params{
		"no kind":        {Algorithm: oath.SHA1, Digits: 6, Period: 30},
		"MD5":            {Kind: oath.TOTP, Algorithm: "MD5", Digits: 6, Period: 30},
		"0 digits":       {Kind: oath.TOTP, Algorithm: oath.SHA1, Period: 30},
		"99 digits":      {Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 99, Period: 30},
		"period 0":       {Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6},
		"a day's period": {Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 86400},
		"hotp, period":   {Kind: oath.HOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30},
	} {
		if err := p.Check(); !errors.Is(err, oath.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(hotp().Check(), totp().Check()); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	seed, wrong := sec(ascii), sec("000000")
	for _, p := range []oath.Params{totp(), hotp()} {
		b.Run(string(p.Kind), func(b *testing.B) {
			for b.Loop() {
				_, _ = oath.Verify(p, seed, wrong, oath.State{}, at(50_000_000))
			}
		})
	}
}
