package provision_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

func TestReadGraph(t *testing.T) {
	const one = `{"serialNumber":"1","manufacturer":"Acme","model":"T 1","secretKey":"` + rfcSeedBase32 + `","timeIntervalInSeconds":30}`
	const good = "1|Acme|T 1 totp SHA1 6 30 0 " + rfcSeedHex + " "
	device := func(fields string) string {
		return `{"serialNumber":"1","secretKey":"` + rfcSeedBase32 + `",` + fields + `}`
	}
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"reads what Graph documents", `{
  "@context": "#$delta",
  "value": [
    {"@contentId": "1", "serialNumber": "GALT11420104", "manufacturer": "Thales", "model": "OTP 110 Token",
      "secretKey": "` + rfcSeedBase32 + `", "timeIntervalInSeconds": 30,
      "assignTo": {"id": "00aa00aa-bb11-cc22-dd33-44ee44ee44ee"}},
    {"@contentId": "2", "serialNumber": "GALT11420112", "manufacturer": "Thales", "model": "OTP 110 Token",
      "secretKey": "` + strings.ToLower(rfcSeedBase32) + `", "timeIntervalInSeconds": "60", "hashFunction": "hmacsha256", "assignTo": null}
  ],
  "@odata.nextLink": ["?", {"x": [1, 2.5e3, true]}]
}
`, []string{
			"4: GALT11420104|Thales|OTP 110 Token totp SHA1 6 30 0 " + rfcSeedHex + " 00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
			"7: GALT11420112|Thales|OTP 110 Token totp SHA256 6 60 0 " + rfcSeedHex + " ",
		}},
		{"reads a bare array", "\xef\xbb\xbf[" + one + ",\n" + `{"serialNumber":"\u00fc \"2\"","secretKey":"` + rfcSeedBase32 + `","timeIntervalInSeconds":30}]`,
			[]string{"1: " + good, `2: ü "2"|| totp SHA1 6 30 0 ` + rfcSeedHex + " "}},
		{"reads one token", "\n" + one + "\n", []string{"2: " + good}},
		{"reads names as Go does, without regard to case", `{"VALUE":0,"value":[` + strings.ReplaceAll(one, "secretKey", "SecretKey") + `]}`, []string{"1: " + good}},
		{"yields nothing of an empty list", `{"value":[]}`, nil},
		{"says what is wrong with each token, and goes on", "[\n" + strings.Join([]string{
			`{}`,
			`{"serialNumber":1}`,
			`{"serialNumber":"1"}`,
			`{"serialNumber":"1","secretKey":null,"timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":"","timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":12345678901234567890123456789012,"timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":"` + rfcSeedHex + `","timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":"JBSWY3DPEHPK3PXP","timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":"` + strings.Repeat("A", 10_000) + `","timeIntervalInSeconds":30}`,
			`{"serialNumber":"1","secretKey":"\u0047EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","timeIntervalInSeconds":30}`,
			`{"serialNumber":"","secretKey":"` + rfcSeedBase32 + `","timeIntervalInSeconds":30}`,
			device(`"model":1`),
			device(`"timeIntervalInSeconds":0`),
			device(`"timeIntervalInSeconds":-30`),
			device(`"timeIntervalInSeconds":3e1`),
			device(`"timeIntervalInSeconds":{}`),
			device(`"manufacturer":"x"`),
			device(`"timeIntervalInSeconds":30,"hashFunction":"hmacsha512"`),
			device(`"timeIntervalInSeconds":30,"hashFunction":"md5"`),
			device(`"timeIntervalInSeconds":30,"assignTo":"me"`),
			device(`"timeIntervalInSeconds":30,"assignTo":{"id":5}`),
			device(`"timeIntervalInSeconds":30,"model":"a\u0000b"`),
			device(`"timeIntervalInSeconds":30,"model":"` + "\xff" + `"`),
			`"1"`, `null`, `[]`,
			device(`"timeIntervalInSeconds":30`),
			device(`"timeIntervalInSeconds":30`),
		}, ",\n") + "\n]", []string{
			"line 2: cannot read the seed: it is empty",
			"line 3: its serialNumber is not written as Graph does",
			"line 4 (serial 1): cannot read the seed: it is empty",
			"line 5 (serial 1): cannot read the seed: it is empty",
			"line 6 (serial 1): cannot read the seed: it is empty",
			"line 7 (serial 1): cannot read the seed: this looks like hexadecimal; this format has Base32",
			"line 8 (serial 1): cannot read the seed: this looks like hexadecimal; this format has Base32",
			"line 9 (serial 1): cannot read the seed: it is shorter than 16 bytes",
			"line 10 (serial 1): cannot read the seed: it is longer than 128 bytes",
			"line 11 (serial 1): cannot read the seed: it is no Base32, which has the letters A to Z and the digits 2 to 7",
			"line 12: it has no serial number",
			"line 13 (serial 1): its model is not written as Graph does",
			"line 14 (serial 1): its period is no number of seconds from 1 to 3600",
			"line 15 (serial 1): its period is no number of seconds from 1 to 3600",
			"line 16 (serial 1): its period is no number of seconds from 1 to 3600",
			"line 17 (serial 1): its period is no number of seconds from 1 to 3600",
			"line 18 (serial 1): its period is no number of seconds from 1 to 3600",
			"line 19 (serial 1): its hashFunction is neither hmacsha1 nor hmacsha256",
			"line 20 (serial 1): its hashFunction is neither hmacsha1 nor hmacsha256",
			"line 21 (serial 1): its assignTo is not written as Graph does",
			"line 22 (serial 1): its assignTo is not written as Graph does",
			"line 23 (serial 1): its model has control characters, invisible ones, or spaces in a row",
			"line 24: it has text that is not UTF-8",
			"line 25: it is no JSON object",
			"line 26: it is no JSON object",
			"line 27: it is no JSON object",
			"28: 1|| totp SHA1 6 30 0 " + rfcSeedHex + " ",
			"line 29 (serial 1): its serial number is that of the token in line 28",
		}},
		{"refuses what is no JSON", "[\n{\"serialNumber\":}]", []string{"cannot read the file: line 2: this is no JSON"}},
		{"refuses two values without a comma", "[" + one + " " + one + "]", []string{"1: " + good, "cannot read the file: line 1: this is no JSON"}},
		{"refuses a comma before the end", "[" + one + ",]", []string{"1: " + good, "cannot read the file: line 1: this is no JSON"}},
		{"refuses a name without a colon", `{"value" []}`, []string{"cannot read the file: line 1: this is no JSON"}},
		{"refuses a name that is no string", `{value:[]}`, []string{"cannot read the file: line 1: this is no JSON"}},
		{"refuses other text", `hello`, []string{"cannot read the file: line 1: this is no JSON of tokens…"}},
		{"refuses an object without tokens", `{"values":[` + one + `]}`, []string{"cannot read the file: line 1: it has no tokens…"}},
		{"refuses something behind the end", "[]\n[]", []string{"cannot read the file: line 2: there is something behind its end"}},
		{"refuses values deep in each other", strings.Repeat("[", 1000), []string{"cannot read the file: line 1: its values stand more than 32 deep in each other"}},
		{"refuses an empty file", " ", []string{"cannot read the file: it ends in the middle"}},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, provision.ReadGraph(strings.NewReader(tt.file)), tt.want...) })
	}
	t.Run("notices a file that ends in the middle, wherever it does", func(t *testing.T) {
		const whole = `{"@context":"#$delta","value":[` + one + `]}`
		for n := range whole {
			var last error
			for _, err := range provision.ReadGraph(strings.NewReader(whole[:n])) {
				last = err
			}
			if !errors.Is(last, provision.ErrFile) || !strings.Contains(last.Error(), "it ends in the middle") {
				t.Fatalf("%s: %v", whole[:n], last)
			}
		}
	})
}

