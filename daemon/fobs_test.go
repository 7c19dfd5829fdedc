package daemon_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// fob is a hardware token in the hand. What it shows comes from Debian's oathtool, which nobody here
// wrote.
type fob struct {
	serial, kind string
	seed         []byte
	presses      int
}

func newFob(serial, kind string) *fob {
	f := &fob{serial: serial, kind: kind, seed: make([]byte, 20)}
	rand.Read(f.seed)
	return f
}

// show gives the next code.
func (f *fob) show(t *testing.T) string {
	t.Helper()
	args := []string{"--totp", fmt.Sprintf("%x", f.seed)}
	if f.kind == "hotp" {
		args = []string{"--hotp", fmt.Sprintf("--counter=%d", f.presses), fmt.Sprintf("%x", f.seed)}
		f.presses++
	}
	out, err := exec.Command("oathtool", args...).Output()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("oathtool: %v (Debian package oathtool)", err)
	}
	if err != nil {
		t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// row is the fob as an import brings it.
func (f *fob) row(user string) api.TokenSeed {
	s := api.TokenSeed{Serial: f.serial, Kind: f.kind, Algorithm: "SHA1", Digits: 6, Seed: bytes.Clone(f.seed), User: user}
	if f.kind == "totp" {
		s.Period = 30
	}
	return s
}

// imports imports tokens, all of which must be good.
func imports(t *testing.T, c *client.Client, rows ...api.TokenSeed) api.ImportReport {
	t.Helper()
	imp, err := c.Import(limit(t), api.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := imp.Add(row); err != nil {
			t.Fatal(err)
		}
	}
	report, err := imp.Commit()
	if err != nil || report.Error != nil || report.Imported != len(rows) {
		t.Fatalf("the import: %+v, %v", report, err)
	}
	return report
}

// carry imports a fob and makes it a method; step approves that where a key has to.
func carry(t *testing.T, c *client.Client, f *fob, step func()) api.Method {
	t.Helper()
	status, err := c.Status(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	if report := imports(t, c, f.row(status.User)); report.Assigned != 1 {
		t.Fatalf("the fob was not assigned: %+v", report)
	}
	return activate(t, c, f, step)
}

// activate makes an assigned fob a method, as carry does.
func activate(t *testing.T, c *client.Client, f *fob, step func()) api.Method {
	t.Helper()
	s, err := c.Begin(limit(t), api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "token", Serial: f.serial}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if step != nil {
		step()
	}
	v := typing(t, c, s, func() string { return f.show(t) })
	if v.Decision != api.Approved || len(v.Methods) != 1 {
		t.Fatalf("the fob was not registered: %+v %v", v, v.Error)
	}
	return v.Methods[0]
}

// typing answers each prompt for a code until the decision.
func typing(t *testing.T, c *client.Client, s *client.Stream, code func() string) api.RequestState {
	t.Helper()
	answered := map[string]bool{}
	for {
		v, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !v.Pending {
			return v
		}
		for _, p := range v.Prompts {
			if p.Type == api.PromptCode && !answered[p.ID] {
				answered[p.ID] = true
				if err := c.Answer(limit(t), v.ID, api.Answer{Prompt: p.ID, Code: api.Secret(code())}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// byCode signs in with a code, and gives the error code of what became of it; empty if it was approved.
func byCode(t *testing.T, c *client.Client, code string) api.Code {
	t.Helper()
	s, err := c.Begin(limit(t), api.BeginRequest{Service: "mailer", Code: api.Secret(code)})
	if err != nil {
		return codeOf(t, err)
	}
	defer s.Close()
	if v := decision(t, s); v.Decision != api.Approved || v.Strength != "code" {
		t.Fatalf("a code that was taken ended %+v", v)
	}
	return ""
}
