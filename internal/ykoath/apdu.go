package ykoath

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Card carries an APDU to a card and gives its answer: data and the two bytes of the status word.
type Card interface {
	Transmit(ctx context.Context, apdu []byte) ([]byte, error)
}

// Status words (ISO 7816-4 §5.6).
const (
	swOK           = 0x9000
	swMore         = 0x6100 // with how much more in the low byte
	swMemory       = 0x6581
	swLocked       = 0x6982
	swUnsatisfied  = 0x6985
	swWrongData    = 0x6a80
	swNoFile       = 0x6a82
	swNoSpace      = 0x6a84
	swNoSuchObject = 0x6984
	swNoIns        = 0x6d00
)

const (
	// maxData is what a short APDU carries, in bytes.
	maxData = 255
	// maxAnswer bounds what a card may answer to one instruction: 64 accounts take 6 KB.
	maxAnswer = 32 << 10
)

// send carries one instruction, asks for what remains of the answer, and gives the data.
func send(ctx context.Context, c Card, ins, p1, p2 byte, data []byte) ([]byte, error) {
	if len(data) > maxData {
		return nil, fmt.Errorf("%w: its name and secret are too long together", ErrParams)
	}
	apdu := make([]byte, 0, 5+len(data))
	apdu = append(apdu, 0, ins, p1, p2)
	if len(data) > 0 {
		apdu = append(append(apdu, byte(len(data))), data...)
	}
	defer clear(apdu) // it may hold a seed
	var all []byte
	for {
		b, err := c.Transmit(ctx, apdu)
		if err != nil {
			return nil, err
		}
		if len(b) < 2 {
			return nil, nonsense("no status word")
		}
		all = append(all, b[:len(b)-2]...)
		sw := binary.BigEndian.Uint16(b[len(b)-2:])
		switch {
		case len(all) > maxAnswer:
			return nil, nonsense("an answer without end")
		case sw == swOK:
			return all, nil
		case sw&0xff00 != swMore:
			return nil, refusal(ins, sw)
		case len(b) == 2 && len(all) > 0:
			return nil, nonsense("more is announced and nothing comes")
		}
		clear(apdu)
		apdu = append(apdu[:0], 0, insSendRemaining, 0, 0)
	}
}

// refusal is the error for a status word.
func refusal(ins byte, sw uint16) error {
	switch sw {
	case swLocked:
		return ErrLocked
	case swNoSpace:
		return ErrFull
	case swNoSuchObject:
		return ErrNoAccount
	case swNoFile:
		return ErrNoApplet
	}
	return &StatusError{Instruction: ins, Status: sw}
}
