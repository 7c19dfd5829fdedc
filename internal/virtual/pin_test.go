package virtual

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPIN(t *testing.T) {
	for _, protocol := range []uint{1, 2} {
		t.Run(fmt.Sprintf("protocol %d", protocol), func(t *testing.T) {
			a := newAuth(t, Options{MinPINLength: 5})
			p := newPlatform(t, a, protocol)
			try := func(t *testing.T, want Status, params map[int]any) pinAnswer {
				t.Helper()
				return do[pinAnswer](t, a, want, cmdClientPIN, params)
			}
			t.Run("has none at first", func(t *testing.T) {
				try(t, StatusPINNotSet, map[int]any{1: protocol, 2: pinGetRetries})
				try(t, StatusPINNotSet, p.tokenParams(t, "12345", permitMake, rpID))
				try(t, StatusPINNotSet, p.changeParams(t, "12345", "54321"))
			})
			t.Run("refuses a PIN that is too short", func(t *testing.T) { try(t, StatusPINPolicyViolation, p.setParams(t, "1234")) })
			t.Run("refuses a PIN that is too long", func(t *testing.T) {
				try(t, StatusPINPolicyViolation, p.setParams(t, strings.Repeat("1", 64)))
			})
			t.Run("counts code points, not bytes", func(t *testing.T) { try(t, StatusPINPolicyViolation, p.setParams(t, "äöü")) })
			t.Run("refuses a PIN that was changed on its way", func(t *testing.T) {
				bad := p.setParams(t, "12345")
				bad[5].([]byte)[20] ^= 1
				try(t, StatusPINAuthInvalid, bad)
			})
			try(t, StatusOK, p.setParams(t, "12345"))
			t.Run("refuses a second first PIN", func(t *testing.T) { try(t, StatusPINAuthInvalid, p.setParams(t, "99999")) })
			try(t, StatusOK, p.changeParams(t, "12345", "54321"))
			t.Run("takes the new PIN, not the old", func(t *testing.T) {
				try(t, StatusPINInvalid, p.tokenParams(t, "12345", permitMake, rpID))
				p = newPlatform(t, a, protocol) // the key has a new one after a wrong PIN
				if n := try(t, StatusOK, map[int]any{1: protocol, 2: pinGetRetries}).Retries; *n != 7 {
					t.Fatalf("%d retries are left", *n)
				}
				p.token(t, a, "54321", permitMake, rpID)
				if n := try(t, StatusOK, map[int]any{1: protocol, 2: pinGetRetries}).Retries; *n != 8 {
					t.Fatalf("%d retries are left", *n)
				}
			})
			t.Run("gives a token without permissions, as CTAP 2.0", func(t *testing.T) {
				params := p.tokenParams(t, "54321", 0, "")
				delete(params, 9)
				delete(params, 10)
				params[2] = pinGetToken
				try(t, StatusOK, params)
				params[9] = permitMake
				try(t, StatusInvalidParameter, params)
			})
			t.Run("refuses permissions that it does not know", func(t *testing.T) {
				try(t, StatusUnauthorizedPermission, p.tokenParams(t, "54321", 0x04, rpID))
				try(t, StatusInvalidParameter, p.tokenParams(t, "54321", 0, rpID))
				try(t, StatusMissingParameter, p.tokenParams(t, "54321", permitMake, ""))
			})
			t.Run("refuses a key agreement off the curve", func(t *testing.T) {
				bad := p.tokenParams(t, "54321", permitMake, rpID)
				bad[3] = coseKey{Kty: 2, Alg: ecdhHKDF256, Crv: 1, X: hash, Y: hash}
				try(t, StatusInvalidParameter, bad)
			})
			t.Run("refuses an unknown subcommand", func(t *testing.T) { try(t, StatusInvalidSubcommand, map[int]any{1: protocol, 2: 99}) })
		})
	}
}

