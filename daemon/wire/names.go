package wire

import (
	"encoding/hex"
	"fmt"

	"github.com/fobproject/fob/internal/fido"
)

// Algorithm is the name of a COSE algorithm identifier (RFC 9053 §2; WebAuthn's names where they
// differ): "ES256", or "COSE -47" where it has no name here.
func Algorithm(id int) string {
	switch id {
	case fido.AlgES256:
		return "ES256"
	case fido.AlgEdDSA:
		return "EdDSA"
	case fido.AlgES384:
		return "ES384"
	case fido.AlgRS256:
		return "RS256"
	default:
		return fmt.Sprintf("COSE %d", id)
	}
}

// AAGUID writes a key model's identifier as a UUID (RFC 9562 §4). It is empty where the key has none,
// and plain hexadecimal where it is not 16 bytes long.
func AAGUID(b []byte) string {
	zero := true
	for _, c := range b {
		zero = zero && c == 0
	}
	if zero {
		return ""
	}
	h := hex.EncodeToString(b)
	if len(b) != 16 {
		return h
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
