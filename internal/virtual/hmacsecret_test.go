package virtual

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// withSecret are the parameters of makeCredential for a credential that makes secrets of salts.
var withSecret = map[int]any{6: map[string]any{hmacSecret: true}}

// salted are the parameters of getAssertion that ask for secrets.
func (p *platform) salted(t *testing.T, plain []byte) map[int]any {
	enc := p.cbc(t, plain, false)
	return map[int]any{1: p.key, 2: enc, 3: p.auth(p.mac, enc), 4: p.protocol}
}

func extension(in any) map[int]any { return map[int]any{4: map[string]any{hmacSecret: in}} }

// secret decrypts what the authenticator data brings, or returns nil where it brings nothing.
func (p *platform) secret(t *testing.T, authData []byte) []byte {
	t.Helper()
	if authData[32]&flagED == 0 {
		if len(authData) != 37 {
			t.Fatalf("authenticator data is % x", authData)
		}
		return nil
	}
	var out map[string][]byte
	if err := decoding.Unmarshal(authData[37:], &out); err != nil || len(out) != 1 {
		t.Fatalf("extensions are % x (%v)", authData[37:], err)
	}
	return p.cbc(t, out[hmacSecret], true)
}

func mac(key, salt []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(salt)
	return m.Sum(nil)
}

func salt(b byte) []byte { return bytes.Repeat([]byte{b}, saltLen) }

func TestHMACSecretIsOffered(t *testing.T) {
	off := map[int]any{6: map[string]any{hmacSecret: false, "credProtect": 2}}
	for _, c := range []struct {
		name      string
		q         Quirks
		params    map[int]any
		has, want bool
	}{
		{"to one who asks", Quirks{}, withSecret, true, true},
		{"not to one who does not", Quirks{}, nil, true, false},
		{"not to one who asks for something else", Quirks{}, off, true, false},
		{"not by a key without it", Quirks{NoHMACSecret: true}, withSecret, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuth(t, Options{Quirks: c.q})
			if i := do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil); slices.Contains(i.Extensions, hmacSecret) != c.has {
				t.Errorf("the key says %v", i.Extensions)
			}
			id, data := made(t, a, "u", c.params)
			if (data[32]&flagED != 0) != c.want || bytes.HasSuffix(data, []byte("\xa1\x6bhmac-secret\xf5")) != c.want {
				t.Errorf("it answers % x", data)
			}
			p := newPlatform(t, a, 2)
			ans := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(with(allow(id), extension(p.salted(t, salt(1))))))
			if (p.secret(t, ans.AuthData) != nil) != c.want {
				t.Errorf("it answers % x", ans.AuthData)
			}
		})
	}
	do[nothing](t, newAuth(t, Options{}), StatusCBORUnexpectedType, cmdMakeCredential, makeParams("u", map[int]any{6: map[string]any{hmacSecret: 1}}))
}

