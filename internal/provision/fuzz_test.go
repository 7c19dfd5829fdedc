package provision_test

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// check fails unless what a reader yields of a fuzzed file is what it promises. It gives the tokens,
// and what ended the file.
func check(t *testing.T, seeds iter.Seq2[provision.Seed, error]) (good []provision.Seed, end error) {
	t.Helper()
	serials := map[string]bool{}
	before := 0
	for s, err := range seeds {
		if end != nil {
			t.Fatalf("yielded %+v, %v behind %v", s, err, end)
		}
		var row *provision.RowError
		switch {
		case errors.As(err, &row):
			if row.Line != s.Line || row.Serial != s.Serial || s.Secret != nil || row.Reason == "" {
				t.Errorf("yielded %+v with %v", s, err)
			}
			if len(err.Error()) > 600 || caller.Clean(row.Serial).String() != row.Serial || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("says %q", err)
			}
		case err != nil:
			end = err
			if s != (provision.Seed{}) || !slices.ContainsFunc([]error{provision.ErrFile, provision.ErrEncrypted, provision.ErrWrongKey},
				func(is error) bool { return errors.Is(err, is) }) {
				t.Errorf("yielded %+v with %v", s, err)
			}
			continue
		default:
			p := oath.Params{Kind: oath.Kind(s.Kind), Algorithm: oath.Algorithm(s.Algorithm), Digits: s.Digits, Period: s.Period}
			if err := p.Check(); err != nil {
				t.Errorf("took %+v: %v", s, err)
			}
			for _, text := range []struct {
				s   string
				max int
			}{{s.Serial, 64}, {s.Manufacturer, 64}, {s.Model, 64}, {s.User, 256}} {
				if len([]rune(text.s)) > text.max || text.max == 64 && caller.Clean(text.s).String() != text.s {
					t.Errorf("took the text %q", text.s)
				}
			}
			key := strings.ToUpper(s.Serial)
			if s.Serial == "" || serials[key] || s.Counter > oath.MaxCounter || s.Kind == provision.TOTP && s.Counter != 0 || s.Secret.Len() < oath.MinSeed || s.Secret.Len() > oath.MaxSeed {
				t.Errorf("took %+v with %d bytes", s, s.Secret.Len())
			}
			serials[key] = true
			good = append(good, s)
		}
		if s.Line < 1 || s.Line < before {
			t.Errorf("line %d comes behind line %d", s.Line, before)
		}
		before = s.Line
	}
	return good, end
}

// same fails unless a file that holds tokens is read as them.
func same(t *testing.T, want []provision.Seed, file []byte, seeds iter.Seq2[provision.Seed, error]) {
	t.Helper()
	without := func(s provision.Seed) string {
		s.Line = 0
		return line(s)
	}
	var a, b []string
	for _, s := range want {
		a = append(a, without(s))
	}
	for s, err := range seeds {
		if err != nil {
			t.Errorf("cannot read %s: %v", file, err)
		}
		b = append(b, without(s))
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s is read otherwise: %s", file, diff)
	}
}

// writeAll writes tokens in every format that holds them, and reads them back.
func writeAll(t *testing.T, seeds []provision.Seed) {
	t.Helper()
	if len(seeds) == 0 {
		return
	}
	var b bytes.Buffer
	if err := provision.WritePSKC(&b, all(seeds...), provision.PSKCWriteOptions{}); err != nil {
		t.Errorf("cannot write %+v: %v", seeds, err)
	}
	same(t, seeds, b.Bytes(), provision.ReadPSKC(bytes.NewReader(b.Bytes()), provision.PSKCOptions{}))
	for _, f := range []struct {
		write func(io.Writer, iter.Seq2[provision.Seed, error]) error
		read  func(io.Reader) iter.Seq2[provision.Seed, error]
	}{{provision.WriteEntra, provision.ReadEntra}, {provision.WriteGraph, provision.ReadGraph}} {
		var row *provision.RowError
		b.Reset()
		switch err := f.write(&b, all(seeds...)); {
		case errors.As(err, &row):
		case err != nil:
			t.Errorf("cannot write %+v: %v", seeds, err)
		case !hexLike(seeds):
			same(t, seeds, b.Bytes(), f.read(bytes.NewReader(b.Bytes())))
		}
	}
}

