package provision_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

const entraHeader = "upn,serial number,secret key,time interval,manufacturer,model\n"

func TestReadEntra(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"reads Microsoft's example", entraHeader + "Helga@contoso.com,1234567,2234567abcdef2234567abcdef,60,Contoso,HardwareKey\n",
			[]string{"2: 1234567|Contoso|HardwareKey totp SHA1 6 60 0 d6b7cefbe0088642eb5be77df0044321 Helga@contoso.com"}},
		{"reads what a spreadsheet makes of it", "\xef\xbb\xbfUPN;Serial Number; secret key;Time Interval;Manufacturer;\"Model\"\r\n;1;" + rfcSeedBase32 + ";30;\"Acme; Inc.\";T 1\r\n;;;;;\r\n",
			[]string{"2: 1|Acme; Inc.|T 1 totp SHA1 6 30 0 " + rfcSeedHex + " "}},
		{"says what is wrong with each row, and goes on", entraHeader +
			"a@b,,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ,30,m,n\n" +
			"a@b,1,,30,m,n\n" +
			"a@b,2,JBSWY3DPEHPK3PXP,30,m,n\n" +
			"a@b,3," + rfcSeedHex + ",30,m,n\n" +
			"a@b,4,2A3B4C5D2A3B4C5D2A3B4C5D2A3B4C5D,30,m,n\n" +
			"a@b,5," + rfcSeedBase32 + ",0,m,n\n" +
			"a@b,6," + rfcSeedBase32 + ",-30,m,n\n" +
			"a@b,7," + rfcSeedBase32 + ",,m,n\n" +
			"a@b,8," + rfcSeedBase32 + ",half a minute,m,n\n" +
			"a@b,9," + rfcSeedBase32 + ",30,m\n" +
			"a@b,10\n" +
			"a@b,11," + rfcSeedBase32 + ",30,m,n\n" +
			"a@b,11," + rfcSeedBase32 + ",30,m,n\n" +
			"a@b,\u202e12," + rfcSeedBase32 + ",30,m,n\n" +
			"a\u200b@b,13," + rfcSeedBase32 + ",30,m,n\n" +
			"\"a@b,14," + rfcSeedBase32 + ",30,m,n\n", []string{
			"line 2: it has no serial number",
			"line 3 (serial 1): cannot read the seed: it is empty",
			"line 4 (serial 2): cannot read the seed: it is shorter than 16 bytes",
			"line 5 (serial 3): cannot read the seed: this looks like hexadecimal; this format has Base32",
			"line 6 (serial 4): cannot read the seed: this looks like hexadecimal; this format has Base32",
			"line 7 (serial 5): its period is no number of seconds from 1 to 3600",
			"line 8 (serial 6): its period is no number of seconds from 1 to 3600",
			"line 9 (serial 7): its period is no number of seconds from 1 to 3600",
			"line 10 (serial 8): its period is no number of seconds from 1 to 3600",
			"line 11: it has 5 columns instead of 6",
			"line 12: it has 2 columns instead of 6",
			"13: 11|m|n totp SHA1 6 30 0 " + rfcSeedHex + " a@b",
			"line 14 (serial 11): its serial number is that of the token in line 13",
			"line 15: its serial number has control characters, invisible ones, or spaces in a row",
			"line 16 (serial 13): its user has control characters, invisible ones, or spaces in a row",
			"line 17: it has a quotation mark that is not closed",
		}},
		{"yields nothing of a table without tokens", entraHeader, nil},
		{"says which columns it expects, and which it found", "serial number,secret key,time interval,manufacturer,model\n1,2,3,4,5\n",
			[]string{"cannot read the file: line 1: its columns are serial number,secret key,time interval,manufacturer,model, and " +
				"upn,serial number,secret key,time interval,manufacturer,model are expected, in this order"}},
		{"refuses columns in another order", "serial number,upn,secret key,time interval,manufacturer,model\n",
			[]string{"cannot read the file: line 1: its columns are serial number,upn,…"}},
		{"shows no seed where the names are missing", "a@b,1," + rfcSeedBase32 + ",30,m,n\n",
			[]string{"cannot read the file: line 1: its columns are a@b,1,…,30,m,n, and upn…"}},
		{"refuses an empty file", "", []string{"cannot read the file: line 1: its first line does not name the columns upn…"}},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, provision.ReadEntra(strings.NewReader(tt.file)), tt.want...) })
	}
}

