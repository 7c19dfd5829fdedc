package fido

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Why an answer of a key is not believed. Errors of VerifyAssertion, VerifyAttestation and
// VerifyReceipt wrap one of these.
var (
	ErrMalformed       = errors.New("the key's answer is malformed")
	ErrWrongRP         = errors.New("the key answered for another RP ID")
	ErrWrongCredential = errors.New("the key answered with another credential")
	ErrNoPresence      = errors.New("the key does not say that it was touched")
	ErrNotVerified     = errors.New("the key did not verify its user")
	ErrBadSignature    = errors.New("the key's signature is wrong")
	ErrCounterBack     = errors.New("the key's counter went back: it may have been cloned")
	ErrAlgorithm       = errors.New("the key's algorithm was not asked for")
	ErrAttestation     = errors.New("the key's attestation cannot be believed")
)

// Credential is what is known of a registered credential before an assertion is verified.
type Credential struct {
	ID        []byte
	PublicKey []byte // COSE_Key, CBOR
	Algorithm int    // COSE algorithm identifier; must be the one that PublicKey names
	RPID      string // hashed as it is: "fob:…" is no domain
	Counter   uint32 // the last one seen
}

// Proof is what a verified assertion proves.
type Proof struct {
	Counter      uint32 // to be stored with the credential
	UserPresent  bool   // always true: an assertion without is refused
	UserVerified bool   // by PIN or fingerprint, on the key
}

// VerifyAssertion reports what a proves about c, or why it proves nothing (WebAuthn §7.2, steps that
// concern the key). It checks the credential id, the authenticator data to its last byte, the hash
// of the RP ID, user presence, user verification if requireUV, and c's signature over authenticator
// data and clientDataHash, in that order.
//
// The counter comes last: where both c's and the key's are zero the key has none; otherwise one that
// is not greater than c's gives ErrCounterBack, and it is the one error with which the Proof is
// returned, so that a possible clone can be recorded. It is never returned for a wrong signature.
//
// VerifyAssertion keeps no state and may be called concurrently.
func VerifyAssertion(c Credential, clientDataHash [32]byte, a Assertion, requireUV bool) (Proof, error) {
	p, err := verifyAssertion(c, clientDataHash, a, requireUV)
	if err != nil {
		return Proof{}, err
	}
	if (p.Counter != 0 || c.Counter != 0) && p.Counter <= c.Counter {
		return p, fmt.Errorf("%w (from %d to %d)", ErrCounterBack, c.Counter, p.Counter)
	}
	return p, nil
}

// verifyAssertion is VerifyAssertion without the counter.
func verifyAssertion(c Credential, clientDataHash [32]byte, a Assertion, requireUV bool) (Proof, error) {
	if len(c.ID) == 0 || !bytes.Equal(c.ID, a.CredentialID) {
		return Proof{}, ErrWrongCredential
	}
	d, err := parseAuthData(a.AuthData)
	if err != nil {
		return Proof{}, err
	}
	if d.has(flagAT) {
		return Proof{}, fmt.Errorf("%w: an assertion with attested credential data", ErrMalformed)
	}
	if err := checkHeader(d, c.RPID); err != nil {
		return Proof{}, err
	}
	if requireUV && !d.has(flagUV) {
		return Proof{}, ErrNotVerified
	}
	key, err := parsePublicKey(c.PublicKey)
	if err != nil {
		return Proof{}, err
	}
	if key.alg != c.Algorithm {
		return Proof{}, fmt.Errorf("%w: the credential was registered with %d and its public key names %d", ErrAlgorithm, c.Algorithm, key.alg)
	}
	if err := key.verify(signed(a.AuthData, clientDataHash), a.Signature); err != nil {
		return Proof{}, err
	}
	return Proof{Counter: d.counter, UserPresent: d.has(flagUP), UserVerified: d.has(flagUV)}, nil
}

// checkHeader checks what assertions and attestations have in common.
func checkHeader(d authData, rpID string) error {
	if d.rpIDHash != sha256.Sum256([]byte(rpID)) {
		return ErrWrongRP
	}
	if !d.has(flagUP) {
		return ErrNoPresence
	}
	return nil
}

// signed is what a key signs: authenticator data, then the client data hash.
func signed(authData []byte, clientDataHash [32]byte) []byte {
	return append(bytes.Clone(authData), clientDataHash[:]...)
}
