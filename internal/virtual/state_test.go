package virtual

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.json")
	a := newAuth(t, Options{StateFile: path, PIN: "1234", MakeCredUVNotRequired: true})
	id, data := made(t, a, "u", nil)
	do[nothing](t, a, StatusPINInvalid, cmdClientPIN, newPlatform(t, a, 2).tokenParams(t, "9999", permitMake, rpID))

	t.Run("is for its owner alone", func(t *testing.T) {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode() != 0o600 {
			t.Fatalf("mode is %v (%v)", fi.Mode(), err)
		}
		if es, err := os.ReadDir(filepath.Dir(path)); err != nil || len(es) != 1 {
			t.Fatalf("%d files lie there (%v)", len(es), err)
		}
	})
	t.Run("outlives the key", func(t *testing.T) {
		b := newAuth(t, Options{StateFile: path, PIN: "1234", MakeCredUVNotRequired: true})
		if n := do[pinAnswer](t, b, StatusOK, cmdClientPIN, map[int]any{2: pinGetRetries}).Retries; *n != 7 {
			t.Fatalf("%d retries are left", *n)
		}
		ans := do[assertAnswer](t, b, StatusOK, cmdGetAssertion, assertParams(allow(id)))
		if counterOf(ans.AuthData) <= counterOf(data) {
			t.Fatal("the counter does not go on")
		}
	})
	t.Run("refuses a different PIN", func(t *testing.T) {
		if _, err := newAuthenticator(Options{StateFile: path, PIN: "4321", MinPINLength: 4}, nil, nil); !errors.Is(err, errPINSet) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("answers with an error, and makes nothing, where it cannot be saved", func(t *testing.T) {
		b := newAuth(t, Options{StateFile: path, MakeCredUVNotRequired: true})
		b.state.path = filepath.Join(path, "below a file")
		do[nothing](t, b, StatusOther, cmdMakeCredential, makeParams("v", nil))
		do[nothing](t, b, StatusOther, cmdClientPIN, newPlatform(t, b, 2).tokenParams(t, "1234", permitMake, rpID))
		do[nothing](t, b, StatusOther, cmdReset, nil)
		b.state.path = path
		if n := len(b.state.Credentials); n != 1 || b.state.PIN.Retries != 7 {
			t.Fatalf("there are %d credentials, %d retries", n, b.state.PIN.Retries)
		}
	})
	t.Run("refuses what is damaged", func(t *testing.T) {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]string{
			"empty":                      "",
			"cut":                        string(good[:len(good)/2]),
			"newer":                      `{"version": 2}`,
			"unknown field":              `{"version": 1, "more": 1}`,
			"no credential":              `{"version": 1, "credentials": [null]}`,
			"no private key":             strings.Replace(string(good), `"pkcs8": "`, `"pkcs8": "AAAA`, 1),
			"another algorithm":          strings.Replace(string(good), `"algorithm": -7`, `"algorithm": -8`, 1),
			"half of what makes secrets": strings.Replace(string(good), `"discoverable"`, `"cred_random": {"with_uv": "AAAA"}, "discoverable"`, 1),
			"too many retries":           strings.Replace(string(good), `"retries": 7`, `"retries": 9`, 1),
			"attestation, damaged":       `{"version": 1, "attestation": {}}`,
		} {
			if _, err := parseState([]byte(bad)); err == nil {
				t.Errorf("%s: takes it", name)
			}
		}
	})
}

func TestLinkReplacesOnlyLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := placeLink("one", path); err != nil {
		t.Fatal(err)
	}
	if err := placeLink("two", path); err != nil {
		t.Fatal(err)
	}
	removeLink("one", path) // it is another's now
	if to, err := os.Readlink(path); err != nil || to != "two" {
		t.Fatalf("leads to %q (%v)", to, err)
	}
	removeLink("two", path)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("it is still there (%v)", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := placeLink("one", path); err == nil {
		t.Fatal("replaces a file")
	}
}

// FuzzState reads state files, and uses what it takes.
func FuzzState(f *testing.F) {
	v, err := newVouching(DefaultAAGUID)
	if err != nil {
		f.Fatal(err)
	}
	for _, alg := range []int{ES256, EdDSA} {
		c, err := newCredential(alg, rpID, user{ID: []byte("u")}, true)
		if err != nil {
			f.Fatal(err)
		}
		if alg == EdDSA {
			c.CredRandom = newCredRandom()
		}
		s := state{Version: stateVersion, Counter: 3, PIN: &pinState{Hash: make([]byte, 16), Retries: 8}, Credentials: []*credential{c}, Attestation: v}
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		for _, c := range s.Credentials {
			k, err := c.private()
			if err != nil {
				t.Fatal(err)
			}
			if pub, err := cose(k); err != nil || bytes.Equal(pub, nil) {
				t.Fatalf("cannot use a credential: %v", err)
			}
		}
	})
}
