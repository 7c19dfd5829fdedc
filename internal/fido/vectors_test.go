package fido_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobproject/fob/internal/fido"
)

// hexBytes are bytes that stand in hexadecimal in testdata.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// attestationVector is a registration that another implementation made.
type attestationVector struct {
	Name              string   `json:"name"`
	Section           string   `json:"section"`
	RPID              string   `json:"rp_id"`
	AttestationObject hexBytes `json:"attestation_object"`
	ClientData        hexBytes `json:"client_data"`
}

// attestation takes the attestation object (WebAuthn §6.5.4) apart, as libfido2 does.
func (v attestationVector) attestation(t testing.TB) fido.Attestation {
	t.Helper()
	var o struct {
		Format    string          `cbor:"fmt"`
		AuthData  []byte          `cbor:"authData"`
		Statement cbor.RawMessage `cbor:"attStmt"`
	}
	if err := cbor.Unmarshal(v.AttestationObject, &o); err != nil {
		t.Fatal(err)
	}
	return fido.Attestation{Format: o.Format, AuthData: o.AuthData, Statement: o.Statement}
}

// assertionVector is an assertion that another implementation made.
type assertionVector struct {
	Name         string   `json:"name"`
	Section      string   `json:"section"`
	RPID         string   `json:"rp_id"`
	CredentialID hexBytes `json:"credential_id"`
	PublicKey    hexBytes `json:"public_key"`
	AuthData     hexBytes `json:"auth_data"`
	ClientData   hexBytes `json:"client_data"`
	Signature    hexBytes `json:"signature"`
}

// algorithm is the one that the public key names.
func (v assertionVector) algorithm(t testing.TB) int {
	t.Helper()
	var k struct {
		Alg int `cbor:"3,keyasint"`
	}
	if err := cbor.Unmarshal(v.PublicKey, &k); err != nil {
		t.Fatal(err)
	}
	return k.Alg
}

func (v assertionVector) credential(t testing.TB) fido.Credential {
	t.Helper()
	return fido.Credential{ID: v.CredentialID, PublicKey: v.PublicKey, Algorithm: v.algorithm(t), RPID: v.RPID}
}

func (v assertionVector) assertion() fido.Assertion {
	return fido.Assertion{CredentialID: v.CredentialID, AuthData: v.AuthData, Signature: v.Signature}
}

func (v assertionVector) hash() [32]byte { return sha256.Sum256(v.ClientData) }

type vectors struct {
	Attestations []attestationVector `json:"attestations"`
	Assertions   []assertionVector   `json:"assertions"`
}

func load(t testing.TB, name string) vectors {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Attestations)+len(v.Assertions) == 0 {
		t.Fatalf("%s holds no vectors", name)
	}
	return v
}

// accepts reports whether alg is one of Fob's.
func accepts(alg int) bool {
	switch alg {
	case fido.AlgES256, fido.AlgEdDSA, fido.AlgES384, fido.AlgRS256:
		return true
	}
	return false
}

// allAlgorithms are the ones that Fob takes.
var allAlgorithms = []int{fido.AlgES256, fido.AlgEdDSA, fido.AlgES384, fido.AlgRS256}
