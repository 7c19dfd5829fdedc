package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"github.com/fobproject/fob/internal/secret"
)

// The algorithms of a session (Secret Service API 0.2, "Transfer of Secrets").
const (
	algorithmDH    = "dh-ietf1024-sha256-aes128-cbc-pkcs7"
	algorithmPlain = "plain"
)

// oakley2 is the prime of the Second Oakley Group (RFC 2409 §6.2); its generator is 2. It is weak by
// now, and what the services speak: it keeps the key out of the bus's logs, not from an attacker.
const oakley2 = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
	"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
	"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF"

// primeSize is the length of the prime in bytes.
const primeSize = 128

// exchange is our half of a key exchange.
type exchange struct {
	prime, private *big.Int
	public         []byte
}

func newExchange() (*exchange, error) {
	prime, _ := new(big.Int).SetString(oakley2, 16)
	private, err := rand.Int(rand.Reader, prime)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return &exchange{prime, private, new(big.Int).Exp(big.NewInt(2), private, prime).Bytes()}, nil
}

// finish gives the AES key that both sides have once theirs, the other half, is known.
func (x *exchange) finish(theirs []byte) (*secret.Secret, error) {
	y := new(big.Int).SetBytes(theirs)
	one := big.NewInt(1)
	if len(theirs) > primeSize || y.Cmp(one) <= 0 || y.Cmp(new(big.Int).Sub(x.prime, one)) >= 0 {
		return nil, errors.New("the secret service's public key is none")
	}
	shared := new(big.Int).Exp(y, x.private, x.prime).FillBytes(make([]byte, primeSize))
	defer clear(shared)
	key, err := hkdf.Key(sha256.New, shared, nil, "", aes.BlockSize)
	if err != nil {
		return nil, fmt.Errorf("cannot derive a key: %w", err)
	}
	return secret.New(key), nil
}

// wrap encrypts text for the session with this key, which is nil for a plain one.
func wrap(key *secret.Secret, text []byte) (params, value []byte, err error) {
	if key == nil {
		return nil, bytes.Clone(text), nil
	}
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encrypt the key: %w", err)
	}
	params = make([]byte, aes.BlockSize)
	rand.Read(params) // never fails
	n := aes.BlockSize - len(text)%aes.BlockSize
	value = append(make([]byte, 0, len(text)+n), text...)
	value = append(value, bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, params).CryptBlocks(value, value)
	return params, value, nil
}

// unwrap undoes wrap.
func unwrap(key *secret.Secret, params, value []byte) (*secret.Secret, error) {
	text := bytes.Clone(value)
	if key == nil {
		return secret.New(text), nil
	}
	if len(params) != aes.BlockSize || len(value) == 0 || len(value)%aes.BlockSize != 0 {
		return nil, errBadTransfer
	}
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt the key: %w", err)
	}
	cipher.NewCBCDecrypter(block, params).CryptBlocks(text, text)
	n := int(text[len(text)-1])
	if n < 1 || n > aes.BlockSize || !bytes.HasSuffix(text, bytes.Repeat([]byte{byte(n)}, n)) {
		clear(text)
		return nil, errBadTransfer
	}
	return secret.New(text[:len(text)-n]), nil
}

// errBadTransfer says that a secret came out of the service in a form that it was not asked for.
var errBadTransfer = errors.New("what the secret service sent cannot be decrypted")
