package fido_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/fido"
)

// sample is a request as it was shown.
func sample() fido.ClientData {
	return fido.ClientData{
		Type: fido.ClientDataType, Instance: "i1", Request: "r1", Kind: "sign-in", Require: "key", User: "ada", UID: 1000,
		Service: "app:1000:mailer", Place: "local", Origin: "", Host: "desk", Command: `mail <a&b> "ü" 'x'`,
		Nonce: bytes.Repeat([]byte{0xfb}, fido.NonceLen), Time: time.Date(2025, 3, 4, 5, 6, 7, 8000000, time.UTC),
	}
}

// sampleEncoded is its encoding: keys have signed it, so it never changes.
const sampleEncoded = `{"type":"fob.approve.v1","instance":"i1","request":"r1","kind":"sign-in","require":"key","user":"ada","uid":1000,` +
	`"service":"app:1000:mailer","place":"local","origin":"","host":"desk","command":"mail <a&b> \"ü\" 'x'",` +
	`"nonce":"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s","time":"2025-03-04T05:06:07.008Z"}`

func TestClientData(t *testing.T) {
	t.Run("encodes what was shown, in order, without escapes", func(t *testing.T) {
		c := sample()
		c.Type = "something else"
		c.Time = c.Time.In(time.FixedZone("", 3600))
		b, hash, err := c.Encode()
		if err != nil || string(b) != sampleEncoded {
			t.Fatalf("got %s, %v", b, err)
		}
		if hash != sha256.Sum256(b) {
			t.Error("the hash is not that of the bytes")
		}
	})
	t.Run("names the method that is added or removed", func(t *testing.T) {
		c := sample()
		c.Method = "blue key"
		b, _, err := c.Encode()
		if err != nil || !strings.Contains(string(b), `"method":"blue key","nonce"`) {
			t.Errorf("got %s, %v", b, err)
		}
		if got, err := fido.DecodeClientData(b); err != nil || got.Method != "blue key" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("has an executable and a hash in the place of a command", func(t *testing.T) {
		c := sample()
		c.Command, c.Executable, c.CommandHash, c.SSHKey = "", "/usr/bin/mail", "00ff", "SHA256:x"
		b, _, err := c.Encode()
		if err != nil || !strings.Contains(string(b), `"command":"","executable":"/usr/bin/mail","command_sha256":"00ff","ssh_key":"SHA256:x","nonce"`) {
			t.Errorf("got %s, %v", b, err)
		}
		if got, err := fido.DecodeClientData(b); err != nil || got.Executable != c.Executable || got.CommandHash != c.CommandHash || got.SSHKey != c.SSHKey {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("decodes what it encoded", func(t *testing.T) {
		got, err := fido.DecodeClientData([]byte(sampleEncoded))
		if diff := cmp.Diff(sample(), got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
	t.Run("encodes a time of this process so that it reads back", func(t *testing.T) {
		c := sample()
		c.Time = time.Now()
		b, _, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fido.DecodeClientData(b); err != nil || !got.Time.Equal(c.Time) {
			t.Errorf("got %v, %v", got.Time, err)
		}
	})

	encode := func(change func(*fido.ClientData)) error {
		c := sample()
		change(&c)
		b, hash, err := c.Encode()
		if err != nil && (b != nil || hash != [32]byte{}) {
			t.Errorf("bytes with the error %v", err)
		}
		return err
	}
	for name, change := range map[string]func(*fido.ClientData){
		"no nonce":               func(c *fido.ClientData) { c.Nonce = nil },
		"a nonce of 31 bytes":    func(c *fido.ClientData) { c.Nonce = c.Nonce[:31] },
		"a nonce of 33 bytes":    func(c *fido.ClientData) { c.Nonce = append(c.Nonce, 0) },
		"text that is not UTF-8": func(c *fido.ClientData) { c.Command = "\xff" },
		"text without end":       func(c *fido.ClientData) { c.Command = strings.Repeat("x", 16<<10) },
		"a year of five digits":  func(c *fido.ClientData) { c.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		t.Run("refuses to encode "+name, func(t *testing.T) {
			if err := encode(change); !errors.Is(err, fido.ErrClientData) {
				t.Errorf("got %v", err)
			}
		})
	}

	for name, edit := range map[string][2]string{
		"another type":                  {`fob.approve.v1`, `fob.approve.v2`},
		"a type that is not first":      {`"type":"fob.approve.v1","instance":"i1"`, `"instance":"i1","type":"fob.approve.v1"`},
		"white space":                   {`"uid":1000`, `"uid": 1000`},
		"white space before":            {`{"type"`, ` {"type"`},
		"an unknown field":              {`"uid":1000`, `"uid":1000,"new":1`},
		"a repeated field":              {`"uid":1000`, `"uid":0,"uid":1000`},
		"a repeated type":               {`"uid":1000`, `"type":"fob.approve.v1","uid":1000`},
		"a field in capitals":           {`"uid":1000`, `"UID":1000`},
		"a missing field":               {`"uid":1000,`, ``},
		"fields in another order":       {`"kind":"sign-in","require":"key"`, `"require":"key","kind":"sign-in"`},
		"an empty method":               {`"nonce"`, `"method":"","nonce"`},
		"null":                          {`"origin":""`, `"origin":null`},
		"a number with a fraction":      {`1000,"s`, `1000.0,"s`},
		"a negative uid":                {`1000,"s`, `-1,"s`},
		"a uid that is too large":       {`1000,"s`, `4294967296,"s`},
		"escapes that are not needed":   {`"ada"`, `"\u0061da"`},
		"text that is not UTF-8":        {`"ada"`, "\"\xff\""},
		"a nonce that is padded":        {`_s"`, `_s="`},
		"a nonce with stray bits":       {`_s"`, `_t"`},
		"a nonce that is too short":     {`-_v7-_v7-_s"`, `-_s"`},
		"a nonce of another alphabet":   {`-_v7`, `+/v7`},
		"a time with an offset":         {`07.008Z`, `07.008+00:00`},
		"a time with a zero at its end": {`07.008Z`, `07.0080Z`},
		"bytes after it":                {`.008Z"}`, `.008Z"}{}`},
		"a line end after it":           {`.008Z"}`, ".008Z\"}\n"},
		"an end that is missing":        {`.008Z"}`, `.008Z"`},
	} {
		t.Run("refuses to decode "+name, func(t *testing.T) {
			b := strings.Replace(sampleEncoded, edit[0], edit[1], 1)
			if b == sampleEncoded {
				t.Fatal("nothing was changed")
			}
			if c, err := fido.DecodeClientData([]byte(b)); !errors.Is(err, fido.ErrClientData) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
	t.Run("refuses to decode more than 16 KiB, and nothing", func(t *testing.T) {
		for _, b := range []string{"", "{}", sampleEncoded + strings.Repeat(" ", 16<<10)} {
			if _, err := fido.DecodeClientData([]byte(b)); !errors.Is(err, fido.ErrClientData) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestVerifyReceipt(t *testing.T) {
	k := es256Key(t)
	receipt := func(c fido.ClientData, flags byte, counter uint32) fido.Receipt {
		b, hash, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a := k.assert(header(testRP, flags, counter), hash)
		return fido.Receipt{RPID: testRP, CredentialID: k.id, PublicKey: k.cose, Algorithm: k.alg, ClientData: b, AuthData: a.AuthData, Signature: a.Signature}
	}
	t.Run("says what was approved, whatever the counter", func(t *testing.T) {
		c, p, err := fido.VerifyReceipt(receipt(sample(), up|uv, 3))
		if diff := cmp.Diff(sample(), c); err != nil || diff != "" || p != (fido.Proof{Counter: 3, UserPresent: true, UserVerified: true}) {
			t.Errorf("%+v, %v %s", p, err, diff)
		}
	})
	t.Run("refuses an approval without PIN of what required one", func(t *testing.T) {
		c := sample()
		c.Require = "verified"
		if _, _, err := fido.VerifyReceipt(receipt(c, up, 0)); !errors.Is(err, fido.ErrNotVerified) {
			t.Errorf("got %v", err)
		}
		if _, _, err := fido.VerifyReceipt(receipt(c, up|uv, 0)); err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses a receipt in which a byte was changed", func(t *testing.T) {
		r := receipt(sample(), up, 0)
		for _, part := range [][]byte{r.ClientData, r.AuthData, r.Signature, r.PublicKey} {
			for i := range part {
				part[i] ^= 1 << (i % 8)
				if c, p, err := fido.VerifyReceipt(r); err == nil || p != (fido.Proof{}) || c.Type != "" {
					t.Errorf("accepted with byte %d changed", i)
				}
				part[i] ^= 1 << (i % 8)
			}
		}
	})
	t.Run("refuses another RP ID and another algorithm", func(t *testing.T) {
		r := receipt(sample(), up, 0)
		r.RPID = "fob:other"
		if _, _, err := fido.VerifyReceipt(r); !errors.Is(err, fido.ErrWrongRP) {
			t.Errorf("got %v", err)
		}
		r = receipt(sample(), up, 0)
		r.Algorithm = fido.AlgEdDSA
		if _, _, err := fido.VerifyReceipt(r); !errors.Is(err, fido.ErrAlgorithm) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses client data that Fob would not have written, though signed", func(t *testing.T) {
		b := []byte(strings.Replace(sampleEncoded, `"uid":1000`, `"uid":0,"uid":1000`, 1))
		a := k.assert(header(testRP, up, 0), sha256.Sum256(b))
		_, _, err := fido.VerifyReceipt(fido.Receipt{RPID: testRP, CredentialID: k.id, PublicKey: k.cose, Algorithm: k.alg, ClientData: b, AuthData: a.AuthData, Signature: a.Signature})
		if !errors.Is(err, fido.ErrClientData) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzClientData(f *testing.F) {
	f.Add([]byte(sampleEncoded))
	f.Add([]byte(strings.Replace(sampleEncoded, `"nonce"`, `"method":"m","nonce"`, 1)))
	f.Add([]byte(`{"type":"fob.approve.v1"}`))
	f.Add([]byte(`{"type":"fob.approve.v1"` + strings.Repeat(`,"x":[`, 1000)))
	f.Add([]byte(strings.Replace(sampleEncoded, "ada", `\u2028\ud800`, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := fido.DecodeClientData(b)
		if err != nil {
			if !errors.Is(err, fido.ErrClientData) || c.Type != "" {
				t.Errorf("got %+v, %v", c, err)
			}
			return
		}
		again, hash, err := c.Encode()
		if err != nil || !bytes.Equal(again, b) || hash != sha256.Sum256(b) || !json.Valid(b) || c.Type != fido.ClientDataType {
			t.Errorf("%q reads back as %q, %v", b, again, err)
		}
	})
}
