package client

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/fido"
)

// approved makes a log entry with a receipt that a key of the given algorithm signed.
func approved(t testing.TB, alg int, flags byte) api.LogEntry {
	t.Helper()
	const instance = "0123456789abcdef"
	e := api.LogEntry{
		Seq: 3, Time: time.Now().UTC(), Request: "r1", Kind: api.KindSignIn, Decision: api.Approved, User: "alice",
		Service: "app:1000:mailer", Place: "local", Require: "key", Strength: "key", Origin: "192.0.2.7", Host: "desk",
	}
	data, hash, err := fido.ClientData{
		Instance: instance, Request: e.Request, Kind: e.Kind, Require: e.Require, User: e.User, UID: 1000,
		Service: e.Service, Place: e.Place, Origin: e.Origin, Host: e.Host, Command: "send",
		Nonce: bytes.Repeat([]byte{7}, fido.NonceLen), Time: e.Time,
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	rp := rpPrefix + instance
	rpHash := sha256.Sum256([]byte(rp))
	auth := append(rpHash[:], flags, 0, 0, 0, 5)
	signed := append(bytes.Clone(auth), hash[:]...)
	r := &api.Receipt{RPID: rp, CredentialID: []byte("credential"), Algorithm: alg, ClientData: data, AuthData: auth}
	switch alg {
	case fido.AlgES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		r.PublicKey = append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
		r.PublicKey = append(append(r.PublicKey, 0x22, 0x58, 32), point[33:]...)
		digest := sha256.Sum256(signed)
		if r.Signature, err = key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	case fido.AlgEdDSA:
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r.PublicKey = append([]byte{0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32}, public...)
		r.Signature = ed25519.Sign(key, signed)
	}
	e.Receipt = r
	return e
}

func TestCheckReceipt(t *testing.T) {
	t.Run("says what was approved", func(t *testing.T) {
		for _, alg := range []int{fido.AlgES256, fido.AlgEdDSA} {
			got, err := CheckReceipt(approved(t, alg, 0x05))
			if err != nil || got.Signed.Command != "send" || !got.Proof.UserVerified {
				t.Errorf("algorithm %d: got %+v, %v", alg, got, err)
			}
		}
	})
	for name, change := range map[string]func(*api.LogEntry){
		"another user":                   func(e *api.LogEntry) { e.User = "bob" },
		"another request":                func(e *api.LogEntry) { e.Request = "r2" },
		"another service":                func(e *api.LogEntry) { e.Service = "app:1000:bank" },
		"another kind":                   func(e *api.LogEntry) { e.Kind = api.KindTest },
		"another strength required":      func(e *api.LogEntry) { e.Require = "verified" },
		"a verification that was none":   func(e *api.LogEntry) { e.Strength = "verified" },
		"another place":                  func(e *api.LogEntry) { e.Place = "remote" },
		"another origin":                 func(e *api.LogEntry) { e.Origin = "192.0.2.8" },
		"another host":                   func(e *api.LogEntry) { e.Host = "" },
		"another RP ID":                  func(e *api.LogEntry) { e.Receipt.RPID = "fob:other" },
		"client data with a byte more":   func(e *api.LogEntry) { e.Receipt.ClientData = append(e.Receipt.ClientData, ' ') },
		"a signature with a bit flipped": func(e *api.LogEntry) { e.Receipt.Signature[9] ^= 1 },
		"no touch":                       func(e *api.LogEntry) { e.Receipt.AuthData[32] = 0 },
		"no public key":                  func(e *api.LogEntry) { e.Receipt.PublicKey = nil },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			e := approved(t, fido.AlgES256, 0x01)
			change(&e)
			if _, err := CheckReceipt(e); !errors.Is(err, ErrReceipt) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("says that a denial has none", func(t *testing.T) {
		if _, err := CheckReceipt(api.LogEntry{Decision: api.Denied}); !errors.Is(err, ErrNoReceipt) {
			t.Errorf("got %v", err)
		}
	})
}

func TestExportReceipt(t *testing.T) {
	t.Run("writes what fido2-assert verifies", func(t *testing.T) {
		program, err := exec.LookPath("fido2-assert")
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		for _, alg := range []int{fido.AlgES256, fido.AlgEdDSA} {
			e := approved(t, alg, 0x05)
			files, err := ExportReceipt(filepath.Join(t.TempDir(), "new", "folder"), *e.Receipt)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, "-V", "-p", "-v", "-i", files.Assertion, files.PublicKey, files.Type).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", files.Type, err, out)
			}
			if data, err := os.ReadFile(files.ClientData); err != nil || !bytes.Equal(data, e.Receipt.ClientData) {
				t.Errorf("client data is not verbatim: %v", err)
			}
		}
	})
	t.Run("overwrites nothing", func(t *testing.T) {
		e, dir := approved(t, fido.AlgES256, 1), t.TempDir()
		if _, err := ExportReceipt(dir, *e.Receipt); err != nil {
			t.Fatal(err)
		}
		if _, err := ExportReceipt(dir, *e.Receipt); !errors.Is(err, os.ErrExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a public key that makes no sense, and writes nothing", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := ExportReceipt(dir, api.Receipt{Algorithm: fido.AlgES256, PublicKey: []byte{1}}); err == nil {
			t.Error("took it")
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("wraps authenticator data as a CBOR byte string of any length", func(t *testing.T) {
		for n, want := range map[int][]byte{5: {0x45}, 37: {0x58, 37}, 300: {0x59, 1, 44}} {
			if got := cborBytes(make([]byte, n)); !bytes.HasPrefix(got, want) || len(got) != n+len(want) {
				t.Errorf("%d bytes begin with % x", n, got[:3])
			}
		}
	})
}
