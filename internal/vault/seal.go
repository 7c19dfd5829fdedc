package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/fobproject/fob/internal/secret"
)

const (
	keySize   = chacha20poly1305.KeySize
	nonceSize = chacha20poly1305.NonceSizeX
	overhead  = nonceSize + chacha20poly1305.Overhead // of what is sealed over what is not
	checkSize = sha256.Size
)

// Sealer seals the values of one purpose under a key of their own. It is safe for concurrent use, and
// fails with ErrSealed once the vault was locked.
type Sealer struct {
	rand  io.Reader
	lapse func() // locks the vault if its time is over

	mu  sync.RWMutex
	key *secret.Secret // nil once the vault was locked
}

// Sealer gives the Sealer of a purpose, which is a name that never changes. It fails with ErrSealed.
func (v *Vault) Sealer(purpose string) (*Sealer, error) {
	v.lapse()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.data == nil {
		return nil, ErrSealed
	}
	if s := v.sealers[purpose]; s != nil {
		return s, nil
	}
	s, err := v.sealerUnder(v.data, purpose)
	if err == nil {
		v.sealers[purpose] = s
	}
	return s, err
}

func (v *Vault) sealerUnder(data *secret.Secret, purpose string) (*Sealer, error) {
	key, err := hkdfKey(data, nil, "fob vault v1 "+purpose)
	if err != nil {
		return nil, err
	}
	return &Sealer{rand: v.rand, lapse: v.lapse, key: key}, nil
}

// Seal seals plain, and binds name to it: only Open with the same name opens it.
func (s *Sealer) Seal(name, plain []byte) ([]byte, error) {
	s.lapse()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.key == nil {
		return nil, ErrSealed
	}
	return sealUnder(s.rand, s.key, plain, name)
}

// Open gives what Seal was given; the caller wipes it. It fails with ErrDamaged on everything else.
func (s *Sealer) Open(name, sealed []byte) (*secret.Secret, error) {
	s.lapse()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.key == nil {
		return nil, ErrSealed
	}
	return openUnder(s.key, sealed, name)
}

func (s *Sealer) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key.Wipe()
	s.key = nil
}

// sealUnder is XChaCha20-Poly1305 with a random nonce, which stands in front; bound is authenticated
// with it.
func sealUnder(rand io.Reader, key *secret.Secret, plain, bound []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	sealed := make([]byte, nonceSize, overhead+len(plain))
	if _, err := io.ReadFull(rand, sealed); err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	return aead.Seal(sealed, sealed, plain, bound), nil
}

// openUnder undoes sealUnder, or fails with ErrDamaged.
func openUnder(key *secret.Secret, sealed, bound []byte) (*secret.Secret, error) {
	if len(sealed) < overhead {
		return nil, ErrDamaged
	}
	aead, err := chacha20poly1305.NewX(key.Reveal())
	if err != nil {
		return nil, errors.Join(ErrDamaged, err)
	}
	plain, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], bound)
	if err != nil {
		return nil, ErrDamaged
	}
	return secret.New(plain), nil
}

// checks tells with the data key, and without showing it, what belongs to it.
type checks struct{ key *secret.Secret }

func newChecks(data *secret.Secret) checks {
	key, err := hkdfKey(data, nil, "fob vault check v1")
	if err != nil {
		panic(err) // HKDF fails on lengths alone, and this one is constant
	}
	return checks{key}
}

func (c checks) wipe() { c.key.Wipe() }

func (c checks) ofHeader() []byte       { return c.sum([]byte("header")) }
func (c checks) ofSlot(r record) []byte { return c.sum(r.bound()) }

func (c checks) header(h header) bool { return hmac.Equal(h.Check, c.ofHeader()) }
func (c checks) slot(r record) bool   { return hmac.Equal(r.Check, c.ofSlot(r)) }

func (c checks) sum(text []byte) []byte {
	m := hmac.New(sha256.New, c.key.Reveal())
	m.Write(text)
	return m.Sum(nil)
}
