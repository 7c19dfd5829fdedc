package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/policy"
)

func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		text string
		want []string // each a part of the error, which has as many lines
	}{
		{"an unknown key, with the nearest", "[default]\nrequires = \"key\"", []string{`10.toml:2: unknown key "requires" in [default] (did you mean require?): use require, fallback`}},
		{"a key in capitals", "[default]\nRequire = \"key\"", []string{`10.toml:2: unknown key "Require" in [default] (did you mean require?)`}},
		{"an unknown table", "[defaults]\nrequire = \"key\"", []string{`10.toml:1: unknown table "defaults" (did you mean default?)`}},
		{"a key in no table", "require = \"key\"", []string{`10.toml:1: "require" stands in no table`}},
		{"a service without quotes", "[service.pam.sudo]\nrequire='key'", []string{`10.toml:1: unknown table "service.pam.sudo": write the service in quotes`}},
		{"one bracket for a restriction", "[restrict]\nrequire='key'", []string{`10.toml:1: "restrict" has the wrong brackets: write [[restrict]]`}},
		{"two brackets for the default", "\n[[default]]\nrequire='key'", []string{`10.toml:2: "default" has the wrong brackets: write [default]`}},
		{"a restriction without a header", "restrict.require='key'", []string{`10.toml:1: restrict is a table`}},
		{"a value in the place of a table", "default = 3", []string{`10.toml:1: "default" is a table`}},
		{"a value in the place of a service", "[service]\n'pam:x' = 'key'", []string{`10.toml:2: "service.pam:x" is a table: write a header of its own for it, as in [service."pam:sudo"]`}},
		{"tables in braces", "[service]\n'pam:x' = {require='key'}", []string{`10.toml:2: a table in braces is not read here`}},
		{"a table in a table", "[default]\n[default.require]\nx=1", []string{`10.toml:2: unknown table "default.require"`}},
		{"a table in a restriction", "[[restrict]]\n[restrict.users]\nx=1", []string{`10.toml:2: unknown table "restrict.users"`}},
		{"a key in a key", "[default]\nrequire.x=1", []string{`10.toml:2: unknown key "require.x"`}},

		{"a strength with a typo", "[default]\nrequire = \"kye\"", []string{`10.toml:2: require: "kye" is no strength: use click, match, code, key or verified`}},
		{"a strength with a long typo", "[default]\nrequire = \"verifed\"", []string{`(did you mean verified?)`}},
		{"no strength", "[default]\nrequire = \"none\"", []string{`"none" is no strength`}},
		{"a strength with something invisible", "[default]\nrequire = \"key\u200b\"", []string{`"key\u200b" is no strength`}},
		{"a strength of the wrong type", "[default]\nrequire = 3", []string{`10.toml:2: require: this is a number: write text in quotes`}},
		{"a list for a text", "[default]\nrequire = ['key']", []string{`this is a list`}},
		{"a text for a list", "[service.'pam:x']\nplace = 'local'", []string{`10.toml:2: place: this is text: write a list`}},
		{"a list of numbers", "[service.'pam:x']\nplace = [1]", []string{`place: this is a number`}},
		{"an unknown place, on its line", "[service.'pam:x']\nplace = [\n'local',\n'romote']", []string{`10.toml:4: place: "romote" is no place (did you mean remote?): use local, remote or unknown`}},
		{"no place", "[service.'pam:x']\nplace = []", []string{`place: the list is empty`}},
		{"a restriction to no place", "[[restrict]]\nplace = []", []string{`place: the list is empty`}},
		{"a place twice", "[[restrict]]\nplace = ['local','local']", []string{`"local" stands twice`}},
		{"an unknown fallback", "[service.'pam:x']\nrequire='key'\nfallback = ['verified']", []string{`"verified" is no fallback: use click, code, key, match or recovery`}},
		{"a fallback as strong as what is required", "[service.'pam:x']\nrequire='key'\nfallback = ['key']", []string{`10.toml:3: fallback: "key" is not weaker than what is required, which is "key"`}},
		{"a fallback as strong as what the default requires", "[service.'pam:x']\nfallback = ['key']\n[default]\nrequire='code'", []string{`10.toml:2: fallback: "key" is not weaker`}},
		{"a fallback as strong as what is built in", "[default]\nfallback = ['code']", []string{`"code" is not weaker`}},
		{"no press where the place has a fault", "[service.'pam:sshd']\nrequire='click'\nplace=['romote']", []string{`10.toml:3: place: "romote"`}},
		{"no press where the service has a fault", "[service.sshd]\nrequire='click'", []string{`10.toml:1: "sshd" is no service`}},
		{"what stands below a text of several lines", "[default]\nrequire = \"\"\"\\\n key\"\"\"\ntimeout = 'x'", []string{`10.toml:4: timeout: "x"`}},
		{"a list in a list", "[service.'pam:x']\nplace = [\n['local']]", []string{`10.toml:3: a list in a list`}},
		{"nothing that follows from another fault", "[default]\nrequire='cdoe'\n[service.'pam:x']\nfallback = ['code']", []string{`10.toml:2: require: "cdoe"`}},

		{"a number for a time", "[default]\ntimeout = 60", []string{`timeout: this is a number: write text in quotes, as in "60s"`}},
		{"a time without a unit", "[default]\ntimeout = '60'", []string{`"60" is no length of time`}},
		{"a time below zero", "[default]\ntimeout = '-5s'", []string{`"-5s" is no length of time`}},
		{"a time that overflows", "[service.'pam:x']\nremember = '65535d2562047h'", []string{`remember: "65535d2562047h" is `}},
		{"days that are no number", "[service.'pam:x']\nremember = '-1d'", []string{`"-1d" is no length of time`}},
		{"a time too short", "[default]\ntimeout = '0.5s'", []string{`"0.5s" is outside of 1s to 10m`}},
		{"a time too long", "[[restrict]]\ntimeout = '11m'", []string{`"11m" is outside of 1s to 10m`}},
		{"remembering for too long", "[service.'pam:x']\nremember = '91d'", []string{`"91d" is outside of 0s to 90d`}},
		{"remembering an app's approval", "[service.'app:*:x']\nremember = '1d'", []string{`10.toml:2: remember: approvals are remembered only for pam services`}},
		{"remembering by default", "[default]\nremember = '1d'", []string{`10.toml:2: remember cannot be in [default]`}},
		{"a service's number of methods", "[service.'pam:x']\nmin_methods = 2", []string{`min_methods cannot be in a service`}},
		{"methods below zero", "[default]\nmin_methods = -1", []string{`write a number from 0 to 10`}},
		{"too many methods", "[default]\nmin_methods = 11", []string{`write a number from 0 to 10`}},
		{"methods as a text", "[default]\nmin_methods = '2'", []string{`write a number from 0 to 10`}},

		{"no users", "[[restrict]]\nusers = []", []string{`users: the list is empty`}},
		{"no groups", "[[restrict]]\ngroups = []", []string{`groups: the list is empty`}},
		{"no services", "[[restrict]]\nservices = []", []string{`services: the list is empty`}},
		{"a restriction that says nothing", "\n[[restrict]]\n", []string{`10.toml:2: this [[restrict]] restricts nothing, since it does not say what it tightens`}},
		{"a restriction of a group that says nothing of it", "[[restrict]]\nrequire='key'\n[[restrict]]\ngroups=['root']", []string{`10.toml:3: this [[restrict]] restricts nothing, since it does not say`}},
		{"a restriction to what everything needs", "[[restrict]]\nusers=['a']\nrequire='click'", []string{`10.toml:3: this [[restrict]] restricts nothing, since require is as loose as can be: write for instance require = "verified"`}},
		{"a restriction to the loosest of all", "[[restrict]]\ntimeout='10m'\nremember='90d'\nmin_methods=0\nplace=['local','remote','unknown']\nfallback=['click','code','key','match','recovery']", []string{`10.toml:2: this [[restrict]] restricts nothing, since timeout is`}},
		{"what cannot be a user, on its line", "[[restrict]]\nusers = [\n'a',\n\n'a:b']", []string{`10.toml:5: users: "a:b" cannot be the name`}},
		{"an option for a user", "[[restrict]]\nusers = ['-a']", []string{`"-a" cannot be the name`}},
		{"the mark of another source for a group", "[[restrict]]\ngroups = ['+']", []string{`"+" cannot be the name`}},
		{"what cannot be a group", "[[restrict]]\ngroups = ['']", []string{`"" cannot be the name`}},
		{"what cannot be a service", "[[restrict]]\nservices = ['sudo']", []string{`services: "sudo" is no service`}},
		{"a pattern of another form", "[[restrict]]\nservices = ['pam:su*']", []string{`"pam:su*" is no service`}},
		{"a service of another form", "[service.sudo]\nrequire='key'", []string{`10.toml:1: "sudo" is no service: write "app:*:sudo" for every user's program of that name, "app:UID:sudo" for one user's, or "pam:sudo" for PAM's`}},
		{"all pam services as one", "[service.'pam:*']\nrequire='key'", []string{`"pam:*" is no service`}},
		{"a service in capitals", "[service.'pam:SSHD']\nrequire='key'", []string{`"pam:SSHD" is no service`}},
		{"a service that begins with a mark", "[service.'pam:.x']\nrequire='key'", []string{`"pam:.x" is no service`}},
		{"a service with a long name", "[service.'pam:" + strings.Repeat("a", 65) + "']", []string{`is no service`}},
		{"a uid with a zero before it", "[service.'app:01000:x']", []string{`is no service`}},
		{"a uid that is none", "[service.'app:4294967295:x']", []string{`is no service`}},
		{"an app without a name", "[service.'app:1000:']", []string{`is no service`}},
		{"a service in another alphabet", "[service.'pam:ѕudo']", []string{`is no service`}},

		{"no AAGUID", "[keys]\nallow_aaguids = [\n'2fc0579f-8113-47ea-b116-bb5a8db9202a',\n'2fc0579f811347eab116bb5a8db9202a']", []string{`10.toml:4: allow_aaguids: "2fc0579f811347eab116bb5a8db9202a" is no AAGUID`}},
		{"an AAGUID of no model", "[keys]\nallow_aaguids = ['00000000-0000-0000-0000-000000000000']", []string{`cannot be allowed`}},
		{"an AAGUID twice in two ways", "[keys]\nallow_aaguids = ['2fc0579f-8113-47ea-b116-bb5a8db9202a','2FC0579F-8113-47ea-b116-bb5a8db9202a']", []string{`stands twice`}},
		{"a word for true", "[recovery]\nstep_up = 'yes'", []string{`step_up: write true or false`}},

		{"a click by default", "[default]\nrequire = 'click'", []string{`10.toml:2: require: "click" cannot be the default`}},
		{"a number by default", "[default]\nplace=['remote']\nrequire = 'match'", []string{`"match" cannot be the default`}},
		{"a click that stands in by default", "[default]\nfallback = ['click']", []string{`fallback: "click" cannot be the default`}},
		{"a click where requests may begin here", "[service.'pam:sshd']\nrequire = 'click'", []string{`require: "click" is for sign-ins from elsewhere alone: add place = ["remote"]`}},
		{"a number that stands in where requests may begin here", "[service.'pam:sshd']\nrequire='key'\nplace=['remote','unknown']\nfallback=['match']", []string{`fallback: "match" is for sign-ins from elsewhere`}},
		{"a click for sudo, wherever", "[service.'pam:sudo']\nplace=['remote']\nrequire = 'click'", []string{`"click" cannot approve "pam:sudo", whose requests begin on this machine`}},
		{"a number for an app", "[service.'app:*:x']\nplace=['remote']\nrequire = 'match'", []string{`"match" cannot approve "app:*:x"`}},
		{"a number for one user's app", "[service.'app:1000:x']\nplace=['remote']\nrequire='key'\nfallback = ['match']", []string{`"match" cannot approve "app:1000:x"`}},

		{"a key twice", "[default]\nrequire='key'\nrequire='code'", []string{`10.toml:3: require stands twice in [default] (first at 10.toml:2)`}},
		{"a table twice", "[default]\nrequire='key'\n[default]\n", []string{`10.toml:3: [default] stands twice (first at 10.toml:1)`}},
		{"a key twice before any header", "default.require='key'\ndefault.require='key'", []string{`10.toml:2: default.require stands twice before any header (first at 10.toml:1)`}},
		{"a key twice in the second restriction", "[[restrict]]\nusers=['a']\n[[restrict]]\nusers=['b']\nrequire='key'\nusers=['c']", []string{`10.toml:6: users stands twice in [[restrict]] (first at 10.toml:4)`}},
		{"a service twice, in other quotes", "[service.\"pam:x\"]\n\n[service.'pam:x'] # again", []string{`10.toml:3: [service."pam:x"] stands twice (first at 10.toml:1)`}},
		{"a restriction in both sorts of brackets", "[[restrict]]\n[restrict]", []string{`10.toml:2: "restrict" has the wrong brackets: write [[restrict]]`}},
		{"a restriction in both sorts of brackets, the wrong ones first", "[restrict]\n[[restrict]]", []string{`10.toml:2: "restrict" has the wrong brackets at 10.toml:1: write [[restrict]]`}},
		{"a key twice whose name shows nothing", "[default]\n\"\\u202e\"=1\n\"\\u202e\"=2", []string{`10.toml:3: "\u202e" stands twice in [default]`}},
		{"a service's header without quotes", "[service.pam:sudo]\nrequire='key'", []string{`10.toml:1: a service's name stands in quotes: [service."pam:sudo"]`}},
		{"an app's header without quotes", "\n[ service . app:1000:mailer ] # mine", []string{`10.toml:2: a service's name stands in quotes: [service."app:1000:mailer"]`}},
		{"a header that is a service", "[pam:su]", []string{`10.toml:1: a service's name stands in quotes: [service."pam:su"]`}},
		{"a header with what is no service, without quotes", "[service.pam:SU]", []string{`10.toml:1: a service's name stands in quotes: [service."pam:sudo"]`}},
		{"a service in a word processor's quotes", "[service.“pam:su”]", []string{`10.toml:1: a service's name stands in quotes: [service."pam:su"]`}},
		{"a strength without quotes", "[default]\nrequire = key # a tap\n", []string{`10.toml:2: put it in quotes: require = "key"`}},
		{"a strength without quotes, with Windows' line ends", "[default]\r\nrequire = key\r\n", []string{`10.toml:2: put it in quotes: require = "key"`}},
		{"a strength in a word processor's quotes", "[default]\nrequire = “key”", []string{`10.toml:2: put it in plain quotes: require = "key"`}},
		{"a time without quotes", "[default]\ntimeout=60s", []string{`10.toml:2: put it in quotes: timeout = "60s"`}},
		{"a fallback without quotes and brackets", "[service.'pam:x']\nfallback = code", []string{`10.toml:2: put it in quotes: fallback = ["code"]`}},
		{"an element without quotes", "[service.'pam:x']\nplace = ['local, or', remote] # here", []string{`10.toml:2: put it in quotes: "remote"`}},
		{"an element without quotes, on its line", "[service.'pam:x']\nplace = [\n\"local\",\n  remote\n]", []string{`10.toml:4: put it in quotes: "remote"`}},
		{"a word for true, without quotes", "[recovery]\nstep_up = yes", []string{`10.toml:2: step_up: write true or false, without quotes`}},
		{"a word for a number", "[default]\nmin_methods = two", []string{`10.toml:2: min_methods: write a number from 0 to 10, without quotes`}},
		{"a long line in the library's words", "[default]\nrequire = " + strings.Repeat("k", 2000), []string{`10.toml:2: expected value`}},
		{"a header that is not closed", "[default\nrequire='key'", []string{`10.toml:1: close the bracket: [default]`}},
		{"a header that is not closed, with a comment", "\n[default # ]\nrequire='key'", []string{`10.toml:2: close the bracket: [default]`}},
		{"a header that is not closed, at the end", "[default", []string{`10.toml:1: close the bracket: [default]`}},
		{"a service's header that is not closed", "[default]\n[service.\"pam:x\"\nrequire='key'", []string{`10.toml:2: close the bracket: [service."pam:x"]`}},
		{"a restriction's header that is closed once", "[[restrict]\nrequire='key'", []string{`10.toml:1: close the bracket: [[restrict]]`}},
		{"what is below a header that is closed", "[default]\n=1", []string{`10.toml:2: unexpected`}},
		{"no TOML", "[default]\n[[[", []string{`10.toml:2: `}},
		{"a word on its own", "[default]\nrequire\n", []string{`10.toml:2: `}},
		{"a string without its end", "[default]\nrequire = 'key\n", []string{`10.toml:2: `}},
		{"a list without its end", "[[restrict]]\nusers = ['key'\n", []string{`10.toml:`}},
		{"another encoding", "[default]\n# \xe4\n", []string{`10.toml:2: the file is not text in UTF-8`}},
		{"UTF-16", "\xff\xfe[\x00d\x00", []string{`10.toml:1: the file is not text in UTF-8`}},
		{"a zero byte", "[default]\n\n\x00", []string{`10.toml:3: the file is no text`}},
		{"deep lists", "[default]\nplace = " + strings.Repeat("[", 500_000), []string{`10.toml:2: a list in a list is not read here`}},
		{"deep tables", "[default" + strings.Repeat(".a", 400_000) + "]", []string{`10.toml:1: the key is too long`}},
		{"deep keys", "a" + strings.Repeat(".a", 400_000) + "=1", []string{`10.toml:1: the key is too long`}},
		{"a long key", "[default]\n" + strings.Repeat("a", 2000) + "=1", []string{`10.toml:2: the key is too long`}},
		{"a large file", "# " + strings.Repeat("a", policy.MaxFile), []string{`10.toml:1: the file is larger than 1048576 bytes`}},

		{"several faults at once, in their order", "[default]\nrequire='x'\n\n[[restrict]]\nuser=['a']\ntimeout='1h'\n[service.'pam:su']\nrequire='match'\n",
			[]string{"cannot use the policy:", "10.toml:2: require", "10.toml:5: unknown key \"user\" in [[restrict]] (did you mean users?)", "10.toml:6: timeout", "10.toml:8: require"}},
	}
	for _, tt := range tests {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			begun := time.Now()
			p, err := policy.Parse(files(tt.text))
			if !errors.Is(err, policy.ErrInvalid) || p != nil {
				t.Fatalf("got %v, %v", p, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("says %v", err)
			}
			for n, want := range tt.want {
				if !strings.Contains(lines[n], want) {
					t.Errorf("says %s\nnot  %s", lines[n], want)
				}
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestPressesFromElsewhere(t *testing.T) {
	p := parse(t, "[service.'pam:sshd']\nrequire='match'\nfallback=['click']\nplace=['remote']\n[[restrict]]\nfallback=['click','match']\nrequire='click'")
	if got := show(p.For("pam:sshd", policy.Subject{Name: "a"})); got != "match or [click] at [remote] in 1m0s" {
		t.Errorf("got %s", got)
	}
	for _, name := range strings.Fields("sudo sudo-i su su-l polkit-1 doas runuser runuser-l login i3lock swaylock xscreensaver gnome-screensaver kde kscreenlocker_greet " +
		"xlock physlock vlock light-locker cinnamon-screensaver mate-screensaver xfce4-screensaver gtklock hyprlock waylock chsh chfn passwd gdm-password lightdm sddm") {
		_, err := policy.Parse(files("[service.'pam:" + name + "']\nrequire='match'\nplace=['remote']"))
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "begin on this machine") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSets(t *testing.T) {
	refuses := func(name, want string, texts ...string) {
		t.Run("refuses "+name, func(t *testing.T) {
			if p, err := policy.Parse(files(texts...)); !errors.Is(err, policy.ErrInvalid) || p != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	refuses("a second default", "20.toml:2: [default] stands twice (first at 10.toml:1)", "[default]", "\n[default]")
	refuses("a second table of a service", `20.toml:1: [service."pam:x"] stands twice (first at 10.toml:1)`, "[service.'pam:x']", "[service.\"pam:x\"]")
	refuses("a second list of models", "[keys] stands twice", "[keys]", "[keys]")
	refuses("a second word on recovery codes", "[recovery] stands twice", "[recovery]", "[recovery]")
	refuses("a set with one bad file", "20.toml:1: ", "[default]\nrequire='key'", "]", "[recovery]")
	refuses("a fallback that another file's default makes too strong", `10.toml:2: fallback: "key" is not weaker`, "[service.'pam:x']\nfallback=['key']", "[default]\nrequire='code'")
	refuses("too many files", "65 files are more than 64", make([]string, 65)...)
	refuses("too many tables", "tables are more than", strings.Repeat("[[restrict]]\n", 20_001))

	t.Run("shows 20 faults and counts the others", func(t *testing.T) {
		_, err := policy.Parse(files(strings.Repeat("[[restrict]]\nx=1\n", 5000)))
		lines := strings.Split(fmt.Sprint(err), "\n")
		if len(lines) != 22 || lines[21] != "and 4980 more" || !strings.HasPrefix(lines[20], "10.toml:40: ") {
			t.Errorf("%d lines: %s", len(lines), lines[len(lines)-1])
		}
	})
	t.Run("gives each fault apart, and how many there are", func(t *testing.T) {
		for text, want := range map[string][]string{
			"[default]\nrequire='x'":              {"10.toml:2: require: "},
			"[default]\nrequire='x'\ntimeout='y'": {"10.toml:2: require: ", "10.toml:3: timeout: "},
			strings.Repeat("[[x]]\n", 30):         slices.Repeat([]string{"10.toml:"}, 20),
		} {
			_, err := policy.Parse(files(text))
			first, all := policy.Faults(fmt.Errorf("around it: %w", err))
			if len(first) != len(want) || all != max(len(want), strings.Count(text, "[[x]]")) {
				t.Errorf("%q: %d of %d", text, len(first), all)
				continue
			}
			for n := range want {
				if !strings.HasPrefix(first[n], want[n]) {
					t.Errorf("says %s\nnot  %s", first[n], want[n])
				}
			}
		}
		if first, all := policy.Faults(nil); len(first) != 0 || all != 0 {
			t.Errorf("nil is %d faults", all)
		}
		_, err := policy.Load("/dev/null")
		if first, all := policy.Faults(err); all != 1 || len(first) != 1 || strings.Contains(first[0], "cannot use the policy") || !strings.Contains(first[0], "/dev/null") {
			t.Errorf("a folder that is none: %q of %d", first, all)
		}
	})
	t.Run("shows no control characters of names", func(t *testing.T) {
		_, err := policy.Parse([]policy.File{{Name: "a\x1b[2J.toml", Text: []byte("[\"x\\u001b[2J\\u202e\"]\n")}})
		if s := fmt.Sprint(err); err == nil || strings.ContainsAny(s, "\x1b\u202e") {
			t.Errorf("says %q", s)
		}
	})
	t.Run("reads wide files in a short time", func(t *testing.T) {
		var b strings.Builder
		for n := 0; b.Len() < policy.MaxFile-40; n++ {
			fmt.Fprintf(&b, "[[restrict]]\n\"k%d\"=1\n", n)
		}
		begun := time.Now()
		for _, text := range []string{
			b.String(), strings.Repeat("[[restrict]]\n", policy.MaxFile/13), "a=[" + strings.Repeat("1,", policy.MaxFile/2-10) + "]",
			"[[restrict]]\nusers=['" + strings.Repeat("a", policy.MaxFile-100) + "']", strings.ReplaceAll(b.String(), "[[restrict]]\n", ""),
			strings.Repeat("\"", policy.MaxFile), strings.Repeat("[", policy.MaxFile), strings.Repeat("a.", policy.MaxFile/2),
		} {
			if p, err := policy.Parse(files(text)); !errors.Is(err, policy.ErrInvalid) || p != nil {
				t.Errorf("took %.40q, %v", text, p)
			}
		}
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{sample, large(12), "", "\ufeff[default]\r\n", "a=[[[[[", "[service]\n'pam:x'.require='key'", "default.timeout='5s'", "[[restrict]]\nusers=[#]\n'''a''',\n\"b\\u0041\"]",
		"[restrict]", "x={a={}}", "[service.pam:sudo]", "[default]\nrequire = key", "[keys]\nallow_aaguids=[\nx]", "[keys]\n[ 'keys' ]\n", "[default]\nrequire=\"\"\"key\"\"\"\"", "[keys]\nallow_aaguids=['2fc0579f-8113-47ea-b116-bb5a8db9202a']\n[recovery]\nstep_up=false", "[default]\nrequire='click'", "\x00", "\"a\\\nb\"=1", "a=1979-05-27T07:32:00Z", "[[restrict]]\n[[restrict]]\nplace=['local']"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse([]policy.File{{Name: "f.toml", Text: text}})
		if err != nil {
			if !errors.Is(err, policy.ErrInvalid) || p != nil {
				t.Fatalf("got %v, %v", p, err)
			}
			first, all := policy.Faults(err)
			if len(first) == 0 || all < len(first) {
				t.Fatalf("%d faults of %d: %q", len(first), all, err)
			}
			for _, fault := range first {
				if !strings.HasPrefix(fault, "f.toml:") || strings.ContainsAny(fault, "\n\r\x1b\u202e") {
					t.Fatalf("a fault in no place, or of several lines: %q", fault)
				}
			}
			return
		}
		lines := 1 + strings.Count(string(text), "\n")
		for _, s := range p.Rules() {
			if s.Line < 1 || s.Line > lines {
				t.Fatalf("%s in line %d", s.Table, s.Line)
			}
			for _, field := range s.Fields {
				if field.Line < s.Line && s.Table == "[[restrict]]" || field.Line > lines || field.Value == "<nil>" {
					t.Fatalf("%s in line %d has %+v", s.Table, s.Line, field)
				}
			}
		}
		for _, service := range []string{"pam:sudo", "pam:x", "app:1000:mailer", "fob", ""} {
			r := p.For(service, policy.Subject{Name: "alice", GroupsUnknown: true})
			if r.Require <= policy.None || r.Timeout < policy.MinTimeout || r.Timeout > policy.MaxTimeout || r.Remember < 0 || r.Remember > policy.MaxRemember {
				t.Fatalf("%s: %s", service, show(r))
			}
			if (r.Accepts(policy.Click) || r.Accepts(policy.Match)) && (!strings.HasPrefix(service, "pam:") || r.MayBegin("local") || r.MayBegin("unknown")) {
				t.Fatalf("%s: %s", service, show(r))
			}
		}
	})
}
