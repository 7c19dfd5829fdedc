package daemon_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

// A session elsewhere of the same user's does not keep sudo from the desk.
func TestSystemDeskFromElsewhere(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	elsewhere := m.login.away(m.newActor(t, uidDaemon), uidDaemon)
	if st, err := p.desk.Status(limit(t)); err != nil || st.Place != "local" {
		t.Fatal(st.Place, err)
	}
	if st, err := elsewhere.Status(limit(t)); err != nil || st.Place != "remote" {
		t.Fatal(st.Place, err)
	}
	s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
	v := p.sudo.blinking(t, s)
	if err := elsewhere.Deny(limit(t), v.ID); err != nil {
		return
	}
	decision(t, s)
	if s, err := p.sudo.Begin(limit(t), api.BeginRequest{User: "daemon", Service: "pam:sudo"}); err != nil {
		t.Errorf("sudo at the desk: %v", err)
	} else if v, err := s.Next(); err == nil {
		_ = p.sudo.Cancel(limit(t), v.ID)
		s.Close()
	}
}

// A folder that is being replaced is no wish for the built-in policy, which asks for less.
func TestSystemPolicyFolderGone(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	if err := os.Rename(filepath.Join(m.dir, "policy.d"), filepath.Join(m.dir, "policy.old")); err != nil {
		t.Fatal(err)
	}
	t.Log(m.reload(t))
	var rule struct {
		Require string `json:"require"`
	}
	if code := p.desk.call(t, "GET", "/policy/check?service=pam:sudo", nil, &rule); code != "" || rule.Require != "key" {
		t.Errorf("sudo, which asked for a key, asks for %q now (%s)", rule.Require, code)
	}
}
