package daemon_test

import (
	"fmt"
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
		{"a word that is none", "70.toml", "\n[service.\"pam:vpn\"]\nrequire = \"kye\"\n", "70.toml:3", "kye"},
		{"a rule that lets the asker approve", "70.toml", "[service.\"pam:vpn\"]\nrequire = \"click\"\n", "70.toml:", "click"},
		{"a group that nobody knows", "70.toml", "[[restrict]]\ngroups = [\"fob-no-such-group\"]\nrequire = \"key\"\n", "70.toml:", "fob-no-such-group"},
		{"a user whom nobody knows", "70.toml", "[[restrict]]\nusers = [\"fob-no-such-user\"]\nrequire = \"key\"\n", "70.toml:", "fob-no-such-user"},
	} {
		t.Run("a set with "+c.name+" leaves the old one in force, and says where it is wrong", func(t *testing.T) {
			m.write(t, c.file, c.text)
			defer m.withdraw(t, c.file)
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
	t.Run("a set with several faults is told of fault by fault", func(t *testing.T) {
		m.write(t, "70.toml", "[service.\"pam:su2\"]\nrequire = \"kye\"\ntimeout = \"x\"\n[default]\nplace = [\"romote\"]\n")
		defer m.withdraw(t, "70.toml")
		said := m.reload(t)
		st, err := p.desk.Status(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		var policy api.Policy
		if code := p.desk.call(t, "GET", "/policy", nil, &policy); code != "" {
			t.Fatal(code)
		}
		faults := strings.Split(policy.Problem, "; ")
		if len(faults) != 4 || !strings.HasPrefix(faults[0], "70.toml:2: ") || !strings.HasPrefix(faults[1], "70.toml:3: ") || !strings.HasPrefix(faults[2], "70.toml:5: ") ||
			faults[3] != "fobd will not start with this set" {
			t.Errorf("the policy says %q", policy.Problem)
		}
		if want := "the policy before is in force: 3 faults, the first: " + faults[0] + "; see fob policy"; st.Policy != want {
			t.Errorf("the status says %q", st.Policy)
		}
		if strings.Count(said, "cannot use the") != 1 || strings.Contains(said, `\n`) || !strings.Contains(said, "70.toml:5: ") || !strings.Contains(said, "; fobd will not start with this set") {
			t.Errorf("the log says %q", said)
		}
	})
	t.Run("so many faults that not all are shown are counted", func(t *testing.T) {
		m.write(t, "70.toml", strings.Repeat("[[restrict]]\nrequired = \"key\"\n", 500))
		defer m.withdraw(t, "70.toml")
		m.reload(t)
		var policy api.Policy
		if code := p.desk.call(t, "GET", "/policy", nil, &policy); code != "" {
			t.Fatal(code)
		}
		faults := strings.Split(policy.Problem, "; ")
		if n := len(faults); n < 5 || faults[n-2] != fmt.Sprintf("and %d more", 500-(n-2)) || len(policy.Problem) > 2000 {
			t.Errorf("the policy says %q", policy.Problem)
		}
	})
	t.Run("an empty folder does not keep the old set from being in force, nor fobd from starting", func(t *testing.T) {
		folder := filepath.Join(m.dir, "policy.d")
		if err := os.Rename(folder, folder+".old"); err != nil {
			t.Fatal(err)
		}
		said := m.reload(t)
		if err := os.Rename(folder+".old", folder); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said, "there is none in ") || strings.Contains(said, "will not start") {
			t.Errorf("the log says %q", said)
		}
	})
	t.Run("root is told who has fewer methods than it wants, and so are they", func(t *testing.T) {
		m.write(t, "80.toml", "[[restrict]]\nusers = [\"daemon\"]\nmin_methods = 2\n")
		if said := m.reload(t); !strings.Contains(said, "the policy was read") {
			t.Fatal(said)
		}
		if s, err := p.sshd.Status(limit(t)); err != nil || !slices.Contains(s.Short, "daemon (1)") {
			t.Errorf("too few have %v, %v", s.Short, err)
		}
		s, err := p.desk.Status(limit(t))
		if err != nil || s.MinMethods != 2 || s.Methods != 1 || len(s.Short) != 0 || !slices.ContainsFunc(s.Problems, func(text string) bool { return strings.Contains(text, "policy wants you to have 2") }) {
			t.Errorf("the user reads %+v, %v", s, err)
		}
		m.withdraw(t, "80.toml")
	})
	t.Run("files without a rule do not keep the old set from being in force, and are told from a missing set", func(t *testing.T) {
		folder := filepath.Join(m.dir, "policy.d")
		if err := os.Rename(folder, folder+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		m.write(t, "60.toml", "")
		said := m.reload(t)
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(folder+".old", folder); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said, "has a rule in it any more") || strings.Contains(said, "there is none in ") || strings.Contains(said, "will not start") {
			t.Errorf("the log says %q", said)
		}
	})
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

// withdraw takes a file of the policy away again, which puts the others in force.
func (m *machine) withdraw(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(m.dir, "policy.d", file)); err != nil {
		t.Fatal(err)
	}
	if said := m.reload(t); !strings.Contains(said, "the policy was read") {
		t.Error(said)
	}
}
