package fido_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobproject/fob/internal/fido"
)

const testRP = "fob:0123456789abcdef"

// authenticator data's flags
const (
	up, uv, be, bs, at, ed = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
)

// key is a credential made here, to sign what no honest key signs.
type key struct {
	id   []byte
	alg  int
	cose []byte
	sign func(data []byte) []byte
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ecKey(t testing.TB, curve elliptic.Curve, alg, crv int) key {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := len(pub) / 2
	return key{
		id: []byte("credential"), alg: alg,
		cose: encode(t, map[int]any{1: 2, 3: alg, -1: crv, -2: pub[1 : 1+n], -3: pub[1+n:]}),
		sign: func(data []byte) []byte {
			h := sha256.Sum256(data)
			sig, err := ecdsa.SignASN1(rand.Reader, k, h[:])
			if err != nil {
				t.Fatal(err)
			}
			return sig
		},
	}
}

func edKey(t testing.TB) key {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key{
		id: []byte("credential"), alg: fido.AlgEdDSA,
		cose: encode(t, map[int]any{1: 1, 3: fido.AlgEdDSA, -1: 6, -2: []byte(pub)}),
		sign: func(data []byte) []byte { return ed25519.Sign(priv, data) },
	}
}

func es256Key(t testing.TB) key { return ecKey(t, elliptic.P256(), fido.AlgES256, 1) }

func (k key) credential(counter uint32) fido.Credential {
	return fido.Credential{ID: k.id, PublicKey: k.cose, Algorithm: k.alg, RPID: testRP, Counter: counter}
}

// header is the fixed part of authenticator data.
func header(rpID string, flags byte, counter uint32) []byte {
	h := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(h[:], flags), counter)
}

// assert signs authData and hash, whatever they are.
func (k key) assert(authData []byte, hash [32]byte) fido.Assertion {
	return fido.Assertion{CredentialID: k.id, AuthData: authData, Signature: k.sign(append(bytes.Clone(authData), hash[:]...))}
}