func TestWriteGraph(t *testing.T) {
	t.Run("writes what it reads", func(t *testing.T) {
		var b strings.Builder
		seeds := all(
			token("1", func(s *provision.Seed) { s.User = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee" }),
			token(`"2" \ <ü>`, func(s *provision.Seed) { s.Algorithm, s.Period, s.Model = provision.SHA256, 60, "" }),
		)
		if err := provision.WriteGraph(&b, seeds); err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(b.String())) || !strings.HasPrefix(b.String(), `{"@context":"#$delta","value":[`) {
			t.Errorf("wrote\n%s", b.String())
		}
		expect(t, provision.ReadGraph(strings.NewReader(b.String())),
			"2: 1|Acme|T 1 totp SHA1 6 30 0 "+rfcSeedHex+" 00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
			`3: "2" \ <ü>|Acme| totp SHA256 6 60 0 `+rfcSeedHex+" ")
	})
	for _, tt := range []struct {
		name   string
		change func(*provision.Seed)
		want   string
	}{
		{"refuses HOTP", func(s *provision.Seed) { s.Kind = provision.HOTP }, "(serial 1): it is HOTP, and Graph takes TOTP alone"},
		{"refuses SHA-512", func(s *provision.Seed) { s.Algorithm = provision.SHA512 }, "(serial 1): its algorithm is SHA512, and Graph takes SHA1 and SHA256 alone"},
		{"refuses 7 digits", func(s *provision.Seed) { s.Digits = 7 }, "(serial 1): its codes have 7 digits, and Graph takes 6 alone"},
		{"refuses a token that cannot be", func(s *provision.Seed) { s.Period = 0 }, "(serial 1): its period is no number of seconds from 1 to 3600"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := provision.WriteGraph(new(strings.Builder), all(token("0"), token("1", tt.change)))
			var row *provision.RowError
			if !errors.As(err, &row) || err.Error() != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
	testWriter(t, provision.WriteGraph)
}
