package fido_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/fido"
)

// refusals are what an answer may be refused with.
var refusals = []error{fido.ErrMalformed, fido.ErrWrongRP, fido.ErrNoPresence, fido.ErrAlgorithm, fido.ErrAttestation}

func refused(err error) bool {
	return slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

func FuzzAuthData(f *testing.F) {
	for _, file := range []string{"w3c-webauthn-3.json", "go-webauthn.json"} {
		v := load(f, file)
		for _, a := range v.Attestations {
			f.Add(a.attestation(f).AuthData)
		}
		for _, a := range v.Assertions {
			f.Add([]byte(a.AuthData))
		}
	}
	k := es256Key(f)
	f.Add(append(k.register(up|at|ed, k.id), 0xa1, 0x6b, 'h', 'm', 'a', 'c', '-', 's', 'e', 'c', 'r', 'e', 't', 0xf5))
	f.Add(append(k.register(up|at|ed, k.id), encode(f, map[string]any{"credProtect": 2, "hmac-secret": []any{true}})...))
	f.Add(append(header(testRP, up|uv|ed, 1), encode(f, map[string]any{"hmac-secret": make([]byte, 48)})...))
	f.Add(append(header(testRP, up|ed, 1), 0xbf, 0xff))
	rp := sha256.Sum256([]byte(testRP))
	hash := sha256.Sum256([]byte("client data"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		copy(b, rp[:]) // or nothing would be found behind it
		r, err := fido.VerifyAttestation(testRP, hash, allAlgorithms, fido.Attestation{Format: "none", AuthData: b})
		switch {
		case err != nil && !refused(err):
			t.Errorf("refused with %v", err)
		case err == nil:
			n := 37 + 16 + 2 + len(r.CredentialID) + len(r.PublicKey)
			if len(b) > 16<<10 || len(b) < n || (len(b) == n) != (b[32]&ed == 0) || b[32]&up == 0 || b[32]&at == 0 {
				t.Errorf("accepted %x as %+v", b, r)
			}
			if r.HMACSecret && !bytes.Contains(b[n:], []byte("hmac-secret\xf5")) {
				t.Errorf("%x makes secrets", b)
			}
			if len(r.CredentialID) < 1 || len(r.CredentialID) > 1023 || len(r.AAGUID) != 16 || !slices.Contains(allAlgorithms, r.Algorithm) {
				t.Errorf("accepted %+v", r)
			}
			if _, err := fido.VerifyAssertion(fido.Credential{ID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm, RPID: testRP}, hash,
				fido.Assertion{CredentialID: r.CredentialID, AuthData: b, Signature: []byte{1}}, false); !errors.Is(err, fido.ErrMalformed) {
				t.Errorf("as an assertion: %v", err)
			}
		}
		if p, err := fido.VerifyAssertion(k.credential(0), hash, fido.Assertion{CredentialID: k.id, AuthData: b, Signature: make([]byte, 64)}, false); err == nil {
			t.Errorf("accepted without signature: %+v", p)
		}
	})
}

func FuzzStatement(f *testing.F) {
	type fixed struct {
		rpID string
		hash [32]byte
		a    fido.Attestation
	}
	var all []fixed
	for _, file := range []string{"w3c-webauthn-3.json", "go-webauthn.json"} {
		for _, v := range load(f, file).Attestations {
			a := v.attestation(f)
			all = append(all, fixed{v.RPID, sha256.Sum256(v.ClientData), a})
			f.Add(uint8(len(all)-1), a.Format, a.Statement)
			f.Add(uint8(0), a.Format, a.Statement)
		}
	}
	f.Add(uint8(0), "packed", []byte{0xa1, 0x63, 'x', '5', 'c', 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, which uint8, format string, statement []byte) {
		v := all[int(which)%len(all)]
		a := fido.Attestation{Format: format, AuthData: v.a.AuthData, Statement: statement}
		r, err := fido.VerifyAttestation(v.rpID, v.hash, allAlgorithms, a)
		if err != nil {
			if !refused(err) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		// A signature cannot be guessed: what is accepted has the one that belongs to it.
		if r.Attestation != fido.AttestationNone && !strings.HasPrefix(r.Attestation, v.a.Format) {
			t.Errorf("accepted %s for %s", r.Attestation, v.a.Format)
		}
		if !bytes.Contains(v.a.AuthData, r.PublicKey) {
			t.Errorf("accepted %+v", r)
		}
	})
}

func FuzzReportDescriptor(f *testing.F) {
	f.Add(fidoDescriptor)
	f.Add(keyboardDescriptor)
	f.Add(mouseDescriptor)
	f.Add([]byte{0xfe, 3, 0x10, 0x06, 0xd0, 0xf1, 0xa4, 0xb4})
	f.Add([]byte{0x0b, 0x01, 0x00, 0xd0, 0xf1, 0xa1, 0x01, 0xc0})
	f.Fuzz(func(t *testing.T, b []byte) {
		is, err := fido.IsFIDO(b)
		if is && !bytes.Contains(b, []byte{0xd0, 0xf1}) {
			t.Errorf("%x is no key, %v", b, err)
		}
		if err == nil && len(b)+len(fidoDescriptor) <= 4096 {
			// What stands before a whole key, of whatever kind, does not hide it, unless it is
			// still waiting for its collection.
			behind, err := fido.IsFIDO(slices.Concat(b, []byte{0xc0}, fidoDescriptor))
			if !behind || err != nil {
				t.Errorf("%x hides a key, %v", b, err)
			}
		}
	})
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte("DRIVER=hid-generic\nHID_ID=0003:00001050:00000407\nHID_NAME=Yubico YubiKey\nHID_PHYS=usb\nHID_UNIQ=\n"))
	f.Add([]byte("MAJOR=244\nMINOR=3\nDEVNAME=hidraw3\n"))
	f.Add([]byte("=x\nA\nA==\nA=1\nA=2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, value := range fido.ParseUevent(b) {
			if name == "" || strings.ContainsAny(name, "=\n") || strings.Contains(value, "\n") || !bytes.Contains(b, []byte(name+"="+value)) {
				t.Errorf("%q is not in %q", name+"="+value, b)
			}
		}
	})
}
