package virtual

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// Attestation says how a key vouches for a new credential (WebAuthn §6.5.3).
type Attestation string

const (
	// AttestSelf is packed attestation signed with the credential's own key. It is the default.
	AttestSelf Attestation = "self"
	// AttestX5C is packed attestation signed with a key whose certificate comes with it.
	AttestX5C Attestation = "x5c"
	// AttestNone is no attestation.
	AttestNone Attestation = "none"
)

// ParseAttestation reads "self", "x5c" or "none".
func ParseAttestation(s string) (Attestation, error) {
	switch a := Attestation(s); a {
	case AttestSelf, AttestX5C, AttestNone:
		return a, nil
	}
	return "", fmt.Errorf("cannot attest in the way %q: it is self, x5c or none", s)
}

// vouching is the attestation key with its certificate, and the authority that issued it, as DER.
type vouching struct {
	PKCS8 []byte `json:"pkcs8"`
	Cert  []byte `json:"certificate"`
	CA    []byte `json:"authority"`
}

// check reads all parts.
func (v *vouching) check() error {
	if _, err := parsePrivate(v.PKCS8); err != nil {
		return fmt.Errorf("cannot read the attestation key: %w", err)
	}
	for _, der := range [][]byte{v.Cert, v.CA} {
		if _, err := x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("cannot read an attestation certificate: %w", err)
		}
	}
	return nil
}

// statement is a packed attestation statement (WebAuthn §8.2); empty for the format none.
type statement struct {
	Alg int      `cbor:"alg,omitempty"`
	Sig []byte   `cbor:"sig,omitempty"`
	X5C [][]byte `cbor:"x5c,omitempty"`
}

// attest returns the format and statement for a credential whose key is k.
func (a *authenticator) attest(k crypto.Signer, authData, clientDataHash []byte) (string, statement, error) {
	switch a.opts.Attestation {
	case AttestNone:
		return "none", statement{}, nil
	case AttestX5C:
		v := a.state.Attestation
		vk, err := parsePrivate(v.PKCS8)
		if err != nil {
			return "", statement{}, err
		}
		sig, err := a.signed(vk, authData, clientDataHash)
		return "packed", statement{Alg: algorithmOf(vk), Sig: sig, X5C: [][]byte{v.Cert}}, err
	default:
		sig, err := a.signed(k, authData, clientDataHash)
		return "packed", statement{Alg: algorithmOf(k), Sig: sig}, err
	}
}

// oidAAGUID is id-fido-gen-ce-aaguid (WebAuthn §8.2.1).
var oidAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// newVouching makes an authority, and an attestation certificate as WebAuthn §8.2.1 wants it.
func newVouching(aaguid [16]byte) (*vouching, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation key: %w", err)
	}
	model, err := asn1.Marshal(aaguid[:])
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation certificate: %w", err)
	}
	from := time.Now().Add(-time.Hour).UTC()
	until := from.AddDate(30, 0, 0)
	name := func(unit, common string) pkix.Name {
		return pkix.Name{Country: []string{"DE"}, Organization: []string{"Fob"}, OrganizationalUnit: []string{unit}, CommonName: common}
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name("Software Key Authority", "Fob software key CA"), NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: name("Authenticator Attestation", "Fob software key"), NotBefore: from, NotAfter: until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidAAGUID, Value: model}},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation authority: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot make an attestation key: %w", err)
	}
	return &vouching{PKCS8: der, Cert: leafDER, CA: caDER}, nil
}
