package fido_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobproject/fob/internal/fido"
)

func TestAttestationsOfOthers(t *testing.T) {
	for file, want := range map[string]map[string]struct {
		kind string
		alg  int
		err  error
	}{
		"w3c-webauthn-3.json": {
			"NoneES256":                 {fido.AttestationNone, fido.AlgES256, nil},
			"PackedSelfES256":           {fido.AttestationPackedSelf, fido.AlgES256, nil},
			"NoneES256CrossOrigin":      {fido.AttestationNone, fido.AlgES256, nil},
			"NoneES256TopOrigin":        {fido.AttestationNone, fido.AlgES256, nil},
			"NoneES256LongCredentialID": {fido.AttestationNone, fido.AlgES256, nil},
			"PackedES256":               {fido.AttestationPacked, fido.AlgES256, nil},
			"PackedES384":               {fido.AttestationPacked, fido.AlgES384, nil},
			"PackedES512":               {err: fido.ErrAlgorithm},
			"PackedRS256":               {fido.AttestationPacked, fido.AlgRS256, nil},
			"PackedEdDSA":               {fido.AttestationPacked, fido.AlgEdDSA, nil},
			"TPMES256":                  {err: fido.ErrAttestation},
			"AndroidKeyES256":           {err: fido.ErrAttestation},
			"AppleAnonymousES256":       {err: fido.ErrAttestation},
			"FIDOU2FES256":              {fido.AttestationU2F, fido.AlgES256, nil},
		},
		"go-webauthn.json": {
			"U2F conformance tool":                      {fido.AttestationU2F, fido.AlgES256, nil},
			"packed with certificate, conformance tool": {fido.AttestationPacked, fido.AlgES256, nil},
			"packed self, ES512":                        {err: fido.ErrAlgorithm},
			"SoloKeys Solo 2, packed":                   {fido.AttestationPacked, fido.AlgEdDSA, nil},
			"macOS, packed self":                        {fido.AttestationPackedSelf, fido.AlgES256, nil},
			"Google Titan, U2F":                         {fido.AttestationU2F, fido.AlgES256, nil},
			"Google Titan, none":                        {fido.AttestationNone, fido.AlgES256, nil},
			"GramThanos virtual authenticator, packed":  {fido.AttestationPacked, fido.AlgES256, nil},
			"Apple anonymous":                           {err: fido.ErrAttestation},
			"Android key":                               {err: fido.ErrAttestation},
		},
	} {
		all := load(t, file).Attestations
		if len(all) != len(want) {
			t.Errorf("%s holds %d attestations, the test knows %d", file, len(all), len(want))
		}
		for _, v := range all {
			t.Run(v.Section+" "+v.Name, func(t *testing.T) {
				w, ok := want[v.Name]
				if !ok {
					t.Fatal("the test does not know it")
				}
				a := v.attestation(t)
				r, err := fido.VerifyAttestation(v.RPID, sha256.Sum256(v.ClientData), allAlgorithms, a)
				if !errors.Is(err, w.err) {
					t.Fatalf("got %v, want %v", err, w.err)
				}
				if err != nil {
					if errors.Is(err, fido.ErrAttestation) && !strings.Contains(err.Error(), a.Format) {
						t.Errorf("%v does not name the format %s", err, a.Format)
					}
					return
				}
				if r.Attestation != w.kind || r.Algorithm != w.alg || len(r.AAGUID) != 16 || len(r.CredentialID) == 0 {
					t.Errorf("got %+v", r)
				}
				if !bytes.Contains(a.AuthData, slices.Concat(r.AAGUID, []byte{byte(len(r.CredentialID) >> 8), byte(len(r.CredentialID))}, r.CredentialID, r.PublicKey)) {
					t.Error("id and public key are not those of the authenticator data")
				}
				if _, err := fido.VerifyAttestation(v.RPID, sha256.Sum256(nil), allAlgorithms, a); (err == nil) != (w.kind == fido.AttestationNone) {
					t.Errorf("with another client data hash: %v", err)
				}
				if _, err := fido.VerifyAttestation(v.RPID+".", sha256.Sum256(v.ClientData), allAlgorithms, a); !errors.Is(err, fido.ErrWrongRP) {
					t.Errorf("with another RP ID: %v", err)
				}
				others := slices.DeleteFunc(slices.Clone(allAlgorithms), func(alg int) bool { return alg == w.alg })
				if _, err := fido.VerifyAttestation(v.RPID, sha256.Sum256(v.ClientData), others, a); !errors.Is(err, fido.ErrAlgorithm) {
					t.Errorf("with an algorithm that was not asked for: %v", err)
				}
			})
		}
	}
}

