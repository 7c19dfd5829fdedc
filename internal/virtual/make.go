package virtual

import (
	"context"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// makeRequest holds makeCredential's parameters (CTAP 2.1 §6.1). Pointers tell what is missing.
type makeRequest struct {
	ClientDataHash []byte          `cbor:"1,keyasint"`
	RP             *relyingParty   `cbor:"2,keyasint"`
	User           *user           `cbor:"3,keyasint"`
	Algorithms     []algorithm     `cbor:"4,keyasint"`
	Exclude        []descriptor    `cbor:"5,keyasint"`
	Extensions     makeExtensions  `cbor:"6,keyasint"`
	Options        map[string]bool `cbor:"7,keyasint"`
	PINAuth        *[]byte         `cbor:"8,keyasint"`
	PINProtocol    *uint           `cbor:"9,keyasint"`
}

type relyingParty struct {
	ID string `cbor:"id"`
}

// descriptor is a PublicKeyCredentialDescriptor.
type descriptor struct {
	ID   []byte `cbor:"id"`
	Type string `cbor:"type"`
}

type makeAnswer struct {
	Format    string    `cbor:"1,keyasint"`
	AuthData  []byte    `cbor:"2,keyasint"`
	Statement statement `cbor:"3,keyasint"`
}

const (
	clientDataHashLen = 32
	maxUserID         = 64
	maxText           = 256 // bytes of a name or relying party that are kept
)

// makeCredential follows CTAP 2.1 §6.1.2.
func (a *authenticator) makeCredential(ctx context.Context, r *makeRequest, op *Op) (*makeAnswer, error) {
	if r.RP != nil {
		op.RPID = r.RP.ID
	}
	op.UP, op.Listed = true, len(r.Exclude)
	if r.PINAuth != nil && len(*r.PINAuth) == 0 {
		return nil, a.selectByPIN(ctx, op)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	alg := 0
	for _, p := range r.Algorithms {
		if p.Type == publicKey && slices.Contains(a.opts.Algorithms, p.Alg) {
			alg = p.Alg
			break
		}
	}
	if alg == 0 {
		return nil, StatusUnsupportedAlgorithm
	}
	rk := r.Options["rk"]
	if up, ok := r.Options["up"]; ok && !up {
		return nil, StatusInvalidOption
	}
	if r.Options["uv"] && r.PINAuth == nil { // it has no way of its own to verify a user
		return nil, StatusInvalidOption
	}
	if r.PINAuth == nil && (a.alwaysUV() || a.state.PIN != nil && (rk || !a.makeWithoutUV())) {
		return nil, StatusPUATRequired
	}
	if len(r.Exclude) > a.opts.MaxListed {
		return nil, StatusLimitExceeded
	}
	flags := byte(flagUP | flagAT)
	if r.PINAuth != nil {
		if err := a.pin.verify(r.PINProtocol, *r.PINAuth, r.ClientDataHash, permitMake, r.RP.ID); err != nil {
			return nil, err
		}
		op.UV = true
		flags |= flagUV
	}
	for _, d := range r.Exclude {
		if d.Type == publicKey && a.state.find(r.RP.ID, d.ID) != nil {
			if err := a.present(ctx, op); err != nil {
				return nil, err
			}
			return nil, StatusCredentialExcluded
		}
	}
	if err := a.present(ctx, op); err != nil {
		return nil, err
	}
	a.pin.spend()
	c, err := newCredential(alg, r.RP.ID, r.User.bounded(), rk)
	if err != nil {
		return nil, err
	}
	if r.Extensions.HMACSecret && !a.opts.Quirks.NoHMACSecret {
		c.CredRandom = newCredRandom()
	}
	if err := a.state.add(c); err != nil {
		return nil, err
	}
	return a.made(c, flags, r.ClientDataHash)
}

// check reports what is missing or of the wrong size.
func (r *makeRequest) check() error {
	if r.ClientDataHash == nil || r.RP == nil || r.User == nil || r.Algorithms == nil {
		return StatusMissingParameter
	}
	if r.RP.ID == "" || r.User.ID == nil {
		return StatusMissingParameter
	}
	if len(r.ClientDataHash) != clientDataHashLen || len(r.User.ID) > maxUserID || len(r.RP.ID) > maxText {
		return StatusInvalidLength
	}
	return nil
}

// bounded cuts names to what the key keeps.
func (u user) bounded() user {
	u.Name, u.DisplayName = cut(u.Name), cut(u.DisplayName)
	return u
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// made builds the answer for a new credential.
func (a *authenticator) made(c *credential, flags byte, clientDataHash []byte) (*makeAnswer, error) {
	k, err := c.private()
	if err != nil {
		return nil, err
	}
	pub, err := cose(k)
	if err != nil {
		return nil, err
	}
	attested := append([]byte{}, a.opts.AAGUID[:]...)
	attested = binary.BigEndian.AppendUint16(attested, uint16(len(c.ID)))
	attested = append(append(attested, c.ID...), pub...)
	if c.CredRandom != nil {
		output, err := encoding.Marshal(map[string]bool{hmacSecret: true})
		if err != nil {
			return nil, err
		}
		flags |= flagED
		attested = append(attested, output...)
	}
	data, err := a.authData(c.RPID, flags, attested)
	if err != nil {
		return nil, err
	}
	format, st, err := a.attest(k, data, clientDataHash)
	if err != nil {
		return nil, err
	}
	return &makeAnswer{Format: format, AuthData: data, Statement: st}, nil
}
