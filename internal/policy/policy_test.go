package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/policy"
)

// parse reads a policy of texts, each a file of its own.
func parse(t testing.TB, texts ...string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(files(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func files(texts ...string) (some []policy.File) {
	for n, text := range texts {
		some = append(some, policy.File{Name: fmt.Sprintf("%d0.toml", n+1), Text: []byte(text)})
	}
	return some
}

// show is a rule in a line: what a test expects of it.
func show(r policy.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", r.Require)
	if r.Fallback != nil {
		fmt.Fprintf(&b, " or %v", r.Fallback)
	}
	if r.Place != nil {
		fmt.Fprintf(&b, " at %v", r.Place)
	}
	fmt.Fprintf(&b, " in %v", r.Timeout)
	if r.Remember != 0 {
		fmt.Fprintf(&b, " for %v", r.Remember)
	}
	if r.MinMethods != 0 {
		fmt.Fprintf(&b, " methods %d", r.MinMethods)
	}
	return b.String()
}

const sample = `
[default]
require     = "code"
min_methods = 2

[service."pam:sudo"]
require  = "key"
fallback = ["recovery"]
place    = ["local", "unknown"]
timeout  = "45s"

[service."pam:sshd"]
require  = "key"
fallback = ["code", "match"]
place    = ["remote"]
remember = "90d"

[service."app:*:mailer"]
require = "verified"

[service."app:1000:mailer"]
timeout = "5m"

[[restrict]]
users    = ["alice"]
groups   = ["contractors"]
services = ["pam:*"]
require  = "verified"
place    = ["local", "remote"]
fallback = []
timeout  = "30s"
remember = "0s"
min_methods = 3
`

func TestFor(t *testing.T) {
	alice := policy.Subject{UID: 1000, Name: "alice", Groups: []string{"alice", "contractors"}}
	staff := policy.Subject{UID: 1000, Name: "alice", Groups: []string{"alice"}}
	unknown := policy.Subject{UID: 1000, Name: "alice", GroupsUnknown: true}
	bob := policy.Subject{UID: 1001, Name: "bob", Groups: []string{"contractors"}}
	tests := []struct {
		name    string
		text    string
		service string
		who     policy.Subject
		want    string
	}{
		{"holds what is built in where nothing is configured", "", "pam:sudo", bob, "code in 1m0s"},
		{"holds the default for a service without a table", sample, "pam:su", bob, "code in 1m0s methods 2"},
		{"holds a service's table instead of the default", sample, "pam:sudo", bob, "key or [recovery] at [local unknown] in 45s methods 2"},
		{"sorts what may stand in", sample, "pam:sshd", bob, "key or [code match] at [remote] in 1m0s for 2160h0m0s methods 2"},
		{"takes any uid for the star", sample, "app:1001:mailer", bob, "verified in 1m0s methods 2"},
		{"prefers an exact name to the star", sample, "app:1000:mailer", bob, "code in 5m0s methods 2"},
		{"takes another app of the user for another", sample, "app:1000:mailer2", bob, "code in 1m0s methods 2"},
		{"tightens what a restriction names", sample, "pam:sudo", alice, "verified at [local] in 30s methods 3"},
		{"tightens the default too", sample, "pam:su", alice, "verified at [local remote] in 30s methods 3"},
		{"remembers nothing where a restriction says so", sample, "pam:sshd", alice, "verified at [remote] in 30s methods 3"},
		{"restricts only the services named", sample, "app:1000:mailer", alice, "code in 5m0s methods 2"},
		{"restricts only members of the groups named", sample, "pam:sudo", staff, "key or [recovery] at [local unknown] in 45s methods 2"},
		{"restricts whoever may be a member where that cannot be told", sample, "pam:su", unknown, "verified at [local remote] in 30s methods 3"},
		{"does not take another user for one where groups cannot be told", sample, "pam:su", policy.Subject{Name: "bob", GroupsUnknown: true}, "code in 1m0s methods 2"},
		{"restricts a user without a name as anybody", sample, "pam:su", policy.Subject{Groups: []string{"contractors"}}, "verified at [local remote] in 30s methods 3"},
		{"does not carry the default's fallback and place over to a service",
			"[default]\nrequire='key'\nfallback=['recovery']\nplace=['local']\ntimeout='2m'\n[service.'pam:x']\nplace=['local','remote','unknown']", "pam:x", bob, "key in 2m0s"},
		{"holds the default's fallback and place elsewhere",
			"[default]\nrequire='key'\nfallback=['recovery']\nplace=['local']\n", "pam:x", bob, "key or [recovery] at [local] in 1m0s"},
		{"may leave no place", "[service.'pam:x']\nplace=['local']\n[[restrict]]\nplace=['remote']", "pam:x", bob, "code at [] in 1m0s"},
		{"keeps of what may stand in only what all allow",
			"[service.'pam:x']\nrequire='verified'\nfallback=['key','recovery','code']\n[[restrict]]\nfallback=['recovery','click']\n[[restrict]]\nrequire='key'", "pam:x", bob, "verified or [recovery] in 1m0s"},
		{"never loosens by a restriction",
			"[default]\nrequire='verified'\ntimeout='20s'\nmin_methods=5\n[[restrict]]\nrequire='click'\ntimeout='10m'\nremember='90d'\nfallback=['recovery','code']\nmin_methods=1", "pam:x", bob, "verified in 20s methods 5"},
		{"restricts one service of one uid", "[[restrict]]\nservices=['app:1000:*']\nrequire='key'", "app:1000:a", bob, "key in 1m0s"},
		{"restricts no other uid's", "[[restrict]]\nservices=['app:1000:*']\nrequire='key'", "app:1001:a", bob, "code in 1m0s"},
		{"restricts an app of any uid", "[[restrict]]\nservices=['app:*:a']\nrequire='key'", "app:7:a", bob, "key in 1m0s"},
		{"restricts all apps", "[[restrict]]\nservices=['app:*:*']\nrequire='key'", "app:7:a", bob, "key in 1m0s"},
		{"restricts no pam service as an app", "[[restrict]]\nservices=['app:*:*']\nrequire='key'", "pam:a", bob, "code in 1m0s"},
		{"restricts everything", "[[restrict]]\nservices=['*']\nrequire='key'", "app:1:a", bob, "key in 1m0s"},
		{"restricts exact services", "[[restrict]]\nservices=['pam:b','pam:a']\nrequire='key'", "pam:a", bob, "key in 1m0s"},
		{"restricts services both exact and not", "[[restrict]]\nservices=['app:*:b','pam:a']\nrequire='key'", "pam:a", bob, "key in 1m0s"},
		{"restricts by group alone", "[[restrict]]\ngroups=['staff','contractors']\nrequire='key'", "pam:a", bob, "key in 1m0s"},
		{"restricts by user alone", "[[restrict]]\nusers=['carol','bob']\nrequire='key'", "pam:a", bob, "key in 1m0s"},
		{"takes names as they are written", "[[restrict]]\nusers=['Bob']\nrequire='key'", "pam:a", bob, "code in 1m0s"},
		{"holds the default for what is no service's name", "[service.'app:*:a']\nrequire='key'", "app:a", bob, "code in 1m0s"},
		{"reads lengths of time in days and more", "[service.'pam:x']\nremember='1d12h'", "pam:x", bob, "code in 1m0s for 36h0m0s"},
		{"reads keys with dots as tables", "service.'pam:x'.require = 'key'\ndefault.timeout='5s'", "pam:x", bob, "key in 5s"},
		{"reads a file with Windows line endings and a byte order mark", "\ufeff[default]\r\nrequire = \"key\"\r\n", "pam:x", bob, "key in 1m0s"},
		{"reads strings of every form",
			"[service.\"pam:\\u0078\"]\nrequire = \"\"\"key\"\"\"\nplace = [ # here\n '''local''', \"remote\",\n]\n", "pam:x", bob, "key at [local remote] in 1m0s"},
		{"reads quotes before the quotes that end a string", "[[restrict]]\nusers=['''a'''', 'bob']\nrequire='key'\n[default]\ntimeout='5s'", "pam:x", bob, "key in 5s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parse(t, tt.text)
			got := p.For(tt.service, tt.who)
			if show(got) != tt.want {
				t.Errorf("got  %s\nwant %s", show(got), tt.want)
			}
			if e := p.Explain(tt.service, tt.who); show(e.Rule) != show(got) {
				t.Errorf("explains %s", show(e.Rule))
			}
		})
	}
}

func TestRule(t *testing.T) {
	r := policy.Rule{Require: policy.Verified, Fallback: []policy.Fallback{"code", "recovery"}}
	for s, want := range map[policy.Strength]bool{
		policy.None: false, policy.Click: false, policy.Match: false, policy.Code: true,
		policy.Key:      false, // stronger than code, and yet nobody wrote it
		policy.Verified: true,
	} {
		if r.Accepts(s) != want {
			t.Errorf("accepts %v: %v", s, !want)
		}
	}
	if !r.AcceptsRecovery() || r.Weakest() != policy.Code {
		t.Errorf("recovery %v, weakest %v", r.AcceptsRecovery(), r.Weakest())
	}
	r.Fallback = nil
	if r.AcceptsRecovery() || r.Weakest() != policy.Verified || r.Accepts(policy.Code) {
		t.Error("something stands in although nothing may")
	}
	if !r.MayBegin(caller.PlaceRemote) {
		t.Error("a rule without places keeps requests from beginning")
	}
	r.Place = []caller.Place{}
	if r.MayBegin(caller.PlaceLocal) || r.MayBegin("") {
		t.Error("a request may begin where there is no place")
	}
	r.Place = []caller.Place{caller.PlaceLocal}
	if !r.MayBegin(caller.PlaceLocal) || r.MayBegin(caller.PlaceUnknown) || r.MayBegin("") {
		t.Error("a request may begin elsewhere")
	}
	if (policy.Rule{}).Accepts(policy.None) {
		t.Error("nothing satisfies a rule that requires nothing")
	}
}

func TestBuiltin(t *testing.T) {
	var zero policy.Policy
	for _, p := range []*policy.Policy{policy.Builtin(), parse(t), parse(t, "", "# nothing"), &zero} {
		r := p.For("pam:sudo", policy.Subject{GroupsUnknown: true})
		if show(r) != "code in 1m0s" || r.Fallback != nil || r.Place != nil {
			t.Errorf("got %s", show(r))
		}
		if !p.RecoverySteps() || p.UsesGroups() || !p.AllowsAAGUID(nil) || !p.AllowsAAGUID(make([]byte, 16)) || len(p.Rules()) != 0 {
			t.Error("the built-in policy restricts something")
		}
	}
}

func TestModels(t *testing.T) {
	p := parse(t, "[keys]\nallow_aaguids = ['2fc0579f-8113-47ea-b116-bb5a8db9202a',\n'EE882879-721C-4913-9775-3DFCCE97072A']")
	a := []byte{0x2f, 0xc0, 0x57, 0x9f, 0x81, 0x13, 0x47, 0xea, 0xb1, 0x16, 0xbb, 0x5a, 0x8d, 0xb9, 0x20, 0x2a}
	b := []byte{0xee, 0x88, 0x28, 0x79, 0x72, 0x1c, 0x49, 0x13, 0x97, 0x75, 0x3d, 0xfc, 0xce, 0x97, 0x07, 0x2a}
	other := slices.Clone(a)
	other[15]++
	for _, tt := range []struct {
		name  string
		model []byte
		want  bool
	}{
		{"a model of the list", a, true}, {"one in capitals", b, true}, {"another", other, false}, {"none", nil, false},
		{"a key that does not tell", make([]byte, 16), false}, {"a shorter one", a[:15], false}, {"a longer one", append(slices.Clone(a), 0), false},
	} {
		if p.AllowsAAGUID(tt.model) != tt.want {
			t.Errorf("%s: allowed %v", tt.name, !tt.want)
		}
	}
	if !parse(t, "[keys]\nallow_aaguids = []").AllowsAAGUID(make([]byte, 16)) {
		t.Error("an empty list allows none")
	}
}

func TestRecoverySteps(t *testing.T) {
	for text, want := range map[string]bool{"": true, "[recovery]": true, "[recovery]\nstep_up=true": true, "[recovery]\nstep_up=false": false} {
		if parse(t, text).RecoverySteps() != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestForNeedsNoMemory(t *testing.T) {
	p := parse(t, sample)
	s := policy.Subject{Name: "alice", Groups: []string{"alice", "contractors"}}
	for _, service := range []string{"pam:sudo", "app:1000:mailer", "app:7:mailer", "pam:other"} {
		if n := testing.AllocsPerRun(100, func() { p.For(service, s) }); n > 0 {
			t.Errorf("%s: %v allocations", service, n)
		}
	}
}

// large is a policy of n tables of all kinds.
func large(n int) string {
	var b strings.Builder
	b.WriteString("[default]\nrequire = \"code\"\n")
	for i := range n {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "[service.\"pam:s%d\"]\nrequire = \"key\"\n", i)
		case 1:
			fmt.Fprintf(&b, "[[restrict]]\nusers = [\"u%d\"]\nrequire = \"verified\"\n", i)
		case 2:
			fmt.Fprintf(&b, "[[restrict]]\ngroups = [\"g%d\"]\ntimeout = \"30s\"\n", i)
		case 3:
			fmt.Fprintf(&b, "[[restrict]]\nservices = [\"pam:s%d\"]\nplace = [\"local\"]\n", i-3)
		case 4:
			fmt.Fprintf(&b, "[[restrict]]\nservices = [\"app:*:a%d\"]\nrequire = \"key\"\n", i)
		}
	}
	return b.String()
}

func TestLargePolicies(t *testing.T) {
	begun := time.Now()
	p := parse(t, large(10_000))
	if got := show(p.For("pam:s9990", policy.Subject{Name: "u9991", Groups: []string{"g9992"}})); got != "verified at [local] in 30s" {
		t.Errorf("got %s", got)
	}
	if n := len(p.Rules()); n != 10_001 {
		t.Errorf("%d tables", n)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func BenchmarkFor1000(b *testing.B) {
	p := parse(b, large(1000))
	groups := make([]string, 30)
	for n := range groups {
		groups[n] = fmt.Sprintf("g%d", n*20+2)
	}
	for name, s := range map[string]policy.Subject{
		"restricted":     {Name: "u501", Groups: groups},
		"unrestricted":   {Name: "nobody"},
		"groups unknown": {Name: "u501", GroupsUnknown: true},
	} {
		for _, service := range []string{"pam:s500", "app:1000:a504"} {
			b.Run(name+" "+service, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.For(service, s)
				}
			})
		}
	}
}
