package fido

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// RSA moduli that are taken, in bits.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// publicKey is a credential's public key, checked when it was parsed: known algorithm, the type and
// curve that go with it, a point on that curve.
//
// webauthncose does the work. It also knows algorithms that Fob does not take, so the algorithm is
// checked before anything else.
type publicKey struct {
	alg int
	key any
	ec  *ecdsa.PublicKey // of ECDSA
}

// parsePublicKey reads a COSE_Key (RFC 9052 §7, WebAuthn §5.8.5). Its errors wrap ErrMalformed, or
// ErrAlgorithm for an algorithm other than ES256, EdDSA (Ed25519), ES384 and RS256.
func parsePublicKey(cose []byte) (publicKey, error) {
	if len(cose) == 0 || len(cose) > maxPublicKey {
		return publicKey{}, fmt.Errorf("%w: a public key of %d bytes", ErrMalformed, len(cose))
	}
	var head webauthncose.PublicKeyData
	if err := webauthncbor.Unmarshal(cose, &head); err != nil {
		return publicKey{}, fmt.Errorf("%w: cannot read the public key: %v", ErrMalformed, err)
	}
	switch head.Algorithm {
	case AlgES256, AlgES384, AlgEdDSA, AlgRS256:
	default:
		return publicKey{}, fmt.Errorf("%w: COSE algorithm %d", ErrAlgorithm, head.Algorithm)
	}
	key, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return publicKey{}, fmt.Errorf("%w: cannot use the public key: %v", ErrMalformed, err)
	}
	var ec *ecdsa.PublicKey
	switch k := key.(type) {
	case webauthncose.EC2PublicKeyData:
		ec, err = ecdsaKey(k)
	case webauthncose.OKPPublicKeyData:
		err = checkEd25519(k.XCoord)
	case webauthncose.RSAPublicKeyData:
		err = checkRSA(k)
	default:
		err = fmt.Errorf("%w: a public key of type %d", ErrMalformed, head.KeyType)
	}
	if err != nil {
		return publicKey{}, err
	}
	return publicKey{alg: int(head.Algorithm), key: key, ec: ec}, nil
}

// verify fails with ErrBadSignature unless sig is k's signature over data. ECDSA signatures must be
// DER, nothing before, between or after (WebAuthn §6.5.5).
func (k publicKey) verify(data, sig []byte) error {
	if len(sig) == 0 || len(sig) > maxSignature {
		return fmt.Errorf("%w: a signature of %d bytes", ErrBadSignature, len(sig))
	}
	if k.ec != nil {
		if !ecdsa.VerifyASN1(k.ec, k.digest(data), sig) {
			return ErrBadSignature
		}
		return nil
	}
	ok, err := webauthncose.VerifySignature(k.key, data, sig)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrBadSignature, err)
	}
	if !ok {
		return ErrBadSignature
	}
	return nil
}

// digest is the hash that an ECDSA key of that algorithm signs.
func (k publicKey) digest(data []byte) []byte {
	if k.alg == AlgES384 {
		sum := sha512.Sum384(data)
		return sum[:]
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// ecdsaKey makes the standard library's key of a point that webauthncose has read: made once, it verifies
// without being looked at again.
func ecdsaKey(k webauthncose.EC2PublicKeyData) (*ecdsa.PublicKey, error) {
	curve, size := elliptic.P256(), 32
	if k.Algorithm == AlgES384 {
		curve, size = elliptic.P384(), 48
	}
	if len(k.XCoord) != size || len(k.YCoord) != size {
		return nil, fmt.Errorf("%w: a point of %d and %d bytes", ErrMalformed, len(k.XCoord), len(k.YCoord))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, k.XCoord, k.YCoord))
	if err != nil {
		return nil, fmt.Errorf("%w: cannot use the public key: %v", ErrMalformed, err)
	}
	return key, nil
}

// checkRSA refuses what webauthncose lets pass: an RSA key that names another type's algorithm, and
// sizes that are too small to be safe or too large to be quick.
func checkRSA(k webauthncose.RSAPublicKeyData) error {
	if k.Algorithm != AlgRS256 {
		return fmt.Errorf("%w: an RSA key for COSE algorithm %d", ErrMalformed, k.Algorithm)
	}
	n := new(big.Int).SetBytes(k.Modulus)
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("%w: an RSA key of %d bits", ErrMalformed, bits)
	}
	e, err := webauthncose.ParseRSAPublicKeyDataExponent(&k)
	if err != nil || e < 3 || e&1 == 0 || e > 1<<31-1 {
		return fmt.Errorf("%w: an RSA key with a bad exponent", ErrMalformed)
	}
	return nil
}

// smallOrder are the y coordinates, little-endian, of the points whose order divides 8. For such a
// key anybody can make signatures that verify, and no honest key has one.
var smallOrder = [...][32]byte{
	{}, // order 4
	{1},
	{ // order 8
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{ // order 8
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	{ // order 2: p-1
		0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
	},
}

// checkEd25519 refuses an encoding of 32 bytes that is not canonical (RFC 8032 §5.1.3; the standard
// library takes those) or whose point has a small order. Whether there is such a point at all is
// checked with the signature.
func checkEd25519(x []byte) error {
	y := [32]byte(x)
	y[31] &= 0x7f // the sign of x
	if y[31] == 0x7f && y[0] >= 0xed {
		high := true
		for _, b := range y[1:31] {
			high = high && b == 0xff
		}
		if high {
			return fmt.Errorf("%w: an Ed25519 key that is not encoded canonically", ErrMalformed)
		}
	}
	for _, p := range smallOrder {
		if y == p {
			return fmt.Errorf("%w: an Ed25519 key of small order", ErrMalformed)
		}
	}
	return nil
}