func TestVerifyAssertion(t *testing.T) {
	hash := sha256.Sum256([]byte("client data"))
	k := es256Key(t)
	extended := func(flags byte, ext ...byte) []byte { return append(header(testRP, flags, 0), ext...) }
	attested := append(header(testRP, up|at, 0), append(append(make([]byte, 16), 0, 1, 'x'), k.cose...)...)
	for _, tc := range []struct {
		name     string
		authData []byte
		uv       bool
		want     error
	}{
		{"accepts a touch", header(testRP, up, 0), false, nil},
		{"accepts a touch with PIN where one is required", header(testRP, up|uv, 0), true, nil},
		{"refuses a touch without PIN where one is required", header(testRP, up, 0), true, fido.ErrNotVerified},
		{"refuses an answer without touch", header(testRP, uv, 0), false, fido.ErrNoPresence},
		{"refuses an answer for another RP ID", header("fob:other", up, 0), false, fido.ErrWrongRP},
		{"accepts extension data", extended(up|ed, 0xa1, 0x61, 'x', 0xf5), false, nil},
		{"accepts an encrypted secret", extended(up|uv|ed, encode(t, map[string]any{"hmac-secret": make([]byte, 80)})...), true, nil},
		{"refuses an encrypted secret that is cut short", extended(up|ed, encode(t, map[string]any{"hmac-secret": make([]byte, 48)})[:60]...), false, fido.ErrMalformed},
		{"refuses extension data without its flag", extended(up, 0xa0), false, fido.ErrMalformed},
		{"refuses the flag without extension data", extended(up | ed), false, fido.ErrMalformed},
		{"refuses extension data that is no map", extended(up|ed, 0x80), false, fido.ErrMalformed},
		{"refuses extension data cut short", extended(up|ed, 0xa1, 0x61, 'x'), false, fido.ErrMalformed},
		{"refuses an extension named twice", extended(up|ed, 0xa2, 0x61, 'x', 1, 0x61, 'x', 2), false, fido.ErrMalformed},
		{"refuses an extension named twice, deeper down", extended(up|ed, 0xa1, 0x61, 'x', 0xa2, 1, 1, 1, 2), false, fido.ErrMalformed},
		{"refuses an extension whose name is a number", extended(up|ed, 0xa1, 1, 1), false, fido.ErrMalformed},
		{"refuses a name that is not UTF-8", extended(up|ed, 0xa1, 0x61, 0xff, 1), false, fido.ErrMalformed},
		{"refuses extension data of indefinite length", extended(up|ed, 0xbf, 0xff), false, fido.ErrMalformed},
		{"refuses extension data that is nested too deeply", extended(up|ed, append(append([]byte{0xa1, 0x61, 'x'}, bytes.Repeat([]byte{0x81}, 9)...), 0)...), false, fido.ErrMalformed},
		{"refuses a second item after extension data", extended(up|ed, 0xa0, 0xa0), false, fido.ErrMalformed},
		{"refuses trailing bytes", append(header(testRP, up, 0), 0), false, fido.ErrMalformed},
		{"refuses authenticator data cut short", header(testRP, up, 0)[:36], false, fido.ErrMalformed},
		{"refuses no authenticator data", nil, false, fido.ErrMalformed},
		{"refuses authenticator data that is too long", append(extended(up|ed, 0xa1, 0x61, 'x', 0x59, 0x40, 0x00), make([]byte, 0x4000)...), false, fido.ErrMalformed},
		{"refuses attested credential data", attested, false, fido.ErrMalformed},
		{"refuses a backup of what cannot be backed up", header(testRP, up|bs, 0), false, fido.ErrMalformed},
		{"accepts a credential that is backed up", header(testRP, up|be|bs, 0), false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := fido.VerifyAssertion(k.credential(0), hash, k.assert(tc.authData, hash), tc.uv)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err != nil && p != (fido.Proof{}) {
				t.Errorf("a proof %+v with the error %v", p, err)
			}
			if err == nil && (!p.UserPresent || p.UserVerified != tc.uv) {
				t.Errorf("proof %+v", p)
			}
		})
	}

	t.Run("refuses another credential's answer", func(t *testing.T) {
		a := k.assert(header(testRP, up, 0), hash)
		a.CredentialID = []byte("another")
		if _, err := fido.VerifyAssertion(k.credential(0), hash, a, false); !errors.Is(err, fido.ErrWrongCredential) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses an answer that names no credential", func(t *testing.T) {
		a := k.assert(header(testRP, up, 0), hash)
		a.CredentialID = nil
		c := k.credential(0)
		c.ID = nil
		if _, err := fido.VerifyAssertion(c, hash, a, false); !errors.Is(err, fido.ErrWrongCredential) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a signature that is too long", func(t *testing.T) {
		a := k.assert(header(testRP, up, 0), hash)
		a.Signature = make([]byte, 1025)
		if _, err := fido.VerifyAssertion(k.credential(0), hash, a, false); !errors.Is(err, fido.ErrBadSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses bytes after the signature", func(t *testing.T) {
		a := k.assert(header(testRP, up, 0), hash)
		a.Signature = append(a.Signature, 0)
		if _, err := fido.VerifyAssertion(k.credential(0), hash, a, false); !errors.Is(err, fido.ErrBadSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a key that names another algorithm than the one stored", func(t *testing.T) {
		for _, alg := range []int{fido.AlgEdDSA, fido.AlgES384, fido.AlgRS256, 0, 7} {
			c := k.credential(0)
			c.Algorithm = alg
			if _, err := fido.VerifyAssertion(c, hash, k.assert(header(testRP, up, 0), hash), false); !errors.Is(err, fido.ErrAlgorithm) {
				t.Errorf("algorithm %d: %v", alg, err)
			}
		}
	})
}

func TestCounter(t *testing.T) {
	hash := sha256.Sum256([]byte("client data"))
	k := edKey(t)
	for _, tc := range []struct {
		name     string
		old, new uint32
		want     error
	}{
		{"accepts a key without counter", 0, 0, nil},
		{"accepts a counter that begins", 0, 1, nil},
		{"accepts a counter that goes on", 7, 8, nil},
		{"accepts a counter that jumps", 7, 1<<32 - 1, nil},
		{"refuses a counter that stands still", 7, 7, fido.ErrCounterBack},
		{"refuses a counter that goes back", 7, 6, fido.ErrCounterBack},
		{"refuses a counter that goes back to zero", 7, 0, fido.ErrCounterBack},
		{"refuses a counter that wraps", 1<<32 - 1, 1, fido.ErrCounterBack},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := fido.VerifyAssertion(k.credential(tc.old), hash, k.assert(header(testRP, up|uv, tc.new), hash), false)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if want := (fido.Proof{Counter: tc.new, UserPresent: true, UserVerified: true}); p != want {
				t.Errorf("proof %+v, want %+v", p, want)
			}
		})
	}
	t.Run("says nothing of a counter under a wrong signature", func(t *testing.T) {
		a := k.assert(header(testRP, up, 6), hash)
		a.Signature[0] ^= 1
		p, err := fido.VerifyAssertion(k.credential(7), hash, a, false)
		if !errors.Is(err, fido.ErrBadSignature) || errors.Is(err, fido.ErrCounterBack) || p != (fido.Proof{}) {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}

func TestAssertionsOfOthers(t *testing.T) {
	for _, v := range load(t, "w3c-webauthn-3.json").Assertions {
		t.Run(v.Section+" "+v.Name, func(t *testing.T) {
			p, err := fido.VerifyAssertion(v.credential(t), v.hash(), v.assertion(), false)
			if !accepts(v.algorithm(t)) {
				if !errors.Is(err, fido.ErrAlgorithm) {
					t.Errorf("got %v, want %v", err, fido.ErrAlgorithm)
				}
				return
			}
			if err != nil || !p.UserPresent || p.UserVerified != (v.AuthData[32]&uv != 0) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
	t.Run("refuses what an early browser's own authenticator sent, credential and all", func(t *testing.T) {
		for _, v := range load(t, "go-webauthn.json").Assertions {
			if _, err := fido.VerifyAssertion(v.credential(t), v.hash(), v.assertion(), false); !errors.Is(err, fido.ErrMalformed) {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	})
}

// Whatever byte of an answer, of the hash or of the public key changes: it is not accepted.
func TestEveryByteCounts(t *testing.T) {
	seen := map[int]bool{}
	for _, v := range load(t, "w3c-webauthn-3.json").Assertions {
		alg := v.algorithm(t)
		if seen[alg] || !accepts(alg) || len(v.CredentialID) > 64 {
			continue
		}
		seen[alg] = true
		t.Run(v.Name, func(t *testing.T) {
			c, a, hash := v.credential(t), v.assertion(), v.hash()
			for _, part := range []struct {
				name string
				b    []byte
			}{
				{"authenticator data", a.AuthData},
				{"signature", a.Signature},
				{"client data hash", hash[:]},
				{"credential id", a.CredentialID},
				{"public key", c.PublicKey},
			} {
				if part.name == "credential id" {
					c.ID = bytes.Clone(c.ID)
				}
				for i := range part.b {
					for _, flip := range []byte{1 << (i % 8), 0xff} {
						part.b[i] ^= flip
						if p, err := fido.VerifyAssertion(c, hash, a, false); err == nil || p != (fido.Proof{}) {
							t.Errorf("accepted with byte %d of the %s changed by %#x: %v", i, part.name, flip, err)
						}
						part.b[i] ^= flip
					}
				}
			}
			if _, err := fido.VerifyAssertion(c, hash, a, false); err != nil {
				t.Errorf("the unchanged one: %v", err)
			}
		})
	}
	if len(seen) != len(allAlgorithms) {
		t.Errorf("only algorithms %v were tried", seen)
	}
}
