// Package oath verifies the one-time codes of hardware tokens: HOTP (RFC 4226) and TOTP (RFC 6238).
//
// It is pure: what has to be remembered between two codes is a State, which goes in and comes out. Who
// keeps it writes it down in the same transaction as the decision that the code was for; then no code
// is accepted twice.
package oath

import (
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/fobproject/fob/internal/secret"
)

// What may become of a code.
var (
	ErrMalformed = errors.New("a code is 6 to 8 digits")
	ErrWrong     = errors.New("that code is wrong")
	ErrUsed      = errors.New("that code was used already: wait for the next one")
	ErrOutOfStep = errors.New("this token must be brought back into step first: run “fob methods resync”")
	ErrParams    = errors.New("a token cannot be like this")
)

// Kind says what a token's codes count.
type Kind string

// The kinds of token.
const (
	HOTP Kind = "hotp" // presses of its button (RFC 4226)
	TOTP Kind = "totp" // periods of time (RFC 6238)
)

// Algorithm is the hash function under HMAC.
type Algorithm string

// The algorithms (RFC 6238 §1.2).
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// Bounds of a token.
const (
	MinDigits = 6
	MaxDigits = 8
	MaxPeriod = 3600 // seconds
	MinSeed   = 16   // bytes (RFC 4226 §4, R6)
	MaxSeed   = 128  // bytes: SHA-512's block
	// MaxCounter leaves room above any counter that a person could reach.
	MaxCounter = 1 << 62
)

// The windows, in steps of time or presses of the button.
const (
	window          = 1    // TOTP: steps to either side
	lookAhead       = 10   // HOTP: presses that nobody sent
	resyncWindow    = 100  // TOTP: steps to either side, for two codes in a row
	resyncLookAhead = 1000 // HOTP: presses, for two codes in a row
	maxDrift        = 1000 // TOTP: steps by which a token may be off at all
)

// Params are what a token is.
type Params struct {
	Kind      Kind      `json:"kind"`
	Algorithm Algorithm `json:"algorithm"`
	Digits    int       `json:"digits"`
	Period    int       `json:"period,omitempty"` // seconds; TOTP only
}

// Check fails with ErrParams unless there can be such a token.
func (p Params) Check() error {
	switch {
	case p.Kind != HOTP && p.Kind != TOTP:
		return fmt.Errorf("%w: its kind is hotp or totp", ErrParams)
	case p.Algorithm != SHA1 && p.Algorithm != SHA256 && p.Algorithm != SHA512:
		return fmt.Errorf("%w: its algorithm is SHA1, SHA256 or SHA512", ErrParams)
	case p.Digits < MinDigits || p.Digits > MaxDigits:
		return fmt.Errorf("%w: its codes have %d to %d digits, not %d", ErrParams, MinDigits, MaxDigits, p.Digits)
	case p.Kind == TOTP && (p.Period < 1 || p.Period > MaxPeriod):
		return fmt.Errorf("%w: its period is 1 to %d seconds, not %d", ErrParams, MaxPeriod, p.Period)
	case p.Kind == HOTP && p.Period != 0:
		return fmt.Errorf("%w: a token that counts presses has no period", ErrParams)
	}
	return nil
}

// checkWith fails unless there can be such a token in that state.
func (p Params) checkWith(s State) error {
	if s.Next > MaxCounter || s.Drift < -maxDrift || s.Drift > maxDrift {
		return fmt.Errorf("%w: its counter makes no sense", ErrParams)
	}
	return p.Check()
}

// State is what has to be remembered of a token between two codes. The zero value is that of a token
// that was never used.
type State struct {
	// Next is the least counter or time step that is still accepted; it never goes back.
	Next uint64 `json:"next"`
	// Drift is by how many steps the token's clock is ahead of this machine's; TOTP only.
	Drift int64 `json:"drift,omitempty"`
	// Edge is -1 or 1 where the last code came from that edge of the window: a second one from there in
	// a row moves Drift (RFC 6238 §6).
	Edge int64 `json:"edge,omitempty"`
	// OutOfStep is set where one code proves too little, as after a backup was restored: two in a row
	// are asked for.
	OutOfStep bool `json:"out_of_step,omitempty"`
}

// Verify checks a code, which ParseCode has read, and returns the state after it. HOTP looks ahead by
// 10 presses (RFC 4226 §7.4); TOTP accepts one step to either side (RFC 6238 §5.2). It fails with
// ErrWrong, with ErrUsed for a code that was accepted before, and with ErrOutOfStep. How long it takes
// depends on p and not on the code.
func Verify(p Params, seed, code *secret.Secret, s State, now time.Time) (State, error) {
	if err := p.checkWith(s); err != nil {
		return s, err
	}
	if s.OutOfStep {
		return s, ErrOutOfStep
	}
	if p.Kind == TOTP && now.Unix() < 0 {
		return s, ErrWrong // no token counts such a time
	}
	g := newGenerator(p, seed)
	defer g.wipe()
	from, to := s.Next, s.Next+lookAhead
	center := int64(0)
	if p.Kind == TOTP {
		center = p.step(now) + s.Drift
		from, to = clamp(center-window), clamp(center+window)
	} else if from > 0 {
		from-- // the one before was used, and is worth a word of its own
	}
	// The greatest counter that fits counts: should two have the same code, it is spent for both.
	var found, used, greatest uint64
	for c := from; c <= to; c++ {
		same, err := g.matches(c, code)
		if err != nil {
			return s, err
		}
		fresh := 0
		if c >= s.Next {
			fresh = 1
		}
		greatest = pick(same&fresh, c, greatest)
		found |= uint64(same & fresh)
		used |= uint64(same &^ fresh)
	}
	switch {
	case found == 1:
		s.Next = greatest + 1
		if p.Kind == TOTP {
			s.follow(int64(greatest) - center)
		}
		return s, nil
	case used == 1:
		return s, ErrUsed
	default:
		return s, ErrWrong
	}
}

