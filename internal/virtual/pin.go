package virtual

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"
	"unicode/utf8"
)

// Subcommands of clientPIN (CTAP 2.1 §6.5.5).
const (
	pinGetRetries      = 0x01
	pinGetKeyAgreement = 0x02
	pinSet             = 0x03
	pinChange          = 0x04
	pinGetToken        = 0x05
	pinGetTokenPermits = 0x09
)

var pinNames = map[uint]string{
	pinGetRetries:      "getPINRetries",
	pinGetKeyAgreement: "getKeyAgreement",
	pinSet:             "setPIN",
	pinChange:          "changePIN",
	pinGetToken:        "getPinToken",
	pinGetTokenPermits: "getPinUvAuthTokenUsingPinWithPermissions",
}

// Permissions of a token (CTAP 2.1 §6.5.5.7).
const (
	permitMake   = 0x01
	permitAssert = 0x02
)

const (
	pinHashLen  = 16
	paddedPIN   = 64
	maxPINBytes = 63
	// wrongInARow blocks the PIN until the key is plugged in again.
	wrongInARow = 3
	// How long a token may lie unused, and how long it lasts (CTAP 2.1 §6.5.2.1).
	tokenUnused = 30 * time.Second
	tokenLasts  = 10 * time.Minute
)

// errPINSet is returned by NewKey for a state that has another PIN.
var errPINSet = errors.New("cannot set the software key's PIN: its state has a different one")

type pinRequest struct {
	Protocol    *uint    `cbor:"1,keyasint"`
	Sub         *uint    `cbor:"2,keyasint"`
	Platform    *coseKey `cbor:"3,keyasint"`
	Auth        []byte   `cbor:"4,keyasint"`
	NewPIN      []byte   `cbor:"5,keyasint"`
	PINHash     []byte   `cbor:"6,keyasint"`
	Permissions *uint    `cbor:"9,keyasint"`
	RPID        *string  `cbor:"10,keyasint"`
}

type pinAnswer struct {
	KeyAgreement *coseKey `cbor:"1,keyasint,omitempty"`
	Token        []byte   `cbor:"2,keyasint,omitempty"`
	Retries      *uint    `cbor:"3,keyasint,omitempty"`
	PowerCycle   *bool    `cbor:"4,keyasint,omitempty"`
}

// pinSession is what the key knows of PINs until it loses power.
type pinSession struct {
	protocols []*pinProtocol // 1, and 2 as a rule
	wrong     int            // PINs in a row
	token     token
}

// token is the pinUvAuthToken that is in use (CTAP 2.1 §6.5.2.1).
type token struct {
	protocol uint // 0 for none
	permits  uint
	rpID     string // "" until it is bound to one
	given    time.Time
	used     bool
}

func (s *pinSession) powerUp(q Quirks) error {
	all := []uint{1, 2}
	if q.PINProtocol1 {
		all = all[:1]
	}
	*s = pinSession{}
	for _, n := range all {
		p, err := newPINProtocol(n)
		if err != nil {
			return err
		}
		s.protocols = append(s.protocols, p)
	}
	return nil
}

func (s *pinSession) protocol(n *uint) (*pinProtocol, error) {
	switch {
	case n == nil:
		return nil, StatusMissingParameter
	case *n < 1 || *n > uint(len(s.protocols)):
		return nil, StatusInvalidParameter
	}
	return s.protocols[*n-1], nil
}

// issue makes new tokens, which ends the old ones, and returns the one of p.
func (s *pinSession) issue(p *pinProtocol, permits uint, rpID string) []byte {
	for _, q := range s.protocols {
		q.newToken()
	}
	s.token = token{protocol: p.number, permits: permits, rpID: rpID, given: time.Now()}
	return p.token
}

// verify checks that auth was made over message with the token in use, and that the token permits the
// command for that relying party.
func (s *pinSession) verify(protocol *uint, auth, message []byte, permit uint, rpID string) error {
	p, err := s.protocol(protocol)
	if err != nil {
		return err
	}
	t := &s.token
	age := time.Since(t.given)
	if t.protocol != p.number || age > tokenLasts || !t.used && age > tokenUnused {
		return StatusPINAuthInvalid
	}
	if !p.authentic(p.token, message, auth) || t.permits&permit == 0 || t.rpID != "" && t.rpID != rpID {
		return StatusPINAuthInvalid
	}
	t.used, t.rpID = true, rpID
	return nil
}

// spend takes all permissions from the token: a touch answers one command.
func (s *pinSession) spend() { s.token.permits = 0 }

// selectByPIN is the old way to pick a key by touch: an empty pinUvAuthParam (CTAP 2.1 §6.1.2 step 1).
func (a *authenticator) selectByPIN(ctx context.Context, op *Op) error {
	if err := a.present(ctx, op); err != nil {
		return err
	}
	if a.state.PIN == nil {
		return StatusPINNotSet
	}
	return StatusPINInvalid
}

// clientPIN follows CTAP 2.1 §6.5.5.
func (a *authenticator) clientPIN(r *pinRequest, op *Op) (*pinAnswer, error) {
	if r.Sub == nil {
		return nil, StatusMissingParameter
	}
	op.Sub = pinNames[*r.Sub]
	if *r.Sub == pinGetRetries {
		return a.pinRetries()
	}
	if op.Sub == "" {
		return nil, StatusInvalidSubcommand
	}
	p, err := a.pin.protocol(r.Protocol)
	if err != nil {
		return nil, err
	}
	if *r.Sub == pinGetKeyAgreement {
		k, err := p.public()
		return &pinAnswer{KeyAgreement: k}, err
	}
	if r.Platform == nil {
		return nil, StatusMissingParameter
	}
	shared, err := p.shared(r.Platform)
	if err != nil {
		return nil, err
	}
	switch *r.Sub {
	case pinSet:
		return nil, a.setPIN(p, shared, r)
	case pinChange:
		return nil, a.changePIN(p, shared, r)
	default:
		return a.pinToken(p, shared, r)
	}
}

