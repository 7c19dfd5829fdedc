package virtual

import (
	"context"
	"crypto/rand"
	"time"
)

// assertRequest holds getAssertion's parameters (CTAP 2.1 §6.2).
type assertRequest struct {
	RPID           *string          `cbor:"1,keyasint"`
	ClientDataHash []byte           `cbor:"2,keyasint"`
	Allow          []descriptor     `cbor:"3,keyasint"`
	Extensions     assertExtensions `cbor:"4,keyasint"`
	Options        map[string]bool  `cbor:"5,keyasint"`
	PINAuth        *[]byte          `cbor:"6,keyasint"`
	PINProtocol    *uint            `cbor:"7,keyasint"`
}

type assertAnswer struct {
	Credential descriptor `cbor:"1,keyasint"`
	AuthData   []byte     `cbor:"2,keyasint"`
	Signature  []byte     `cbor:"3,keyasint"`
	User       *user      `cbor:"4,keyasint,omitempty"`
	Number     uint       `cbor:"5,keyasint,omitempty"`
}

// nextWithin is how long getNextAssertion may take (CTAP 2.1 §6.3).
const nextWithin = 30 * time.Second

// nextAssertions are the credentials that getNextAssertion hands out.
type nextAssertions struct {
	left           []*credential
	flags          byte
	clientDataHash []byte
	rpID           string
	salts          *salts // or nil
	last           time.Time
}

// getAssertion follows CTAP 2.1 §6.2.2.
func (a *authenticator) getAssertion(ctx context.Context, r *assertRequest, op *Op) (*assertAnswer, error) {
	if r.RPID != nil {
		op.RPID = *r.RPID
	}
	up, given := r.Options["up"]
	up = up || !given
	op.UP, op.Listed = up, len(r.Allow)
	if r.PINAuth != nil && len(*r.PINAuth) == 0 {
		return nil, a.selectByPIN(ctx, op)
	}
	if r.RPID == nil || r.ClientDataHash == nil {
		return nil, StatusMissingParameter
	}
	if len(r.ClientDataHash) != clientDataHashLen {
		return nil, StatusInvalidLength
	}
	if _, ok := r.Options["rk"]; ok {
		return nil, StatusUnsupportedOption
	}
	if r.Options["uv"] && r.PINAuth == nil {
		return nil, StatusInvalidOption
	}
	if a.alwaysUV() && up && r.PINAuth == nil {
		return nil, StatusPUATRequired
	}
	if len(r.Allow) > a.opts.MaxListed {
		return nil, StatusLimitExceeded
	}
	var flags byte
	if r.PINAuth != nil {
		if err := a.pin.verify(r.PINProtocol, *r.PINAuth, r.ClientDataHash, permitAssert, *r.RPID); err != nil {
			return nil, err
		}
		op.UV = true
		flags |= flagUV
	}
	found := a.candidates(r)
	if len(found) == 0 {
		return nil, StatusNoCredentials
	}
	salts, err := a.salts(r.Extensions.HMACSecret, up)
	if err != nil {
		return nil, err
	}
	if up || a.opts.Quirks.IgnoreUPFalse {
		if err := a.present(ctx, op); err != nil {
			return nil, err
		}
		a.pin.spend()
		flags |= flagUP
	}
	n := &nextAssertions{left: found, flags: flags, clientDataHash: r.ClientDataHash, rpID: *r.RPID, salts: salts}
	answer, err := a.assertNext(n)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		answer.Number = uint(len(found))
	}
	return answer, nil
}

// candidates lists the credentials that may answer: one of the allow list, or all discoverable ones.
func (a *authenticator) candidates(r *assertRequest) []*credential {
	if len(r.Allow) == 0 {
		return a.state.discoverableFor(*r.RPID)
	}
	for _, d := range r.Allow {
		if d.Type != publicKey {
			continue
		}
		if c := a.state.find(*r.RPID, d.ID); c != nil {
			return []*credential{c}
		}
	}
	return nil
}

// getNextAssertion hands out the next credential of the getAssertion that came just before.
func (a *authenticator) getNextAssertion(n *nextAssertions, op *Op) (*assertAnswer, error) {
	if n == nil || time.Since(n.last) > nextWithin {
		return nil, StatusNotAllowed
	}
	op.RPID, op.UP, op.UV = n.rpID, n.flags&flagUP != 0, n.flags&flagUV != 0
	return a.assertNext(n)
}

// assertNext signs with the first credential of n, and keeps the rest for getNextAssertion.
func (a *authenticator) assertNext(n *nextAssertions) (*assertAnswer, error) {
	c := n.left[0]
	k, err := c.private()
	if err != nil {
		return nil, err
	}
	flags := n.flags
	output, err := n.salts.secrets(c, flags&flagUV != 0)
	if err != nil {
		return nil, err
	}
	if output != nil {
		flags |= flagED
	}
	data, err := a.authData(c.RPID, flags, output)
	if err != nil {
		return nil, err
	}
	sig, err := a.signed(k, data, n.clientDataHash)
	if err != nil {
		return nil, err
	}
	answer := &assertAnswer{Credential: descriptor{ID: c.ID, Type: publicKey}, AuthData: data, Signature: sig}
	if a.faults.is(FaultWrongCredential) {
		answer.Credential.ID = make([]byte, credentialIDLen)
		_, _ = rand.Read(answer.Credential.ID) // never fails
	}
	if c.Discoverable {
		u := c.User
		if n.flags&flagUV == 0 { // names are for those who proved who they are
			u = user{ID: u.ID}
		}
		answer.User = &u
	}
	if n.left = n.left[1:]; len(n.left) > 0 {
		n.last = time.Now()
		a.next = n
	}
	return answer, nil
}
