package fido_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fobproject/fob/internal/fido"
)

func TestPublicKeys(t *testing.T) {
	hash := sha256.Sum256([]byte("client data"))
	good := es256Key(t)
	x, y := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	p := elliptic.P256().Params().P.Bytes()
	zero := make([]byte, 32)
	ed := func(last byte, b ...byte) map[int]any {
		k := append(b, make([]byte, 32-len(b))...)
		k[31] |= last
		return map[int]any{1: 1, 3: -8, -1: 6, -2: k}
	}
	high := func(low byte) []byte { return append([]byte{low}, bytes.Repeat([]byte{0xff}, 30)...) }
	order8, _ := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	modulus := func(bits int) []byte {
		return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1)).Bytes()
	}
	for _, tc := range []struct {
		name string
		key  any
		alg  int
		want error
	}{
		{"a point off the curve", map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: y}, -7, fido.ErrMalformed},
		{"the point 0,0", map[int]any{1: 2, 3: -7, -1: 1, -2: zero, -3: zero}, -7, fido.ErrMalformed},
		{"a coordinate that is not reduced", map[int]any{1: 2, 3: -7, -1: 1, -2: p, -3: y}, -7, fido.ErrMalformed},
		{"a coordinate that is too short", map[int]any{1: 2, 3: -7, -1: 1, -2: x[:31], -3: y}, -7, fido.ErrMalformed},
		{"a compressed point", map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: true}, -7, fido.ErrMalformed},
		{"a point of another curve", map[int]any{1: 2, 3: -7, -1: 2, -2: x, -3: y}, -7, fido.ErrMalformed},
		{"no curve", map[int]any{1: 2, 3: -7, -2: x, -3: y}, -7, fido.ErrMalformed},
		{"ES256 of the type of Ed25519", map[int]any{1: 1, 3: -7, -1: 6, -2: x}, -7, fido.ErrMalformed},
		{"ES256 of the type of RSA", map[int]any{1: 3, 3: -7, -1: modulus(2048), -2: []byte{1, 0, 1}}, -7, fido.ErrMalformed},
		{"RS256 with the name of ES256", map[int]any{1: 2, 3: -257, -1: 1, -2: x, -3: y}, -257, fido.ErrMalformed},
		{"EdDSA of the type of EC2", map[int]any{1: 2, 3: -8, -1: 1, -2: x, -3: y}, -8, fido.ErrMalformed},
		{"Ed448", map[int]any{1: 1, 3: -8, -1: 7, -2: make([]byte, 57)}, -8, fido.ErrMalformed},
		{"an Ed25519 key that is too short", map[int]any{1: 1, 3: -8, -1: 6, -2: x[:31]}, -8, fido.ErrMalformed},
		{"the neutral element of Ed25519", ed(0, 1), -8, fido.ErrMalformed},
		{"the neutral element with a sign", ed(0x80, 1), -8, fido.ErrMalformed},
		{"a point of order 2", ed(0x7f, high(0xec)...), -8, fido.ErrMalformed},
		{"a point of order 4", ed(0), -8, fido.ErrMalformed},
		{"a point of order 8", ed(0, order8...), -8, fido.ErrMalformed},
		{"zero, not encoded canonically", ed(0x7f, high(0xed)...), -8, fido.ErrMalformed},
		{"one, not encoded canonically", ed(0xff, high(0xee)...), -8, fido.ErrMalformed},
		{"nine, not encoded canonically", ed(0x7f, high(0xf6)...), -8, fido.ErrMalformed},
		{"RSA of 1024 bits", map[int]any{1: 3, 3: -257, -1: modulus(1024), -2: []byte{1, 0, 1}}, -257, fido.ErrMalformed},
		{"RSA of 8192 bits", map[int]any{1: 3, 3: -257, -1: modulus(8192), -2: []byte{1, 0, 1}}, -257, fido.ErrMalformed},
		{"RSA with the exponent 1", map[int]any{1: 3, 3: -257, -1: modulus(2048), -2: []byte{1}}, -257, fido.ErrMalformed},
		{"RSA with an even exponent", map[int]any{1: 3, 3: -257, -1: modulus(2048), -2: []byte{1, 0, 0}}, -257, fido.ErrMalformed},
		{"RSA with a huge exponent", map[int]any{1: 3, 3: -257, -1: modulus(2048), -2: bytes.Repeat([]byte{0xff}, 256)}, -257, fido.ErrMalformed},
		{"ES256K", map[int]any{1: 2, 3: -47, -1: 8, -2: x, -3: y}, -47, fido.ErrAlgorithm},
		{"ES512", map[int]any{1: 2, 3: -36, -1: 3, -2: make([]byte, 66), -3: make([]byte, 66)}, -36, fido.ErrAlgorithm},
		{"PS256", map[int]any{1: 3, 3: -37, -1: modulus(2048), -2: []byte{1, 0, 1}}, -37, fido.ErrAlgorithm},
		{"RS1", map[int]any{1: 3, 3: -65535, -1: modulus(2048), -2: []byte{1, 0, 1}}, -65535, fido.ErrAlgorithm},
		{"HMAC", map[int]any{1: 4, 3: 5, -1: x}, 5, fido.ErrAlgorithm},
		{"no algorithm", map[int]any{1: 2, -1: 1, -2: x, -3: y}, 0, fido.ErrAlgorithm},
		{"no map", []int{1, 2}, -7, fido.ErrMalformed},
		{"nothing", nil, -7, fido.ErrMalformed},
	} {
		t.Run("refuses "+tc.name, func(t *testing.T) {
			a := good.assert(header(testRP, up, 0), hash)
			c := good.credential(0)
			c.PublicKey, c.Algorithm = nil, tc.alg
			if tc.key != nil {
				c.PublicKey = encode(t, tc.key)
			}
			if _, err := fido.VerifyAssertion(c, hash, a, false); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("refuses bytes after the key", func(t *testing.T) {
		c := good.credential(0)
		c.PublicKey = append(bytes.Clone(c.PublicKey), 0)
		if _, err := fido.VerifyAssertion(c, hash, good.assert(header(testRP, up, 0), hash), false); !errors.Is(err, fido.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a key with its algorithm twice", func(t *testing.T) {
		c := good.credential(0)
		c.PublicKey = append([]byte{0xa6, 0x03, 0x27}, c.PublicKey[1:]...)
		if _, err := fido.VerifyAssertion(c, hash, good.assert(header(testRP, up, 0), hash), false); !errors.Is(err, fido.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
}

// A forged signature of an Ed25519 key of small order verifies with the standard library: R = [S]B
// with S = 0 is the neutral element, whatever the message.
func TestSmallOrderIsForgeable(t *testing.T) {
	hash := sha256.Sum256([]byte("client data"))
	neutral := append([]byte{1}, make([]byte, 31)...)
	c := fido.Credential{ID: []byte("x"), Algorithm: fido.AlgEdDSA, RPID: testRP, PublicKey: encode(t, map[int]any{1: 1, 3: -8, -1: 6, -2: neutral})}
	a := fido.Assertion{CredentialID: []byte("x"), AuthData: header(testRP, up, 0), Signature: append(neutral, make([]byte, 32)...)}
	if _, err := fido.VerifyAssertion(c, hash, a, false); !errors.Is(err, fido.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// The COSE working group's examples: keys as COSE_Key, signatures over a Sig_structure. They are put
// through the one door for signatures by making the signed bytes end in what stands for the hash.
func TestSignaturesOfCOSE(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "cose-sign1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Name      string   `json:"name"`
		Algorithm int      `json:"algorithm"`
		PublicKey hexBytes `json:"public_key"`
		Signed    hexBytes `json:"signed"`
		Signature hexBytes `json:"signature"` // r||s for ECDSA
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			sig := []byte(v.Signature)
			if v.Algorithm == fido.AlgES256 || v.Algorithm == fido.AlgES384 {
				n := len(sig) / 2
				sig, err = asn1.Marshal([]*big.Int{new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])})
				if err != nil {
					t.Fatal(err)
				}
			}
			err := fido.VerifySignature(v.PublicKey, v.Signed, sig)
			if !slices.Contains(allAlgorithms, v.Algorithm) {
				if !errors.Is(err, fido.ErrAlgorithm) {
					t.Errorf("got %v, want %v", err, fido.ErrAlgorithm)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			v.Signed[len(v.Signed)-1] ^= 1
			if err := fido.VerifySignature(v.PublicKey, v.Signed, sig); !errors.Is(err, fido.ErrBadSignature) {
				t.Errorf("changed: got %v", err)
			}
		})
	}
}
