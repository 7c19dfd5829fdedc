package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/policy"
)

func TestExplain(t *testing.T) {
	alice := policy.Subject{Name: "alice", Groups: []string{"contractors", "contractors"}}
	tests := []struct {
		name    string
		text    string
		service string
		who     policy.Subject
		want    []string
	}{
		{"says that nothing is configured", "", "pam:sudo", alice, []string{
			"built in: nothing configured: requires code and gives 1m to answer",
		}},
		{"says what a service takes from the default and what is built in", "[default]\nrequire='key'\nplace=['local']\nmin_methods=1\n[service.'pam:sudo']\nfallback=['recovery','code']\n", "pam:sudo", alice, []string{
			"built in: not configured: gives 1m to answer",
			"10.toml:2: [default] requires key",
			"10.toml:6: [service.\"pam:sudo\"] accepts code or recovery although weaker",
			"10.toml:4: [default] wants 1 sign-in method a user",
		}},
		{"says what restrictions do, in their order and once", sample + "\n[[restrict]]\nrequire='key'\ngroups=['contractors','x']", "pam:sshd", alice, []string{
			"built in: not configured: gives 1m to answer",
			"10.toml:13: [service.\"pam:sshd\"] requires key",
			"10.toml:14: [service.\"pam:sshd\"] accepts code or match although weaker",
			"10.toml:15: [service.\"pam:sshd\"] lets requests begin only at a place that is remote",
			"10.toml:16: [service.\"pam:sshd\"] lets an approval be remembered for 90d",
			"10.toml:4: [default] wants 2 sign-in methods a user",
			"10.toml:28: [[restrict]] requires at least verified",
			"10.toml:29: [[restrict]] lets requests begin only at a place that is local or remote (that changes nothing)",
			"10.toml:30: [[restrict]] accepts nothing weaker",
			"10.toml:31: [[restrict]] gives at most 30s to answer",
			"10.toml:32: [[restrict]] remembers no approval",
			"10.toml:33: [[restrict]] wants at least 3 sign-in methods a user",
			"10.toml:36: [[restrict]] requires at least key (that changes nothing)",
		}},
		{"keeps the order of restrictions of every sort", "[default]\nrequire='code'\ntimeout='1m'\n[[restrict]]\nrequire='key'\n[[restrict]]\nservices=['pam:x']\nmin_methods=2\n[[restrict]]\ngroups=['contractors']\ntimeout='30s'\n[[restrict]]\nusers=['alice']\nremember='0s'", "pam:x", alice, []string{
			"10.toml:2: [default] requires code",
			"10.toml:3: [default] gives 1m to answer",
			"10.toml:5: [[restrict]] requires at least key",
			"10.toml:8: [[restrict]] wants at least 2 sign-in methods a user",
			"10.toml:11: [[restrict]] gives at most 30s to answer",
			"10.toml:14: [[restrict]] remembers no approval (that changes nothing)",
		}},
		{"says why a restriction of groups counts where they are unknown", "[default]\nrequire='code'\ntimeout='90s'\n[[restrict]]\ngroups=['x']\nfallback=['recovery']\nrequire='key'", "pam:x", policy.Subject{Name: "bob", GroupsUnknown: true}, []string{
			"10.toml:2: [default] requires code",
			"10.toml:3: [default] gives 1m30s to answer",
			"10.toml:6: [[restrict]], which counts because the user's groups cannot be told now, accepts of what is weaker at most recovery (that changes nothing)",
			"10.toml:7: [[restrict]], which counts because the user's groups cannot be told now, requires at least key",
		}},
		{"says that a restriction which requires more leaves what may stand in", "[service.'pam:x']\nrequire='code'\ntimeout='1m'\nfallback=['match']\nplace=['remote']\n[[restrict]]\nrequire='key'\nmin_methods=1", "pam:x", alice, []string{
			"10.toml:2: [service.\"pam:x\"] requires code",
			"10.toml:4: [service.\"pam:x\"] accepts match although weaker",
			"10.toml:5: [service.\"pam:x\"] lets requests begin only at a place that is remote",
			"10.toml:3: [service.\"pam:x\"] gives 1m to answer",
			"10.toml:7: [[restrict]] requires at least key",
			"10.toml:7: \"match\" may still stand in although key is required here: write fallback = [] to end that",
			"10.toml:8: [[restrict]] wants at least 1 sign-in method a user",
		}},
		{"names all that may still stand in, and not what another restriction takes", "[default]\nrequire='key'\ntimeout='1m'\n[service.'pam:x']\nfallback=['code','match','recovery']\nplace=['remote']\n[[restrict]]\nrequire='verified'\n[[restrict]]\nfallback=['code','recovery']", "pam:x", alice, []string{
			"10.toml:2: [default] requires key",
			"10.toml:5: [service.\"pam:x\"] accepts code, match or recovery although weaker",
			"10.toml:6: [service.\"pam:x\"] lets requests begin only at a place that is remote",
			"10.toml:3: [default] gives 1m to answer",
			"10.toml:8: [[restrict]] requires at least verified",
			"10.toml:8: \"code\" or \"recovery\" may still stand in although verified is required here: write fallback = [] to end that",
			"10.toml:10: [[restrict]] accepts of what is weaker at most code and recovery",
		}},
		{"says nothing of what may stand in where the restriction says it, or requires no more", "[default]\nrequire='code'\ntimeout='1m'\nfallback=['recovery']\n[[restrict]]\nrequire='key'\nfallback=['recovery']\n[[restrict]]\nrequire='key'", "pam:x", alice, []string{
			"10.toml:2: [default] requires code",
			"10.toml:4: [default] accepts recovery although weaker",
			"10.toml:3: [default] gives 1m to answer",
			"10.toml:6: [[restrict]] requires at least key",
			"10.toml:7: [[restrict]] accepts of what is weaker at most recovery (that changes nothing)",
			"10.toml:9: [[restrict]] requires at least key (that changes nothing)",
		}},
		{"says nothing of what may stand in where another restriction ends it", "[default]\nrequire='code'\ntimeout='1m'\nfallback=['recovery']\n[[restrict]]\nrequire='key'\n[[restrict]]\nfallback=[]", "pam:x", alice, []string{
			"10.toml:2: [default] requires code",
			"10.toml:4: [default] accepts recovery although weaker",
			"10.toml:3: [default] gives 1m to answer",
			"10.toml:6: [[restrict]] requires at least key",
			"10.toml:8: [[restrict]] accepts nothing weaker",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range parse(t, tt.text).Explain(tt.service, tt.who).Reasons {
				got = append(got, r.Where+": "+r.Text)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("says\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestRules(t *testing.T) {
	p := parse(t, "\n[service.'pam:x']\nrequire = \"key\"\nplace = ['local',\n 'unknown']\n[[restrict]]\nrequire='key'\n", "[[restrict]]\nmin_methods=2\n[keys]\nallow_aaguids=[]\n[recovery]\nstep_up=true\n[default]")
	var got []string
	for _, s := range p.Rules() {
		got = append(got, fmt.Sprintf("%s:%d %s %v", s.File, s.Line, s.Table, s.Fields))
	}
	want := []string{
		`10.toml:2 [service."pam:x"] [{require "key" 3} {place ["local", "unknown"] 4}]`, `10.toml:6 [[restrict]] [{require "key" 7}]`,
		`20.toml:1 [[restrict]] [{min_methods 2 2}]`, `20.toml:3 [keys] [{allow_aaguids [] 4}]`, `20.toml:5 [recovery] [{step_up true 6}]`, `20.toml:7 [default] []`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestNames(t *testing.T) {
	p := parse(t, "[[restrict]]\nusers = ['alice',\n 'bob']\ngroups = ['staff']\nrequire='key'\n", "[[restrict]]\nusers = ['bob', 'carol']\nrequire='key'\n[[restrict]]\ngroups = ['wheel', 'staff']\nrequire='key'")
	users, groups := p.Named()
	if got := fmt.Sprint(users, groups); got != "[{alice 10.toml:2} {bob 10.toml:3} {carol 20.toml:2}] [{staff 10.toml:4} {wheel 20.toml:5}]" {
		t.Errorf("names %s", got)
	}
	if !p.UsesGroups() || parse(t, "[[restrict]]\nusers=['a']\nrequire='key'").UsesGroups() {
		t.Error("does not know whether it needs groups")
	}
	t.Run("finds all that exist", func(t *testing.T) {
		err := p.Missing(func(users, groups []string) ([]string, []string, error) {
			if !slices.Equal(users, []string{"alice", "bob", "carol"}) || !slices.Equal(groups, []string{"staff", "wheel"}) {
				t.Errorf("asked for %v and %v", users, groups)
			}
			return nil, nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("tells of those that do not exist, with their lines", func(t *testing.T) {
		err := p.Missing(func(_, _ []string) ([]string, []string, error) { return []string{"bob"}, []string{"wheel"}, nil })
		want := "the policy names users or groups that do not exist:\n10.toml:3: there is no user \"bob\"\n20.toml:5: there is no group \"wheel\""
		if !errors.Is(err, policy.ErrMissing) || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
	t.Run("tells of 20 and counts the others", func(t *testing.T) {
		var b strings.Builder
		for n := range 30 {
			fmt.Fprintf(&b, "[[restrict]]\nusers=['u%d']\nrequire='key'\n", n)
		}
		err := parse(t, b.String()).Missing(func(users, _ []string) ([]string, []string, error) { return users, nil, nil })
		if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 22 || lines[21] != "and 10 more" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is not sure where nobody can tell", func(t *testing.T) {
		down := errors.New("down")
		err := p.Missing(func(_, _ []string) ([]string, []string, error) { return nil, nil, down })
		if !errors.Is(err, down) || errors.Is(err, policy.ErrMissing) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("asks for nobody where nobody is named", func(t *testing.T) {
		err := policy.Builtin().Missing(func(_, _ []string) ([]string, []string, error) {
			t.Error("asked")
			return nil, nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