// follow moves Drift by a step where two codes in a row came from the same edge of the window.
func (s *State) follow(offset int64) {
	if offset != 0 && offset == s.Edge {
		s.Drift = min(max(s.Drift+offset, -maxDrift), maxDrift)
		offset = 0
	}
	s.Edge = offset
}

// Resync looks for two codes in a row in a far wider window: ±100 steps for TOTP, 1,000 presses ahead
// for HOTP (RFC 4226 §7.4, RFC 6238 §6). It fails with ErrWrong, and never goes below s.Next.
func Resync(p Params, seed, first, second *secret.Secret, s State, now time.Time) (State, error) {
	if err := p.checkWith(s); err != nil {
		return s, err
	}
	g := newGenerator(p, seed)
	defer g.wipe()
	from, to := s.Next, s.Next+resyncLookAhead
	step := int64(0)
	if p.Kind == TOTP {
		step = p.step(now)
		from, to = clamp(step+s.Drift-resyncWindow), clamp(step+s.Drift+resyncWindow)
	}
	var found, greatest uint64
	before := 0 // whether first is the code of the counter before
	for c := from; c <= to; c++ {
		fresh := 0
		if c > s.Next {
			fresh = 1
		}
		isSecond, err := g.matches(c, second)
		if err != nil {
			return s, err
		}
		greatest = pick(before&isSecond&fresh, c, greatest)
		found |= uint64(before & isSecond & fresh)
		if before, err = g.matches(c, first); err != nil {
			return s, err
		}
	}
	if found == 0 {
		return s, ErrWrong
	}
	s.Next, s.OutOfStep, s.Edge = greatest+1, false, 0
	if p.Kind == TOTP {
		s.Drift = min(max(int64(greatest)-step, -maxDrift), maxDrift)
	}
	return s, nil
}

// Restored is the state of a token that came out of a backup made at some earlier time: nobody knows
// which codes were accepted since. A TOTP token goes on with codes that no window could have reached
// until now; of an HOTP token two codes in a row are asked for.
func Restored(p Params, s State, now time.Time) State {
	if p.Kind == HOTP {
		s.OutOfStep = true
		return s
	}
	s.Next = max(s.Next, clamp(p.step(now)+s.Drift+window+1))
	return s
}

// step is the time step at a time (RFC 6238 §4.2).
func (p Params) step(t time.Time) int64 { return t.Unix() / int64(p.Period) }

func clamp(n int64) uint64 { return uint64(max(n, 0)) }

// pick is a where cond is 1 and b where it is 0, in constant time.
func pick(cond int, a, b uint64) uint64 {
	mask := -uint64(cond)
	return a&mask | b&^mask
}

// generator makes the codes of one token. The library takes the seed as Base32 text, which it copies;
// what is ours of it is wiped.
type generator struct {
	base32 []byte
	opts   hotp.ValidateOpts
}

func newGenerator(p Params, seed *secret.Secret) generator {
	g := generator{opts: hotp.ValidateOpts{Digits: otp.Digits(p.Digits)}}
	g.base32 = make([]byte, base32.StdEncoding.EncodedLen(seed.Len()))
	base32.StdEncoding.Encode(g.base32, seed.Reveal())
	switch p.Algorithm {
	case SHA256:
		g.opts.Algorithm = otp.AlgorithmSHA256
	case SHA512:
		g.opts.Algorithm = otp.AlgorithmSHA512
	default:
		g.opts.Algorithm = otp.AlgorithmSHA1
	}
	return g
}

// Generate makes the code of a counter or time step: for accounts, whose codes other sites verify. A code that this
// machine computed proves nothing here.
func Generate(p Params, seed *secret.Secret, counter uint64) (*secret.Secret, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	g := newGenerator(p, seed)
	defer g.wipe()
	code, err := hotp.GenerateCodeCustom(string(g.base32), counter, g.opts)
	if err != nil {
		return nil, fmt.Errorf("cannot make a code: %w", err)
	}
	return secret.New([]byte(code)), nil
}

// matches is 1 where code is that of the counter, else 0.
func (g generator) matches(counter uint64, code *secret.Secret) (int, error) {
	want, err := hotp.GenerateCodeCustom(string(g.base32), counter, g.opts)
	if err != nil {
		return 0, fmt.Errorf("cannot make a code: %w", err)
	}
	return subtle.ConstantTimeCompare([]byte(want), code.Reveal()), nil
}

func (g generator) wipe() { clear(g.base32) }
