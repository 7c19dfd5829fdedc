package virtual

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// made registers a credential and returns its id and authenticator data.
func made(t *testing.T, a *authenticator, userID string, more map[int]any) (id, authData []byte) {
	t.Helper()
	data := do[makeAnswer](t, a, StatusOK, cmdMakeCredential, makeParams(userID, more)).AuthData
	return data[55 : 55+credentialIDLen], data
}

func allow(ids ...[]byte) map[int]any {
	var ds []descriptor
	for _, id := range ids {
		ds = append(ds, descriptor{ID: id, Type: publicKey})
	}
	return map[int]any{3: ds}
}

func with(p map[int]any, more map[int]any) map[int]any {
	for k, v := range more {
		p[k] = v
	}
	return p
}

func options(kv ...any) map[string]bool {
	m := map[string]bool{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1].(bool)
	}
	return m
}

func counterOf(authData []byte) uint32 { return binary.BigEndian.Uint32(authData[33:]) }

func TestInfo(t *testing.T) {
	a := newAuth(t, Options{Algorithms: []int{ES256}, AlwaysUV: true, MakeCredUVNotRequired: true, PIN: "1234"})
	i := do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil)
	if len(i.Algorithms) != 1 || i.Algorithms[0].Alg != ES256 || !bytes.Equal(i.AAGUID, DefaultAAGUID[:]) {
		t.Errorf("says %+v", i)
	}
	if !i.Options["alwaysUv"] || i.Options["makeCredUvNotRqd"] || !i.Options["clientPin"] {
		t.Errorf("says %v", i.Options)
	}
	if _, ok := i.Options["uv"]; ok {
		t.Error("claims a fingerprint reader")
	}
}

func TestMakeCredential(t *testing.T) {
	a := newAuth(t, Options{Algorithms: []int{ES256}})
	id, _ := made(t, a, "u", nil)
	for _, c := range []struct {
		name string
		more map[int]any
		want Status
	}{
		{"takes the first algorithm that it has", map[int]any{4: []algorithm{{Alg: EdDSA, Type: publicKey}, {Alg: ES256, Type: publicKey}}}, StatusOK},
		{"ignores options that it does not know", map[int]any{7: options("new", true)}, StatusOK},
		{"refuses algorithms that it lacks", map[int]any{4: []algorithm{{Alg: EdDSA, Type: publicKey}}}, StatusUnsupportedAlgorithm},
		{"refuses an excluded credential", map[int]any{5: []descriptor{{ID: id, Type: publicKey}}}, StatusCredentialExcluded},
		{"refuses too long a list", map[int]any{5: make([]descriptor, 9)}, StatusLimitExceeded},
		{"refuses up=false", map[int]any{7: options("up", false)}, StatusInvalidOption},
		{"refuses uv without a PIN", map[int]any{7: options("uv", true)}, StatusInvalidOption},
		{"refuses a short hash", map[int]any{1: hash[:31]}, StatusInvalidLength},
		{"refuses a missing relying party", map[int]any{2: nil}, StatusMissingParameter},
		{"refuses a hash that is text", map[int]any{1: "hash"}, StatusCBORUnexpectedType},
		{"asks for a touch, then for a PIN, for an empty authentication", map[int]any{8: []byte{}}, StatusPINNotSet},
		{"refuses an unknown PIN protocol", map[int]any{8: []byte{1}, 9: 3}, StatusInvalidParameter},
		{"refuses a missing PIN protocol", map[int]any{8: []byte{1}}, StatusMissingParameter},
		{"refuses authentication without a token", map[int]any{8: make([]byte, 32), 9: 2}, StatusPINAuthInvalid},
	} {
		t.Run(c.name, func(t *testing.T) { do[nothing](t, a, c.want, cmdMakeCredential, makeParams("v", c.more)) })
	}
	for name, body := range map[string][]byte{
		"no parameters":     nil,
		"half a map":        {0xa1},
		"a key twice":       {0xa2, 0x01, 0x41, 0x00, 0x01, 0x41, 0x00},
		"something after":   {0xa0, 0x00},
		"indefinite length": {0xbf, 0xff},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			want := StatusInvalidCBOR
			if body == nil {
				want = StatusMissingParameter
			}
			if got := Status(a.handle(t.Context(), append([]byte{cmdMakeCredential}, body...)).answer[0]); got != want {
				t.Fatalf("answers %v, want %v", got, want)
			}
		})
	}
	t.Run("refuses what is too large", func(t *testing.T) {
		if got := Status(a.handle(t.Context(), make([]byte, maxMessage+1)).answer[0]); got != StatusRequestTooLarge {
			t.Fatalf("answers %v", got)
		}
	})
	t.Run("refuses parameters for commands that take none", func(t *testing.T) {
		if got := Status(a.handle(t.Context(), []byte{cmdGetInfo, 0xa0}).answer[0]); got != StatusInvalidLength {
			t.Fatalf("answers %v", got)
		}
	})
}

