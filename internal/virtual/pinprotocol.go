package virtual

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// pinProtocol is PIN/UV auth protocol 1 or 2 (CTAP 2.1 §6.5.6 and §6.5.7), the authenticator's end.
type pinProtocol struct {
	number uint
	key    *ecdh.PrivateKey
	token  []byte
}

const (
	tokenLen     = 32
	ecdhHKDF256  = -25 // the COSE algorithm that the standard writes into key agreement keys
	aesKeyLength = 32
)

func newPINProtocol(number uint) (*pinProtocol, error) {
	p := &pinProtocol{number: number}
	p.newToken()
	return p, p.newKey()
}

func (p *pinProtocol) newToken() {
	p.token = make([]byte, tokenLen)
	_, _ = rand.Read(p.token) // never fails
}

// newKey makes the key pair of the key agreement.
func (p *pinProtocol) newKey() error {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("cannot make a key pair: %w", err)
	}
	p.key = k
	return nil
}

func (p *pinProtocol) public() (*coseKey, error) {
	b := p.key.PublicKey().Bytes()
	return &coseKey{Kty: 2, Alg: ecdhHKDF256, Crv: 1, X: b[1:33], Y: b[33:65]}, nil
}

// shared derives the shared secret with the platform's key: an AES key, in protocol 2 after a MAC key.
func (p *pinProtocol) shared(platform *coseKey) ([]byte, error) {
	if platform.Kty != 2 || platform.Crv != 1 || len(platform.X) != 32 || len(platform.Y) != 32 {
		return nil, StatusInvalidParameter
	}
	point := append(append([]byte{4}, platform.X...), platform.Y...)
	pub, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, StatusInvalidParameter
	}
	z, err := p.key.ECDH(pub)
	if err != nil {
		return nil, StatusInvalidParameter
	}
	if p.number == 1 {
		h := sha256.Sum256(z)
		return h[:], nil
	}
	salt := make([]byte, sha256.Size)
	mac, err := hkdf.Key(sha256.New, z, salt, "CTAP2 HMAC key", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("cannot derive a key: %w", err)
	}
	enc, err := hkdf.Key(sha256.New, z, salt, "CTAP2 AES key", aesKeyLength)
	if err != nil {
		return nil, fmt.Errorf("cannot derive a key: %w", err)
	}
	return append(mac, enc...), nil
}

// macKey is the part of the shared secret that authenticates.
func (p *pinProtocol) macKey(shared []byte) []byte { return shared[:sha256.Size] }

func (p *pinProtocol) cipher(shared []byte) (cipher.Block, error) {
	b, err := aes.NewCipher(shared[len(shared)-aesKeyLength:])
	if err != nil {
		return nil, fmt.Errorf("cannot use the shared secret: %w", err)
	}
	return b, nil
}

// encrypt takes whole blocks.
func (p *pinProtocol) encrypt(shared, plain []byte) ([]byte, error) {
	b, err := p.cipher(shared)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, aes.BlockSize)
	var out []byte
	if p.number == 2 {
		_, _ = rand.Read(iv) // never fails
		out = append(out, iv...)
	}
	enc := make([]byte, len(plain))
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(enc, plain)
	return append(out, enc...), nil
}

func (p *pinProtocol) decrypt(shared, enc []byte) ([]byte, error) {
	b, err := p.cipher(shared)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, aes.BlockSize)
	if p.number == 2 {
		if len(enc) < aes.BlockSize {
			return nil, StatusInvalidParameter
		}
		iv, enc = enc[:aes.BlockSize], enc[aes.BlockSize:]
	}
	if len(enc) == 0 || len(enc)%aes.BlockSize != 0 {
		return nil, StatusInvalidParameter
	}
	plain := make([]byte, len(enc))
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(plain, enc)
	return plain, nil
}

// authentic checks an HMAC-SHA-256 of message, of which protocol 1 takes 16 bytes.
func (p *pinProtocol) authentic(key, message, auth []byte) bool {
	m := hmac.New(sha256.New, key)
	m.Write(message)
	want := m.Sum(nil)
	if p.number == 1 {
		want = want[:16]
	}
	return hmac.Equal(want, auth)
}
