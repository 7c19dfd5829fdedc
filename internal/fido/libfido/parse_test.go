package libfido

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/fxamacker/cbor/v2"
	libfido2 "github.com/keys-pub/go-libfido2"
)

func TestByteString(t *testing.T) {
	for _, n := range []int{0, 1, 23, 24, 37, 255, 256, 65535, 65536} {
		want := bytes.Repeat([]byte{0x5a}, n)
		wrapped, err := cbor.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := byteString(wrapped); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		if _, err := byteString(append(wrapped, 0)); err == nil {
			t.Errorf("%d bytes and one more: no error", n)
		}
		if _, err := byteString(wrapped[:len(wrapped)-1]); err == nil {
			t.Errorf("%d bytes less one: no error", n)
		}
	}
	for _, s := range []string{"", "60", "80", "a0", "f6", "5f40ff", "5bffffffffffffffff", "5c", "58", "59ff", "5affffff"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := byteString(b); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func FuzzByteString(f *testing.F) {
	for _, s := range []string{"", "\x40", "\x41a", "\x58\x25" + string(make([]byte, 37)), "\x59\x01\x00", "\x5b\xff", "\x5f\x40\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := byteString(b)
		if err != nil {
			return
		}
		var want []byte
		if err := cbor.Unmarshal(b, &want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x: %x, want %x (%v)", b, got, want, err)
		}
	})
}

func TestSplit(t *testing.T) {
	ids := func(n, size int) [][]byte {
		out := make([][]byte, n)
		for i := range out {
			out[i] = make([]byte, size)
		}
		return out
	}
	for _, c := range []struct {
		ids   [][]byte
		most  int
		parts int
	}{
		{nil, 8, 0},
		{ids(1, 64), 0, 1},
		{ids(6, 64), 0, 1},
		{ids(7, 64), 0, 2},
		{ids(7, 16), 3, 3},
		{ids(2, 1023), 0, 2},
	} {
		parts := split(c.ids, c.most)
		total := 0
		for _, p := range parts {
			total += len(p)
		}
		if len(parts) != c.parts || total != len(c.ids) {
			t.Errorf("%d of %d at most: %d parts with %d", len(c.ids), c.most, len(parts), total)
		}
	}
}

func TestBusyReport(t *testing.T) {
	report := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, make([]byte, 64-len(b))...)
	}
	for s, want := range map[string]bool{
		"01020304bf000106": true,
		"01020304bf000105": false, // time-out
		"01020304bb000102": false, // keepalive
		"0102030490000100": false,
	} {
		if isBusyReport(report(s)) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
	if isBusyReport([]byte{1, 2, 3, 4, 0xbf}) {
		t.Error("half a report is busy")
	}
}

func TestBindingErrors(t *testing.T) {
	for err, code := range bindingCodes {
		if op := asFailure(bindingError(err)); op == nil || op.Code != int(code) || op.Name == "" {
			t.Errorf("%v: %+v", err, op)
		}
	}
	if op := asFailure(bindingError(libfido2.Error{Code: 0x32})); op == nil || op.Code != 0x32 || op.Name != "FIDO_ERR_PIN_BLOCKED" {
		t.Errorf("%+v", op)
	}
}