func TestAttestation(t *testing.T) {
	t.Run("comes with a certificate that the authority issued for the model", func(t *testing.T) {
		a := newAuth(t, Options{Attestation: AttestX5C})
		ans := do[makeAnswer](t, a, StatusOK, cmdMakeCredential, makeParams("u", nil))
		ca, err := x509.ParseCertificate(a.state.Attestation.CA)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(ans.Statement.X5C[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.CheckSignatureFrom(ca); err != nil {
			t.Fatal(err)
		}
		if cert.IsCA || cert.Subject.OrganizationalUnit[0] != "Authenticator Attestation" {
			t.Fatalf("it is for %v", cert.Subject)
		}
		digest := sha256.Sum256(append(append([]byte{}, ans.AuthData...), hash...))
		if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), digest[:], ans.Statement.Sig) {
			t.Fatal("its signature is wrong")
		}
	})
	t.Run("can be none", func(t *testing.T) {
		ans := do[makeAnswer](t, newAuth(t, Options{Attestation: AttestNone}), StatusOK, cmdMakeCredential, makeParams("u", nil))
		if ans.Format != "none" || ans.Statement.Sig != nil {
			t.Fatalf("it is %q, %+v", ans.Format, ans.Statement)
		}
	})
}

func TestGetAssertion(t *testing.T) {
	a := newAuth(t, Options{})
	first, firstData := made(t, a, "one", map[int]any{7: options("rk", true)})
	second, _ := made(t, a, "two", map[int]any{7: options("rk", true)})
	hidden, _ := made(t, a, "three", nil)

	t.Run("hands out discoverable credentials, newest first", func(t *testing.T) {
		ans := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(nil))
		if ans.Number != 2 || !bytes.Equal(ans.Credential.ID, second) || string(ans.User.ID) != "two" {
			t.Fatalf("the first is %+v", ans)
		}
		if ans.User.Name != "" {
			t.Fatal("a name is shown to someone unverified")
		}
		next := do[assertAnswer](t, a, StatusOK, cmdGetNextAssertion, nil)
		if !bytes.Equal(next.Credential.ID, first) || counterOf(next.AuthData) != counterOf(ans.AuthData)+1 {
			t.Fatalf("the second is %+v", next)
		}
		do[nothing](t, a, StatusNotAllowed, cmdGetNextAssertion, nil)
	})
	t.Run("forgets the rest when another command comes", func(t *testing.T) {
		do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(nil))
		do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil)
		do[nothing](t, a, StatusNotAllowed, cmdGetNextAssertion, nil)
	})
	t.Run("answers with one credential of the allow list", func(t *testing.T) {
		ans := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(allow([]byte("unknown"), hidden, first)))
		if !bytes.Equal(ans.Credential.ID, hidden) || ans.User != nil || ans.Number != 0 {
			t.Fatalf("answers %+v", ans)
		}
		if ans.AuthData[32] != flagUP || counterOf(ans.AuthData) <= counterOf(firstData) {
			t.Fatalf("authenticator data is % x", ans.AuthData)
		}
	})
	t.Run("replaces a user's discoverable credential", func(t *testing.T) {
		made(t, a, "one", map[int]any{7: options("rk", true)})
		if n := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(nil)).Number; n != 2 {
			t.Fatalf("there are %d", n)
		}
		do[nothing](t, a, StatusNoCredentials, cmdGetAssertion, assertParams(allow(first)))
	})
	t.Run("is silent with up=false", func(t *testing.T) {
		a.sensor.set(TouchNever, 0)
		defer a.sensor.set(TouchAuto, 0)
		p := with(allow(hidden), map[int]any{5: options("up", false)})
		if f := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(p)).AuthData[32]; f != 0 {
			t.Fatalf("flags are %#x", f)
		}
	})
	for _, c := range []struct {
		name string
		more map[int]any
		want Status
	}{
		{"refuses another relying party's credential", with(allow(hidden), map[int]any{1: "other"}), StatusNoCredentials},
		{"refuses a missing relying party", map[int]any{1: nil}, StatusMissingParameter},
		{"refuses a short hash", map[int]any{2: hash[:31]}, StatusInvalidLength},
		{"refuses the option rk", map[int]any{5: options("rk", true)}, StatusUnsupportedOption},
		{"refuses uv without a PIN", map[int]any{5: options("uv", true)}, StatusInvalidOption},
		{"refuses too long a list", allow(make([][]byte, 9)...), StatusLimitExceeded},
	} {
		t.Run(c.name, func(t *testing.T) { do[nothing](t, a, c.want, cmdGetAssertion, assertParams(c.more)) })
	}
}