// Whatever byte of signed authenticator data changes: it is not accepted. Of the statement, only
// members that are not signed may change: the certificates after the first, and the first one's own
// signature, which is nobody's that is trusted.
func TestEveryByteOfAnAttestationCounts(t *testing.T) {
	for _, v := range load(t, "w3c-webauthn-3.json").Attestations {
		a := v.attestation(t)
		hash := sha256.Sum256(v.ClientData)
		r, err := fido.VerifyAttestation(v.RPID, hash, allAlgorithms, a)
		if err != nil || r.Attestation == fido.AttestationNone || r.Algorithm == fido.AlgES384 {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			for i := range a.AuthData {
				// U2F signs neither flags and counter nor the AAGUID.
				if r.Attestation == fido.AttestationU2F && i >= 32 && i < 53 {
					continue
				}
				a.AuthData[i] ^= 1 << (i % 8)
				if _, err := fido.VerifyAttestation(v.RPID, hash, allAlgorithms, a); err == nil {
					t.Errorf("accepted with byte %d of the authenticator data changed", i)
				}
				a.AuthData[i] ^= 1 << (i % 8)
			}
			var s map[string]cbor.RawMessage
			if err := cbor.Unmarshal(a.Statement, &s); err != nil {
				t.Fatal(err)
			}
			start := bytes.Index(a.Statement, s["sig"])
			for i := start; i < start+len(s["sig"]); i++ {
				a.Statement[i] ^= 1 << (i % 8)
				if _, err := fido.VerifyAttestation(v.RPID, hash, allAlgorithms, a); err == nil {
					t.Errorf("accepted with byte %d of the statement changed", i)
				}
				a.Statement[i] ^= 1 << (i % 8)
			}
		})
	}
}

// register is authenticator data with a credential.
func (k key) register(flags byte, id []byte) []byte {
	b := append(header(testRP, flags, 0), make([]byte, 16)...)
	return slices.Concat(b, []byte{byte(len(id) >> 8), byte(len(id))}, id, k.cose)
}