func TestWriteEntra(t *testing.T) {
	t.Run("writes what it reads", func(t *testing.T) {
		var b strings.Builder
		seeds := all(
			token("1", func(s *provision.Seed) { s.User = "Helga@contoso.com" }),
			token(`A;"2"`, func(s *provision.Seed) { s.Manufacturer, s.Model, s.Period = "Acme, Inc.", "-", 60 }),
			token("ü", func(s *provision.Seed) {
				s.Manufacturer, s.Model, s.Secret = "", "", secret.New(bytes.Repeat([]byte("z"), 80))
			}),
		)
		if err := provision.WriteEntra(&b, seeds); err != nil {
			t.Fatal(err)
		}
		want := "upn,serial number,secret key,time interval,manufacturer,model\r\n" +
			"Helga@contoso.com,1," + rfcSeedBase32 + ",30,Acme,T 1\r\n" +
			`,"A;""2""",` + rfcSeedBase32 + `,60,"Acme, Inc.",-` + "\r\n" +
			",ü," + strings.Repeat("PJ5HU6T2", 16) + ",30,,\r\n"
		if b.String() != want {
			t.Errorf("wrote\n%s", b.String())
		}
		expect(t, provision.ReadEntra(strings.NewReader(b.String())),
			"2: 1|Acme|T 1 totp SHA1 6 30 0 "+rfcSeedHex+" Helga@contoso.com",
			`3: A;"2"|Acme, Inc.|- totp SHA1 6 60 0 `+rfcSeedHex+" ",
			"4: ü|| totp SHA1 6 30 0 "+strings.Repeat("7a", 80)+" ")
	})
	for _, tt := range []struct {
		name   string
		change func(*provision.Seed)
		want   string
	}{
		{"refuses HOTP", func(s *provision.Seed) { s.Kind, s.Period = provision.HOTP, 0 }, "(serial 1): it is HOTP, and Entra takes TOTP alone"},
		{"refuses SHA-256", func(s *provision.Seed) { s.Algorithm = provision.SHA256 }, "(serial 1): its algorithm is SHA256, and Entra's table takes SHA1 alone"},
		{"refuses SHA-512", func(s *provision.Seed) { s.Algorithm = provision.SHA512 }, "(serial 1): its algorithm is SHA512, and Entra's table takes SHA1 alone"},
		{"refuses 8 digits", func(s *provision.Seed) { s.Digits = 8 }, "(serial 1): its codes have 8 digits, and Entra takes 6 alone"},
		{"refuses a seed that is longer than Entra takes", func(s *provision.Seed) { s.Secret = secret.New(make([]byte, 81)) }, "(serial 1): its seed has more than the 128 characters that Entra takes"},
		{"refuses a token that cannot be", func(s *provision.Seed) { s.Secret = nil }, "(serial 1): cannot read the seed: it is empty"},
		{"refuses a serial number that is none", func(s *provision.Seed) { s.Serial = "\x1b" }, "its serial number has control characters…"},
		{"refuses a formula as serial number", func(s *provision.Seed) { s.Serial = "=1+1" }, `(serial =1+1): its serial number begins with "=", which a spreadsheet would take for a formula`},
		{"refuses a formula as user", func(s *provision.Seed) { s.User = "@SUM(1)" }, `(serial 1): its user begins with "@"…`},
		{"refuses a formula as manufacturer", func(s *provision.Seed) { s.Manufacturer = "+cmd|' /C calc'!A0" }, `(serial 1): its manufacturer begins with "+"…`},
		{"refuses a formula as model", func(s *provision.Seed) { s.Model = "-1+1" }, `(serial 1): its model begins with "-"…`},
		{"refuses a formula behind a tab", func(s *provision.Seed) { s.Model = "\t=1+1" }, `(serial 1): its model begins with "="…`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := provision.WriteEntra(new(strings.Builder), all(token("0"), token("1", tt.change)))
			var row *provision.RowError
			start, cut := strings.CutSuffix(tt.want, "…")
			if !errors.As(err, &row) || err.Error() != tt.want && !(cut && strings.HasPrefix(err.Error(), start)) {
				t.Errorf("got %v", err)
			}
		})
	}
	testWriter(t, provision.WriteEntra)
}
