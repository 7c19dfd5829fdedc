package ykoath

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/secret"
)

// Session is the selected applet of one card. It is not safe for concurrent use.
type Session struct {
	card      Card
	version   Version
	salt      []byte
	challenge []byte // of the card; nil unless it is locked
	password  bool
}

// Bounds of what SELECT may answer, in bytes.
const (
	maxSalt      = 64
	minChallenge = 8
	maxChallenge = 64
)

// Select begins a session.
func Select(ctx context.Context, c Card) (*Session, error) {
	s := &Session{card: c}
	if err := s.reselect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) reselect(ctx context.Context) error {
	b, err := send(ctx, s.card, insSelect, 0x04, 0, aid)
	if err != nil {
		if st, ok := errors.AsType[*StatusError](err); ok && (st.Status == swNoIns || st.Status == swWrongData || st.Status == 0x6999) {
			return ErrNoApplet // as some cards say it
		}
		return err
	}
	all, err := parseTLVs(b)
	if err != nil {
		return err
	}
	s.salt, s.challenge, s.version = nil, nil, Version{}
	for _, t := range all {
		switch n := len(t.value); t.tag {
		case tagVersion:
			if n != 3 {
				return nonsense("a version of %d bytes", n)
			}
			s.version = Version{t.value[0], t.value[1], t.value[2]}
		case tagName:
			if n == 0 || n > maxSalt {
				return nonsense("an id of %d bytes", n)
			}
			s.salt = t.value
		case tagChallenge:
			if n < minChallenge || n > maxChallenge {
				return nonsense("a challenge of %d bytes", n)
			}
			s.challenge = t.value
		case tagAlgorithm:
			if n != 1 || t.value[0]&0x0f != 0x01 {
				return nonsense("a password under another algorithm than SHA-1")
			}
		}
	}
	if s.version == (Version{}) || s.salt == nil {
		return nonsense("no version, or no id")
	}
	s.password = s.challenge != nil
	return nil
}

// Version is the applet's.
func (s *Session) Version() Version { return s.version }

// Password reports whether the card has a password.
func (s *Session) Password() bool { return s.password }

// Locked reports whether the card wants its password before anything but Reset.
func (s *Session) Locked() bool { return s.challenge != nil }

// DeviceID names the card's applet until it is reset: 16 hexadecimal digits.
func (s *Session) DeviceID() string {
	h := sha256.Sum256(s.salt)
	return hex.EncodeToString(h[:8])
}

const (
	accessKeyLen  = 16   // bytes
	passwordTurns = 1000 // of PBKDF2: the protocol's
)

// DeriveKey makes the access key of a password: what the card keeps instead of it, good for this card until it is
// reset.
func (s *Session) DeriveKey(password *secret.Secret) (*secret.Secret, error) {
	key, err := pbkdf2.Key(sha1.New, string(password.Reveal()), s.salt, passwordTurns, accessKeyLen)
	if err != nil {
		return nil, fmt.Errorf("cannot derive the card's key: %w", err)
	}
	return secret.New(key), nil
}

// Unlock proves to the card that key is its access key, and has the card prove the same. It fails with ErrPassword
// where either does not hold, and does nothing on a card that is not locked.
func (s *Session) Unlock(ctx context.Context, key *secret.Secret) error {
	if !s.Locked() {
		return nil
	}
	mine := make([]byte, minChallenge)
	rand.Read(mine) // never fails
	data := appendTLV(nil, tagResponse, mac(key, s.challenge)...)
	data = appendTLV(data, tagChallenge, mine...)
	b, err := send(ctx, s.card, insValidate, 0, 0, data)
	if err != nil {
		if st, ok := errors.AsType[*StatusError](err); ok && st.Status == swWrongData || errors.Is(err, ErrNoAccount) || errors.Is(err, ErrLocked) {
			return ErrPassword
		}
		return err
	}
	theirs, err := one(b, tagResponse)
	if err != nil {
		return err
	}
	if !hmac.Equal(theirs, mac(key, mine)) {
		return nonsense("it does not know its own password")
	}
	s.challenge = nil
	return nil
}

// SetKey sets the card's access key, or takes the password away where key is nil.
func (s *Session) SetKey(ctx context.Context, key *secret.Secret) error {
	if key == nil {
		_, err := send(ctx, s.card, insSetCode, 0, 0, appendTLV(nil, tagKey))
		if err == nil {
			s.password = false
		}
		return err
	}
	mine := make([]byte, minChallenge)
	rand.Read(mine) // never fails
	data := appendTLV(nil, tagKey, append([]byte{0x21}, key.Reveal()...)...)
	data = appendTLV(data, tagChallenge, mine...)
	data = appendTLV(data, tagResponse, mac(key, mine)...)
	defer clear(data)
	if _, err := send(ctx, s.card, insSetCode, 0, 0, data); err != nil {
		return err
	}
	s.password = true
	return nil
}

// Reset removes every account and the password, and gives the card another id.
func (s *Session) Reset(ctx context.Context) error {
	if _, err := send(ctx, s.card, insReset, 0xde, 0xad, nil); err != nil {
		return err
	}
	return s.reselect(ctx)
}

func mac(key *secret.Secret, challenge []byte) []byte {
	m := hmac.New(sha1.New, key.Reveal())
	m.Write(challenge)
	return m.Sum(nil)
}

// step is the challenge of a time step, or of HOTP, which takes none.
func step(unix int64, period int) []byte {
	if period == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(max(unix, 0))/uint64(period))
}
