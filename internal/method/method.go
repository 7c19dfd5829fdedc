// Package method keeps the sign-in methods that each user has registered.
package method

import (
	"errors"
	"time"

	"github.com/fobproject/fob/internal/policy"
)

// What a change of methods may end in.
var (
	ErrNotFound  = errors.New("there is no such sign-in method")
	ErrNameTaken = errors.New("another sign-in method has this name")
	ErrBadName   = errors.New("a name is 1 to 64 printable characters")
	ErrLast      = errors.New("this is the last sign-in method")
	ErrExists    = errors.New("this credential is registered already")
	ErrOthers    = errors.New("these sign-in methods are another user's")
	ErrClone     = errors.New("the key's counter went back: it may have been cloned")
)

// Type says what a method is.
type Type string

// The types of method.
const (
	TypeKey   Type = "key"   // a credential on a security key
	TypeToken Type = "token" // a hardware token whose codes are verified here
	// TypeRecovery is a set of recovery codes, which package recovery keeps: a way back, not a way in.
	TypeRecovery Type = "recovery"
)

// Method is one registered method of a user.
type Method struct {
	ID      string    `json:"id"`
	UID     uint32    `json:"uid"`
	User    string    `json:"user"` // login name when it was registered
	Type    Type      `json:"type"`
	Name    string    `json:"name"`
	Default bool      `json:"default"`
	Added   time.Time `json:"added"`
	Used    time.Time `json:"used,omitzero"` // zero if never
	// Suspect is set when the key's counter went back.
	Suspect bool   `json:"suspect,omitempty"`
	Key     *Key   `json:"key,omitempty"`
	Token   *Token `json:"token,omitempty"`
	// Left is how many codes are left, of a method of TypeRecovery; whoever lists methods fills it in.
	Left int `json:"-"`
}

// Key is what a method of TypeKey holds: a credential (CTAP 2.1 §6.1) and its last counter.
type Key struct {
	RPID         string `json:"rp_id"`
	CredentialID []byte `json:"credential_id"`
	PublicKey    []byte `json:"public_key"` // COSE_Key, CBOR
	Algorithm    int    `json:"algorithm"`  // COSE algorithm identifier
	AAGUID       []byte `json:"aaguid"`
	Counter      uint32 `json:"counter"`
	// UV says that the key has verified its user with this credential (PIN or fingerprint).
	UV bool `json:"uv"`
	// Attestation is the format whose signature was verified when the key was registered: "packed",
	// "packed-self", "fido-u2f", or "none" where the key gave no signature.
	Attestation string `json:"attestation"`
	// KeyID is the device id under which the key was last seen; a hint, nothing more.
	KeyID string `json:"key_id,omitempty"`
}

// Token is what a method of TypeToken holds: the token stands in the registry, package token.
type Token struct {
	Serial string `json:"serial"`
}

// Registration is what a key answered when it was registered, verbatim, for later checks (WebAuthn
// §7.1). It stands apart from the method, which is written at every use.
type Registration struct {
	Format     string `json:"format"`
	Statement  []byte `json:"statement"`
	AuthData   []byte `json:"auth_data"`
	ClientData []byte `json:"client_data"`
}

// Strength is the strongest approval that the method gives.
func (m Method) Strength() policy.Strength {
	switch {
	case m.Key != nil && m.Key.UV:
		return policy.Verified
	case m.Key != nil:
		return policy.Key
	case m.Token != nil:
		return policy.Code
	}
	return policy.None
}

// Of gives the methods of one type, in their order.
func Of(ms []Method, t Type) []Method {
	var of []Method
	for _, m := range ms {
		if m.Type == t {
			of = append(of, m)
		}
	}
	return of
}