func TestIgnoresUPFalseAsSomeFirmware(t *testing.T) {
	a := newAuth(t, Options{Quirks: Quirks{IgnoreUPFalse: true}})
	id, _ := made(t, a, "u", nil)
	p := assertParams(with(allow(id), map[int]any{5: options("up", false)}))
	if f := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, p).AuthData[32]; f != flagUP {
		t.Fatalf("flags are %#x", f)
	}
	a.sensor.set(TouchManual, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Status(a.handle(ctx, encode(t, cmdGetAssertion, p)).answer[0]); got != StatusKeepaliveCancel {
		t.Fatalf("answers %v without a touch", got)
	}
}

func TestFaults(t *testing.T) {
	a := newAuth(t, Options{PIN: "1234"})
	uv := func(permit uint) map[int]any {
		p := newPlatform(t, a, 2)
		auth, proto := p.auth(p.token(t, a, "1234", permit, rpID), hash), 2
		if permit == permitMake {
			return map[int]any{8: auth, 9: proto}
		}
		return map[int]any{6: auth, 7: proto}
	}
	id, _ := made(t, a, "u", uv(permitMake))
	assert := func(t *testing.T) assertAnswer {
		t.Helper()
		return do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(with(allow(id), uv(permitAssert))))
	}
	valid := func(ans assertAnswer) bool {
		c := a.state.find(rpID, id)
		k, err := c.private()
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(append(append([]byte{}, ans.AuthData...), hash...))
		return ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], ans.Signature)
	}
	good := assert(t)
	rp := sha256.Sum256([]byte(rpID))
	last := counterOf(good.AuthData)
	for _, c := range []struct {
		fault                              Fault
		rp, signature, counter, up, uv, id bool // what stays right
	}{
		{NoFault, true, true, true, true, true, true},
		{FaultWrongRP, false, true, true, true, true, true},
		{FaultBadSignature, true, false, true, true, true, true},
		{FaultStaleCounter, true, true, false, true, true, true},
		{FaultNoUP, true, true, true, false, true, true},
		{FaultNoUV, true, true, true, true, false, true},
		{FaultWrongCredential, true, true, true, true, true, false},
	} {
		t.Run(fmt.Sprintf("%q spoils one thing", c.fault), func(t *testing.T) {
			a.faults.set(c.fault)
			defer a.faults.set(NoFault)
			ans := assert(t)
			now := counterOf(ans.AuthData)
			for what, ok := range map[string]bool{
				"relying party": bytes.Equal(ans.AuthData[:32], rp[:]) == c.rp,
				"signature":     valid(ans) == c.signature,
				"counter":       (now > last) == c.counter,
				"UP":            (ans.AuthData[32]&flagUP != 0) == c.up,
				"UV":            (ans.AuthData[32]&flagUV != 0) == c.uv,
				"credential":    bytes.Equal(ans.Credential.ID, id) == c.id,
			} {
				if !ok {
					t.Errorf("%s is not as it should be", what)
				}
			}
			last = max(last, now)
		})
	}
	t.Run("garbage is no CBOR", func(t *testing.T) {
		a.faults.set(FaultGarbageCBOR)
		r := a.handle(t.Context(), encode(t, cmdGetAssertion, assertParams(with(allow(id), uv(permitAssert)))))
		if r.answer[0] != 0 || decoding.Wellformed(r.answer[1:]) == nil {
			t.Fatalf("answers % x", r.answer)
		}
		do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil)
		a.faults.set(FaultGarbageInfo)
		if r := a.handle(t.Context(), []byte{cmdGetInfo}); decoding.Wellformed(r.answer[1:]) == nil {
			t.Fatalf("answers % x", r.answer)
		}
	})
}

