package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"runtime/debug"

	"golang.org/x/crypto/argon2"

	"github.com/fobproject/fob/internal/secret"
)

// deriver leads from a slot's input to the key that seals the slot.
type deriver interface {
	// set gives a new record its parameters, beside the salt.
	set(r *record)
	// sound reports whether the parameters, which come from a disk, are ones that derive may be given.
	sound(r record) bool
	// derive gives the key; the caller wipes it.
	derive(ctx context.Context, r record, input *secret.Secret) (*secret.Secret, error)
}

// expand is for inputs of full entropy: HKDF-SHA256 (RFC 5869).
type expand struct{}

func (expand) set(*record) {}

func (expand) sound(r record) bool { return r.Argon2 == nil && r.Tap == nil }

func (expand) derive(_ context.Context, r record, input *secret.Secret) (*secret.Secret, error) {
	return hkdfKey(input, r.Salt, "fob vault slot v1 "+string(r.Type))
}

// hkdfKey is HKDF-SHA256 to a key.
func hkdfKey(from *secret.Secret, salt []byte, info string) (*secret.Secret, error) {
	key, err := hkdf.Key(sha256.New, from.Reveal(), salt, info, keySize)
	if err != nil {
		return nil, fmt.Errorf("cannot derive a key: %w", err)
	}
	return secret.New(key), nil
}

// cost is what one derivation from a passphrase costs (RFC 9106 §3.1).
type cost struct {
	Time    uint32 `json:"time"`   // passes
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

// standard is RFC 9106's second recommended choice (§4).
var standard = cost{Time: 3, Memory: 64 << 10, Threads: 4}

// most is what a damaged or hostile database can ask for at worst: some seconds.
var most = cost{Time: 16, Memory: 256 << 10, Threads: 16}

// stretch is for passphrases: Argon2id, one at a time, since each takes its memory.
type stretch struct {
	cost cost
	turn chan struct{} // holds one while somebody derives
}

func newStretch(c cost) stretch { return stretch{c, make(chan struct{}, 1)} }

func (s stretch) set(r *record) {
	c := s.cost
	r.Argon2 = &c
}

func (stretch) sound(r record) bool {
	c := r.Argon2
	return r.Tap == nil && c != nil && c.Time >= 1 && c.Time <= most.Time && c.Threads >= 1 && c.Threads <= most.Threads &&
		c.Memory >= 8*uint32(c.Threads) && c.Memory <= most.Memory
}

func (s stretch) derive(ctx context.Context, r record, input *secret.Secret) (*secret.Secret, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := *r.Argon2
	key := argon2.IDKey(input.Reveal(), r.Salt, c.Time, c.Memory, c.Threads, keySize)
	if c.Memory >= standard.Memory {
		// Otherwise the daemon would look four times its size until the next collection.
		debug.FreeOSMemory()
	}
	return secret.New(key), nil
}