// hexLike reports whether the Base32 of a seed could be taken for hexadecimal. It happens by chance
// once in 10^13 seeds, and to a fuzzer at once.
func hexLike(seeds []provision.Seed) bool {
	return slices.ContainsFunc(seeds, func(s provision.Seed) bool {
		var b bytes.Buffer
		s = token("1", func(t *provision.Seed) { t.Secret = s.Secret })
		if provision.WriteGraph(&b, all(s)) != nil {
			return false
		}
		for _, err := range provision.ReadGraph(&b) {
			return err != nil
		}
		return false
	})
}

func FuzzPSKC(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.xml"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, "there are no vectors")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(container(pack("1", totpKey, "<Suite>HMAC-SHA512</Suite>"+format6, seedXML), pack("&#49;<![CDATA[2]]>", hotpKey, format6, seedXML))))
	f.Add([]byte("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := 0
		good, end := check(t, provision.ReadPSKC(bytes.NewReader(b), provision.PSKCOptions{Key: func(need provision.Need) (*secret.Secret, error) {
			asked++
			switch {
			case !need.Passphrase:
				key, err := hex.DecodeString(figure6Key)
				return secret.New(key), err
			case !bytes.Contains(b, []byte(">1000<")) && !bytes.Contains(b, []byte(">2000<")):
				return nil, errors.New("it would take too long")
			case need.KeyName == "":
				return secret.New([]byte("correct horse")), nil
			}
			return secret.New([]byte("qwerty")), nil
		}}))
		if asked > 1 {
			t.Errorf("asked %d times", asked)
		}
		writeAll(t, good)
		events, err := provision.XMLEvents(bytes.NewReader(b))
		if end == nil && err != nil {
			t.Errorf("read a file that is no XML: %v", err)
		}
		if err != nil {
			return
		}
		// What the scanner takes, encoding/xml takes too, and sees the same in it.
		peer, err := xmlEvents(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
		if err != nil {
			t.Errorf("took what encoding/xml refuses: %v", err)
		}
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n")
		for i := range events {
			events[i] = lines.Replace(events[i])
		}
		for i := range peer {
			peer[i] = lines.Replace(peer[i])
		}
		if diff := cmp.Diff(peer, events); diff != "" {
			t.Error(diff)
		}
	})
}

// xmlEvents is provision.XMLEvents by encoding/xml.
func xmlEvents(b []byte) (events []string, err error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for depth := 0; ; {
		token, err := d.RawToken()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			event := "+" + token.Name.Local
			for _, a := range token.Attr {
				name := a.Name.Local
				if a.Name.Space != "" {
					name = a.Name.Space + ":" + name
				}
				event += " " + name + "=" + a.Value
			}
			events = append(events, event)
			depth++
		case xml.EndElement:
			events = append(events, "-"+token.Name.Local)
			depth--
		case xml.CharData:
			if last := len(events) - 1; last >= 0 && strings.HasPrefix(events[last], "=") {
				events[last] += string(token)
			} else if depth > 0 && len(token) > 0 {
				events = append(events, "="+string(token))
			}
		}
	}
}

func FuzzEntra(f *testing.F) {
	f.Add([]byte(entraHeader + "Helga@contoso.com,1234567,2234567abcdef2234567abcdef,60,Contoso,HardwareKey\r\n"))
	f.Add([]byte(strings.ReplaceAll(entraHeader, ",", ";") + "\"a;\"\"b\";1;" + rfcSeedBase32 + ";30;=1;\n"))
	f.Add([]byte("\xef\xbb\xbf" + entraHeader + ",1," + rfcSeedHex + ",0,,\n,,,,,\n\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		good, _ := check(t, provision.ReadEntra(bytes.NewReader(b)))
		writeAll(t, good)
		for _, s := range good {
			if s.Kind != provision.TOTP || s.Algorithm != provision.SHA1 || s.Digits != 6 {
				t.Errorf("took %+v", s)
			}
		}
		if f := provision.Sniff(b); len(good) > 0 && f != provision.FormatEntra {
			t.Errorf("takes it for %q", f)
		}
	})
}

