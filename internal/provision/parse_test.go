package provision_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

func TestParseSeed(t *testing.T) {
	const hex, b32, b64 = provision.EncodingHex, provision.EncodingBase32, provision.EncodingBase64
	for _, tt := range []struct {
		name, text string
		encoding   provision.Encoding
		want       string // hexadecimal
		bad        string // part of the error
	}{
		{"reads hexadecimal", rfcSeedHex, hex, rfcSeedHex, ""},
		{"reads hexadecimal in groups", "31 32-33 34-35\t36 37 38 39 30 31 32 33 34 35 36 37 38 39 30\r\n", hex, rfcSeedHex, ""},
		{"reads small and great hexadecimal digits", "aAbBcCdDeEfF00112233445566778899", hex, "aabbccddeeff00112233445566778899", ""},
		{"reads Base32", rfcSeedBase32, b32, rfcSeedHex, ""},
		{"reads Base32 as a person types it", " gezd gnbv-gy3t QOJQ gezd gnbv gy3t qojq\n", b32, rfcSeedHex, ""},
		{"reads Base32 with padding", "GEZDGNBVGY3TQOJQGEZDGNBVGY======", b32, "31323334353637383930313233343536", ""},
		{"reads Base32 with too little padding", "GEZDGNBVGY3TQOJQGEZDGNBVGY==", b32, "31323334353637383930313233343536", ""},
		{"reads Base32 without padding", "GEZDGNBVGY3TQOJQGEZDGNBVGY", b32, "31323334353637383930313233343536", ""},
		{"reads Microsoft's example, with bits beyond its end", "2234567abcdef2234567abcdef", b32, "d6b7cefbe0088642eb5be77df0044321", ""},
		{"reads Base64", rfcSeedBase64, b64, rfcSeedHex, ""},
		{"reads Base64 over several lines", "MTIzNDU2\n Nzg5MDEy\r\nMzQ1Njc4OTA=", b64, rfcSeedHex, ""},
		{"refuses nothing", "", hex, "", "it is empty"},
		{"refuses nothing but spaces", " - \n", b32, "", "it is empty"},
		{"refuses nothing but padding", "====", b32, "", "it is empty"},
		{"refuses 15 bytes", strings.Repeat("00", 15), hex, "", "shorter than 16 bytes"},
		{"refuses 10 bytes, as an app would have", "JBSWY3DPEHPK3PXP", b32, "", "shorter than 16 bytes"},
		{"takes 128 bytes", strings.Repeat("00", 128), hex, strings.Repeat("00", 128), ""},
		{"refuses 129 bytes", strings.Repeat("00", 129), hex, "", "longer than 128 bytes"},
		{"refuses 10 kB", strings.Repeat("A", 10_000), b32, "", "longer than 128 bytes"},
		{"refuses half a byte", rfcSeedHex + "3", hex, "", "odd number"},
		{"refuses hexadecimal where Base32 belongs", rfcSeedHex, b32, "", "looks like hexadecimal; this format has Base32"},
		{"refuses hexadecimal that would be Base32 too", strings.Repeat("2A3B4C5D", 4), b32, "", "looks like hexadecimal; this format has Base32"},
		{"refuses Base32 where hexadecimal belongs", rfcSeedBase32, hex, "", "looks like Base32, and hexadecimal is expected"},
		{"refuses other letters as hexadecimal", strings.Repeat("x1", 16), hex, "", "no hexadecimal"},
		{"refuses digits that Base32 does not have", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", b32, "", "no Base32, which has the letters A to Z and the digits 2 to 7"},
		{"refuses padding in the middle", "GEZDGNBV======GY3TQOJQGEZDGNBVGY", b32, "", "no Base32"},
		{"refuses Base32 of which characters are missing", rfcSeedBase32 + "A", b32, "", "characters are missing"},
		{"refuses Base64 without its padding", strings.TrimRight(rfcSeedBase64, "="), b64, "", "no Base64"},
		{"refuses Base64 for URLs", "MTIzNDU2Nzg5MDEyMzQ1Njc4OT-_", b64, "", "no Base64"},
		{"refuses letters with accents", strings.Repeat("é", 16), b32, "", "no Base32"},
		{"refuses to guess", rfcSeedHex, "", "", "its encoding is none of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(tt.text)
			s, err := provision.ParseSeed(text, tt.encoding)
			if got := fmt.Sprintf("%x", s.Reveal()); got != tt.want || (err == nil) != (tt.bad == "") {
				t.Fatalf("got %s, %v", got, err)
			}
			if err != nil && (!errors.Is(err, provision.ErrSeed) || !strings.Contains(err.Error(), tt.bad)) {
				t.Errorf("says %q", err)
			}
			if string(text) != tt.text {
				t.Error("changed what it was given")
			}
		})
	}
}

func TestParseShortSeed(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // hexadecimal
		bad        string // part of the error
	}{
		{"reads 10 bytes, as an app would have", "jbsw y3dp-ehpk 3pxp", "48656c6c6f21deadbeef", ""},
		{"reads 5 bytes", "JBSWY3DP", "48656c6c6f", ""},
		{"refuses 4 bytes", "JBSWY3A", "", "shorter than 5 bytes"},
		{"refuses nothing", "", "", "it is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := provision.ParseShortSeed([]byte(tt.text), provision.EncodingBase32, 5)
			if got := fmt.Sprintf("%x", s.Reveal()); got != tt.want || (err == nil) != (tt.bad == "") {
				t.Fatalf("got %s, %v", got, err)
			}
			if err != nil && (!errors.Is(err, provision.ErrSeed) || !strings.Contains(err.Error(), tt.bad)) {
				t.Errorf("says %q", err)
			}
		})
	}
}