func TestVerifyAttestation(t *testing.T) {
	hash := sha256.Sum256([]byte("client data"))
	k := es256Key(t)
	plain := k.register(up|at, k.id)
	self := func(authData []byte, members map[string]any) fido.Attestation {
		m := map[string]any{"alg": k.alg, "sig": k.assert(authData, hash).Signature}
		for name, v := range members {
			if v == nil {
				delete(m, name)
			} else {
				m[name] = v
			}
		}
		return fido.Attestation{Format: "packed", AuthData: authData, Statement: encode(t, m)}
	}
	with := func(name string, v any) fido.Attestation { return self(plain, map[string]any{name: v}) }
	none := func(authData []byte, statement ...byte) fido.Attestation {
		return fido.Attestation{Format: "none", AuthData: authData, Statement: statement}
	}
	solo := load(t, "go-webauthn.json").Attestations[slices.IndexFunc(load(t, "go-webauthn.json").Attestations, func(v attestationVector) bool {
		return strings.HasPrefix(v.Name, "SoloKeys")
	})]
	var soloStatement map[string]any
	if err := cbor.Unmarshal(solo.attestation(t).Statement, &soloStatement); err != nil {
		t.Fatal(err)
	}
	chain := soloStatement["x5c"].([]any)
	long := func(n int) []byte { return bytes.Repeat([]byte{7}, n) }
	for _, tc := range []struct {
		name string
		a    fido.Attestation
		want error
	}{
		{"accepts packed self attestation", self(plain, nil), nil},
		{"accepts members that it does not know", with("new", 1), nil},
		{"accepts an empty statement of format none", none(plain, 0xa0), nil},
		{"accepts no statement of format none", none(plain), nil},
		{"accepts a user who was verified", self(k.register(up|uv|at, k.id), nil), nil},
		{"accepts a credential id of 1,023 bytes", self(k.register(up|at, long(1023)), nil), nil},
		{"accepts extension data after the key", self(append(k.register(up|at|ed, k.id), 0xa0), nil), nil},
		{"refuses a credential id of 1,024 bytes", self(k.register(up|at, long(1024)), nil), fido.ErrMalformed},
		{"refuses an empty credential id", self(k.register(up|at, nil), nil), fido.ErrMalformed},
		{"refuses a credential id that is cut short", self(plain[:60], nil), fido.ErrMalformed},
		{"refuses attested data that are cut short", self(plain[:50], nil), fido.ErrMalformed},
		{"refuses a public key that is cut short", self(plain[:len(plain)-1], nil), fido.ErrMalformed},
		{"refuses bytes after the public key", self(append(bytes.Clone(plain), 0), nil), fido.ErrMalformed},
		{"refuses an answer without touch", self(k.register(uv|at, k.id), nil), fido.ErrNoPresence},
		{"refuses an answer without credential", self(header(testRP, up, 0), nil), fido.ErrMalformed},
		{"refuses a statement of format none", none(plain, 0xa1, 0x61, 'x', 1), fido.ErrAttestation},
		{"refuses a statement that is no map", fido.Attestation{Format: "packed", AuthData: plain, Statement: []byte{0x80}}, fido.ErrAttestation},
		{"refuses no statement of format packed", fido.Attestation{Format: "packed", AuthData: plain}, fido.ErrAttestation},
		{"refuses a statement of another algorithm", with("alg", fido.AlgEdDSA), fido.ErrAttestation},
		{"refuses a statement without algorithm", with("alg", nil), fido.ErrAttestation},
		{"refuses an algorithm that is text", with("alg", "ES256"), fido.ErrAttestation},
		{"refuses a statement without signature", with("sig", nil), fido.ErrAttestation},
		{"refuses a signature that is text", with("sig", "text"), fido.ErrAttestation},
		{"refuses a signature that is a list", with("sig", []int{1, 2}), fido.ErrAttestation},
		{"refuses a signature that is too long", with("sig", long(1025)), fido.ErrAttestation},
		{"refuses a wrong signature", with("sig", k.sign([]byte("other"))), fido.ErrBadSignature},
		{"refuses ECDAA", with("ecdaaKeyId", []byte{1}), fido.ErrAttestation},
		{"refuses an empty list of certificates", with("x5c", []any{}), fido.ErrAttestation},
		{"refuses certificates that are none", with("x5c", [][]byte{{1}}), fido.ErrAttestation},
		{"refuses certificates that are text", with("x5c", []string{"x"}), fido.ErrAttestation},
		{"refuses a certificate that stands alone", with("x5c", chain[0]), fido.ErrAttestation},
		{"refuses nine certificates", with("x5c", slices.Repeat(chain[:1], 9)), fido.ErrAttestation},
		{"refuses the certificate of another model", with("x5c", chain), fido.ErrAttestation},
		{"refuses U2F without certificate", fido.Attestation{Format: "fido-u2f", AuthData: plain, Statement: encode(t, map[string]any{"sig": []byte{1}})}, fido.ErrAttestation},
		{"refuses U2F with two certificates", fido.Attestation{Format: "fido-u2f", AuthData: plain, Statement: encode(t, map[string]any{"sig": []byte{1}, "x5c": []any{chain[0], chain[0]}})}, fido.ErrAttestation},
		{"refuses a format that it does not know", fido.Attestation{Format: "tpm", AuthData: plain, Statement: []byte{0xa0}}, fido.ErrAttestation},
		{"refuses a format without name", fido.Attestation{AuthData: plain, Statement: []byte{0xa0}}, fido.ErrAttestation},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := fido.VerifyAttestation(testRP, hash, []int{fido.AlgES256}, tc.a)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && !bytes.Equal(r.PublicKey, k.cose) {
				t.Errorf("got %+v", r)
			}
		})
	}
	for _, tc := range []struct {
		name string
		out  any
		want bool
	}{
		{"yes", map[string]any{"hmac-secret": true}, true},
		{"yes, among others", map[string]any{"credProtect": 2, "hmac-secret": true}, true},
		{"no", map[string]any{"hmac-secret": false}, false},
		{"something else", map[string]any{"hmac-secret": []byte{1}}, false},
		{"one", map[string]any{"hmac-secret": 1}, false},
		{"yes, to another name", map[string]any{"HMAC-Secret": true}, false},
		{"nothing", map[string]any{}, false},
	} {
		t.Run("tells whether the credential makes secrets where the key says "+tc.name, func(t *testing.T) {
			r, err := fido.VerifyAttestation(testRP, hash, []int{fido.AlgES256}, self(append(k.register(up|at|ed, k.id), encode(t, tc.out)...), nil))
			if err != nil || r.HMACSecret != tc.want {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	t.Run("accepts U2F as libfido2 translates it, with an algorithm", func(t *testing.T) {
		for _, v := range load(t, "w3c-webauthn-3.json").Attestations {
			a := v.attestation(t)
			if a.Format != fido.AttestationU2F {
				continue
			}
			var s map[string]any
			if err := cbor.Unmarshal(a.Statement, &s); err != nil {
				t.Fatal(err)
			}
			for alg, ok := range map[int]bool{fido.AlgES256: true, fido.AlgES384: false} {
				s["alg"] = alg
				a.Statement = encode(t, s)
				if _, err := fido.VerifyAttestation(v.RPID, sha256.Sum256(v.ClientData), allAlgorithms, a); (err == nil) != ok {
					t.Errorf("algorithm %d: %v", alg, err)
				}
			}
		}
	})
}
