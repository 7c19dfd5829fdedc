package wire

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
)

func TestAsk(t *testing.T) {
	t.Run("reads all of a request", func(t *testing.T) {
		a, err := Ask(api.BeginRequest{
			Kind: "sign-in", User: "ada", Service: "mailer", Require: "verified", TimeoutMS: 5000,
			Claimed: api.Claimed{Origin: "10.0.0.1\x1b[31m", Host: "desk", Command: "rm\n-rf"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if a.User != "ada" || a.Require != policy.Verified || a.Timeout != 5*time.Second {
			t.Errorf("got %+v", a)
		}
		if s := a.Claimed.Origin.String(); strings.Contains(s, "\x1b") {
			t.Errorf("the origin was not cleaned: %q", s)
		}
		if s := a.Claimed.Command.String(); s != "rm -rf" {
			t.Errorf("got command %q", s)
		}
	})
	for name, r := range map[string]api.BeginRequest{
		"refuses a control character in a service": {Service: "mail\ner"},
		"refuses a bidi character in a user":       {User: "a\u202eb"},
		"refuses invalid UTF-8":                    {User: "\xff"},
		"refuses a user beyond its bound":          {User: strings.Repeat("a", maxUser+1)},
		"refuses an unknown strength":              {Require: "strong"},
		"refuses no strength by name":              {Require: "none"},
		"refuses a deadline that is too short":     {TimeoutMS: 999},
		"refuses a deadline that is too long":      {TimeoutMS: 600_001},
		"refuses a negative deadline":              {TimeoutMS: -1},
		"refuses a deadline that would overflow":   {TimeoutMS: 1 << 62},
		"refuses a method name beyond its bound":   {Method: api.MethodSpec{Name: strings.Repeat("n", maxName+1)}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Ask(r); err == nil || err.Code != api.CodeBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("says what a name is, and not what the field is called", func(t *testing.T) {
		for bad, want := range map[string]error{"name": method.ErrBadName, "service": signin.ErrBadService} {
			for _, text := range []string{strings.Repeat("n", 300), "a\nb", "a\u202eb", "\xff"} {
				r := api.BeginRequest{Service: text}
				if bad == "name" {
					r = api.BeginRequest{Method: api.MethodSpec{Name: text}}
				}
				if _, err := Ask(r); err == nil || err.Message != want.Error() {
					t.Errorf("%s %.9q: %v", bad, text, err)
				}
			}
		}
		if _, err := Field("service", strings.Repeat("n", 300)); err == nil || err.Message != signin.ErrBadService.Error() {
			t.Errorf("a query: %v", err)
		}
	})
	t.Run("cuts a huge claim and takes it", func(t *testing.T) {
		if _, err := Ask(api.BeginRequest{Claimed: api.Claimed{Command: strings.Repeat("x", 1<<20)}}); err != nil {
			t.Error(err)
		}
	})
}

func TestAnswer(t *testing.T) {
	t.Run("moves the PIN, and wipes it on error", func(t *testing.T) {
		pin := api.Secret("123456")
		a, err := Answer(api.Answer{Prompt: "p1", PIN: pin})
		if err != nil || string(a.PIN.Reveal()) != "123456" {
			t.Fatalf("got %v, %v", a, err)
		}
		a.PIN.Wipe()
		if string(pin) == "123456" {
			t.Error("the PIN was copied")
		}
		pin = api.Secret("123456")
		if _, err := Answer(api.Answer{PIN: pin}); err == nil || string(pin) == "123456" {
			t.Errorf("a refused answer left the PIN: %v", err)
		}
	})
}

func TestViews(t *testing.T) {
	e := NewErrors(slog.New(slog.DiscardHandler))
	t.Run("gives a decided request all that a caller needs", func(t *testing.T) {
		s := e.State(signin.View{ID: "x", Decision: signin.Approved, Strength: policy.Key, SelfAsserted: true, LogSeq: 7, Err: signin.ErrNoKey})
		if s.Pending || s.Decision != "approved" || s.Strength != "key" || !s.SelfAsserted || s.LogSeq != 7 || s.Error.Code != api.CodeNoKey {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("never shows a device path or a credential", func(t *testing.T) {
		k := signin.KeyView{Key: fido.Key{ID: "a", Name: "n", Path: "/dev/hidraw7"}}
		m := method.Method{ID: "m", Key: &method.Key{CredentialID: []byte("credential"), PublicKey: []byte("public"), AAGUID: make([]byte, 16)}}
		b, err := json.Marshal([]any{Key(k), KeyInfo(k, fido.Info{}), Method(m)})
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"hidraw", "Y3JlZGVudGlhbA", "cHVibGlj", "aaguid"} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s is in %s", bad, b)
			}
		}
	})
	t.Run("names algorithms and models", func(t *testing.T) {
		if Algorithm(-8) != "EdDSA" || Algorithm(-47) != "COSE -47" {
			t.Error(Algorithm(-8), Algorithm(-47))
		}
		if got := AAGUID([]byte{0xf8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}); got != "f8010203-0405-0607-0809-0a0b0c0d0e0f" {
			t.Error(got)
		}
	})
}

func TestLogHead(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, text string
		seq        uint64
		ok         bool
	}{
		{"takes a hash alone", hash, 0, true},
		{"takes a number and its hash", "7:" + hash, 7, true},
		{"refuses the number 0, which would stand for any", "0:" + hash, 0, false},
		{"refuses the number 0 in more digits", "000:" + hash, 0, false},
		{"refuses no number before the colon", ":" + hash, 0, false},
		{"refuses a hash that is too short", hash[1:], 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, err := LogHead(tt.text)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, %v", head, err)
			}
			if tt.ok && head.Seq != tt.seq {
				t.Errorf("got number %d, want %d", head.Seq, tt.seq)
			}
		})
	}
}
