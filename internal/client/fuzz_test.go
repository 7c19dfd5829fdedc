package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/fido"
)

// FuzzPasswd looks for a user in files of the form of passwd(5).
func FuzzPasswd(f *testing.F) {
	const entry = "fob:x:990:990::/var/lib/fob:/usr/sbin/nologin"
	for _, s := range []string{
		"", entry, entry + "\n", "root:x:0:0:root:/root:/bin/sh\n" + entry + "\n", "fob:x:1000:\n" + entry, "fobber:x:1:1::/:/\n",
		"fob:x:0x0:0::/:/\n", "fob:x:-1:0::/:/\n", "fob:x:4294967296:0::/:/\n", "fob:x::0::/:/\n", "+fob::::::\n", "\x00fob:x:0:0::/:/\n",
		"fob:x:0:0::/:/:\n", "fob:x:7:0::/:/\r\n", strings.Repeat(":", 1000) + "\n" + entry, "\n\n#fob:x:0:0::/:/\n",
	} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "passwd")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		uid, ok := uidOf(path, SystemUser)
		if !ok {
			return
		}
		if start := SystemUser + ":"; !bytes.HasPrefix(b, []byte(start)) && !bytes.Contains(b, []byte("\n"+start)) {
			t.Fatalf("uid %d of nobody in %q", uid, b)
		}
		if !bytes.Contains(b, []byte(strconv.FormatUint(uint64(uid), 10)+":")) {
			t.Fatalf("uid %d is not in %q", uid, b)
		}
	})
}

// FuzzReceipt checks entries of the log as "fob log" reads them: what holds, is what the key signed.
func FuzzReceipt(f *testing.F) {
	for _, alg := range []int{fido.AlgES256, fido.AlgEdDSA} {
		e := approved(f, alg, 0x05)
		for _, change := range []func(*api.LogEntry){
			func(*api.LogEntry) {},
			func(e *api.LogEntry) { e.Strength = "verified" },
			func(e *api.LogEntry) { e.User = "root" },
			func(e *api.LogEntry) { e.Decision = "denied" },
			func(e *api.LogEntry) { e.Receipt = nil },
			func(e *api.LogEntry) { e.Receipt = &api.Receipt{} },
			func(e *api.LogEntry) { r := *e.Receipt; r.AuthData, e.Receipt = r.AuthData[:36], &r },
		} {
			changed := e
			change(&changed)
			b, err := json.Marshal(changed)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e api.LogEntry
		if json.Unmarshal(b, &e) != nil {
			return
		}
		got, err := CheckReceipt(e)
		if err != nil {
			if !errors.Is(err, ErrNoReceipt) && !errors.Is(err, ErrReceipt) || got.Proof != (fido.Proof{}) || got.Signed.Type != "" {
				t.Fatalf("got %+v, %v", got, err)
			}
			return
		}
		s := got.Signed
		if e.Decision != api.Approved || !got.Proof.UserPresent || rpPrefix+s.Instance != e.Receipt.RPID || s.User != e.User || s.Service != e.Service || s.Request != e.Request {
			t.Fatalf("%+v holds for %+v", got, e)
		}
		if (e.Strength == "verified" || s.Require == "verified") && !got.Proof.UserVerified {
			t.Fatalf("%+v is verified without a PIN", e)
		}
	})
}

// FuzzError reads what stands in place of an answer.
func FuzzError(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", `{"error":null}`, `{"error":{}}`, `{"error":{"code":"not-found","message":"no such request"}}`, `{"error":{"code":7}}`,
		`{"error":{"code":"x","message":"\u001b[31m"}}`, "<html>404</html>", `{"error":{"code":"a"}}{`, `{"error":` + strings.Repeat("[", 500),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readError(&http.Response{StatusCode: http.StatusTeapot, Body: io.NopCloser(bytes.NewReader(b))})
		said, ok := errors.AsType[*api.Error](err)
		if ok == errors.Is(err, ErrBadAnswer) || ok && (said.Code == "" || !json.Valid(b)) {
			t.Fatalf("%q became %v", b, err)
		}
	})
}
