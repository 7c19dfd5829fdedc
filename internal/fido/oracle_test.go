package fido_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobproject/fob/internal/fido"
)

// need is the path of a program. Without it the test skips on a desk and fails in CI.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", program)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

var algorithmNames = map[int]string{fido.AlgES256: "es256", fido.AlgES384: "es384", fido.AlgRS256: "rs256", fido.AlgEdDSA: "eddsa"}

// lines are what libfido2's tools read and write: base64, one value a line.
func lines(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b.WriteString(v)
		case []byte:
			b.WriteString(base64.StdEncoding.EncodeToString(v))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// writePEM writes a COSE_Key as the file that fido2-assert reads. It goes its own way from one to the
// other, so that the two implementations share nothing.
func writePEM(t *testing.T, cose []byte) string {
	t.Helper()
	var k struct {
		Type int             `cbor:"1,keyasint"`
		N    cbor.RawMessage `cbor:"-1,keyasint"`
		X    []byte          `cbor:"-2,keyasint"`
		Y    []byte          `cbor:"-3,keyasint"`
	}
	if err := cbor.Unmarshal(cose, &k); err != nil {
		t.Fatal(err)
	}
	var pub any
	switch k.Type {
	case 1:
		pub = ed25519.PublicKey(k.X)
	case 2:
		curve := map[int]elliptic.Curve{32: elliptic.P256(), 48: elliptic.P384()}[len(k.X)]
		p, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, k.X...), k.Y...))
		if err != nil {
			t.Fatal(err)
		}
		pub = p
	case 3:
		var n []byte
		if err := cbor.Unmarshal(k.N, &n); err != nil {
			t.Fatal(err)
		}
		pub = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(k.X).Int64())}
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rsa2048 is an assertion by an RSA key of the size that libfido2 knows.
func rsa2048(t *testing.T) assertionVector {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v := assertionVector{Name: "RS256, 2048 bits", RPID: testRP, CredentialID: []byte("x"), AuthData: header(testRP, up|uv, 1), ClientData: []byte("client data")}
	v.PublicKey = encode(t, map[int]any{1: 3, 3: fido.AlgRS256, -1: k.N.Bytes(), -2: []byte{1, 0, 1}})
	hash := v.hash()
	digest := sha256.Sum256(append(slices.Clone(v.AuthData), hash[:]...))
	if v.Signature, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:]); err != nil {
		t.Fatal(err)
	}
	return v
}

// fido2-assert -V, of libfido2, must say the same of each assertion as VerifyAssertion does.
func TestAgreesWithFido2Assert(t *testing.T) {
	program := need(t, "fido2-assert")
	for _, v := range append(load(t, "w3c-webauthn-3.json").Assertions, rsa2048(t)) {
		alg := v.algorithm(t)
		if !accepts(alg) || v.Name == "PackedRS256" { // libfido2 knows RSA of 2048 bits alone
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			pemFile := writePEM(t, v.PublicKey)
			judge := func(what string, a fido.Assertion, hash [32]byte, requireUV bool) {
				args := []string{"-V", "-p"}
				if requireUV {
					args = append(args, "-v")
				}
				cmd := exec.Command(program, append(args, pemFile, algorithmNames[alg])...)
				cmd.Stdin = strings.NewReader(lines(hash[:], v.RPID, encode(t, a.AuthData), a.Signature))
				out, theirs := cmd.CombinedOutput()
				_, ours := fido.VerifyAssertion(v.credential(t), hash, a, requireUV)
				if (ours == nil) != (theirs == nil) {
					t.Errorf("%s: Fob says %v, fido2-assert says %v: %s", what, ours, theirs, out)
				}
			}
			a, hash := v.assertion(), v.hash()
			judge("as it is", a, hash, false)
			judge("with user verification required", a, hash, true)
			for name, b := range map[string][]byte{"RP ID hash": a.AuthData[:1], "flags": a.AuthData[32:33], "counter": a.AuthData[36:37], "signature's begin": a.Signature[:1], "signature's end": a.Signature[len(a.Signature)-1:], "hash": hash[:1]} {
				b[0] ^= 1
				judge(name+" changed", a, hash, false)
				b[0] ^= 1
			}
		})
	}
}

// fido2-cred -V, of libfido2, must say the same of each attestation as VerifyAttestation does.
func TestAgreesWithFido2Cred(t *testing.T) {
	program := need(t, "fido2-cred")
	for _, file := range []string{"w3c-webauthn-3.json", "go-webauthn.json"} {
		for _, v := range load(t, file).Attestations {
			a, hash := v.attestation(t), sha256.Sum256(v.ClientData)
			r, err := fido.VerifyAttestation(v.RPID, hash, allAlgorithms, a)
			if err != nil || r.Attestation == fido.AttestationNone || v.Name == "PackedRS256" {
				continue // fido2-cred has nothing to verify, or cannot
			}
			t.Run(v.Name, func(t *testing.T) {
				var s struct {
					Sig []byte   `cbor:"sig"`
					X5C [][]byte `cbor:"x5c"`
				}
				if err := cbor.Unmarshal(a.Statement, &s); err != nil {
					t.Fatal(err)
				}
				in := []any{hash[:], v.RPID, a.Format, encode(t, a.AuthData), r.CredentialID, s.Sig}
				if len(s.X5C) > 0 {
					in = append(in, s.X5C[0])
				}
				judge := func(what string, ok bool) {
					in[0], in[3] = hash[:], encode(t, a.AuthData)
					cmd := exec.Command(program, "-V", algorithmNames[r.Algorithm])
					cmd.Stdin = strings.NewReader(lines(in...))
					out, err := cmd.CombinedOutput()
					if (err == nil) != ok {
						t.Errorf("%s: Fob says %t, fido2-cred says %v: %s", what, ok, err, out)
					}
				}
				judge("as it is", true)
				hash[0] ^= 1
				judge("hash changed", false)
				hash[0] ^= 1
				a.AuthData[60] ^= 1
				judge("credential changed", false)
			})
		}
	}
}
