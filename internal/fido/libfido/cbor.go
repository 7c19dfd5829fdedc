package libfido

import "errors"

// errNoByteString says that bytes are no CBOR byte string.
var errNoByteString = errors.New("cannot find a CBOR byte string")

// byteString unwraps a definite-length CBOR byte string (RFC 8949 §3.1) that is all of b. libfido2
// hands authenticator data out so.
func byteString(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0]>>5 != 2 {
		return nil, errNoByteString
	}
	n, rest := int(b[0]&0x1f), b[1:]
	var wide int
	switch {
	case n < 24:
	case n <= 26:
		wide, n = 1<<(n-24), 0
	default:
		return nil, errNoByteString // longer than any message, or of indefinite length
	}
	if len(rest) < wide {
		return nil, errNoByteString
	}
	for _, c := range rest[:wide] {
		n = n<<8 | int(c)
	}
	if rest = rest[wide:]; len(rest) != n {
		return nil, errNoByteString
	}
	return rest, nil
}