func TestHMACSecret(t *testing.T) {
	for _, protocol := range []uint{1, 2} {
		t.Run(fmt.Sprintf("protocol %d", protocol), func(t *testing.T) {
			a := newAuth(t, Options{PIN: "1234", MakeCredUVNotRequired: true})
			id, _ := made(t, a, "u", withSecret)
			without, _ := made(t, a, "u", nil)
			random := a.state.find(rpID, id).CredRandom
			p := newPlatform(t, a, protocol)
			assert := func(t *testing.T, id []byte, more map[int]any) []byte {
				t.Helper()
				return p.secret(t, do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(with(allow(id), more))).AuthData)
			}
			t.Run("is the HMAC of the salt, again and again", func(t *testing.T) {
				for range 2 {
					if got := assert(t, id, extension(p.salted(t, salt(1)))); !bytes.Equal(got, mac(random.WithoutUV, salt(1))) {
						t.Fatalf("is % x", got)
					}
				}
			})
			t.Run("comes for two salts", func(t *testing.T) {
				want := append(mac(random.WithoutUV, salt(1)), mac(random.WithoutUV, salt(2))...)
				if got := assert(t, id, extension(p.salted(t, append(salt(1), salt(2)...)))); !bytes.Equal(got, want) {
					t.Fatalf("is % x", got)
				}
			})
			t.Run("is another where the user was verified", func(t *testing.T) {
				auth := p.auth(p.token(t, a, "1234", permitAssert, rpID), hash)
				got := assert(t, id, with(extension(p.salted(t, salt(1))), map[int]any{6: auth, 7: protocol}))
				if !bytes.Equal(got, mac(random.WithUV, salt(1))) || bytes.Equal(random.WithUV, random.WithoutUV) {
					t.Fatalf("is % x", got)
				}
			})
			t.Run("is not there where nobody asks, or the credential has none", func(t *testing.T) {
				if assert(t, id, nil) != nil || assert(t, id, map[int]any{4: map[string]any{"other": 1}}) != nil ||
					assert(t, without, extension(p.salted(t, salt(1)))) != nil {
					t.Fatal("there is one")
				}
			})
			t.Run("is protocol 1's where none is named", func(t *testing.T) {
				in := p.salted(t, salt(1))
				delete(in, 4)
				if protocol == 1 {
					assert(t, id, extension(in))
				} else {
					do[nothing](t, a, StatusPINAuthInvalid, cmdGetAssertion, assertParams(with(allow(id), extension(in))))
				}
			})
			a.sensor.set(TouchNever, 0) // what follows fails without a touch
			for _, c := range []struct {
				name   string
				change func(map[int]any)
				want   Status
			}{
				{"without key agreement", func(m map[int]any) { delete(m, 1) }, StatusMissingParameter},
				{"without salt", func(m map[int]any) { delete(m, 2) }, StatusMissingParameter},
				{"without authentication", func(m map[int]any) { delete(m, 3) }, StatusMissingParameter},
				{"with an unknown protocol", func(m map[int]any) { m[4] = 3 }, StatusInvalidParameter},
				{"with a key agreement off the curve", func(m map[int]any) {
					m[1] = coseKey{Kty: 2, Alg: ecdhHKDF256, Crv: 1, X: hash, Y: hash}
				}, StatusInvalidParameter},
				{"changed on its way", func(m map[int]any) { m[2].([]byte)[20] ^= 1 }, StatusPINAuthInvalid},
				{"with half an authentication", func(m map[int]any) { m[3] = m[3].([]byte)[:8] }, StatusPINAuthInvalid},
				{"with a salt that is text", func(m map[int]any) { m[2] = "salt" }, StatusCBORUnexpectedType},
				{"with half a salt", func(m map[int]any) { with(m, p.salted(t, salt(1)[:16])) }, StatusInvalidLength},
				{"with a salt and a half", func(m map[int]any) { with(m, p.salted(t, make([]byte, 48))) }, StatusInvalidLength},
				{"with three salts", func(m map[int]any) { with(m, p.salted(t, make([]byte, 96))) }, StatusInvalidLength},
				{"with no block", func(m map[int]any) { m[2], m[3] = []byte{1}, p.auth(p.mac, []byte{1}) }, StatusInvalidLength},
			} {
				t.Run("is refused "+c.name, func(t *testing.T) {
					in := p.salted(t, salt(1))
					c.change(in)
					do[nothing](t, a, c.want, cmdGetAssertion, assertParams(with(allow(id), extension(in))))
				})
			}
			t.Run("is refused where nobody is to be present", func(t *testing.T) {
				params := with(allow(id), with(extension(p.salted(t, salt(1))), map[int]any{5: options("up", false)}))
				do[nothing](t, a, StatusUnsupportedOption, cmdGetAssertion, assertParams(params))
			})
		})
	}
}

