package fido_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/fido"
)

// receiptRefusals are what a receipt may be refused with.
var receiptRefusals = append(slices.Clone(refusals), fido.ErrClientData, fido.ErrWrongCredential, fido.ErrNotVerified, fido.ErrBadSignature)

// FuzzReceipt changes parts of receipts: what is believed says itself that it was touched, for whom
// and for what, and what is not believed gives nothing away.
func FuzzReceipt(f *testing.F) {
	verified := strings.Replace(sampleEncoded, `"require":"key"`, `"require":"verified"`, 1)
	doubled := strings.Replace(sampleEncoded, `"uid":1000`, `"uid":0,"uid":1000`, 1)
	for _, k := range []key{es256Key(f), edKey(f)} {
		for _, seed := range []struct {
			data string
			auth []byte
		}{
			{sampleEncoded, header(testRP, up, 7)},
			{verified, header(testRP, up|uv, 1<<31)},
			{verified, header(testRP, up, 0)},
			{sampleEncoded, header(testRP, uv, 0)},
			{sampleEncoded, header("fob:other", up, 0)},
			{sampleEncoded, append(header(testRP, up|ed, 0), 0xa1, 0x61, 'x', 0xf5)},
			{sampleEncoded, append(header(testRP, up|ed, 0), encode(f, map[string]any{"hmac-secret": make([]byte, 48)})...)},
			{sampleEncoded, append(header(testRP, up, 0), 0)},
			{doubled, header(testRP, up, 0)},
		} {
			a := k.assert(seed.auth, sha256.Sum256([]byte(seed.data)))
			f.Add(testRP, k.cose, k.alg, []byte(seed.data), seed.auth, a.Signature)
		}
	}
	f.Fuzz(func(t *testing.T, rpID string, public []byte, alg int, data, auth, signature []byte) {
		r := fido.Receipt{RPID: rpID, CredentialID: []byte("credential"), PublicKey: public, Algorithm: alg, ClientData: data, AuthData: auth, Signature: signature}
		c, p, err := fido.VerifyReceipt(r)
		if err != nil {
			if !slices.ContainsFunc(receiptRefusals, func(r error) bool { return errors.Is(err, r) }) {
				t.Errorf("refused with %v", err)
			}
			if p != (fido.Proof{}) || c.Type != "" {
				t.Errorf("gave %+v and %+v beside %v", c, p, err)
			}
			return
		}
		rp := sha256.Sum256([]byte(rpID))
		if !bytes.Equal(auth[:32], rp[:]) || auth[32]&up == 0 || !p.UserPresent || p.UserVerified != (auth[32]&uv != 0) || p.Counter != binary.BigEndian.Uint32(auth[33:]) {
			t.Errorf("%+v proves %+v", r, p)
		}
		if c.Require == "verified" && !p.UserVerified {
			t.Errorf("%+v is verified without a PIN", r)
		}
		if again, _, err := c.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q was signed as %q, %v", again, data, err)
		}
	})
}

// FuzzHIDID reads HID_ID lines of uevent files.
func FuzzHIDID(f *testing.F) {
	for _, s := range []string{"0003:00001050:00000407", "", "::", ":::", "0003:0001ffff:0", "3:-1:+2", "0003:0x1050:407", "3:1_0:2", "3: 1:2", "3:ffff:FFFF", "3:1:2\n", "3:100000000:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		vendor, product := fido.ParseHIDID(s)
		if vendor == 0 && product == 0 {
			return
		}
		parts := strings.Split(s, ":")
		if len(parts) != 3 {
			t.Fatalf("%q is %04x:%04x", s, vendor, product)
		}
		for i, n := range []uint16{vendor, product} {
			if !strings.EqualFold(strings.TrimLeft(parts[i+1], "0"), strings.TrimLeft(fmt.Sprintf("%x", n), "0")) {
				t.Errorf("%q is %04x:%04x", s, vendor, product)
			}
		}
	})
}
