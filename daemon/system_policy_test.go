package daemon_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

func TestSystemReloadsItsPolicy(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})

	rule := func(t *testing.T, service string) (c api.PolicyCheck) {
		t.Helper()
		if code := p.sshd.call(t, "GET", "/policy/check?user=daemon&service="+service, nil, &c); code != "" {
			t.Fatal(code)
		}
		return c
	}
	t.Run("a good set is in force at once", func(t *testing.T) {
		m.write(t, "60.toml", "[service.\"pam:su\"]\nrequire = \"key\"\nplace = [\"remote\"]\ntimeout = \"7s\"\n")
		if said := m.reload(t); !strings.Contains(said, "the policy was read") {
			t.Fatal(said)
		}
		if c := rule(t, "pam:su"); c.Require != "key" || c.TimeoutMS != 7000 || !slices.Equal(c.Places, []string{"remote"}) {
			t.Errorf("it says %+v", c)
		}
		if code := p.sudo.refused(t, api.BeginRequest{User: "daemon", Service: "pam:su"}); code != api.CodePlace {
			t.Errorf("from the desk: %s", code)
		}
	})
	for _, c := range []struct{ name, file, text, where, what string }{
		{"a word that is none", "70.toml", "\n[service.\"pam:su\"]\nrequire = \"kye\"\n", "70.toml:3", "kye"},
		{"a rule that lets the asker approve", "70.toml", "[service.\"pam:vpn\"]\nrequire = \"click\"\n", "70.toml:", "click"},
		{"a group that nobody knows", "70.toml", "[[restrict]]\ngroups = [\"fob-no-such-group\"]\nrequire = \"key\"\n", "70.toml:", "fob-no-such-group"},
		{"a user whom nobody knows", "70.toml", "[[restrict]]\nusers = [\"fob-no-such-user\"]\nrequire = \"key\"\n", "70.toml:", "fob-no-such-user"},
	} {
		t.Run("a set with "+c.name+" leaves the old one in force, and says where it is wrong", func(t *testing.T) {
			m.write(t, c.file, c.text)
			defer func() {
				if err := os.Remove(filepath.Join(m.dir, "policy.d", c.file)); err != nil {
					t.Fatal(err)
				}
				if said := m.reload(t); !strings.Contains(said, "the policy was read") {
					t.Error(said)
				}
			}()
			said := m.reload(t)
			st, err := p.desk.Status(limit(t))
			if err != nil {
				t.Fatal(err)
			}
			var policy api.Policy
			if code := p.desk.call(t, "GET", "/policy", nil, &policy); code != "" {
				t.Fatal(code)
			}
			for where, text := range map[string]string{"log": said, "status": st.Policy, "policy": policy.Problem} {
				if !strings.Contains(text, c.where) || !strings.Contains(text, c.what) {
					t.Errorf("the %s does not say where: %q", where, text)
				}
			}
			if r := rule(t, "pam:su"); r.Require != "key" || r.TimeoutMS != 7000 {
				t.Errorf("the rule is %+v", r)
			}
		})
	}
	t.Run("a policy that others may write is none", func(t *testing.T) {
		path := filepath.Join(m.dir, "policy.d", "60.toml")
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if said := m.reload(t); !strings.Contains(said, "stays in force") {
			t.Error(said)
		}
	})
	t.Run("a grant ends with the rule that let it be made", func(t *testing.T) {
		if err := os.Chmod(filepath.Join(m.dir, "policy.d", "60.toml"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := p.sshd.begin(t, ssh("192.0.2.60", "SHA256:six"))
		v := first(t, s)
		if code := p.desk.call(t, "POST", "/requests/"+v.ID+"/remember", api.Remember{Remember: true}, nil); code != "" {
			t.Fatal(code)
		}
		p.desk.number(t, v.ID, v.Number)
		p.desk.tap(t)
		if v = decision(t, s); v.Grant == "" {
			t.Fatalf("it ends %+v %v", v, v.Error)
		}
		m.write(t, "50.toml", strings.ReplaceAll(sshPolicy, "remember = \"90d\"\n", ""))
		if said := m.reload(t); !strings.Contains(said, "the policy was read") {
			t.Fatal(said)
		}
		if v := p.desk.allows(t, p.sshd.begin(t, ssh("192.0.2.60", "SHA256:six"))); v.Grant != "" {
			t.Errorf("without the rule: %+v", v)
		}
	})
}