func TestPINLockout(t *testing.T) {
	a := newAuth(t, Options{PIN: "1234"})
	wrong := func(want Status) {
		t.Helper()
		do[nothing](t, a, want, cmdClientPIN, newPlatform(t, a, 2).tokenParams(t, "9999", permitMake, rpID))
	}
	replug := func() {
		t.Helper()
		if err := a.powerUp(); err != nil {
			t.Fatal(err)
		}
	}
	retries := func(want uint, blocked bool) {
		t.Helper()
		r := do[pinAnswer](t, a, StatusOK, cmdClientPIN, map[int]any{2: pinGetRetries})
		if *r.Retries != want || *r.PowerCycle != blocked {
			t.Fatalf("%d retries are left, blocked is %v", *r.Retries, *r.PowerCycle)
		}
	}
	t.Log("three wrong PINs block it until it is plugged in again")
	wrong(StatusPINInvalid)
	wrong(StatusPINInvalid)
	wrong(StatusPINAuthBlocked)
	wrong(StatusPINAuthBlocked)
	do[nothing](t, a, StatusPINAuthBlocked, cmdClientPIN, newPlatform(t, a, 2).tokenParams(t, "1234", permitMake, rpID))
	retries(5, true)
	t.Log("eight block it for good")
	replug()
	wrong(StatusPINInvalid)
	wrong(StatusPINInvalid)
	wrong(StatusPINAuthBlocked)
	replug()
	wrong(StatusPINInvalid)
	wrong(StatusPINBlocked)
	retries(0, false)
	replug()
	do[nothing](t, a, StatusPINBlocked, cmdClientPIN, newPlatform(t, a, 2).tokenParams(t, "1234", permitMake, rpID))
	do[nothing](t, a, StatusPINBlocked, cmdClientPIN, newPlatform(t, a, 2).changeParams(t, "1234", "4321"))
	t.Log("until a reset")
	do[nothing](t, a, StatusOK, cmdReset, nil)
	do[nothing](t, a, StatusOK, cmdClientPIN, newPlatform(t, a, 2).setParams(t, "4321"))
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, Options{PIN: "1234", MakeCredUVNotRequired: true})
		id, _ := made(t, a, "u", nil)
		p := newPlatform(t, a, 2)
		assert := func(want Status, token []byte, protocol uint, more map[int]any) assertAnswer {
			t.Helper()
			params := with(allow(id), map[int]any{6: p.auth(token, hash), 7: protocol})
			return do[assertAnswer](t, a, want, cmdGetAssertion, assertParams(with(params, more)))
		}
		t.Log("verifies the user")
		tok := p.token(t, a, "1234", permitAssert, rpID)
		if f := assert(StatusOK, tok, 2, nil).AuthData[32]; f != flagUP|flagUV {
			t.Fatalf("flags are %#x", f)
		}
		t.Log("is good for one touch")
		assert(StatusPINAuthInvalid, tok, 2, nil)
		t.Log("but for a silent preflight too")
		tok = p.token(t, a, "1234", permitAssert, rpID)
		assert(StatusOK, tok, 2, map[int]any{5: options("up", false)})
		assert(StatusOK, tok, 2, nil)
		t.Log("is for one relying party")
		assert(StatusPINAuthInvalid, p.token(t, a, "1234", permitAssert, "other"), 2, nil)
		t.Log("is for what was permitted")
		assert(StatusPINAuthInvalid, p.token(t, a, "1234", permitMake, rpID), 2, nil)
		t.Log("is for its protocol")
		assert(StatusPINAuthInvalid, p.token(t, a, "1234", permitAssert, rpID), 1, nil)
		t.Log("ends when the next is given")
		tok = p.token(t, a, "1234", permitAssert, rpID)
		p.token(t, a, "1234", permitAssert, rpID)
		assert(StatusPINAuthInvalid, tok, 2, nil)
		t.Log("lasts 30 s unused")
		tok = p.token(t, a, "1234", permitAssert, rpID)
		time.Sleep(31 * time.Second)
		assert(StatusPINAuthInvalid, tok, 2, nil)
		t.Log("and 10 min in use")
		tok = p.token(t, a, "1234", permitAssert, rpID)
		assert(StatusOK, tok, 2, map[int]any{5: options("up", false)})
		time.Sleep(9 * time.Minute)
		assert(StatusOK, tok, 2, map[int]any{5: options("up", false)})
		time.Sleep(time.Minute + time.Second)
		assert(StatusPINAuthInvalid, tok, 2, nil)
	})
}

func TestWhenThePINIsRequired(t *testing.T) {
	for _, c := range []struct {
		name                            string
		o                               Options
		make, makeRK, assert, preflight Status
	}{
		{"no PIN", Options{}, StatusOK, StatusOK, StatusOK, StatusOK},
		{"PIN", Options{PIN: "1234"}, StatusPUATRequired, StatusPUATRequired, StatusOK, StatusOK},
		{"PIN, made without", Options{PIN: "1234", MakeCredUVNotRequired: true}, StatusOK, StatusPUATRequired, StatusOK, StatusOK},
		{"always", Options{PIN: "1234", AlwaysUV: true}, StatusPUATRequired, StatusPUATRequired, StatusPUATRequired, StatusOK},
		{"always, without PIN", Options{AlwaysUV: true}, StatusPUATRequired, StatusPUATRequired, StatusPUATRequired, StatusOK},
		{"always once a PIN is set", Options{PIN: "1234", Quirks: Quirks{AlwaysUVWithPIN: true}}, StatusPUATRequired, StatusPUATRequired, StatusPUATRequired, StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuth(t, c.o)
			cr, err := newCredential(ES256, rpID, user{ID: []byte("u")}, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.state.add(cr); err != nil {
				t.Fatal(err)
			}
			do[nothing](t, a, c.make, cmdMakeCredential, makeParams("v", nil))
			do[nothing](t, a, c.makeRK, cmdMakeCredential, makeParams("v", map[int]any{7: options("rk", true)}))
			do[nothing](t, a, c.assert, cmdGetAssertion, assertParams(allow(cr.ID)))
			do[nothing](t, a, c.preflight, cmdGetAssertion, assertParams(with(allow(cr.ID), map[int]any{5: options("up", false)})))
		})
	}
}
