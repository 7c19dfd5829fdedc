package fido

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// The values of Registration.Attestation.
const (
	AttestationPacked     = "packed"      // signed by the certificate that came with it
	AttestationPackedSelf = "packed-self" // signed by the new credential itself
	AttestationU2F        = "fido-u2f"    // signed by the certificate that came with it
	AttestationNone       = "none"        // no signature
)

// maxChain bounds the certificates of a statement; the first alone is read.
const maxChain = 8

// Registration is a new credential whose attestation was verified.
type Registration struct {
	CredentialID []byte
	PublicKey    []byte // COSE_Key, CBOR
	Algorithm    int    // COSE algorithm identifier
	AAGUID       []byte // 16 bytes, the key's model; zeros where it says none
	Counter      uint32
	UserVerified bool
	Attestation  string // one of the constants above
	HMACSecret   bool   // the key confirms that the credential makes secrets of salts
}

// VerifyAttestation checks what a key answered to MakeArgs (WebAuthn §7.1, steps that concern the
// key): authenticator data to its last byte, the hash of the RP ID, user presence, a credential id
// of 1 to 1,023 bytes, a public key of one of wantAlg, and the attestation's signature where there is
// one: "packed" with a certificate or with the credential's own key (§8.2), "fido-u2f" (§8.6), or
// "none" with nothing (§8.7). Other formats fail with ErrAttestation.
//
// A certificate is not traced to a root, and its dates and subject are not looked at: nobody is
// trusted for them. The signature says that the answer is whole and that the certificate's key
// vouches for it, not whose that key is. Whoever starts to check roots checks §8.2.1's subject too.
//
// What is returned is a copy. VerifyAttestation keeps no state and may be called concurrently.
func VerifyAttestation(rpID string, clientDataHash [32]byte, wantAlg []int, a Attestation) (Registration, error) {
	d, err := parseAuthData(a.AuthData)
	if err != nil {
		return Registration{}, err
	}
	if err := checkHeader(d, rpID); err != nil {
		return Registration{}, err
	}
	if !d.has(flagAT) {
		return Registration{}, fmt.Errorf("%w: an attestation without credential", ErrMalformed)
	}
	key, err := parsePublicKey(d.publicKey)
	if err != nil {
		return Registration{}, err
	}
	if !slices.Contains(wantAlg, key.alg) {
		return Registration{}, fmt.Errorf("%w: COSE algorithm %d", ErrAlgorithm, key.alg)
	}
	kind, err := verifyStatement(a, d, key, clientDataHash)
	if err != nil {
		return Registration{}, err
	}
	return Registration{
		CredentialID: bytes.Clone(d.credentialID),
		PublicKey:    bytes.Clone(d.publicKey),
		Algorithm:    key.alg,
		AAGUID:       bytes.Clone(d.aaguid),
		Counter:      d.counter,
		UserVerified: d.has(flagUV),
		Attestation:  kind,
		HMACSecret:   d.extensions[hmacSecret] == true,
	}, nil
}

// verifyStatement checks a's statement and says what kind it is.
func verifyStatement(a Attestation, d authData, key publicKey, clientDataHash [32]byte) (string, error) {
	switch a.Format {
	case AttestationNone:
		if len(a.Statement) != 0 && !bytes.Equal(a.Statement, []byte{0xa0}) {
			return "", fmt.Errorf("%w: format none with a statement", ErrAttestation)
		}
		return AttestationNone, nil
	case AttestationPacked:
		s, err := parseStatement(a.Statement)
		if err != nil {
			return "", err
		}
		return s.verifyPacked(d, key, signed(a.AuthData, clientDataHash))
	case AttestationU2F:
		s, err := parseStatement(a.Statement)
		if err != nil {
			return "", err
		}
		return AttestationU2F, s.verifyU2F(d, key, clientDataHash)
	default:
		return "", fmt.Errorf("%w: format %.32q is not known", ErrAttestation, a.Format)
	}
}

// statement is a packed or U2F attestation statement.
type statement struct {
	alg   *int64 // nil if absent
	sig   []byte
	chain [][]byte // nil if absent, never empty
}

// parseStatement reads the members that the two formats have, and ignores others. Its errors wrap
// ErrAttestation.
func parseStatement(b []byte) (statement, error) {
	if len(b) == 0 || len(b) > maxStatement || b[0]>>5 != 5 {
		return statement{}, fmt.Errorf("%w: a statement that is no map, or too long (%d bytes)", ErrAttestation, len(b))
	}
	var m struct {
		Alg   *int64          `cbor:"alg"`
		Sig   cbor.ByteString `cbor:"sig"`
		X5C   cbor.RawMessage `cbor:"x5c"`
		ECDAA cbor.RawMessage `cbor:"ecdaaKeyId"`
	}
	if err := looseCBOR.Unmarshal(b, &m); err != nil {
		return statement{}, fmt.Errorf("%w: cannot read the statement: %v", ErrAttestation, err)
	}
	if m.ECDAA != nil {
		return statement{}, fmt.Errorf("%w: ECDAA is not known", ErrAttestation)
	}
	if len(m.Sig) == 0 || len(m.Sig) > maxSignature {
		return statement{}, fmt.Errorf("%w: a signature of %d bytes", ErrAttestation, len(m.Sig))
	}
	s := statement{alg: m.Alg, sig: []byte(m.Sig)}
	if m.X5C == nil {
		return s, nil
	}
	var chain []cbor.ByteString
	if err := looseCBOR.Unmarshal(m.X5C, &chain); err != nil {
		return statement{}, fmt.Errorf("%w: cannot read the certificates: %v", ErrAttestation, err)
	}
	if len(chain) == 0 || len(chain) > maxChain {
		return statement{}, fmt.Errorf("%w: %d certificates", ErrAttestation, len(chain))
	}
	for _, c := range chain {
		s.chain = append(s.chain, []byte(c))
	}
	return s, nil
}

