package ykoath

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
)

// MaxAccounts bounds what a card may list: the largest that are sold hold 100.
const MaxAccounts = 128

// Code is an account's code, if it has one.
type Code struct {
	Account
	Touch bool // its codes take a touch; not known for HOTP
	// Code is nil where the card has not computed one: HOTP, which would be used up, and accounts that take a touch.
	Code *secret.Secret
	// From and Until bound the time in which a TOTP code is good; both are zero for HOTP.
	From, Until time.Time
}

// List gives the card's accounts, without codes.
func (s *Session) List(ctx context.Context) ([]Account, error) {
	b, err := send(ctx, s.card, insList, 0, 0, nil)
	if err != nil {
		return nil, err
	}
	all, err := parseTLVs(b)
	if err != nil {
		return nil, err
	}
	if len(all) > MaxAccounts {
		return nil, nonsense("%d accounts", len(all))
	}
	accounts := make([]Account, 0, len(all))
	for _, t := range all {
		if t.tag != tagNameList || len(t.value) < 2 || len(t.value) > 1+MaxID {
			return nil, nonsense("an account without name")
		}
		kind, err := kindOf(t.value[0])
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, ParseID(string(t.value[1:]), kind))
	}
	return accounts, nil
}

func kindOf(b byte) (oath.Kind, error) {
	for kind, bits := range kindBits {
		if b&0xf0 == bits {
			return kind, nil
		}
	}
	return "", nonsense("an account of type %02x", b)
}

// CalculateAll gives every account, with the codes of the moment that it gives without more: TOTP without a touch.
func (s *Session) CalculateAll(ctx context.Context, now time.Time) ([]Code, error) {
	b, err := send(ctx, s.card, insCalculateAll, 0, 1, appendTLV(nil, tagChallenge, step(now.Unix(), DefaultPeriod)...))
	if err != nil {
		return nil, err
	}
	all, err := parseTLVs(b)
	if err != nil {
		return nil, err
	}
	if len(all)%2 != 0 || len(all)/2 > MaxAccounts {
		return nil, nonsense("%d values for names and codes", len(all))
	}
	codes := make([]Code, 0, len(all)/2)
	for i := 0; i < len(all); i += 2 {
		c, err := s.listed(ctx, all[i], all[i+1], now)
		if err != nil {
			for _, c := range codes {
				c.Code.Wipe()
			}
			return nil, err
		}
		codes = append(codes, c)
	}
	return codes, nil
}

// listed is one account of CALCULATE ALL.
func (s *Session) listed(ctx context.Context, name, answer tlv, now time.Time) (Code, error) {
	if name.tag != tagName || len(name.value) == 0 || len(name.value) > MaxID {
		return Code{}, nonsense("an account without name")
	}
	kind := oath.TOTP
	if answer.tag == tagNoCode {
		kind = oath.HOTP
	}
	c := Code{Account: ParseID(string(name.value), kind)}
	switch answer.tag {
	case tagNoCode:
		return c, nil
	case tagTouch:
		c.Touch = true
		return c, nil
	case tagTruncated:
	default:
		return Code{}, nonsense("an account with value %02x", answer.tag)
	}
	if c.Period != DefaultPeriod { // the card took all for 30 s
		return s.Calculate(ctx, c.Account, now)
	}
	var err error
	c.Code, err = truncated(answer.value)
	c.bound(now)
	return c, err
}

// Calculate gives one account's code of the moment; for HOTP the next, which is then used. Where the account takes a
// touch the card answers once it was touched, and ErrTouch if it was not.
func (s *Session) Calculate(ctx context.Context, a Account, now time.Time) (Code, error) {
	data := appendTLV(appendTLV(nil, tagName, []byte(a.ID)...), tagChallenge, step(now.Unix(), a.Period)...)
	b, err := send(ctx, s.card, insCalculate, 0, 1, data)
	if err != nil {
		if st, ok := errors.AsType[*StatusError](err); ok && st.Status == swUnsatisfied {
			return Code{}, ErrTouch
		}
		return Code{}, err
	}
	v, err := one(b, tagTruncated)
	if err != nil {
		return Code{}, err
	}
	c := Code{Account: a}
	c.Code, err = truncated(v)
	c.bound(now)
	return c, err
}

// bound sets how long the code is good.
func (c *Code) bound(now time.Time) {
	if c.Period == 0 {
		return
	}
	p := int64(c.Period)
	start := max(now.Unix(), 0) / p * p
	c.From, c.Until = time.Unix(start, 0), time.Unix(start+p, 0)
}

// truncated reads a number of digits and 31 bits (RFC 4226 §5.3).
func truncated(b []byte) (*secret.Secret, error) {
	if len(b) != 5 || b[0] < oath.MinDigits || b[0] > oath.MaxDigits {
		return nil, nonsense("a code of another length")
	}
	n := binary.BigEndian.Uint32(b[1:]) & math.MaxInt32
	code := make([]byte, b[0])
	for i := len(code) - 1; i >= 0; i-- {
		code[i] = '0' + byte(n%10)
		n /= 10
	}
	return secret.New(code), nil
}
