package provision_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// samples are tokens of every kind.
func samples() []provision.Seed {
	return []provision.Seed{
		token("1", func(s *provision.Seed) { s.User = "Helga@contoso.com" }),
		token(`<&">'`, func(s *provision.Seed) {
			s.Kind, s.Algorithm, s.Digits, s.Period, s.Counter = provision.HOTP, provision.SHA256, 8, 0, 4711
			s.Manufacturer, s.Model, s.Secret = "A & Ö", "", secret.New(bytes.Repeat([]byte{0xff}, 16))
		}),
		token("=3", func(s *provision.Seed) {
			s.Algorithm, s.Digits, s.Period, s.Manufacturer, s.Model = provision.SHA512, 7, 3600, "", "]]>"
			s.Secret = secret.New(bytes.Repeat([]byte{0, 1}, 64))
		}),
		token("4", func(s *provision.Seed) { s.Kind, s.Period, s.Counter = provision.HOTP, 0, 1<<62 }),
	}
}

func writePSKC(t *testing.T, o provision.PSKCWriteOptions, seeds ...provision.Seed) string {
	t.Helper()
	var b strings.Builder
	if err := provision.WritePSKC(&b, all(seeds...), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWritePSKC(t *testing.T) {
	lock := func(passphrase string) provision.PSKCWriteOptions {
		return provision.PSKCWriteOptions{Passphrase: secret.New([]byte(passphrase)), Iterations: 1000}
	}
	lines := func(seeds iter.Seq2[provision.Seed, error]) (out []string) {
		for s, err := range seeds {
			if s.Line = 0; err != nil {
				t.Error(err)
			}
			out = append(out, line(s))
		}
		return out
	}
	t.Run("writes what it reads, plain", func(t *testing.T) {
		file := writePSKC(t, provision.PSKCWriteOptions{}, samples()...)
		if diff := cmp.Diff(lines(all(samples()...)), lines(provision.ReadPSKC(strings.NewReader(file), provision.PSKCOptions{}))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("writes what it reads, encrypted", func(t *testing.T) {
		file := writePSKC(t, lock("correct hörse"), samples()...)
		if diff := cmp.Diff(lines(all(samples()...)), lines(provision.ReadPSKC(strings.NewReader(file), answer(t, provision.Need{Passphrase: true}, "correct hörse")))); diff != "" {
			t.Error(diff)
		}
		for _, seed := range []string{rfcSeedBase64, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 16))} {
			if strings.Contains(file, seed) {
				t.Errorf("has the seed %s in it", seed)
			}
		}
		for _, err := range provision.ReadPSKC(strings.NewReader(file), answer(t, provision.Need{Passphrase: true}, "wrong")) {
			if !errors.Is(err, provision.ErrWrongKey) {
				t.Errorf("with another passphrase: %v", err)
			}
		}
	})
	t.Run("uses each random byte once, and 600,000 iterations", func(t *testing.T) {
		o := lock("x")
		o.Iterations = 0
		o.Rand = rising(make([]byte, 1))
		file := writePSKC(t, o, token("1"), token("2"))
		if !strings.Contains(file, "<IterationCount>600000</IterationCount>") || !strings.Contains(file, "<Specified>AAECAwQFBgcICQoLDA0ODw==</Specified>") {
			t.Errorf("wrote\n%s", file)
		}
		// 16 bytes of salt, 20 of the MAC's key, and three initialization vectors behind them.
		for i := 36; i < 36+3*16; i += 16 {
			iv := make([]byte, 15)
			rising([]byte{byte(i)}).Read(iv)
			if !strings.Contains(file, "<xenc:CipherValue>"+base64.StdEncoding.EncodeToString(iv)) {
				t.Errorf("has no value under %x", iv)
			}
		}
		if file != writePSKC(t, provision.PSKCWriteOptions{Passphrase: o.Passphrase, Rand: rising(make([]byte, 1))}, token("1"), token("2")) {
			t.Error("wiped the passphrase")
		}
	})
	t.Run("encrypts anew each time", func(t *testing.T) {
		once := writePSKC(t, lock("x"), token("1"))
		if again := writePSKC(t, lock("x"), token("1")); once == again {
			t.Error("wrote the same twice")
		}
	})
	t.Run("writes a container without keys", func(t *testing.T) {
		expect(t, provision.ReadPSKC(strings.NewReader(writePSKC(t, lock("x"))), provision.PSKCOptions{}))
	})
	for _, tt := range []struct {
		name    string
		options provision.PSKCWriteOptions
		want    string
	}{
		{"refuses few iterations", provision.PSKCWriteOptions{Passphrase: secret.New([]byte("x")), Iterations: 999}, "cannot encrypt the file: 999 iterations"},
		{"refuses more iterations than it reads", provision.PSKCWriteOptions{Passphrase: secret.New([]byte("x")), Iterations: 10_000_001}, "cannot encrypt the file: 10000001 iterations"},
		{"does not go on without randomness", provision.PSKCWriteOptions{Passphrase: secret.New([]byte("x")), Iterations: 1000, Rand: io.LimitReader(rising(make([]byte, 1)), 60)}, "cannot encrypt the file: unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := provision.WritePSKC(io.Discard, all(token("1")), tt.options); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("refuses a token that cannot be", func(t *testing.T) {
		var row *provision.RowError
		for _, change := range []func(*provision.Seed){
			func(s *provision.Seed) { s.Serial = "" },
			func(s *provision.Seed) { s.Kind = "ocra" },
			func(s *provision.Seed) { s.Algorithm = "MD5" },
			func(s *provision.Seed) { s.Digits = 5 },
			func(s *provision.Seed) { s.Period = 0 },
			func(s *provision.Seed) { s.Secret = secret.New(make([]byte, 15)) },
			func(s *provision.Seed) { s.User = "a\x00" },
		} {
			if err := provision.WritePSKC(io.Discard, all(token("1", change)), provision.PSKCWriteOptions{}); !errors.As(err, &row) {
				t.Errorf("got %v", err)
			}
		}
	})
	testWriter(t, func(w io.Writer, seeds iter.Seq2[provision.Seed, error]) error {
		return provision.WritePSKC(w, seeds, lock("x"))
	})
}

// rising is a source of no randomness at all: 0, 1, 2 and so on.
type rising []byte

func (r rising) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = r[0]
		r[0]++
	}
	return len(b), nil
}

func TestPSKCToolReadsWhatIsWritten(t *testing.T) {
	tool := program(t, "pskctool")
	for name, o := range map[string]provision.PSKCWriteOptions{
		"plain":     {},
		"encrypted": {Passphrase: secret.New([]byte("qwerty")), Iterations: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tokens.xml")
			if err := os.WriteFile(file, []byte(writePSKC(t, o, samples()...)), 0o600); err != nil {
				t.Fatal(err)
			}
			// --validate compares with the schema of RFC 6030.
			if out, err := exec.Command(tool, "--validate", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "OK") {
				t.Errorf("%v: %s", err, out)
			}
			out, err := exec.Command(tool, "--info", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for l := range strings.Lines(string(out)) {
				name, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
				switch name {
				case "SerialNo", "Manufacturer", "Model", "Key Secret (base64)", "Key Counter", "Key TimeInterval", "Key User Id",
					"Algorithm Parameters Suite", "Response Format Length":
					got = append(got, name+": "+value)
				}
			}
			for _, s := range samples() {
				add := func(name, value string) {
					if value != "" {
						want = append(want, name+": "+value)
					}
				}
				add("Manufacturer", s.Manufacturer)
				add("SerialNo", s.Serial)
				add("Model", s.Model)
				add("Key User Id", s.User)
				if o.Passphrase == nil { // pskctool decrypts nothing
					add("Key Secret (base64)", base64.StdEncoding.EncodeToString(s.Secret.Reveal()))
				}
				if s.Kind == provision.HOTP {
					add("Key Counter", strconv.FormatUint(s.Counter, 10))
				} else {
					add("Key TimeInterval", strconv.Itoa(s.Period))
				}
				if s.Algorithm != provision.SHA1 {
					add("Algorithm Parameters Suite", "HMAC-"+string(s.Algorithm))
				}
				add("Response Format Length", strconv.Itoa(s.Digits))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPythonPSKCDecryptsWhatIsWritten(t *testing.T) {
	tool := program(t, "pskc2csv") // of Debian's package pskc-utils
	file := filepath.Join(t.TempDir(), "tokens.xml")
	o := provision.PSKCWriteOptions{Passphrase: secret.New([]byte("correct hörse")), Iterations: 1000}
	if err := os.WriteFile(file, []byte(writePSKC(t, o, samples()...)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "--password", "correct hörse", "--secret-encoding", "hex", "--columns", "serial,secret", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"serial", "secret"}}
	for _, s := range samples() {
		want = append(want, []string{s.Serial, hex.EncodeToString(s.Secret.Reveal())})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
