package virtual

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// run runs one of Debian's fido2-tools and returns what it printed, on both.
func run(t *testing.T, stdin string, argv ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(within(t), argv[0], argv[1:]...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// mustRun is run for a tool that is to succeed.
func mustRun(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	out, err := run(t, stdin, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

// typing runs a tool on a terminal of its own, and types one of lines at each prompt.
func typing(t *testing.T, lines []string, argv ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(within(t), argv[0], argv[1:]...)
	f, err := pty.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			break
		}
		// The prompt comes after the terminal was set up: what is typed now is not flushed away.
		if bytes.HasSuffix(all, []byte(": ")) && len(lines) > 0 {
			if _, err := f.Write([]byte(lines[0] + "\n")); err != nil {
				t.Fatal(err)
			}
			lines = lines[1:]
		}
	}
	return string(all), c.Wait()
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// toolCred is the input of fido2-cred -M.
func toolCred() string {
	return strings.Join([]string{b64(hash), rpID, "a user", b64([]byte("user id")), ""}, "\n")
}

// verified splits what fido2-cred -V printed: the credential id, and the public key in a file.
func verified(t *testing.T, out string) (id, pem string) {
	t.Helper()
	id, key, ok := strings.Cut(out, "\n")
	if !ok {
		t.Fatalf("fido2-cred -V prints %q", out)
	}
	pem = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(pem, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return id, pem
}

func TestDebianTools(t *testing.T) {
	for _, tool := range []string{"fido2-token", "fido2-cred", "fido2-assert"} {
		needTool(t, tool)
	}
	t.Run("fido2-token -I shows what the key is", func(t *testing.T) {
		k := newKey(t, Options{PIN: "1234", AlwaysUV: true})
		out := mustRun(t, "", "fido2-token", "-I", k.Path())
		for _, want := range []string{
			"FIDO_2_0, FIDO_2_1", "es256 (public-key), eddsa (public-key)", "alwaysUv", "clientPin", "pin protocols: 2, 1",
			"pin retries: 8", "caps: 0x0d (wink, cbor, nomsg)", "uv retries: undefined",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in\n%s", want, out)
			}
		}
	})
	for _, c := range []struct {
		name, typ string
		o         Options
	}{
		{"es256", "es256", Options{}},
		{"eddsa", "eddsa", Options{}},
		{"es256, after a while", "es256", Options{Delay: 250 * time.Millisecond}},
		{"es256, with a certificate", "es256", Options{Attestation: AttestX5C}},
		{"eddsa, with a certificate", "eddsa", Options{Attestation: AttestX5C}},
	} {
		t.Run("a credential and an assertion verify: "+c.name, func(t *testing.T) {
			k := newKey(t, c.o)
			id, pem := verified(t, mustRun(t, mustRun(t, toolCred(), "fido2-cred", "-M", k.Path(), c.typ), "fido2-cred", "-V", c.typ))
			in := strings.Join([]string{b64(hash), rpID, id, ""}, "\n")
			mustRun(t, mustRun(t, in, "fido2-assert", "-G", "-p", k.Path()), "fido2-assert", "-V", "-p", pem, c.typ)
			silent := mustRun(t, in, "fido2-assert", "-G", "-t", "up=false", k.Path())
			mustRun(t, silent, "fido2-assert", "-V", pem, c.typ)
			if out, err := run(t, silent, "fido2-assert", "-V", "-p", pem, c.typ); err == nil {
				t.Fatalf("a silent assertion counts as a tap: %s", out)
			}
		})
	}
	t.Run("a credential without attestation is made", func(t *testing.T) {
		k := newKey(t, Options{Attestation: AttestNone})
		wantFailure(t, "output error", toolCred(), "fido2-cred", "-M", k.Path()) // it cannot print one without a signature
		if _, err := k.WaitOp(within(t), func(o Op) bool { return o.Command == "makeCredential" && o.Status == StatusOK }); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a key that has only es256 refuses eddsa", func(t *testing.T) {
		k := newKey(t, Options{Algorithms: []int{ES256}})
		wantFailure(t, "FIDO_ERR_UNSUPPORTED_ALGORITHM", toolCred(), "fido2-cred", "-M", k.Path(), "eddsa")
	})
	t.Run("a key is reset", func(t *testing.T) {
		k := newKey(t, Options{PIN: "1234"})
		mustRun(t, "", "fido2-token", "-R", k.Path())
		if out := mustRun(t, "", "fido2-token", "-I", k.Path()); !strings.Contains(out, "noclientPin") {
			t.Fatalf("the PIN is still set:\n%s", out)
		}
	})
}

// toolSecret is the secret that fido2-assert -G -h prints, last.
func toolSecret(t *testing.T, out string) []byte {
	t.Helper()
	lines := strings.Fields(out)
	b, err := base64.StdEncoding.DecodeString(lines[len(lines)-1])
	if err != nil || len(b) != saltLen {
		t.Fatalf("fido2-assert -G -h prints %q (%v)", out, err)
	}
	return b
}

func TestDebianToolsMakeSecrets(t *testing.T) {
	for _, tool := range []string{"fido2-cred", "fido2-assert"} {
		needTool(t, tool)
	}
	for name, q := range map[string]Quirks{"protocol 2": {}, "protocol 1": {PINProtocol1: true}} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t, Options{PIN: "1234", MakeCredUVNotRequired: true, Quirks: q})
			id, pem := verified(t, mustRun(t, mustRun(t, toolCred(), "fido2-cred", "-M", "-h", k.Path()), "fido2-cred", "-V", "-h"))
			in := func(salt []byte) string { return strings.Join([]string{b64(hash), rpID, id, b64(salt), ""}, "\n") }
			random := k.auth.state.Credentials[0].CredRandom
			for _, s := range [][]byte{salt(1), salt(2)} {
				out := mustRun(t, in(s), "fido2-assert", "-G", "-h", "-p", k.Path())
				mustRun(t, out, "fido2-assert", "-V", "-h", "-p", pem)
				if got := toolSecret(t, out); !bytes.Equal(got, mac(random.WithoutUV, s)) {
					t.Errorf("the secret is % x", got)
				}
			}
			dir := t.TempDir()
			param, made := filepath.Join(dir, "param"), filepath.Join(dir, "assert")
			if err := os.WriteFile(param, []byte(in(salt(1))), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := typing(t, []string{"1234"}, "fido2-assert", "-G", "-h", "-v", "-i", param, "-o", made, k.Path()); err != nil {
				t.Fatalf("fido2-assert -G -h -v: %v\n%s", err, out)
			}
			out, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			if got := toolSecret(t, string(out)); !bytes.Equal(got, mac(random.WithUV, salt(1))) {
				t.Errorf("with the PIN, the secret is % x", got)
			}
			wantFailure(t, "FIDO_ERR_UNSUPPORTED_OPTION", in(salt(1)), "fido2-assert", "-G", "-h", "-t", "up=false", k.Path())
		})
	}
}

