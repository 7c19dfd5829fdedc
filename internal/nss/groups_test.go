package nss

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// with is a getent with an answer for each database.
func with(initgroups, group string) string {
	return `case $1 in passwd) echo '` + alice + `';; initgroups) ` + initgroups + `;; group) ` + group + `;; esac`
}

func TestGroupsOf(t *testing.T) {
	const groups = `echo 'users:x:100:'; echo 'sudo:x:27:alice,bob'; echo 'audio:*:29:alice'`
	t.Run("finds all groups with the primary one", func(t *testing.T) {
		names, err := fake(t, with(`echo 'alice                 29 27 100 27'`, groups)).GroupsOf(t.Context(), "alice")
		if err != nil || !slices.Equal(names, []string{"audio", "sudo", "users"}) {
			t.Errorf("got %v, %v", names, err)
		}
	})
	t.Run("asks for the ids, each once, as arguments", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		l := fake(t, `echo "$*" >>`+log+"\n"+with(`echo 'alice 29 27 100 27'`, groups))
		if _, err := l.GroupsOf(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(log); err != nil || string(b) != "passwd -- alice\ninitgroups -- alice\ngroup -- 27 29 100\n" {
			t.Errorf("getent was asked for %q, %v", b, err)
		}
	})
	t.Run("finds the primary group of a user who is in no other", func(t *testing.T) {
		names, err := fake(t, with(`echo 'alice                '`, `echo users:x:100:`)).GroupsOf(t.Context(), "alice")
		if err != nil || !slices.Equal(names, []string{"users"}) {
			t.Errorf("got %v, %v", names, err)
		}
	})
	t.Run("reads names with spaces, digits among them", func(t *testing.T) {
		l := fake(t, `case $1 in passwd) echo 'DOM\user 7:x:1:5::/:/bin/sh';; initgroups) echo 'DOM\user 7 8';; group) echo 'domain users:x:5:'; echo 'eight:x:8:';; esac`)
		names, err := l.GroupsOf(t.Context(), `DOM\user 7`)
		if err != nil || !slices.Equal(names, []string{"domain users", "eight"}) {
			t.Errorf("got %v, %v", names, err)
		}
	})
	t.Run("is not kept by a group with very many members", func(t *testing.T) {
		names, err := fake(t, with(`echo 'alice 7'`, `echo users:x:100:; printf big:x:7:; head -c 3000000 /dev/zero | tr '\0' a; echo`)).GroupsOf(t.Context(), "alice")
		if err != nil || !slices.Equal(names, []string{"big", "users"}) {
			t.Errorf("got %v, %v", names, err)
		}
	})
	t.Run("says that there is no such user", func(t *testing.T) {
		if names, err := fake(t, `exit 2`).GroupsOf(t.Context(), "alice"); !errors.Is(err, ErrUnknown) || names != nil {
			t.Errorf("got %v, %v", names, err)
		}
		if names, err := fake(t, `exit 2`).GroupsOf(t.Context(), "-x"); !errors.Is(err, ErrUnknown) || names != nil {
			t.Errorf("got %v, %v", names, err)
		}
	})
	for name, script := range map[string]string{
		"a group has no name":                      with(`echo 'alice 27 28'`, groups+`; exit 2`),
		"the primary group has no name":            with(`echo 'alice 27'`, `echo sudo:x:27:; exit 2`),
		"memberships cannot be told":               with(`exit 1`, groups),
		"memberships are unknown":                  with(`exit 2`, groups),
		"groups cannot be told":                    with(`echo 'alice 27'`, groups+`; exit 1`),
		"another user's memberships are told":      with(`echo 'alice2 27'`, groups),
		"memberships are none":                     with(`:`, groups),
		"memberships of two are told":              with(`echo 'alice 27'; echo 'alice 29'`, groups),
		"an id is a name":                          with(`echo 'alice sudo'`, groups),
		"an id is below zero":                      with(`echo 'alice -1'`, groups),
		"an entry has no id":                       with(`echo 'alice 27'`, groups+`; echo x:x::`),
		"an entry is too short":                    with(`echo 'alice 27'`, groups+`; echo x:x:3`),
		"an entry has no end":                      with(`echo 'alice 27'`, groups+`; printf x:x:3:`),
		"the list of groups has no end":            with(`exec yes 'alice 27'`, groups),
		"the name of a group is none at all":       with(`echo 'alice 27'`, groups+`; echo '+::::'`),
		"the list of a user's groups is too long":  with(`printf alice; head -c 100000 /dev/zero | tr '\0' ' '; echo`, groups),
		"what is printed for groups has no end":    with(`echo 'alice 27'`, `exec yes x:x:3:`),
		"what is printed for groups is not a line": with(`echo 'alice 27'`, `head -c 100000 /dev/zero`),
	} {
		t.Run("cannot tell where "+name, func(t *testing.T) {
			if names, err := fake(t, script).GroupsOf(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) || names != nil {
				t.Errorf("got %v, %v", names, err)
			}
		})
	}
	t.Run("takes one time-out for all of it", func(t *testing.T) {
		t.Parallel()
		l := fake(t, `sleep 0.4`+"\n"+with(`echo 'alice 27'`, groups))
		l.Timeout = time.Second
		begun := time.Now()
		if names, err := l.GroupsOf(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, %v", names, err)
		}
		if d := time.Since(begun); d > 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
	t.Run("ends one that hangs in a member list", func(t *testing.T) {
		t.Parallel()
		l := fake(t, with(`echo 'alice 27'`, `printf sudo:x:27:; exec cat /dev/zero`))
		l.Timeout = 300 * time.Millisecond
		if names, err := l.GroupsOf(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, %v", names, err)
		}
	})
}

func TestGroupsByNames(t *testing.T) {
	t.Run("finds those that exist, and no others", func(t *testing.T) {
		l := fake(t, `echo 'sudo:x:27:alice'; echo 'root:x:0:'; exit 2`) // as getent does where one is unknown
		found, err := l.GroupsByNames(t.Context(), []string{"sudo", "0", "no-group", "-x", "a:b", ""})
		if err != nil || len(found) != 1 || found["sudo"] != 27 {
			t.Errorf("found %v, %v", found, err)
		}
	})
	t.Run("asks for many at a time", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		names := make([]string, 250)
		for n := range names {
			names[n] = fmt.Sprintf("group%d", n)
		}
		found, err := fake(t, `echo $# >>`+log+`; shift 2; for n; do echo "$n:x:1:"; done`).GroupsByNames(t.Context(), names)
		if err != nil || len(found) != len(names) {
			t.Errorf("found %d, %v", len(found), err)
		}
		if b, err := os.ReadFile(log); err != nil || string(b) != "102\n102\n52\n" {
			t.Errorf("getent was asked for %q, %v", b, err)
		}
	})
	t.Run("says nothing of any where the name service fails", func(t *testing.T) {
		for _, script := range []string{`exit 3`, `echo 'sudo:x:27:'; exit 1`, `echo nonsense`, `exec yes`} {
			if found, err := fake(t, script).GroupsByNames(t.Context(), []string{"sudo"}); !errors.Is(err, ErrUnavailable) || found != nil {
				t.Errorf("%s: %v, %v", script, found, err)
			}
		}
	})
	t.Run("asks nothing for none", func(t *testing.T) {
		if found, err := fake(t, `exit 3`).GroupsByNames(t.Context(), []string{"-x"}); err != nil || len(found) != 0 {
			t.Errorf("%v, %v", found, err)
		}
	})
}

func TestRealGroups(t *testing.T) {
	var l Lookup
	if _, err := l.command(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if names, err := l.GroupsOf(t.Context(), "root"); err != nil || !slices.Contains(names, "root") {
		t.Errorf("root is in %v, %v", names, err)
	}
	if names, err := l.GroupsOf(t.Context(), "no-such-user-here"); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody is in %v, %v", names, err)
	}
	if found, err := l.GroupsByNames(t.Context(), []string{"root", "no-such-group-here", "0"}); err != nil || len(found) != 1 {
		t.Errorf("of three, %v, %v", found, err)
	}
}

func FuzzParseGroups(f *testing.F) {
	for _, s := range []string{"alice 1 2\n", "alice\n", "alice", "alice  \n", "alice 4294967295\n", "alice x\n", "sudo:x:27:\n", "sudo:x:27\n", ":x:1:\n", "a:b:c:d\n", "+:x:1:\n", "a\x00:x:1:\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ids, err := parseInitgroups([]byte(s), "alice"); err == nil {
			if !strings.HasPrefix(s, "alice") || slices.Contains(ids, 1<<32-1) {
				t.Errorf("accepted %q: %v", s, ids)
			}
		} else if !errors.Is(err, ErrUnavailable) || ids != nil {
			t.Errorf("got %v, %v", ids, err)
		}
		if g, err := parseGroup(s); err == nil {
			if !validName(g.name) || g.id == 1<<32-1 {
				t.Errorf("accepted %q: %+v", s, g)
			}
		} else if !errors.Is(err, ErrUnavailable) || g != (group{}) {
			t.Errorf("got %+v, %v", g, err)
		}
	})
}
