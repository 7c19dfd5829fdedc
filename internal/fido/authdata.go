package fido

import (
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Bounds on what a key answers, in bytes. Real answers are far below them.
const (
	maxAuthData     = 16 << 10
	maxStatement    = 64 << 10
	maxSignature    = 1 << 10
	maxCredentialID = 1023 // WebAuthn §4, "Credential ID"
	maxPublicKey    = 2 << 10
)

// The flags of authenticator data (WebAuthn §6.1).
const (
	flagUP = 1 << 0 // user present
	flagUV = 1 << 2 // user verified
	flagBE = 1 << 3 // credential may be backed up
	flagBS = 1 << 4 // credential is backed up
	flagAT = 1 << 6 // attested credential data follows
	flagED = 1 << 7 // extension data follows
)

// The fixed parts of authenticator data, in bytes.
const (
	rpIDHashLen   = 32
	authHeaderLen = rpIDHashLen + 1 + 4
	aaguidLen     = 16
	attHeaderLen  = aaguidLen + 2
)

// authData is parsed authenticator data (WebAuthn §6.1). Its slices point into what was parsed.
type authData struct {
	rpIDHash [rpIDHashLen]byte
	flags    byte
	counter  uint32

	// Attested credential data, only where flagAT is set.
	aaguid       []byte
	credentialID []byte
	publicKey    []byte // COSE_Key, exactly its CBOR item

	extensions map[string]any // outputs by name, only where flagED is set
}

func (a authData) has(flag byte) bool { return a.flags&flag != 0 }

// looseCBOR reads what a key sent: definite lengths, no tags, no duplicate names, bounded. The order
// of map entries is not enforced: some firmware does not sort.
var looseCBOR = mustDecMode(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	IndefLength:       cbor.IndefLengthForbidden,
	TagsMd:            cbor.TagsForbidden,
	FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	MaxNestedLevels:   5,
	MaxArrayElements:  1 << 10,
	MaxMapPairs:       64,
})

func mustDecMode(o cbor.DecOptions) cbor.DecMode {
	m, err := o.DecMode()
	if err != nil {
		panic(err) // the options are constants: wrong ones fail every test
	}
	return m
}

// parseAuthData reads authenticator data to its last byte. Its errors wrap ErrMalformed.
func parseAuthData(b []byte) (authData, error) {
	var a authData
	if len(b) < authHeaderLen || len(b) > maxAuthData {
		return authData{}, fmt.Errorf("%w: authenticator data of %d bytes", ErrMalformed, len(b))
	}
	copy(a.rpIDHash[:], b)
	a.flags = b[rpIDHashLen]
	a.counter = binary.BigEndian.Uint32(b[rpIDHashLen+1:])
	if a.has(flagBS) && !a.has(flagBE) {
		return authData{}, fmt.Errorf("%w: the credential is backed up but cannot be", ErrMalformed)
	}
	rest := b[authHeaderLen:]
	var err error
	if a.has(flagAT) {
		if rest, err = a.parseAttested(rest); err != nil {
			return authData{}, err
		}
	}
	if a.has(flagED) {
		if rest, err = a.parseExtensions(rest); err != nil {
			return authData{}, err
		}
	}
	if len(rest) != 0 {
		return authData{}, fmt.Errorf("%w: %d bytes after the authenticator data", ErrMalformed, len(rest))
	}
	return a, nil
}

// parseAttested reads attested credential data (WebAuthn §6.5.2) and returns what follows it.
func (a *authData) parseAttested(b []byte) ([]byte, error) {
	if len(b) < attHeaderLen {
		return nil, fmt.Errorf("%w: the attested credential data is cut short", ErrMalformed)
	}
	a.aaguid = b[:aaguidLen]
	n := int(binary.BigEndian.Uint16(b[aaguidLen:]))
	b = b[attHeaderLen:]
	if n < 1 || n > maxCredentialID || n > len(b) {
		return nil, fmt.Errorf("%w: a credential id of %d bytes", ErrMalformed, n)
	}
	a.credentialID, b = b[:n], b[n:]
	var item cbor.RawMessage
	rest, err := looseCBOR.UnmarshalFirst(b, &item)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot read the public key: %v", ErrMalformed, err)
	}
	a.publicKey = b[:len(b)-len(rest)]
	return rest, nil
}

// parseExtensions reads the one map of extensions' outputs that b begins with and returns what follows.
func (a *authData) parseExtensions(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0]>>5 != 5 {
		return nil, fmt.Errorf("%w: the extension data is no map", ErrMalformed)
	}
	rest, err := looseCBOR.UnmarshalFirst(b, &a.extensions)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot read the extension data: %v", ErrMalformed, err)
	}
	return rest, nil
}