func (a *authenticator) pinRetries() (*pinAnswer, error) {
	if a.state.PIN == nil {
		if a.opts.Quirks.CrashOnRetries {
			return nil, errCrash
		}
		return nil, StatusPINNotSet
	}
	n, blocked := uint(a.state.PIN.Retries), a.pin.wrong >= wrongInARow
	return &pinAnswer{Retries: &n, PowerCycle: &blocked}, nil
}

func (a *authenticator) setPIN(p *pinProtocol, shared []byte, r *pinRequest) error {
	if r.Auth == nil || r.NewPIN == nil {
		return StatusMissingParameter
	}
	if a.state.PIN != nil || !p.authentic(p.macKey(shared), r.NewPIN, r.Auth) {
		return StatusPINAuthInvalid
	}
	return a.keepPIN(p, shared, r.NewPIN)
}

func (a *authenticator) changePIN(p *pinProtocol, shared []byte, r *pinRequest) error {
	if r.Auth == nil || r.NewPIN == nil || r.PINHash == nil {
		return StatusMissingParameter
	}
	if err := a.pinUsable(); err != nil {
		return err
	}
	if !p.authentic(p.macKey(shared), append(bytes.Clone(r.NewPIN), r.PINHash...), r.Auth) {
		return StatusPINAuthInvalid
	}
	if err := a.tryPIN(p, shared, r.PINHash); err != nil {
		return err
	}
	return a.keepPIN(p, shared, r.NewPIN)
}

func (a *authenticator) pinToken(p *pinProtocol, shared []byte, r *pinRequest) (*pinAnswer, error) {
	permits, rpID := uint(permitMake|permitAssert), ""
	if r.PINHash == nil {
		return nil, StatusMissingParameter
	}
	if *r.Sub == pinGetToken {
		if r.Permissions != nil || r.RPID != nil {
			return nil, StatusInvalidParameter
		}
	} else {
		switch {
		case r.Permissions == nil:
			return nil, StatusMissingParameter
		case *r.Permissions == 0:
			return nil, StatusInvalidParameter
		case *r.Permissions&^permits != 0:
			return nil, StatusUnauthorizedPermission
		case r.RPID == nil || *r.RPID == "":
			return nil, StatusMissingParameter
		}
		permits, rpID = *r.Permissions, *r.RPID
	}
	if err := a.pinUsable(); err != nil {
		return nil, err
	}
	if err := a.tryPIN(p, shared, r.PINHash); err != nil {
		return nil, err
	}
	enc, err := p.encrypt(shared, a.pin.issue(p, permits, rpID))
	return &pinAnswer{Token: enc}, err
}

// pinUsable reports why a PIN cannot be tried.
func (a *authenticator) pinUsable() error {
	switch {
	case a.state.PIN == nil:
		return StatusPINNotSet
	case a.state.PIN.Retries == 0:
		return StatusPINBlocked
	case a.pin.wrong >= wrongInARow:
		return StatusPINAuthBlocked
	}
	return nil
}

// tryPIN compares a PIN's encrypted hash. The retry is taken, and on disk, before it compares.
func (a *authenticator) tryPIN(p *pinProtocol, shared, encrypted []byte) error {
	st := a.state.PIN
	st.Retries--
	if err := a.state.save(); err != nil {
		st.Retries++
		return err
	}
	hash, err := p.decrypt(shared, encrypted)
	if err == nil && subtle.ConstantTimeCompare(hash, st.Hash) == 1 {
		a.pin.wrong = 0
		st.Retries = maxRetries
		return a.state.save()
	}
	if err := p.newKey(); err != nil {
		return err
	}
	a.pin.wrong++
	switch {
	case st.Retries == 0:
		return StatusPINBlocked
	case a.pin.wrong >= wrongInARow:
		return StatusPINAuthBlocked
	}
	return StatusPINInvalid
}

// keepPIN decrypts a new PIN, checks it, and saves its hash.
func (a *authenticator) keepPIN(p *pinProtocol, shared, encrypted []byte) error {
	padded, err := p.decrypt(shared, encrypted)
	if err != nil || len(padded) != paddedPIN {
		return StatusInvalidParameter
	}
	pin := bytes.TrimRight(padded, "\x00")
	if err := a.checkPIN(pin); err != nil {
		return err
	}
	if err := a.savePIN(pin); err != nil {
		return err
	}
	a.pin.token = token{}
	return nil
}

func (a *authenticator) checkPIN(pin []byte) error {
	if len(pin) > maxPINBytes || !utf8.Valid(pin) || utf8.RuneCount(pin) < a.opts.MinPINLength {
		return StatusPINPolicyViolation
	}
	return nil
}

func (a *authenticator) savePIN(pin []byte) error {
	old := a.state.PIN
	a.state.PIN = &pinState{Hash: pinHash(pin), Retries: maxRetries}
	if err := a.state.save(); err != nil {
		a.state.PIN = old
		return err
	}
	return nil
}

func pinHash(pin []byte) []byte {
	h := sha256.Sum256(pin)
	return h[:pinHashLen]
}

// presetPIN sets the PIN of a key that has none, or checks that it has this one.
func (a *authenticator) presetPIN(pin string) error {
	if a.state.PIN != nil {
		if subtle.ConstantTimeCompare(a.state.PIN.Hash, pinHash([]byte(pin))) != 1 {
			return errPINSet
		}
		return nil
	}
	if err := a.checkPIN([]byte(pin)); err != nil {
		return err
	}
	return a.savePIN([]byte(pin))
}