// verifyPacked follows WebAuthn §8.2.
func (s statement) verifyPacked(d authData, key publicKey, data []byte) (string, error) {
	if s.alg == nil {
		return "", fmt.Errorf("%w: the statement names no algorithm", ErrAttestation)
	}
	if s.chain == nil {
		if *s.alg != int64(key.alg) {
			return "", fmt.Errorf("%w: it is signed with algorithm %d and the credential has %d", ErrAttestation, *s.alg, key.alg)
		}
		if err := key.verify(data, s.sig); err != nil {
			return "", fmt.Errorf("%w: %w", ErrAttestation, err)
		}
		return AttestationPackedSelf, nil
	}
	cert, err := x509.ParseCertificate(s.chain[0])
	if err != nil {
		return "", fmt.Errorf("%w: cannot read its certificate: %v", ErrAttestation, err)
	}
	if cert.Version != 3 || cert.IsCA {
		return "", fmt.Errorf("%w: its certificate is not for attestation (version %d, authority %t)", ErrAttestation, cert.Version, cert.IsCA)
	}
	if err := checkAAGUID(cert, d.aaguid); err != nil {
		return "", err
	}
	alg, err := signatureAlgorithm(cert, *s.alg)
	if err != nil {
		return "", err
	}
	if err := cert.CheckSignature(alg, data, s.sig); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAttestation, ErrBadSignature)
	}
	return AttestationPacked, nil
}

// signatureAlgorithm binds a COSE algorithm to the type and curve that the certificate's key must
// have for it.
func signatureAlgorithm(cert *x509.Certificate, alg int64) (x509.SignatureAlgorithm, error) {
	curve := elliptic.Curve(nil)
	if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
		curve = pub.Curve
	}
	switch {
	case alg == AlgES256 && curve == elliptic.P256():
		return x509.ECDSAWithSHA256, nil
	case alg == AlgES384 && curve == elliptic.P384():
		return x509.ECDSAWithSHA384, nil
	case alg == AlgEdDSA && cert.PublicKeyAlgorithm == x509.Ed25519:
		return x509.PureEd25519, nil
	case alg == AlgRS256 && cert.PublicKeyAlgorithm == x509.RSA:
		return x509.SHA256WithRSA, nil
	}
	return 0, fmt.Errorf("%w: algorithm %d does not go with its certificate's key (%s)", ErrAttestation, alg, cert.PublicKeyAlgorithm)
}

// oidAAGUID is id-fido-gen-ce-aaguid (WebAuthn §8.2.1).
var oidAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// checkAAGUID compares the certificate's AAGUID, where it has one, with the authenticator data's.
func checkAAGUID(cert *x509.Certificate, aaguid []byte) error {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidAAGUID) {
			continue
		}
		var v []byte
		if rest, err := asn1.Unmarshal(e.Value, &v); err != nil || len(rest) != 0 || e.Critical {
			return fmt.Errorf("%w: its certificate's AAGUID is malformed", ErrAttestation)
		}
		if !bytes.Equal(v, aaguid) {
			return fmt.Errorf("%w: its certificate is for another model of key", ErrAttestation)
		}
	}
	return nil
}

// verifyU2F follows WebAuthn §8.6. libfido2, which translates for keys that speak U2F only, adds an
// "alg" to the statement.
func (s statement) verifyU2F(d authData, key publicKey, clientDataHash [32]byte) error {
	pub, ok := key.key.(webauthncose.EC2PublicKeyData)
	if !ok || key.alg != AlgES256 || (s.alg != nil && *s.alg != AlgES256) {
		return fmt.Errorf("%w: U2F with an algorithm other than ES256", ErrAttestation)
	}
	if len(s.chain) != 1 {
		return fmt.Errorf("%w: U2F with %d certificates", ErrAttestation, len(s.chain))
	}
	cert, err := x509.ParseCertificate(s.chain[0])
	if err != nil {
		return fmt.Errorf("%w: cannot read its certificate: %v", ErrAttestation, err)
	}
	alg, err := signatureAlgorithm(cert, AlgES256)
	if err != nil {
		return err
	}
	data := slices.Concat([]byte{0}, d.rpIDHash[:], clientDataHash[:], d.credentialID, []byte{4}, pub.XCoord, pub.YCoord)
	if err := cert.CheckSignature(alg, data, s.sig); err != nil {
		return fmt.Errorf("%w: %w", ErrAttestation, ErrBadSignature)
	}
	return nil
}
