package libfido

/*
#include <stdlib.h>
#include <string.h>
*/
import "C"

import (
	"bytes"
	"unsafe"

	"github.com/fobproject/fob/internal/fido"
)

func unsafePointer(p *C.char) unsafe.Pointer { return unsafe.Pointer(p) }

// cPIN copies a PIN into C memory; free wipes it. A nil PIN gives NULL.
func cPIN(p fido.PIN) (s *C.char, free func()) {
	if len(p) == 0 {
		return nil, func() {}
	}
	n := len(p)
	s = (*C.char)(C.malloc(C.size_t(n + 1)))
	b := unsafe.Slice((*byte)(unsafe.Pointer(s)), n+1)
	copy(b, p)
	b[n] = 0
	return s, func() {
		clear(b)
		C.free(unsafe.Pointer(s))
	}
}

// text reports whether s can be a C string as it is.
func text(s string) bool { return len(s) <= 1024 && !bytes.ContainsRune([]byte(s), 0) }

// cBytes points at b for the length of a call.
func cBytes(b []byte) *C.uchar {
	if len(b) == 0 {
		return nil
	}
	return (*C.uchar)(unsafe.Pointer(&b[0]))
}

// goBytes copies what libfido2 owns; nil where it has nothing.
func goBytes(p *C.uchar, n C.size_t) []byte {
	if p == nil || n == 0 {
		return nil
	}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n)))
}

// goStrings copies an array of n strings.
func goStrings(p **C.char, n C.size_t) []string {
	if p == nil || n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for _, s := range unsafe.Slice(p, int(n)) {
		out = append(out, C.GoString(s))
	}
	return out
}
