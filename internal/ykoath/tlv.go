package ykoath

// tlv is a tag and its value.
type tlv struct {
	tag   byte
	value []byte
}

// appendTLV appends a tag, a length (ISO 7816-4 §5.2.2.2) and a value of up to 255 bytes.
func appendTLV(b []byte, tag byte, value ...byte) []byte {
	if len(value) < 0x80 {
		b = append(b, tag, byte(len(value)))
	} else {
		b = append(b, tag, 0x81, byte(len(value)))
	}
	return append(b, value...)
}

// parseTLVs reads tags and values to the end of b. The values are parts of b.
func parseTLVs(b []byte) ([]tlv, error) {
	var all []tlv
	for len(b) > 0 {
		t, rest, err := cutTLV(b)
		if err != nil {
			return nil, err
		}
		all, b = append(all, t), rest
	}
	return all, nil
}

// cutTLV reads the first tag and value of b and gives what follows.
func cutTLV(b []byte) (tlv, []byte, error) {
	short := nonsense("half a value")
	if len(b) < 2 {
		return tlv{}, nil, short
	}
	tag, n, head := b[0], int(b[1]), 2
	if n >= 0x80 { // so many bytes of length follow
		size := n & 0x7f
		if size == 0 || size > 2 || len(b) < 2+size {
			return tlv{}, nil, short
		}
		n = 0
		for _, x := range b[2 : 2+size] {
			n = n<<8 | int(x)
		}
		head += size
	}
	if len(b)-head < n {
		return tlv{}, nil, short
	}
	return tlv{tag, b[head : head+n]}, b[head+n:], nil
}

// one gives the value of the only tag in b.
func one(b []byte, tag byte) ([]byte, error) {
	t, rest, err := cutTLV(b)
	if err != nil {
		return nil, err
	}
	if t.tag != tag || len(rest) > 0 {
		return nil, nonsense("another value than was asked for")
	}
	return t.value, nil
}
