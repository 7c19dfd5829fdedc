package account

import (
	"encoding/binary"
	"errors"
	"iter"
)

var errWire = errors.New("it is cut off or damaged: scan the QR code again")

// Protobuf's wire types, as far as they are in use.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is one of a message's.
type field struct {
	number uint64
	wire   uint64
	value  uint64 // of a varint
	bytes  []byte // of the message's own memory
}

// fields yields a message's, in their order, known or not. It ends with errWire at what is no message.
func fields(message []byte) iter.Seq2[field, error] {
	return func(yield func(field, error) bool) {
		for len(message) > 0 {
			f, n := nextField(message)
			if n == 0 {
				yield(field{}, errWire)
				return
			}
			message = message[n:]
			if !yield(f, nil) {
				return
			}
		}
	}
}

// nextField reads a field and tells its length, 0 if there is none.
func nextField(message []byte) (f field, n int) {
	key, n := binary.Uvarint(message)
	if n <= 0 {
		return f, 0
	}
	f.number, f.wire = key>>3, key&7
	if f.number == 0 {
		return f, 0
	}
	rest, size := message[n:], 0
	switch f.wire {
	case wireVarint:
		f.value, size = binary.Uvarint(rest)
		if size <= 0 {
			return f, 0
		}
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	case wireBytes:
		length, head := binary.Uvarint(rest)
		if head <= 0 || length > uint64(len(rest)-head) {
			return f, 0
		}
		size = head + int(length)
		f.bytes = rest[head:size]
	default: // groups are no longer written
		return f, 0
	}
	if size > len(rest) {
		return f, 0
	}
	return f, n + size
}
