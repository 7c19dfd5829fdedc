package fido_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/virtual"
)

func TestDevicesSecrets(t *testing.T) {
	d, _ := newDevices(t)
	salt := func(b byte) []byte { return bytes.Repeat([]byte{b}, fido.SaltLen) }
	vaultArgs := func(user byte) fido.MakeArgs {
		a := makeArgs(t)
		a.UserID, a.HMACSecret = []byte{user}, true
		return a
	}
	ask := func(t *testing.T, k fido.Key, id, salt []byte, pin string) (fido.Assertion, error) {
		t.Helper()
		got, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{id}, Salt: salt, PIN: fido.PIN(pin)}, plenty)
		if err != nil {
			return fido.Assertion{}, err
		}
		return got[0], nil
	}
	secretOf := func(t *testing.T, k fido.Key, id, salt []byte, pin string) []byte {
		t.Helper()
		got, err := ask(t, k, id, salt, pin)
		if err != nil {
			t.Fatal(err)
		}
		if (got.AuthData[32]&4 != 0) != (pin != "") {
			t.Errorf("with the PIN %q the flags are %#x", pin, got.AuthData[32])
		}
		return got.Secret
	}
	for name, q := range map[string]virtual.Quirks{"PIN protocol 2": {}, "PIN protocol 1": {PINProtocol1: true}} {
		t.Run(name, func(t *testing.T) {
			_, k := newKey(t, virtual.Options{PIN: "1234", MakeCredUVNotRequired: true, Quirks: q})
			id, other := enrol(t, d, k, vaultArgs(1)), enrol(t, d, k, vaultArgs(2))
			first := secretOf(t, k, id, salt(1), "")
			if !bytes.Equal(secretOf(t, k, id, salt(1), ""), first) {
				t.Error("the same salt gives another secret")
			}
			verified := secretOf(t, k, id, salt(1), "1234")
			if !bytes.Equal(secretOf(t, k, id, salt(1), "1234"), verified) {
				t.Error("the same salt gives another secret with the PIN")
			}
			for what, s := range map[string][]byte{
				"another salt":             secretOf(t, k, id, salt(2), ""),
				"another credential":       secretOf(t, k, other, salt(1), ""),
				"a user who was verified":  verified,
				"that and another's":       secretOf(t, k, other, salt(1), "1234"),
				"nothing but zeros, maybe": make([]byte, fido.HMACSecretLen),
			} {
				if len(s) != fido.HMACSecretLen || bytes.Equal(s, first) {
					t.Errorf("%s gives % x", what, s)
				}
			}
			without, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{id}}, plenty)
			if err != nil || without[0].Secret != nil {
				t.Errorf("without a salt: %+v, %v", without, err)
			}
		})
		t.Run(name+", as Debian's tools see it", func(t *testing.T) {
			cred, assert := need(t, "fido2-cred"), need(t, "fido2-assert")
			_, k := newKey(t, virtual.Options{Quirks: q})
			theirs := func(id []byte) []byte {
				t.Helper()
				out := strings.Fields(tool(t, lines(hash(t), rpID, id, salt(1)), assert, "-G", "-h", k.Path))
				b, err := base64.StdEncoding.DecodeString(out[len(out)-1])
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			made := strings.Fields(tool(t, lines(hash(t), rpID, "bob", []byte{7}), cred, "-M", "-h", k.Path))
			id, err := base64.StdEncoding.DecodeString(made[4])
			if err != nil {
				t.Fatal(err)
			}
			for who, id := range map[string][]byte{"them": id, "us": enrol(t, d, k, vaultArgs(1))} {
				if ours, theirs := secretOf(t, k, id, salt(1), ""), theirs(id); !bytes.Equal(ours, theirs) {
					t.Errorf("of the credential made by %s we get % x, they get % x", who, ours, theirs)
				}
			}
		})
	}
	t.Run("their assertions and attestations are believed", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{PIN: "1234", AlwaysUV: true})
		a := vaultArgs(1)
		_, err := d.Make(t.Context(), k, a, plenty)
		wants(t, err, fido.ErrPINRequired)
		a.PIN = fido.PIN("1234")
		at, err := d.Make(t.Context(), k, a, plenty)
		if err != nil {
			t.Fatal(err)
		}
		r, err := fido.VerifyAttestation(rpID, [32]byte(a.ClientDataHash), []int{fido.AlgES256}, at)
		if err != nil || !r.HMACSecret || !r.UserVerified {
			t.Fatalf("%+v, %v", r, err)
		}
		_, err = ask(t, k, r.CredentialID, salt(1), "")
		wants(t, err, fido.ErrPINRequired)
		_, err = ask(t, k, r.CredentialID, salt(1), "4321")
		wants(t, err, fido.ErrPINInvalid)
		h := hash(t)
		got, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: h, Allow: [][]byte{r.CredentialID}, Salt: salt(1), PIN: fido.PIN("1234")}, plenty)
		if err != nil {
			t.Fatal(err)
		}
		c := fido.Credential{ID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm, RPID: rpID, Counter: r.Counter}
		if _, err := fido.VerifyAssertion(c, [32]byte(h), got[0], true); err != nil || len(got[0].Secret) != fido.HMACSecretLen {
			t.Errorf("%+v, %v", got[0], err)
		}
	})
	t.Run("a credential that was not made for it has none", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{})
		a := makeArgs(t)
		at, err := d.Make(t.Context(), k, a, plenty)
		if err != nil {
			t.Fatal(err)
		}
		r, err := fido.VerifyAttestation(rpID, [32]byte(a.ClientDataHash), []int{fido.AlgES256}, at)
		if err != nil || r.HMACSecret {
			t.Fatalf("%+v, %v", r, err)
		}
		_, err = ask(t, k, r.CredentialID, salt(1), "")
		wants(t, err, fido.ErrNoHMACSecret)
	})
	t.Run("a key without them says so before it is touched", func(t *testing.T) {
		v, k := newKey(t, virtual.Options{Quirks: virtual.Quirks{NoHMACSecret: true}})
		info, err := d.Info(t.Context(), k, plenty)
		if err != nil || info.SupportsHMACSecret() {
			t.Fatalf("%+v, %v", info, err)
		}
		id := enrol(t, d, k, makeArgs(t))
		v.SetTouch(virtual.TouchNever, 0)
		_, err = d.Make(t.Context(), k, vaultArgs(1), plenty)
		wants(t, err, fido.ErrNoHMACSecret)
		_, err = ask(t, k, id, salt(1), "")
		wants(t, err, fido.ErrNoHMACSecret)
	})
	t.Run("a key whose answer is spoiled gives none", func(t *testing.T) {
		v, k := newKey(t, virtual.Options{})
		id := enrol(t, d, k, vaultArgs(1))
		for fault, want := range map[virtual.Fault]error{virtual.FaultGarbageCBOR: fido.ErrBadAnswer, virtual.FaultGone: fido.ErrGone} {
			v.SetFault(fault)
			_, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{id}, Salt: salt(1)}, time.Second)
			wants(t, err, want)
			v.SetFault(virtual.NoFault)
			if err := v.Replug(); err != nil {
				t.Fatal(err)
			}
			k.Path = v.Path()
		}
	})
}

// tool runs one of Debian's fido2-tools and returns what it printed.
func tool(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func TestSecretsOnTheirWayShowNothing(t *testing.T) {
	const value = "hunter2"
	pin, answer := fido.AssertArgs{PIN: fido.PIN(value)}, fido.Assertion{Secret: fido.HMACSecret(value)}
	out := bytes.NewBufferString(fmt.Sprintf("%v %+v %#v %s %x %v %+v", pin, pin, pin.PIN, answer.Secret, answer.Secret, answer, &answer))
	slog.New(slog.NewTextHandler(out, nil)).Info("a line", "pin", pin.PIN, "secret", answer.Secret)
	for _, leak := range []string{value, fmt.Sprintf("%x", value), strings.Trim(fmt.Sprint([]byte(value)), "[]")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q shows in %s", leak, out)
		}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var got fido.Assertion
	if err := json.Unmarshal(b, &got); err != nil || string(got.Secret) != value {
		t.Errorf("the helper sends %s (%v)", b, err)
	}
}
