package virtual

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"
)

const (
	hmacSecret    = "hmac-secret"
	saltLen       = 32
	credRandomLen = 32
)

// credRandom is what a credential makes secrets of salts with (CTAP 2.1 §12.5).
type credRandom struct {
	WithUV    []byte `json:"with_uv"`
	WithoutUV []byte `json:"without_uv"`
}

func newCredRandom() *credRandom {
	r := &credRandom{WithUV: make([]byte, credRandomLen), WithoutUV: make([]byte, credRandomLen)}
	_, _ = rand.Read(r.WithUV) // never fails
	_, _ = rand.Read(r.WithoutUV)
	return r
}

// makeExtensions are the extensions of makeCredential that the key knows.
type makeExtensions struct {
	HMACSecret bool `cbor:"hmac-secret"`
}

// assertExtensions are those of getAssertion.
type assertExtensions struct {
	HMACSecret *saltRequest `cbor:"hmac-secret"`
}

type saltRequest struct {
	Platform *coseKey `cbor:"1,keyasint"`
	SaltEnc  []byte   `cbor:"2,keyasint"`
	SaltAuth []byte   `cbor:"3,keyasint"`
	Protocol *uint    `cbor:"4,keyasint"`
}

// salts are one or two salts of a getAssertion, and how what is made of them is sent.
type salts struct {
	plain    []byte
	protocol *pinProtocol
	shared   []byte
}

// salts decrypts what came with getAssertion. It returns nil where nothing did, or the key lacks the
// extension.
func (a *authenticator) salts(r *saltRequest, up bool) (*salts, error) {
	if r == nil || a.opts.Quirks.NoHMACSecret {
		return nil, nil
	}
	if !up {
		return nil, StatusUnsupportedOption
	}
	if r.Platform == nil || r.SaltEnc == nil || r.SaltAuth == nil {
		return nil, StatusMissingParameter
	}
	number := r.Protocol
	if number == nil {
		number = new(uint(1))
	}
	p, err := a.pin.protocol(number)
	if err != nil {
		return nil, err
	}
	shared, err := p.shared(r.Platform)
	if err != nil {
		return nil, err
	}
	if !p.authentic(p.macKey(shared), r.SaltEnc, r.SaltAuth) {
		return nil, StatusPINAuthInvalid
	}
	plain, err := p.decrypt(shared, r.SaltEnc)
	if err != nil || len(plain) != saltLen && len(plain) != 2*saltLen {
		return nil, StatusInvalidLength
	}
	return &salts{plain: plain, protocol: p, shared: shared}, nil
}

// secrets is the extension's output for a credential: HMAC-SHA-256 of each salt, encrypted. It returns
// nil for a credential that was made without the extension.
func (s *salts) secrets(c *credential, uv bool) ([]byte, error) {
	if s == nil || c.CredRandom == nil {
		return nil, nil
	}
	key := c.CredRandom.WithoutUV
	if uv {
		key = c.CredRandom.WithUV
	}
	var out []byte
	for salt := range slices.Chunk(s.plain, saltLen) {
		m := hmac.New(sha256.New, key)
		m.Write(salt)
		out = m.Sum(out)
	}
	enc, err := s.protocol.encrypt(s.shared, out)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(map[string][]byte{hmacSecret: enc})
}
