package fido

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/fobproject/fob/internal/secret"
)

// The operations that fob-helper runs on a key, one a process. Their arguments and results travel
// as JSON between fobd and fob-helper; both sides use the types of this file.
const (
	OpInfo   = "fido.info"
	OpMake   = "fido.make-credential"
	OpAssert = "fido.assert"
	OpSelect = "fido.select"
	OpSetPIN = "fido.set-pin"
	OpReset  = "fido.reset"
)

// Target names the device of an operation. TimeoutMS bounds the whole operation, from open to
// close, in milliseconds; zero is refused.
type Target struct {
	Path      string `json:"path"`
	TimeoutMS int64  `json:"timeout_ms"`
}

// PIN is a PIN on its way to the helper: it marshals to its true value, and shows nothing in fmt and
// slog. It must be wiped by who made it.
type PIN []byte

// Format shows nothing, whatever the verb.
func (PIN) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue shows nothing.
func (PIN) LogValue() slog.Value { return slog.StringValue("[secret]") }

// RevealPIN makes the PIN that is sent to the helper; a nil or empty secret gives nil.
func RevealPIN(s *secret.Secret) PIN {
	if s.Len() == 0 {
		return nil
	}
	return PIN(s.Reveal())
}

// HMACSecret is what a key answers to a salt (CTAP 2.1 §12.5): it marshals to its true value, and shows
// nothing in fmt and slog. It must be wiped by who gets it.
type HMACSecret []byte

