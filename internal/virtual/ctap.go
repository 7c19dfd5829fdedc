package virtual

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// CTAP commands (CTAP 2.1 §6).
const (
	cmdMakeCredential   = 0x01
	cmdGetAssertion     = 0x02
	cmdGetInfo          = 0x04
	cmdClientPIN        = 0x06
	cmdReset            = 0x07
	cmdGetNextAssertion = 0x08
	cmdSelection        = 0x0b
)

var commandNames = map[byte]string{
	cmdMakeCredential:   "makeCredential",
	cmdGetAssertion:     "getAssertion",
	cmdGetInfo:          "getInfo",
	cmdClientPIN:        "clientPIN",
	cmdReset:            "reset",
	cmdGetNextAssertion: "getNextAssertion",
	cmdSelection:        "selection",
}

// errCrash is a command that silences the key.
var errCrash = errors.New("the key's firmware crashed")

// maxMessage is the longest command in bytes that the key takes, as it says in getInfo.
const maxMessage = 2048

var (
	// encoding is CTAP2's canonical form (CTAP 2.1 §8).
	encoding = must(cbor.CTAP2EncOptions().EncMode())
	// decoding refuses what CTAP2 forbids, apart from the order of map keys.
	decoding = must(cbor.DecOptions{
		DupMapKey:          cbor.DupMapKeyEnforcedAPF,
		IndefLength:        cbor.IndefLengthForbidden,
		TagsMd:             cbor.TagsForbidden,
		MaxNestedLevels:    4,
		MaxArrayElements:   256,
		MaxMapPairs:        256,
		ByteStringToString: cbor.ByteStringToStringForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options
	}
	return v
}

// authenticator is what the key does, behind the transport (CTAP 2.1 §6). It handles one command at a
// time: handle and powerUp are not to be called concurrently.
type authenticator struct {
	opts   Options
	state  *state
	sensor *sensor
	faults *faults
	gone   func() // unplugs the key, without waiting

	powered time.Time // when it was plugged in
	pin     pinSession
	next    *nextAssertions // what getNextAssertion may ask for, or nil
}

func newAuthenticator(o Options, s *sensor, f *faults) (*authenticator, error) {
	st, err := loadState(o.StateFile)
	if err != nil {
		return nil, err
	}
	a := &authenticator{opts: o, state: st, sensor: s, faults: f, gone: func() {}}
	if o.PIN != "" {
		if err := a.presetPIN(o.PIN); err != nil {
			return nil, err
		}
	}
	if o.Attestation == AttestX5C && st.Attestation == nil {
		if st.Attestation, err = newVouching(o.AAGUID); err != nil {
			return nil, err
		}
		if err := st.save(); err != nil {
			return nil, err
		}
	}
	return a, a.powerUp()
}

// powerUp forgets what lasts only as long as the key has power.
func (a *authenticator) powerUp() error {
	a.powered = time.Now()
	a.next = nil
	return a.pin.powerUp(a.opts.Quirks)
}

// handle carries out one command, a command byte and its CBOR parameters, and returns the status byte
// and the CBOR answer. It returns early when ctx is done.
func (a *authenticator) handle(ctx context.Context, msg []byte) result {
	op := Op{Command: commandNames[msg[0]], Began: time.Now()}
	if op.Command == "" {
		op.Command = fmt.Sprintf("0x%02x", msg[0])
	}
	answer, err := a.dispatch(ctx, msg[0], msg[1:], &op)
	op.Ended = time.Now()
	switch {
	case err == nil:
	case errors.As(err, &op.Status):
		answer = nil
	default:
		op.Status, answer = StatusOther, nil
	}
	if op.Status == StatusOK && a.garbled(msg[0]) {
		answer = []byte{0xff, 0x1c, 0xff, 0xff}
	}
	return result{answer: append([]byte{byte(op.Status)}, answer...), op: op, crash: errors.Is(err, errCrash)}
}

func (a *authenticator) garbled(cmd byte) bool {
	switch cmd {
	case cmdGetInfo:
		return a.faults.is(FaultGarbageInfo)
	case cmdMakeCredential, cmdGetAssertion, cmdGetNextAssertion:
		return a.faults.is(FaultGarbageCBOR)
	}
	return false
}

// dispatch returns the answer's CBOR, empty for a command without one.
func (a *authenticator) dispatch(ctx context.Context, cmd byte, body []byte, op *Op) ([]byte, error) {
	if len(body) >= maxMessage {
		return nil, StatusRequestTooLarge
	}
	next := a.next
	a.next = nil // getNextAssertion follows at once, or not at all
	switch cmd {
	case cmdMakeCredential:
		return reply(decoded(body, func(r *makeRequest) (*makeAnswer, error) { return a.makeCredential(ctx, r, op) }))
	case cmdGetAssertion:
		return reply(decoded(body, func(r *assertRequest) (*assertAnswer, error) { return a.getAssertion(ctx, r, op) }))
	case cmdClientPIN:
		return reply(decoded(body, func(r *pinRequest) (*pinAnswer, error) { return a.clientPIN(r, op) }))
	}
	if len(body) != 0 {
		if _, known := commandNames[cmd]; known {
			return nil, StatusInvalidLength
		}
	}
	switch cmd {
	case cmdGetInfo:
		return reply(a.info(), nil)
	case cmdGetNextAssertion:
		return reply(a.getNextAssertion(next, op))
	case cmdReset:
		return nil, a.reset(ctx, op)
	case cmdSelection:
		return nil, a.present(ctx, op)
	}
	return nil, StatusInvalidCommand
}

// decoded reads parameters and hands them on.
func decoded[Req, Ans any](body []byte, do func(*Req) (*Ans, error)) (*Ans, error) {
	var r Req
	if err := decode(body, &r); err != nil {
		return nil, err
	}
	return do(&r)
}

// decode reads the CBOR parameters of a command; its error is a Status.
func decode(body []byte, into any) error {
	if len(body) == 0 {
		return StatusMissingParameter
	}
	var wrong *cbor.UnmarshalTypeError
	switch err := decoding.Unmarshal(body, into); {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return StatusCBORUnexpectedType
	default:
		return StatusInvalidCBOR
	}
}

// reply encodes an answer. A nil answer without error is an empty one.
func reply[Ans any](answer *Ans, err error) ([]byte, error) {
	if err != nil || answer == nil {
		return nil, err
	}
	return encoding.Marshal(answer)
}

// present waits for a touch (CTAP 2.1 §6.1.2 step 14).
func (a *authenticator) present(ctx context.Context, op *Op) error {
	if a.sensor.immediate() && !a.faults.is(FaultGone) {
		op.Touched = true
		return nil
	}
	began := func() {
		if a.opts.OnWait != nil {
			a.opts.OnWait(op.Command)
		}
		if a.faults.is(FaultGone) {
			a.gone()
			<-ctx.Done() // no touch comes before the end
		}
	}
	switch err := a.sensor.wait(ctx, a.opts.TouchTimeout, began); {
	case err == nil:
		op.Touched = true
		return nil
	case !errors.Is(err, errNoTouch):
		return StatusKeepaliveCancel
	case a.opts.Quirks.DenyOnTimeout:
		return StatusOperationDenied
	default:
		return StatusUserActionTimeout
	}
}
