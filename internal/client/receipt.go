package client

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/fido"
)

// rpPrefix stands before the instance's id in every RP ID that Fob uses for approvals.
const rpPrefix = "fob:"

// Approval is what a receipt proves: a key with this public key signed these words.
type Approval struct {
	Signed fido.ClientData
	Proof  fido.Proof
}

// CheckReceipt checks, without the daemon and without the key, that a log entry's receipt holds: the
// signature is the key's, it was touched (and knew its user, where the entry says so), and what it
// signed is what the entry says. Its errors wrap ErrNoReceipt or ErrReceipt.
//
// It does not know whether the public key is the one that the user once registered.
func CheckReceipt(e api.LogEntry) (Approval, error) {
	if e.Receipt == nil || e.Decision != api.Approved {
		return Approval{}, fmt.Errorf("%w: entry %d of the log says %q", ErrNoReceipt, e.Seq, e.Decision)
	}
	r := e.Receipt
	signed, proof, err := fido.VerifyReceipt(fido.Receipt{
		RPID: r.RPID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm,
		ClientData: r.ClientData, AuthData: r.AuthData, Signature: r.Signature,
	})
	if err != nil {
		return Approval{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	err = signed.Agrees(fido.ClientData{
		Instance: strings.TrimPrefix(r.RPID, rpPrefix), Request: e.Request, Kind: e.Kind, Require: e.Require, User: e.User, Service: e.Service,
		Place: e.Place, Origin: e.Origin, Host: e.Host, Executable: e.Executable, CommandHash: e.CommandHash, SSHKey: e.SSHKey,
	})
	if err != nil || !strings.HasPrefix(r.RPID, rpPrefix) {
		return Approval{}, fmt.Errorf("%w: %w", ErrReceipt, cmp.Or(err, errors.New("it is no RP ID of Fob's")))
	}
	if e.Strength == "verified" && !proof.UserVerified {
		return Approval{}, fmt.Errorf("%w: the log says verified, but the key did not check a PIN or fingerprint", ErrReceipt)
	}
	return Approval{Signed: signed, Proof: proof}, nil
}

// Exported names the files that ExportReceipt wrote.
type Exported struct {
	ClientData string // what the key signed, verbatim
	Assertion  string // input of fido2-assert -V
	PublicKey  string // PEM
	Type       string // the key's type as fido2-assert calls it: es256, es384, rs256 or eddsa
}

// ExportReceipt writes a receipt's files into a folder, which it makes where it is missing, in the
// form that libfido2's "fido2-assert -V" and openssl read. It overwrites nothing.
func ExportReceipt(dir string, r api.Receipt) (Exported, error) {
	kind, ok := map[int]string{fido.AlgES256: "es256", fido.AlgEdDSA: "eddsa", fido.AlgES384: "es384", fido.AlgRS256: "rs256"}[r.Algorithm]
	if !ok {
		return Exported{}, fmt.Errorf("cannot write a public key of COSE algorithm %d", r.Algorithm)
	}
	public := webauthncose.DisplayPublicKey(r.PublicKey)
	if block, _ := pem.Decode([]byte(public)); block == nil {
		return Exported{}, fmt.Errorf("cannot write the receipt's public key: it makes no sense")
	}
	if strings.ContainsAny(r.RPID, "\n\x00") {
		return Exported{}, fmt.Errorf("cannot write the receipt: its RP ID %q is no line of text", r.RPID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Exported{}, fmt.Errorf("cannot make the folder: %w", err)
	}
	hash := sha256.Sum256(r.ClientData)
	assertion := strings.Join([]string{
		base64.StdEncoding.EncodeToString(hash[:]),
		r.RPID,
		base64.StdEncoding.EncodeToString(cborBytes(r.AuthData)),
		base64.StdEncoding.EncodeToString(r.Signature),
	}, "\n") + "\n"
	out := Exported{
		ClientData: filepath.Join(dir, "client-data.json"),
		Assertion:  filepath.Join(dir, "assertion"),
		PublicKey:  filepath.Join(dir, "public-key.pem"),
		Type:       kind,
	}
	for _, file := range []struct {
		path string
		data []byte
	}{{out.ClientData, r.ClientData}, {out.Assertion, []byte(assertion)}, {out.PublicKey, []byte(strings.TrimSpace(public) + "\n")}} {
		if err := writeNew(file.path, file.data); err != nil {
			return Exported{}, err
		}
	}
	return out, nil
}

// cborBytes is b as a CBOR byte string (RFC 8949 §3.1), which is how libfido2 takes authenticator
// data. b is shorter than 64 KiB.
func cborBytes(b []byte) []byte {
	const major = 2 << 5
	var head []byte
	switch n := len(b); {
	case n < 24:
		head = []byte{major | byte(n)}
	case n < 1<<8:
		head = []byte{major | 24, byte(n)}
	default:
		head = []byte{major | 25, byte(n >> 8), byte(n)}
	}
	return append(head, b...)
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write a file of the receipt: %w", err)
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("cannot write a file of the receipt: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot write a file of the receipt: %w", err)
	}
	return nil
}