// Format shows nothing, whatever the verb.
func (HMACSecret) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue shows nothing.
func (HMACSecret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// hmacSecret is the extension's name.
const hmacSecret = "hmac-secret"

// The lengths of a salt and of what a key makes of it, in bytes.
const (
	SaltLen       = 32
	HMACSecretLen = 32
)

// InfoArgs asks for authenticatorGetInfo and, if ClientPIN is true, the PIN retries left.
type InfoArgs struct {
	Target
}

// Info is what a key says of itself (CTAP 2.1 §6.4).
type Info struct {
	// FIDO2 is false for a key that speaks U2F only; then all other fields are empty.
	FIDO2      bool            `json:"fido2"`
	Versions   []string        `json:"versions,omitempty"`
	Extensions []string        `json:"extensions,omitempty"`
	AAGUID     []byte          `json:"aaguid,omitempty"`
	Options    map[string]bool `json:"options,omitempty"`
	Algorithms []int           `json:"algorithms,omitempty"` // COSE algorithm identifiers
	Protocols  []int           `json:"pin_protocols,omitempty"`
	MinPIN     int             `json:"min_pin,omitempty"` // in Unicode code points; 4 where the key does not say
	// PINRetries is the number of wrong PINs left before the key locks its PIN for good; nil where
	// no PIN is set: some keys crash when asked.
	PINRetries *int   `json:"pin_retries,omitempty"`
	Firmware   uint64 `json:"firmware,omitempty"`
	// NewPINRequired says that the key wants its PIN changed before anything else (forcePINChange).
	NewPINRequired bool `json:"new_pin_required,omitempty"`
	MaxCredIDLen   int  `json:"max_cred_id_len,omitempty"`
	MaxCredCount   int  `json:"max_cred_count,omitempty"` // credentials an allow list may hold; 0 if unsaid
}

// HasPIN reports whether a PIN is set.
func (i Info) HasPIN() bool { return i.Options["clientPin"] }

// SupportsPIN reports whether a PIN can be set.
func (i Info) SupportsPIN() bool { _, ok := i.Options["clientPin"]; return ok }

// HasUV reports whether the key verifies its user by itself (fingerprint) and is set up for it.
func (i Info) HasUV() bool { return i.Options["uv"] }

// AlwaysUV reports whether the key wants user verification at every operation.
func (i Info) AlwaysUV() bool { return i.Options["alwaysUv"] }

// SupportsHMACSecret reports whether the key can make secrets of salts (CTAP 2.1 §12.5).
func (i Info) SupportsHMACSecret() bool { return slices.Contains(i.Extensions, hmacSecret) }

// Supports reports whether the key offers the COSE algorithm alg. Keys before CTAP 2.1 do not list
// theirs and have ES256.
func (i Info) Supports(alg int) bool {
	if len(i.Algorithms) == 0 {
		return alg == AlgES256
	}
	return slices.Contains(i.Algorithms, alg)
}

// COSE algorithm identifiers (RFC 9053).
const (
	AlgES256 = -7
	AlgEdDSA = -8
	AlgES384 = -35
	AlgRS256 = -257
)

// MakeArgs asks for a new, non-discoverable credential (CTAP 2.1 §6.1).
type MakeArgs struct {
	Target
	RPID           string   `json:"rp_id"`
	RPName         string   `json:"rp_name"`
	UserID         []byte   `json:"user_id"`
	UserName       string   `json:"user_name"`
	ClientDataHash []byte   `json:"client_data_hash"`
	Algorithm      int      `json:"algorithm"`
	Exclude        [][]byte `json:"exclude,omitempty"`
	// PIN is sent where the key has one; nil otherwise.
	PIN PIN `json:"pin,omitempty"`
	// UV asks the key to verify its user by itself (built-in fingerprint reader).
	UV bool `json:"uv,omitempty"`
	// HMACSecret asks for a credential that makes secrets of salts. A key without hmac-secret is then
	// not touched, and the error is ErrNoHMACSecret.
	HMACSecret bool `json:"hmac_secret,omitempty"`
}

// Attestation is what a key answers to MakeArgs, unverified.
type Attestation struct {
	Format string `json:"format"`
	// AuthData is the raw authenticator data, not wrapped in CBOR.
	AuthData []byte `json:"auth_data"`
	// Statement is the attestation statement as the key sent it, CBOR.
	Statement []byte `json:"statement"`
}

// AssertArgs asks for assertions over a client data hash (CTAP 2.1 §6.2).
type AssertArgs struct {
	Target
	RPID           string   `json:"rp_id"`
	ClientDataHash []byte   `json:"client_data_hash"`
	Allow          [][]byte `json:"allow"`
	// Silent asks with up=false: nobody need touch the key, and the answer only says which
	// credentials it holds.
	Silent bool `json:"silent,omitempty"`
	// PIN is sent for user verification; nil otherwise.
	PIN PIN `json:"pin,omitempty"`
	// UV asks the key to verify its user by itself.
	UV bool `json:"uv,omitempty"`
	// Salt asks for the secret that the credential makes of it: SaltLen bytes, or nil. It goes with
	// exactly one credential in Allow, which was made with HMACSecret, and not with Silent. The secret
	// with user verification is another than the one without.
	Salt []byte `json:"salt,omitempty"`
}

// Assertion is one of a key's answers to AssertArgs, unverified.
type Assertion struct {
	CredentialID []byte `json:"credential_id"`
	// AuthData is the raw authenticator data, not wrapped in CBOR.
	AuthData  []byte `json:"auth_data"`
	Signature []byte `json:"signature"`
	// Secret is what the key made of AssertArgs.Salt, HMACSecretLen bytes; nil where none was asked for.
	// The signature does not cover it. The caller wipes it.
	Secret HMACSecret `json:"secret,omitempty"`
}

// AssertResult holds all assertions that a key gave.
type AssertResult struct {
	Assertions []Assertion `json:"assertions"`
}

// SelectArgs makes the key blink until it is touched (authenticatorSelection, CTAP 2.1 §6.9, or
// what older keys have in its place). The operation succeeds when the key was touched.
type SelectArgs struct {
	Target
}

// SetPINArgs sets the first PIN, or changes it where Old is given (CTAP 2.1 §6.5.5.5, §6.5.5.6).
type SetPINArgs struct {
	Target
	Old PIN `json:"old,omitempty"`
	New PIN `json:"new"`
}

// ResetArgs resets the key: all its credentials and its PIN are gone (CTAP 2.1 §6.6).
type ResetArgs struct {
	Target
}
