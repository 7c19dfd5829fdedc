package virtual

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
)

// Flags of authenticator data (WebAuthn §6.1).
const (
	flagUP = 0x01
	flagUV = 0x04
	flagAT = 0x40
	flagED = 0x80
)

// coseKey is a public key (RFC 9053 §7): EC2 on P-256, or OKP on Ed25519, which has no Y.
type coseKey struct {
	Kty int    `cbor:"1,keyasint"`
	Alg int    `cbor:"3,keyasint"`
	Crv int    `cbor:"-1,keyasint"`
	X   []byte `cbor:"-2,keyasint"`
	Y   []byte `cbor:"-3,keyasint,omitempty"`
}

// newCredential makes a key pair.
func newCredential(alg int, rpID string, u user, discoverable bool) (*credential, error) {
	var (
		key crypto.Signer
		err error
	)
	if alg == EdDSA {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a key pair: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key pair: %w", err)
	}
	id := make([]byte, credentialIDLen)
	_, _ = rand.Read(id) // never fails
	return &credential{ID: id, RPID: rpID, User: u, Algorithm: alg, PKCS8: der, Discoverable: discoverable}, nil
}

func (c *credential) private() (crypto.Signer, error) { return parsePrivate(c.PKCS8) }

// parsePrivate reads a P-256 or Ed25519 key.
func parsePrivate(pkcs8 []byte) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("cannot read a private key: %w", err)
	}
	s, ok := k.(crypto.Signer)
	if !ok || algorithmOf(s) == 0 {
		return nil, fmt.Errorf("cannot use a private key of type %T", k)
	}
	return s, nil
}

// algorithmOf returns 0 for a key of no known algorithm.
func algorithmOf(k crypto.Signer) int {
	switch k := k.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return ES256
		}
	case ed25519.PrivateKey:
		return EdDSA
	}
	return 0
}

// cose encodes the public key of k.
func cose(k crypto.Signer) ([]byte, error) {
	if p, ok := k.Public().(ed25519.PublicKey); ok {
		return encoding.Marshal(coseKey{Kty: 1, Alg: EdDSA, Crv: 6, X: p})
	}
	x, y, err := point(k.Public().(*ecdsa.PublicKey))
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(coseKey{Kty: 2, Alg: ES256, Crv: 1, X: x, Y: y})
}

// point returns the coordinates of a P-256 key, 32 bytes each.
func point(p *ecdsa.PublicKey) (x, y []byte, err error) {
	b, err := p.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode a public key: %w", err)
	}
	return b[1:33], b[33:65], nil
}

// sign signs data: ECDSA over SHA-256 in ASN.1, or Ed25519.
func sign(k crypto.Signer, data []byte) ([]byte, error) {
	digest, opts := data, crypto.Hash(0)
	if algorithmOf(k) == ES256 {
		h := sha256.Sum256(data)
		digest, opts = h[:], crypto.SHA256
	}
	sig, err := k.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return sig, nil
}

// authData builds the authenticator data of an operation, with the faults that are on. The attested
// credential data and the extensions' output, if any, go in rest.
func (a *authenticator) authData(rpID string, flags byte, rest []byte) ([]byte, error) {
	if a.faults.is(FaultWrongRP) {
		rpID += ".wrong"
	}
	if a.faults.is(FaultNoUP) {
		flags &^= flagUP
	}
	if a.faults.is(FaultNoUV) {
		flags &^= flagUV
	}
	counter, err := a.counter()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(rpID))
	d := append(hash[:], flags)
	d = binary.BigEndian.AppendUint32(d, counter)
	return append(d, rest...), nil
}

func (a *authenticator) counter() (uint32, error) {
	switch {
	case a.opts.Counter == CounterZero:
		return 0, nil
	case a.faults.is(FaultStaleCounter):
		return a.state.Counter - min(a.state.Counter, 1), nil
	}
	return a.state.count()
}

// signed signs authenticator data and client data hash, or spoils that on demand.
func (a *authenticator) signed(k crypto.Signer, authData, clientDataHash []byte) ([]byte, error) {
	sig, err := sign(k, append(append([]byte{}, authData...), clientDataHash...))
	if err == nil && a.faults.is(FaultBadSignature) {
		sig[len(sig)-1] ^= 1
	}
	return sig, err
}
