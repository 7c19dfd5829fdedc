package card

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
)

// Status words.
const (
	ok            = 0x9000
	memoryFailure = 0x6581
	wrongLength   = 0x6700
	needsPassword = 0x6982
	noTouch       = 0x6985
	noObject      = 0x6984
	wrongSyntax   = 0x6a80
	noApplet      = 0x6a82
	noSpace       = 0x6a84
	noInstruction = 0x6d00
	broken        = 0x6f00
)

// chunk is how much of an answer goes into one APDU, in bytes.
const chunk = 0xf0

var oathAID = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01}

// Answer answers one command APDU. It gives nil where the card says nothing: it is gone, or mute.
func (c *Card) Answer(apdu []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(FaultMute) || c.is(FaultGone) {
		return nil
	}
	if c.is(FaultReset) && c.count.Load() == c.faultAt.Load() {
		c.forget()
	}
	data, sw := c.run(apdu)
	switch {
	case c.is(Fault6F00) && !selects(apdu):
		data, sw = nil, broken
	case c.is(FaultLength) && len(data) > 1:
		data[1] += 0x20
	case c.is(FaultGarbage):
		data = make([]byte, 40)
		rand.Read(data) // never fails
	case c.is(FaultEndless):
		data, sw = make([]byte, chunk), 0x61ff
	}
	c.count.Add(1)
	return binary.BigEndian.AppendUint16(data, uint16(sw))
}

// Reset is what taking the card's power away does.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

// forget is Reset, and is called with the lock held.
func (c *Card) forget() {
	c.applet, c.locked, c.asked, c.rest = false, false, nil, nil
}

func selects(apdu []byte) bool { return len(apdu) > 4 && apdu[1] == 0xa4 && apdu[2] == 0x04 }

func (c *Card) run(apdu []byte) ([]byte, int) {
	if len(apdu) < 4 {
		return nil, wrongLength
	}
	ins, p1, p2 := apdu[1], apdu[2], apdu[3]
	var data []byte
	if len(apdu) > 5 {
		n := int(apdu[4])
		if len(apdu) < 5+n || len(apdu) > 6+n {
			return nil, wrongLength
		}
		data = apdu[5 : 5+n]
	}
	if selects(apdu) {
		return c.choose(data)
	}
	if !c.applet {
		return nil, noInstruction
	}
	if ins == 0xa5 {
		return c.cut(c.rest)
	}
	c.rest = nil
	if c.locked && ins != 0xa3 && ins != 0x04 {
		return nil, needsPassword
	}
	return c.instruct(ins, p1, p2, data)
}

// choose answers SELECT.
func (c *Card) choose(aid []byte) ([]byte, int) {
	c.applet, c.rest = false, nil
	if c.is(FaultNoApplet) || len(aid) == 0 || !bytes.HasPrefix(append(bytes.Clone(oathAID), 0x01), aid) && !bytes.Equal(aid, oathAID) {
		return nil, noApplet
	}
	c.applet, c.locked, c.asked = true, false, nil
	out := put(nil, 0x79, c.o.Version[:])
	out = put(out, 0x71, c.state.ID)
	if len(c.state.Key) > 0 {
		c.locked = true
		c.asked = make([]byte, 8)
		rand.Read(c.asked) // never fails
		out = put(out, 0x74, c.asked)
		out = put(out, 0x7b, []byte{0x01})
	}
	return out, ok
}

func (c *Card) instruct(ins, p1, p2 byte, data []byte) ([]byte, int) {
	parts, good := split(data)
	if !good {
		return nil, wrongSyntax
	}
	switch {
	case ins == 0x01:
		return nil, c.put(parts)
	case ins == 0x02:
		return nil, c.remove(parts)
	case ins == 0x03:
		return nil, c.setCode(parts)
	case ins == 0x04 && p1 == 0xde && p2 == 0xad:
		c.state = state{ID: newID()}
		c.locked, c.asked = false, nil
		return nil, c.save()
	case ins == 0x05 && c.since(5, 3, 1):
		return nil, c.rename(parts)
	case ins == 0xa1:
		return c.cut(c.list())
	case ins == 0xa2:
		return c.calculate(parts, p2 == 1)
	case ins == 0xa3:
		return c.validate(parts)
	case ins == 0xa4 && p1 == 0:
		return c.calculateAll(parts, p2 == 1)
	}
	return nil, noInstruction
}

func (c *Card) since(major, minor, patch byte) bool {
	return bytes.Compare(c.o.Version[:], []byte{major, minor, patch}) >= 0
}

// cut gives the next part of an answer and keeps the rest.
func (c *Card) cut(all []byte) ([]byte, int) {
	if len(all) <= chunk {
		c.rest = nil
		return all, ok
	}
	c.rest = bytes.Clone(all[chunk:])
	return bytes.Clone(all[:chunk]), 0x6100 | min(len(c.rest), 0xff)
}

// setCode answers SET CODE.
func (c *Card) setCode(parts []part) int {
	switch {
	case len(parts) == 1 && parts[0].tag == 0x73 && len(parts[0].value) == 0:
		c.state.Key = nil
	case len(parts) == 3 && parts[0].tag == 0x73 && len(parts[0].value) == 17 && parts[1].tag == 0x74 && parts[2].tag == 0x75:
		key := parts[0].value[1:]
		if !hmac.Equal(sha1mac(key, parts[1].value), parts[2].value) {
			return wrongSyntax
		}
		c.state.Key = bytes.Clone(key)
	default:
		return wrongSyntax
	}
	return c.save()
}

// validate answers VALIDATE.
func (c *Card) validate(parts []part) ([]byte, int) {
	if len(c.state.Key) == 0 {
		return nil, noObject
	}
	if len(parts) != 2 || parts[0].tag != 0x75 || parts[1].tag != 0x74 || c.asked == nil ||
		!hmac.Equal(sha1mac(c.state.Key, c.asked), parts[0].value) && !c.is(FaultLiar) {
		return nil, wrongSyntax
	}
	c.locked, c.asked = false, nil
	proof := sha1mac(c.state.Key, parts[1].value)
	if c.is(FaultLiar) {
		proof[0] ^= 1
	}
	return put(nil, 0x75, proof), ok
}

func sha1mac(key, challenge []byte) []byte {
	m := hmac.New(sha1.New, key)
	m.Write(challenge)
	return m.Sum(nil)
}

// part is a tag and its value.
type part struct {
	tag   byte
	value []byte
}

// split reads parts; a property, 78, has a value of one byte and no length.
func split(b []byte) ([]part, bool) {
	var all []part
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, false
		}
		tag, n, head := b[0], int(b[1]), 2
		switch {
		case tag == 0x78:
			n, head = 1, 1
		case n == 0x81 && len(b) > 2:
			n, head = int(b[2]), 3
		case n >= 0x80:
			return nil, false
		}
		if len(b) < head+n {
			return nil, false
		}
		all, b = append(all, part{tag, b[head : head+n]}), b[head+n:]
	}
	return all, true
}

// put appends a part.
func put(b []byte, tag byte, value []byte) []byte {
	if len(value) > 0x7f {
		return append(append(b, tag, 0x81, byte(len(value))), value...)
	}
	return append(append(b, tag, byte(len(value))), value...)
}
