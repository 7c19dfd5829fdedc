package audit_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/fido"
)

// signedBy is an entry with a receipt that key signed (ES256).
func signedBy(t testing.TB, key *ecdsa.PrivateKey, request string) audit.Entry {
	t.Helper()
	e := full(request, 1000)
	instance := strings.Repeat("0a", 16)
	data, hash, err := fido.ClientData{
		Instance: instance, Request: e.Request, Kind: e.Kind, Require: e.Require, User: e.User, UID: 1000,
		Service: e.Service, Place: e.Place, Origin: e.Origin, Host: e.Host, Command: "send",
		Nonce: bytes.Repeat([]byte{7}, fido.NonceLen), Time: e.Time.UTC(),
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	rp := sha256.Sum256([]byte("fob:" + instance))
	auth := append(rp[:], 5, 0, 0, 0, 5)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public := append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
	public = append(append(public, 0x22, 0x58, 32), point[33:]...)
	digest := sha256.Sum256(append(bytes.Clone(auth), hash[:]...))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	e.Receipt = &audit.Receipt{RPID: "fob:" + instance, CredentialID: bytes.Repeat([]byte{8}, 64), PublicKey: public,
		Algorithm: fido.AlgES256, ClientData: data, AuthData: auth, Signature: sig}
	return e
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// checkReceipt is what a caller gives as Check.Assertion.
func checkReceipt(e audit.Entry) error {
	r := e.Receipt
	_, _, err := fido.VerifyReceipt(fido.Receipt{
		RPID: r.RPID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm,
		ClientData: r.ClientData, AuthData: r.AuthData, Signature: r.Signature,
	})
	return err
}