// wantFailure runs a tool that is to fail with libfido2's error.
func wantFailure(t *testing.T, want, stdin string, argv ...string) {
	t.Helper()
	if out, err := run(t, stdin, argv...); err == nil || !strings.Contains(out, want) {
		t.Fatalf("%s: %v, want %s\n%s", strings.Join(argv, " "), err, want, out)
	}
}

func TestDebianToolsWithPIN(t *testing.T) {
	for _, tool := range []string{"fido2-token", "fido2-cred", "fido2-assert"} {
		needTool(t, tool)
	}
	k := newKey(t, Options{MinPINLength: 5})
	dir := t.TempDir()
	typed := func(want string, lines []string, argv ...string) {
		t.Helper()
		out, err := typing(t, lines, argv...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(out, want)) {
			t.Fatalf("%s: %v, want %q\n%s", strings.Join(argv, " "), err, want, out)
		}
	}
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Log("a PIN is set, and changed")
	typed("FIDO_ERR_PIN_POLICY_VIOLATION", []string{"1234", "1234"}, "fido2-token", "-S", k.Path())
	typed("", []string{"12345", "12345"}, "fido2-token", "-S", k.Path())
	typed("", []string{"12345", "54321", "54321"}, "fido2-token", "-C", k.Path())
	typed("FIDO_ERR_PIN_INVALID", []string{"12345", "99999", "99999"}, "fido2-token", "-C", k.Path())

	t.Log("a discoverable credential is made and used with it")
	cred, made := file("cred", toolCred()), filepath.Join(dir, "made")
	typed("", []string{"54321"}, "fido2-cred", "-M", "-r", "-v", "-i", cred, "-o", made, k.Path())
	_, pem := verified(t, mustRun(t, "", "fido2-cred", "-V", "-v", "-i", made))
	param, assert := file("param", b64(hash)+"\n"+rpID+"\n"), filepath.Join(dir, "assert")
	typed("", []string{"54321"}, "fido2-assert", "-G", "-r", "-v", "-p", "-i", param, "-o", assert, k.Path())
	mustRun(t, "", "fido2-assert", "-V", "-v", "-p", "-i", assert, pem)

	t.Log("three wrong PINs block it until it is plugged in again")
	for _, want := range []string{"FIDO_ERR_PIN_INVALID", "FIDO_ERR_PIN_INVALID", "FIDO_ERR_PIN_AUTH_BLOCKED", "FIDO_ERR_PIN_AUTH_BLOCKED"} {
		typed(want, []string{"12345"}, "fido2-assert", "-G", "-r", "-v", "-i", param, k.Path())
	}
	if err := k.Replug(); err != nil {
		t.Fatal(err)
	}
	typed("", []string{"54321"}, "fido2-assert", "-G", "-r", "-v", "-i", param, k.Path())
}

func TestDebianToolsMeetFaults(t *testing.T) {
	for _, tool := range []string{"fido2-cred", "fido2-assert"} {
		needTool(t, tool)
	}
	k := newKey(t, Options{})
	id, pem := verified(t, mustRun(t, mustRun(t, toolCred(), "fido2-cred", "-M", k.Path()), "fido2-cred", "-V"))
	in := strings.Join([]string{b64(hash), rpID, id, ""}, "\n")
	for _, f := range []Fault{FaultWrongRP, FaultBadSignature, FaultNoUP} {
		t.Run("fido2-assert -V refuses "+string(f), func(t *testing.T) {
			k.SetFault(f)
			out := mustRun(t, in, "fido2-assert", "-G", "-p", k.Path())
			wantFailure(t, "fido_assert_verify", out, "fido2-assert", "-V", "-p", pem)
		})
	}
	for f, want := range map[Fault]string{FaultGarbageCBOR: "fido_dev_get_assert", FaultGarbageHID: "fido2-assert:"} {
		t.Run("fido2-assert -G refuses "+string(f), func(t *testing.T) {
			k.SetFault(f)
			wantFailure(t, want, in, "fido2-assert", "-G", k.Path())
		})
	}
	t.Run("fido2-assert -G ends when the key is gone", func(t *testing.T) {
		k.SetFault(FaultGone)
		wantFailure(t, "FIDO_ERR_RX", in, "fido2-assert", "-G", k.Path())
	})
}
