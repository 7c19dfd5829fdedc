package provision_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

// hexTable is a table with little in it.
var hexTable = provision.CSVOptions{
	Columns:        provision.Columns{Serial: "serial", Secret: "secret"},
	SecretEncoding: provision.EncodingHex,
}

// fullTable is one with everything.
var fullTable = provision.CSVOptions{
	Columns: provision.Columns{
		Serial: "Serial", Secret: "Seed", User: "User", Manufacturer: "Maker", Model: "Model",
		Type: "Type", Algorithm: "Hash", Digits: "Digits", Period: "Period", Counter: "Counter",
	},
	SecretEncoding: provision.EncodingBase32,
}

const fullHeader = "User;Serial;Seed;Type;Hash;Digits;Period;Counter;Maker;Model\n"

func TestReadCSV(t *testing.T) {
	const good = "1: 1||" + " totp SHA1 6 30 0 " + rfcSeedHex + " "
	for _, tt := range []struct {
		name, table string
		options     provision.CSVOptions
		want        []string
	}{
		{"reads every column", fullHeader +
			"anna;A1;" + rfcSeedBase32 + ";totp;sha256;8;60;;Acme;T 1\n" +
			"bert;A2;" + rfcSeedBase32 + ";HOTP;HMAC-SHA-512;7;;12;Acme;H 1\n" +
			";A3;" + rfcSeedBase32 + ";;;;;;;\n", fullTable, []string{
			"2: A1|Acme|T 1 totp SHA256 8 60 0 " + rfcSeedHex + " anna",
			"3: A2|Acme|H 1 hotp SHA512 7 0 12 " + rfcSeedHex + " bert",
			"4: A3|| totp SHA1 6 30 0 " + rfcSeedHex + " ",
		}},
		{"finds columns by name without regard to case, wherever they are", "x,SECRET , serial\n,\"" + rfcSeedHex + "\",1\n", hexTable,
			[]string{"2: 1|| totp SHA1 6 30 0 " + rfcSeedHex + " "}},
		{"finds columns by number", "1," + rfcSeedHex + "\n", provision.CSVOptions{
			Columns: provision.Columns{Serial: "1", Secret: "2"}, SecretEncoding: provision.EncodingHex, NoHeader: true}, []string{good}},
		{"finds columns by number below names", "a,b\n1," + rfcSeedHex + "\n", provision.CSVOptions{
			Columns: provision.Columns{Serial: "1", Secret: "2"}, SecretEncoding: provision.EncodingHex}, []string{"2" + good[1:]}},
		{"reads tabs", "serial\tsecret\n1\t" + rfcSeedHex + "\n", hexTable, []string{"2" + good[1:]}},
		{"reads a separator that it is told", "serial|secret\n1|" + rfcSeedHex + "\n", provision.CSVOptions{
			Columns: hexTable.Columns, SecretEncoding: provision.EncodingHex, Separator: '|'}, []string{"2" + good[1:]}},
		{"reads a byte order mark, CRLF, blank lines and no end of the last one",
			"\xef\xbb\xbfserial,secret\r\n\r\n , \r\n1," + rfcSeedHex + "\r\n\r\n2," + rfcSeedHex, hexTable,
			[]string{"4" + good[1:], "6: 2|| totp SHA1 6 30 0 " + rfcSeedHex + " "}},
		{"reads quoted cells with separators, quotation marks and lines in them",
			"serial,secret,model\n\"1,\"\"2\"\"\"," + rfcSeedHex + ",\"a\nb\"\n3," + rfcSeedHex + ",c\n", provision.CSVOptions{
				Columns: provision.Columns{Serial: "serial", Secret: "secret", Model: "model"}, SecretEncoding: provision.EncodingHex},
			[]string{`2: 1,"2"||a b totp SHA1 6 30 0 ` + rfcSeedHex + " ", "4: 3||c totp SHA1 6 30 0 " + rfcSeedHex + " "}},
		{"takes defaults from the options", "serial,secret\n1," + rfcSeedHex + "\n", provision.CSVOptions{
			Columns: hexTable.Columns, SecretEncoding: provision.EncodingHex, Kind: provision.HOTP, Algorithm: provision.SHA256, Digits: 8, Period: 60},
			[]string{"2: 1|| hotp SHA256 8 0 0 " + rfcSeedHex + " "}},
		{"says what is wrong with each row, and goes on", fullHeader +
			";;" + rfcSeedBase32 + ";;;;;;;\n" +
			";B2;;;;;;;;\n" +
			";B3;JBSWY3DPEHPK3PXP;;;;;;;\n" +
			";B4;" + strings.Repeat("A", 10_000) + ";;;;;;;\n" +
			";B5;" + rfcSeedHex + ";;;;;;;\n" +
			";B6;" + rfcSeedBase32 + ";ocra;;;;;;\n" +
			";B7;" + rfcSeedBase32 + ";;md5;;;;;\n" +
			";B8;" + rfcSeedBase32 + ";;;0;;;;\n" +
			";B9;" + rfcSeedBase32 + ";;;99;;;;\n" +
			";B10;" + rfcSeedBase32 + ";;;six;;;;\n" +
			";B11;" + rfcSeedBase32 + ";;;;0;;;\n" +
			";B12;" + rfcSeedBase32 + ";;;;-30;;;\n" +
			";B13;" + rfcSeedBase32 + ";;;;30 s;;;\n" +
			";B14;" + rfcSeedBase32 + ";;;;3601;;;\n" +
			";B15;" + rfcSeedBase32 + ";hotp;;;;-1;;\n" +
			";B16;" + rfcSeedBase32 + ";hotp;;;;18446744073709551615;;\n" +
			";B17;" + rfcSeedBase32 + "\n" +
			";B18;" + rfcSeedBase32 + ";;;;;;;;\n" +
			";B19;" + rfcSeedBase32 + ";;;;;;" + strings.Repeat("m", 65) + ";\n" +
			";B20;" + rfcSeedBase32 + ";;;;;;;a\u200bb\n" +
			strings.Repeat("u", 257) + ";B21;" + rfcSeedBase32 + ";;;;;;;\n" +
			";B\"22;" + rfcSeedBase32 + ";;;;;;;\n" +
			";\"B23\" ;" + rfcSeedBase32 + ";;;;;;;\n" +
			";" + strings.Repeat("9", 65) + ";" + rfcSeedBase32 + ";;;;;;;\n" +
			";last;" + rfcSeedBase32 + ";;;;;;;\n" +
			";LAST;" + rfcSeedBase32 + ";;;;;;;\n" +
			";\"not closed;" + rfcSeedBase32 + ";;;;;;;\n", fullTable, []string{
			"line 2: it has no serial number",
			"line 3 (serial B2): cannot read the seed: it is empty",
			"line 4 (serial B3): cannot read the seed: it is shorter than 16 bytes",
			"line 5 (serial B4): cannot read the seed: it is longer than 128 bytes",
			"line 6 (serial B5): cannot read the seed: this looks like hexadecimal; this format has Base32",
			"line 7 (serial B6): its type is neither HOTP nor TOTP",
			"line 8 (serial B7): its algorithm is none of SHA1, SHA256 and SHA512",
			"line 9 (serial B8): its codes do not have 6 to 8 digits",
			"line 10 (serial B9): its codes do not have 6 to 8 digits",
			"line 11 (serial B10): its codes do not have 6 to 8 digits",
			"line 12 (serial B11): its period is no number of seconds from 1 to 3600",
			"line 13 (serial B12): its period is no number of seconds from 1 to 3600",
			"line 14 (serial B13): its period is no number of seconds from 1 to 3600",
			"line 15 (serial B14): its period is no number of seconds from 1 to 3600",
			"line 16 (serial B15): its counter is no number",
			"line 17 (serial B16): its counter is no number…",
			"line 18: it has 3 columns instead of 10",
			"line 19: it has 11 columns instead of 10",
			"line 20 (serial B19): its manufacturer is longer than 64 characters",
			"line 21 (serial B20): its model has control characters, invisible ones, or spaces in a row",
			"line 22 (serial B21): its user is longer than 256 characters",
			"line 23: it has a quotation mark in a cell that does not begin with one, or where one should end",
			"line 24: it has a quotation mark in a cell that does not begin with one, or where one should end",
			"line 25: its serial number is longer than 64 characters",
			"26: last|| totp SHA1 6 30 0 " + rfcSeedHex + " ",
			"line 27 (serial LAST): its serial number is that of the token in line 26",
			"line 28: it has a quotation mark that is not closed",
		}},
		{"reads Base32 where hexadecimal belongs as neither", "serial,secret\n1," + rfcSeedBase32 + "\n", hexTable,
			[]string{"line 2 (serial 1): cannot read the seed: this looks like Base32, and hexadecimal is expected"}},
		{"takes a serial number again whose first token was refused", "serial,secret\n1,\n1," + rfcSeedHex + "\n", hexTable,
			[]string{"line 2 (serial 1): cannot read the seed: it is empty", "3" + good[1:]}},
		{"yields nothing of a table without tokens", "serial,secret\n", hexTable, nil},
		{"yields nothing of nothing", "", hexTable, nil},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, provision.ReadCSV(strings.NewReader(tt.table), tt.options), tt.want...) })
	}
}

