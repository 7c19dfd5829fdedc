package card

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"slices"
)

// account is an account on the card.
type account struct {
	Name    []byte `json:"name"`
	Type    byte   `json:"type"` // kind and algorithm, as the protocol has them
	Digits  byte   `json:"digits"`
	Key     []byte `json:"key"`
	Counter uint32 `json:"counter,omitempty"`
	Touch   bool   `json:"touch,omitempty"`
}

// maxName and the bounds of a key, in bytes.
const (
	maxName = 64
	minKey  = 14
	maxKey  = 128
)

func (a *account) hotp() bool { return a.Type&0xf0 == 0x10 }

// hash is the account's hash function.
func (a *account) hash() func() hash.Hash {
	switch a.Type & 0x0f {
	case 2:
		return sha256.New
	case 3:
		return sha512.New
	}
	return sha1.New
}

func (c *Card) find(name []byte) int {
	return slices.IndexFunc(c.state.Accounts, func(a account) bool { return bytes.Equal(a.Name, name) })
}

// put answers PUT.
func (c *Card) put(parts []part) int {
	if len(parts) < 2 || parts[0].tag != 0x71 || parts[1].tag != 0x73 || len(parts[1].value) < 2 {
		return wrongSyntax
	}
	name, key := parts[0].value, parts[1].value
	a := account{Name: bytes.Clone(name), Type: key[0], Digits: key[1], Key: bytes.Clone(key[2:])}
	kind, algorithm := a.Type>>4, a.Type&0x0f
	if len(name) == 0 || len(name) > maxName || len(a.Key) < minKey || len(a.Key) > maxKey || a.Digits < 6 || a.Digits > 8 ||
		kind != 1 && kind != 2 || algorithm < 1 || algorithm > 3 || algorithm == 3 && !c.since(4, 3, 1) || len(a.Key) > a.hash()().BlockSize() {
		return wrongSyntax
	}
	if c.o.CounterFromOne {
		a.Counter = 1
	}
	for _, p := range parts[2:] {
		switch {
		case p.tag == 0x78 && p.value[0]&^0x03 == 0 && (p.value[0]&0x02 == 0 || c.since(4, 2, 6)):
			a.Touch = p.value[0]&0x02 != 0
		case p.tag == 0x7a && len(p.value) == 4:
			a.Counter = binary.BigEndian.Uint32(p.value)
		default:
			return wrongSyntax
		}
	}
	switch i := c.find(name); {
	case i >= 0:
		c.state.Accounts[i] = a
	case len(c.state.Accounts) >= c.o.Slots:
		return noSpace
	default:
		c.state.Accounts = append(c.state.Accounts, a)
	}
	return c.save()
}

// remove answers DELETE.
func (c *Card) remove(parts []part) int {
	if len(parts) != 1 || parts[0].tag != 0x71 {
		return wrongSyntax
	}
	i := c.find(parts[0].value)
	if i < 0 {
		return noObject
	}
	c.state.Accounts = slices.Delete(c.state.Accounts, i, i+1)
	return c.save()
}

// rename answers RENAME.
func (c *Card) rename(parts []part) int {
	if len(parts) != 2 || parts[0].tag != 0x71 || parts[1].tag != 0x71 || len(parts[1].value) == 0 || len(parts[1].value) > maxName {
		return wrongSyntax
	}
	i := c.find(parts[0].value)
	if i < 0 {
		return noObject
	}
	if c.find(parts[1].value) >= 0 {
		return wrongSyntax
	}
	c.state.Accounts[i].Name = bytes.Clone(parts[1].value)
	return c.save()
}

// list answers LIST.
func (c *Card) list() []byte {
	var out []byte
	for _, a := range c.state.Accounts {
		out = put(out, 0x72, append([]byte{a.Type}, a.Name...))
	}
	return out
}

// calculate answers CALCULATE.
func (c *Card) calculate(parts []part, truncate bool) ([]byte, int) {
	if len(parts) != 2 || parts[0].tag != 0x71 || parts[1].tag != 0x74 {
		return nil, wrongSyntax
	}
	i := c.find(parts[0].value)
	if i < 0 {
		return nil, noObject
	}
	a := &c.state.Accounts[i]
	challenge := parts[1].value
	if a.hotp() {
		challenge = binary.BigEndian.AppendUint64(nil, uint64(a.Counter))
	} else if len(challenge) != 8 {
		return nil, wrongSyntax
	}
	if a.Touch && !c.touched() {
		return nil, noTouch
	}
	if a.hotp() {
		a.Counter++
		if sw := c.save(); sw != ok {
			return nil, sw
		}
	}
	return answer(a, challenge, truncate), ok
}

// calculateAll answers CALCULATE ALL.
func (c *Card) calculateAll(parts []part, truncate bool) ([]byte, int) {
	if len(parts) != 1 || parts[0].tag != 0x74 || len(parts[0].value) != 8 {
		return nil, wrongSyntax
	}
	var out []byte
	for i := range c.state.Accounts {
		a := &c.state.Accounts[i]
		out = put(out, 0x71, a.Name)
		switch {
		case a.hotp():
			out = put(out, 0x77, []byte{a.Digits})
		case a.Touch:
			out = put(out, 0x7c, []byte{a.Digits})
		default:
			out = append(out, answer(a, parts[0].value, truncate)...)
		}
	}
	return c.cut(out)
}

// answer is a code, or the whole of the HMAC.
func answer(a *account, challenge []byte, truncate bool) []byte {
	m := hmac.New(a.hash(), a.Key)
	m.Write(challenge)
	sum := m.Sum(nil)
	if !truncate {
		return put(nil, 0x75, append([]byte{a.Digits}, sum...))
	}
	o := sum[len(sum)-1] & 0x0f
	v := binary.BigEndian.Uint32(sum[o:]) & 0x7fffffff
	return put(nil, 0x76, binary.BigEndian.AppendUint32([]byte{a.Digits}, v))
}
