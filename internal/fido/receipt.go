package fido

import (
	"crypto/sha256"

	"github.com/fobproject/fob/internal/policy"
)

// Receipt is a key's part of the record of a decision: all that is needed to check later, without
// the key and without the daemon, that the key approved.
type Receipt struct {
	RPID         string
	CredentialID []byte
	PublicKey    []byte // COSE_Key, CBOR
	Algorithm    int    // COSE algorithm identifier
	ClientData   []byte // verbatim
	AuthData     []byte
	Signature    []byte
}

// VerifyReceipt reports what was approved and how it was proved. Besides the signature and all else
// that VerifyAssertion checks, the client data must be as Encode writes it, and where it requires
// "verified" the key must have verified its user. The counter is not compared with another.
//
// That the receipt's credential belongs to the user whom the client data names, and its RP ID to the
// instance, is for the caller to know.
func VerifyReceipt(r Receipt) (ClientData, Proof, error) {
	c, err := DecodeClientData(r.ClientData)
	if err != nil {
		return ClientData{}, Proof{}, err
	}
	p, err := verifyAssertion(
		Credential{ID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm, RPID: r.RPID},
		sha256.Sum256(r.ClientData),
		Assertion{CredentialID: r.CredentialID, AuthData: r.AuthData, Signature: r.Signature},
		c.Require == policy.Verified.String(),
	)
	if err != nil {
		return ClientData{}, Proof{}, err
	}
	return c, p, nil
}