func TestReadCSVRefusesFiles(t *testing.T) {
	row := "1," + rfcSeedHex + "\n"
	with := func(change func(*provision.CSVOptions)) provision.CSVOptions {
		o := hexTable
		change(&o)
		return o
	}
	for _, tt := range []struct {
		name, table string
		options     provision.CSVOptions
		want        string
	}{
		{"does not guess the encoding", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.SecretEncoding = "" }), "whether its seeds are hexadecimal or Base32"},
		{"asks for the serial number's column", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Columns.Serial = "" }), "which column has the serial number"},
		{"asks for the secret's column", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Columns.Secret = " " }), "which column has the secret"},
		{"says which names there are", "number,seed\n" + row, hexTable, "no column is called secret; its columns are number,seed"},
		{"shows nothing that may be a seed for a name", row, hexTable, "its columns are 1,…"},
		{"knows no column 0", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Columns.Secret = "0" }), "there is no column 0 for the secret: the first line has 2"},
		{"knows no column beyond the last", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Columns.User = "3" }), "there is no column 3 for the user: the first line has 2"},
		{"finds no name where there are none", row, with(func(o *provision.CSVOptions) { o.NoHeader = true }), "its columns have no names"},
		{"does not choose between two columns", "serial,secret,Secret\n" + row, hexTable, "two columns are called secret"},
		{"shows no secret as something else", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Columns.Model = "2" }), "cannot have both the secret and the model"},
		{"refuses a default that cannot be", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Digits = 99 }), "its codes do not have 6 to 8 digits"},
		{"refuses a separator that cannot be", "serial,secret\n" + row, with(func(o *provision.CSVOptions) { o.Separator = '"' }), "cannot stand between cells"},
		{"refuses UTF-16", "\xff\xfes\x00e\x00", hexTable, "UTF-16: save it as UTF-8"},
		{"refuses a first line that makes no sense", "ser\"ial,secret\n" + row, hexTable, "its first line cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for s, err := range provision.ReadCSV(strings.NewReader(tt.table), tt.options) {
				n++
				if !errors.Is(err, provision.ErrFile) || !strings.Contains(err.Error(), tt.want) || s.Secret != nil {
					t.Errorf("got %+v, %v", s, err)
				}
				if strings.Contains(err.Error(), rfcSeedHex) {
					t.Errorf("shows the seed: %v", err)
				}
			}
			if n != 1 {
				t.Errorf("yielded %d times", n)
			}
		})
	}
	t.Run("passes on what the reader fails with", func(t *testing.T) {
		broken := errors.New("the disk is on fire")
		r := io.MultiReader(strings.NewReader("serial,secret\n"+row), failing{broken})
		var last error
		for _, err := range provision.ReadCSV(r, hexTable) {
			last = err
		}
		if !errors.Is(last, broken) || !errors.Is(last, provision.ErrFile) {
			t.Errorf("got %v", last)
		}
	})
	t.Run("refuses more than 250,000 tokens", func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			var b strings.Builder
			b.WriteString("serial,secret\n")
			for i := range 250_001 {
				fmt.Fprintf(&b, "%d,\n", i)
			}
			io.WriteString(w, b.String())
			w.Close()
		}()
		n := 0
		var last error
		for _, err := range provision.ReadCSV(r, hexTable) {
			n++
			last = err
		}
		if n != 250_001 || !errors.Is(last, provision.ErrFile) || !strings.Contains(last.Error(), "more than 250000 tokens") {
			t.Errorf("yielded %d times, at last %v", n, last)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
