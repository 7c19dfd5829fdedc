package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// What signatures are for, in front of what they are over.
const (
	entryDomain  = "fob log v1"
	anchorDomain = "fob log anchor v1"
)

// signature is over the entry under whose number it is kept, see the package's documentation.
type signature struct {
	Signature []byte `json:"signature"` // Ed25519, RFC 8032
}

// privateKey is the instance's own key. It is no secret.Secret: it protects nothing that the file does not
// hold itself.
type privateKey struct {
	Private []byte `json:"private"` // seed and public key, 64 bytes
}

var (
	signatures  = store.NewBucket[signature]("audit-signatures")
	privateKeys = store.NewBucket[privateKey]("audit-key")
	keyName     = []byte("ed25519")
)

// PublicKey is the key that the log's signatures are to be checked with, or store.ErrNotFound where
// nothing was signed yet.
func PublicKey(tx *store.Tx) (ed25519.PublicKey, error) {
	k, err := storedKey(tx)
	if err != nil {
		return nil, err
	}
	return k.Public().(ed25519.PublicKey), nil
}

// signing names the hook that signs: one for a commit.
type signing struct{}

// sign signs the newest entry.
func sign(tx *store.Tx) error {
	seq, hash, err := Head(tx)
	if err != nil {
		return fmt.Errorf("cannot sign the log: %w", err)
	}
	key, instance, err := signer(tx)
	if err != nil {
		return fmt.Errorf("cannot sign the log: %w", err)
	}
	signed := signature{ed25519.Sign(key, entryMessage(instance, seq, hash))}
	if err := signatures.Put(tx, seqKey(seq), signed); err != nil {
		return fmt.Errorf("cannot sign the log: %w", err)
	}
	return nil
}

// signer gives what signatures are made with and for. It makes the key where there is none.
func signer(tx *store.Tx) (key ed25519.PrivateKey, instance string, err error) {
	if instance, err = tx.InstanceID(); err != nil {
		return nil, "", err
	}
	key, err = storedKey(tx)
	if !errors.Is(err, store.ErrNotFound) {
		return key, instance, err
	}
	if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, "", err
	}
	return key, instance, privateKeys.Put(tx, keyName, privateKey{key})
}

func storedKey(tx *store.Tx) (ed25519.PrivateKey, error) {
	k, err := privateKeys.Get(tx, keyName)
	if err == nil && len(k.Private) != ed25519.PrivateKeySize {
		err = fmt.Errorf("%w: the key of the log has %d bytes", store.ErrDamaged, len(k.Private))
	}
	return k.Private, err
}

func entryMessage(instance string, seq uint64, hash Sum) []byte {
	return append(message(entryDomain, instance, seq), hash[:]...)
}

func message(domain, instance string, seq uint64) []byte {
	b := make([]byte, 0, len(domain)+len(instance)+64)
	b = append(append(b, domain...), 0)
	b = append(append(b, instance...), 0)
	return binary.BigEndian.AppendUint64(b, seq)
}

// signs reports whether sig is key's over b. Unlike ed25519.Verify it takes a key of any length.
func signs(key ed25519.PublicKey, b, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, b, sig)
}
