package fido

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ClientDataType is the type, and version, of ClientData. It stands first in its encoding.
const ClientDataType = "fob.approve.v1"

// NonceLen is the length in bytes of a nonce.
const NonceLen = 32

// maxClientData bounds encoded client data, in bytes.
const maxClientData = 16 << 10

// clientDataStart is how every encoding begins.
const clientDataStart = `{"type":"` + ClientDataType + `"`

// ErrClientData is wrapped by the errors of Encode and DecodeClientData.
var ErrClientData = errors.New("the client data is not valid")

// ClientData is what a key signs: the request as it was shown. The key signs the SHA-256 of its
// encoding, whose bytes are kept verbatim.
//
// A field added within this version must be left out of the encoding where it is empty, or earlier
// receipts no longer read.
type ClientData struct {
	Type     string // set by Encode
	Instance string
	Request  string
	Kind     string
	Require  string // a policy.Strength's name
	User     string
	UID      uint32
	Service  string
	Place    string
	Origin   string
	Host     string
	Command  string // as displayed; empty since the log keeps no command, and read in receipts from before
	// Executable and CommandHash (SHA-256 of the command as displayed, in hexadecimal) stand for the command;
	// left out if empty, as are SSHKey and Method.
	Executable  string
	CommandHash string
	SSHKey      string // fingerprint of the key with which the requester came in by ssh
	Method      string // the method being added or removed
	Nonce       []byte // NonceLen random bytes
	Time        time.Time
}

// clientDataJSON is the encoding, in its order.
type clientDataJSON struct {
	Type     string `json:"type"`
	Instance string `json:"instance"`
	Request  string `json:"request"`
	Kind     string `json:"kind"`
	Require  string `json:"require"`
	User     string `json:"user"`
	UID      uint32 `json:"uid"`
	Service  string `json:"service"`
	Place    string `json:"place"`
	Origin   string `json:"origin"`
	Host     string `json:"host"`
	Command  string `json:"command"`

	Executable  string `json:"executable,omitempty"`
	CommandHash string `json:"command_sha256,omitempty"`
	SSHKey      string `json:"ssh_key,omitempty"`

	Method string    `json:"method,omitempty"`
	Nonce  string    `json:"nonce"` // base64url without padding
	Time   time.Time `json:"time"`
}

// Encode returns c's one encoding, JSON without white space or HTML escapes, and its SHA-256, the
// client data hash. It sets the type, and the time to UTC. A nonce of another length than NonceLen,
// text that is not UTF-8, and more than 16 KiB are refused.
func (c ClientData) Encode() (verbatim []byte, hash [32]byte, err error) {
	if len(c.Nonce) != NonceLen {
		return nil, hash, fmt.Errorf("%w: a nonce of %d bytes instead of %d", ErrClientData, len(c.Nonce), NonceLen)
	}
	for _, s := range []string{c.Instance, c.Request, c.Kind, c.Require, c.User, c.Service, c.Place, c.Origin, c.Host, c.Command, c.Executable, c.CommandHash, c.SSHKey, c.Method} {
		if !utf8.ValidString(s) {
			return nil, hash, fmt.Errorf("%w: text that is not UTF-8", ErrClientData)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(clientDataJSON{
		Type: ClientDataType, Instance: c.Instance, Request: c.Request, Kind: c.Kind, Require: c.Require,
		User: c.User, UID: c.UID, Service: c.Service, Place: c.Place, Origin: c.Origin, Host: c.Host,
		Command: c.Command, Executable: c.Executable, CommandHash: c.CommandHash, SSHKey: c.SSHKey, Method: c.Method,
		Nonce: base64.RawURLEncoding.EncodeToString(c.Nonce), Time: c.Time.UTC(),
	})
	if err != nil {
		return nil, hash, fmt.Errorf("%w: %w", ErrClientData, err)
	}
	verbatim = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(verbatim) > maxClientData {
		return nil, hash, fmt.Errorf("%w: %d bytes are too long", ErrClientData, len(verbatim))
	}
	return verbatim, sha256.Sum256(verbatim), nil
}

// Agrees fails unless c says the same of the request as logged does: all fields but Type, UID, Method, Nonce
// and Time. What a receipt from before executables were signed does not say agrees with anything.
func (c ClientData) Agrees(logged ClientData) error {
	for _, f := range []struct {
		name, signed, logged string
		later                bool
	}{
		{"instance", c.Instance, logged.Instance, false},
		{"request", c.Request, logged.Request, false},
		{"kind", c.Kind, logged.Kind, false},
		{"required strength", c.Require, logged.Require, false},
		{"user", c.User, logged.User, false},
		{"service", c.Service, logged.Service, false},
		{"place", c.Place, logged.Place, false},
		{"origin", c.Origin, logged.Origin, false},
		{"host", c.Host, logged.Host, false},
		{"executable", c.Executable, logged.Executable, true},
		{"command's hash", c.CommandHash, logged.CommandHash, true},
		{"SSH key", c.SSHKey, logged.SSHKey, true},
	} {
		if f.signed != f.logged && !(f.later && c.Command != "" && f.signed == "") {
			return fmt.Errorf("%w: the key signed the %s %q, the log says %q", ErrClientData, f.name, f.signed, f.logged)
		}
	}
	return nil
}

// DecodeClientData reads what Encode wrote and nothing else: another type, a field that is unknown,
// missing, repeated, or elsewhere, white space and any other way to write the same values are
// refused, so that nothing was signed that Encode does not write.
func DecodeClientData(b []byte) (ClientData, error) {
	if len(b) > maxClientData {
		return ClientData{}, fmt.Errorf("%w: %d bytes are too long", ErrClientData, len(b))
	}
	if !strings.HasPrefix(string(b), clientDataStart) {
		return ClientData{}, fmt.Errorf("%w: it does not begin with %s", ErrClientData, clientDataStart)
	}
	var j clientDataJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return ClientData{}, fmt.Errorf("%w: %w", ErrClientData, err)
	}
	nonce, err := base64.RawURLEncoding.DecodeString(j.Nonce)
	if err != nil {
		return ClientData{}, fmt.Errorf("%w: cannot read the nonce: %w", ErrClientData, err)
	}
	c := ClientData{
		Type: j.Type, Instance: j.Instance, Request: j.Request, Kind: j.Kind, Require: j.Require,
		User: j.User, UID: j.UID, Service: j.Service, Place: j.Place, Origin: j.Origin, Host: j.Host,
		Command: j.Command, Executable: j.Executable, CommandHash: j.CommandHash, SSHKey: j.SSHKey, Method: j.Method, Nonce: nonce, Time: j.Time.UTC(),
	}
	again, _, err := c.Encode()
	if err != nil {
		return ClientData{}, err
	}
	if !bytes.Equal(again, b) {
		return ClientData{}, fmt.Errorf("%w: it is not written as Fob writes it", ErrClientData)
	}
	return c, nil
}