func FuzzGraph(f *testing.F) {
	f.Add([]byte(`{"@context":"#$delta","value":[{"@contentId":"1","serialNumber":"1","manufacturer":"m","model":"n","secretKey":"` + rfcSeedBase32 + `","timeIntervalInSeconds":30,"hashFunction":"hmacsha256","assignTo":{"id":"u"}}]}`))
	f.Add([]byte("[\n{\"serialNumber\":\"1\",\"secretKey\":\"" + rfcSeedBase32 + "\",\"timeIntervalInSeconds\":\"60\"},\n{}]\n"))
	f.Add([]byte(`{"serialNumber":"\u0031","secretKey":"` + rfcSeedBase32 + `","timeIntervalInSeconds":30,"x":[{"y":"\"}"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		good, end := check(t, provision.ReadGraph(bytes.NewReader(b)))
		writeAll(t, good)
		if end == nil && !json.Valid(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))) {
			t.Error("took what is no JSON")
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("serial,secret\n1,"+rfcSeedHex+"\n"), uint8(0))
	f.Add([]byte(fullHeader+"anna;A1;"+rfcSeedBase32+";totp;sha256;8;60;;Acme;T 1\n\"b\";A2;"+rfcSeedBase32+";HOTP;;;;12;;\r\n"), uint8(1))
	f.Add([]byte("1,"+rfcSeedBase64+",x\n\"1,\"\"\n2\""), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		options := []provision.CSVOptions{hexTable, fullTable, {
			Columns: provision.Columns{Serial: "1", Secret: "2", User: "3"}, NoHeader: true, SecretEncoding: provision.EncodingBase64, Kind: provision.HOTP,
		}}
		good, _ := check(t, provision.ReadCSV(bytes.NewReader(b), options[int(which)%len(options)]))
		writeAll(t, good)

		// The rows are encoding/csv's, but for blank ones.
		rows, whole, err := provision.Rows(bytes.NewReader(b), ',')
		if err != nil {
			return
		}
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
		r.FieldsPerRecord = -1
		peer, err := r.ReadAll()
		wide := slices.ContainsFunc(peer, func(row []string) bool { return len(row) > 256 })
		if whole != (err == nil) && !wide {
			t.Fatalf("read all: %t; encoding/csv: %v", whole, err)
		}
		if !whole {
			return
		}
		peer = slices.DeleteFunc(peer, func(row []string) bool { return strings.TrimSpace(strings.Join(row, "")) == "" })
		for _, row := range rows {
			for i := range row {
				row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
			}
		}
		if diff := cmp.Diff(peer, rows, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzSeed(f *testing.F) {
	encodings := []provision.Encoding{provision.EncodingHex, provision.EncodingBase32, provision.EncodingBase64}
	for i, text := range []string{rfcSeedHex, rfcSeedBase32, rfcSeedBase64} {
		f.Add([]byte(text), uint8(i))
		f.Add([]byte(text), uint8(i+1))
		f.Add([]byte(strings.ToLower(text[:8])+" - "+text[8:]+"=="), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, which uint8) {
		e := encodings[int(which)%len(encodings)]
		s, err := provision.ParseSeed(text, e)
		if err != nil {
			if !errors.Is(err, provision.ErrSeed) || s != nil {
				t.Errorf("got %v, %v", s, err)
			}
			return
		}
		if s.Len() < oath.MinSeed || s.Len() > oath.MaxSeed {
			t.Errorf("took %d bytes", s.Len())
		}
		again, err := provision.ParseSeed([]byte(hex.EncodeToString(s.Reveal())), provision.EncodingHex)
		if err != nil || !bytes.Equal(again.Reveal(), s.Reveal()) {
			t.Errorf("%x is %x in hexadecimal, %v", s.Reveal(), again.Reveal(), err)
		}
		spaced := bytes.Join(bytes.Split(text, nil), []byte(" \r\n"))
		if len(spaced) > 1024 {
			return
		}
		again, err = provision.ParseSeed(spaced, e)
		if err != nil || !bytes.Equal(again.Reveal(), s.Reveal()) {
			t.Errorf("%q is %x with spaces, %v", text, again.Reveal(), err)
		}
	})
}