func TestHMACSecretOfEachDiscoverableCredential(t *testing.T) {
	a := newAuth(t, Options{})
	rk := map[int]any{7: options("rk", true)}
	one, _ := made(t, a, "one", with(map[int]any{7: options("rk", true)}, withSecret))
	made(t, a, "two", rk)
	three, _ := made(t, a, "three", with(map[int]any{7: options("rk", true)}, withSecret))
	p := newPlatform(t, a, 2)
	ans := do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(extension(p.salted(t, salt(1)))))
	for _, id := range [][]byte{three, nil, one} {
		got, want := p.secret(t, ans.AuthData), []byte(nil)
		if id != nil {
			want = mac(a.state.find(rpID, id).CredRandom.WithoutUV, salt(1))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("% x, want % x", got, want)
		}
		if !bytes.Equal(id, one) {
			ans = do[assertAnswer](t, a, StatusOK, cmdGetNextAssertion, nil)
		}
	}
}

func TestHMACSecretOutlivesTheKey(t *testing.T) {
	o := Options{StateFile: filepath.Join(t.TempDir(), "key.json")}
	var id, last []byte
	for i := range 2 {
		a := newAuth(t, o)
		if i == 0 {
			id, _ = made(t, a, "u", withSecret)
		}
		p := newPlatform(t, a, 2)
		got := p.secret(t, do[assertAnswer](t, a, StatusOK, cmdGetAssertion, assertParams(with(allow(id), extension(p.salted(t, salt(1)))))).AuthData)
		if i > 0 && !bytes.Equal(got, last) {
			t.Fatalf("% x, then % x", last, got)
		}
		last = got
	}
}

func TestKeyWithPINProtocol1Alone(t *testing.T) {
	a := newAuth(t, Options{PIN: "1234", Quirks: Quirks{PINProtocol1: true}})
	if i := do[infoAnswer](t, a, StatusOK, cmdGetInfo, nil); !slices.Equal(i.PINProtocols, []uint{1}) {
		t.Errorf("says %v", i.PINProtocols)
	}
	do[nothing](t, a, StatusInvalidParameter, cmdClientPIN, map[int]any{1: 2, 2: pinGetKeyAgreement})
	newPlatform(t, a, 1).token(t, a, "1234", permitAssert, rpID)
}

// FuzzSalts lets a platform authenticate what any program could send as salts.
func FuzzSalts(f *testing.F) {
	for _, n := range []int{0, 1, 15, 16, 32, 48, 64, 80, 96} {
		f.Add(n%2 == 0, make([]byte, n))
	}
	c, err := newCredential(ES256, rpID, user{ID: []byte("u")}, false)
	if err != nil {
		f.Fatal(err)
	}
	c.CredRandom = newCredRandom()
	f.Fuzz(func(t *testing.T, first bool, enc []byte) {
		protocol, iv := uint(2), 16
		if first {
			protocol, iv = 1, 0
		}
		a := newAuth(t, Options{})
		a.state.Credentials = []*credential{c}
		p := newPlatform(t, a, protocol)
		in := map[int]any{1: p.key, 2: enc, 3: p.auth(p.mac, enc), 4: protocol}
		r := a.handle(t.Context(), encode(t, cmdGetAssertion, assertParams(with(allow(c.ID), extension(in)))))
		n, want := len(enc)-iv, StatusOK
		switch {
		case len(enc) >= maxMessage-256:
			return // the whole may be too large
		case n != saltLen && n != 2*saltLen:
			want = StatusInvalidLength
		}
		if got := Status(r.answer[0]); got != want {
			t.Fatalf("%d bytes are answered with %v, want %v", len(enc), got, want)
		}
		if want != StatusOK {
			return
		}
		var ans assertAnswer
		if err := decoding.Unmarshal(r.answer[1:], &ans); err != nil {
			t.Fatal(err)
		}
		if got := p.secret(t, ans.AuthData); len(got) != n {
			t.Fatalf("%d bytes come of %d", len(got), n)
		}
	})
}