func TestCounterThatAlwaysSaysZero(t *testing.T) {
	a := newAuth(t, Options{Counter: CounterZero})
	id, data := made(t, a, "u", nil)
	if n := counterOf(data) + counterOf(do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(allow(id))).AuthData); n != 0 {
		t.Fatalf("counters add up to %d", n)
	}
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, Options{PIN: "1234", MakeCredUVNotRequired: true})
		id, _ := made(t, a, "u", nil)
		time.Sleep(resetWithin + time.Second)
		do[nothing](t, a, StatusNotAllowed, cmdReset, nil)
		if err := a.powerUp(); err != nil {
			t.Fatal(err)
		}
		do[nothing](t, a, StatusOK, cmdReset, nil)
		do[nothing](t, a, StatusNoCredentials, cmdGetAssertion, assertParams(allow(id)))
		if do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil).Options["clientPin"] {
			t.Fatal("the PIN is still set")
		}
		if _, data := made(t, a, "u", nil); counterOf(data) != 2 {
			t.Fatalf("the counter is %d", counterOf(data))
		}
	})
}

// FuzzCommand feeds a key with a PIN and a credential what any program could send.
func FuzzCommand(f *testing.F) {
	f.Add([]byte{cmdGetInfo})
	f.Add([]byte{cmdReset})
	f.Add([]byte{cmdSelection})
	f.Add([]byte{cmdGetNextAssertion})
	f.Add(encode(f, cmdMakeCredential, makeParams("u", map[int]any{5: []descriptor{{ID: hash, Type: publicKey}}, 7: options("rk", true)})))
	f.Add(encode(f, cmdMakeCredential, makeParams("u", map[int]any{8: hash, 9: 2})))
	f.Add(encode(f, cmdGetAssertion, assertParams(map[int]any{3: []descriptor{{ID: hash, Type: publicKey}}, 5: options("up", false)})))
	f.Add(encode(f, cmdGetAssertion, assertParams(map[int]any{6: []byte{}, 7: 1})))
	c, err := newCredential(ES256, rpID, user{ID: []byte("u")}, false)
	if err != nil {
		f.Fatal(err)
	}
	c.ID, c.CredRandom = hash, newCredRandom()
	f.Add(encode(f, cmdMakeCredential, makeParams("u", withSecret)))
	k := coseKey{Kty: 2, Alg: ecdhHKDF256, Crv: 1, X: hash, Y: hash}
	f.Add(encode(f, cmdGetAssertion, assertParams(with(allow(hash), extension(map[int]any{1: k, 2: make([]byte, 48), 3: hash, 4: 2})))))
	for sub := range uint(10) {
		f.Add(encode(f, cmdClientPIN, map[int]any{1: 2, 2: sub, 3: k, 4: hash, 5: make([]byte, 80), 6: make([]byte, 32), 9: 3, 10: rpID}))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) == 0 {
			return // the session refuses it
		}
		a := newAuth(t, Options{PIN: "1234", MakeCredUVNotRequired: true})
		a.state.Credentials = []*credential{c}
		r := a.handle(t.Context(), msg)
		if len(r.answer) == 0 {
			t.Fatal("no status")
		}
		if r.op.Status == StatusOther {
			t.Fatal("an error without a name")
		}
		if len(r.answer) > 1 && decoding.Wellformed(r.answer[1:]) != nil {
			t.Fatalf("answers % x, which is no CBOR", r.answer)
		}
		if len(r.answer) > maxPayload {
			t.Fatalf("the answer has %d bytes", len(r.answer))
		}
	})
}
