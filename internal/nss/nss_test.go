package nss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake is a getent that is a shell script.
func fake(t *testing.T, script string) Lookup {
	t.Helper()
	path := filepath.Join(t.TempDir(), "getent")
	// Written under another name first: a file that is open for writing cannot be executed, and
	// another test's fork may hold it open for a moment.
	if err := os.WriteFile(path+".new", []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return Lookup{Command: path, Timeout: 10 * time.Second}
}

const alice = `alice:x:1000:100:Alice,,,:/home/alice:/bin/bash`

func TestLookup(t *testing.T) {
	want := User{UID: 1000, GID: 100, Name: "alice", Home: "/home/alice", Shell: "/bin/bash"}
	t.Run("finds a user by name and by uid", func(t *testing.T) {
		l := fake(t, `echo '`+alice+`'`)
		if u, err := l.ByName(t.Context(), "alice"); err != nil || u != want {
			t.Errorf("by name: %+v, %v", u, err)
		}
		if u, err := l.ByUID(t.Context(), 1000); err != nil || u != want {
			t.Errorf("by uid: %+v, %v", u, err)
		}
	})
	t.Run("passes the name as one argument and no environment", func(t *testing.T) {
		t.Setenv("USER", "mallory")
		t.Setenv("LD_PRELOAD", "/nonexistent.so")
		log := filepath.Join(t.TempDir(), "log")
		l := fake(t, `{ for a; do echo "<$a>"; done; pwd; env; } >`+log+`; exit 2`)
		if _, err := l.ByName(t.Context(), `a b$(id)`); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		b, err := os.ReadFile(log)
		if err != nil || !strings.HasPrefix(string(b), "<passwd>\n<-->\n<a b$(id)>\n/\n") {
			t.Errorf("getent saw %s, %v", b, err)
		}
		if strings.Contains(string(b), "mallory") || strings.Contains(string(b), "LD_PRELOAD") {
			t.Errorf("getent saw fobd's environment: %s", b)
		}
	})
	t.Run("takes no number for a name, nor a name for another", func(t *testing.T) {
		l := fake(t, `echo '`+alice+`'`) // what getent prints for 1000
		for _, name := range []string{"1000", "Alice", "alice2"} {
			if u, err := l.ByName(t.Context(), name); !errors.Is(err, ErrUnknown) || u != (User{}) {
				t.Errorf("%s: %+v, %v", name, u, err)
			}
		}
		if u, err := l.ByUID(t.Context(), 1001); !errors.Is(err, ErrUnknown) || u != (User{}) {
			t.Errorf("uid 1001: %+v, %v", u, err)
		}
	})
	t.Run("starts nothing for what cannot be a name", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		l := fake(t, `echo ran >`+log)
		for _, name := range []string{"", "-s", "--help", "+", "+x", "a:b", "a\nb", "a\x00b", "a\tb", "a\x1bb", "a\u202eb", "\xff", strings.Repeat("a", 257)} {
			if _, err := l.ByName(t.Context(), name); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := os.Stat(log); err == nil {
			t.Error("getent was started")
		}
	})
	t.Run("says of exit status 2 that there is no such user, of others that it cannot tell", func(t *testing.T) {
		for status, want := range map[int]error{2: ErrUnknown, 1: ErrUnavailable, 3: ErrUnavailable, 127: ErrUnavailable} {
			l := fake(t, fmt.Sprintf("echo '%s'; exit %d", alice, status))
			if _, err := l.ByName(t.Context(), "alice"); !errors.Is(err, want) {
				t.Errorf("status %d: %v", status, err)
			}
		}
		if _, err := fake(t, `kill -9 $$`).ByUID(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("killed: %v", err)
		}
		if _, err := (Lookup{Command: "/nonexistent/getent"}).ByUID(t.Context(), 1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("missing: %v", err)
		}
	})
	t.Run("cannot tell from an answer that makes no sense", func(t *testing.T) {
		for _, script := range []string{
			`:`, `echo`, `echo garbage`, `printf '%s' '` + alice + `'`, `echo '` + alice + `'; echo '` + alice + `'`,
			`echo 'alice:x:-1:100::/:/bin/sh'`, `echo 'alice:x:1000:100::/'`, `echo 'alice:x:1000:100::/:/bin/sh:more'`,
			`head -c 100000 /dev/zero | tr '\0' a`,
		} {
			if u, err := fake(t, script).ByName(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %+v, %v", script, u, err)
			}
		}
	})
}

func TestLookupThatHangs(t *testing.T) {
	for name, script := range map[string]string{
		"ends one that hangs":                             `exec sleep 60`,
		"ends one whose child hangs":                      `sleep 60`,
		"does not wait for what a child holds open":       `sleep 60 & exit 0`,
		"ends one that hangs after its answer":            `echo '` + alice + `'; exec sleep 60`,
		"ends one that hangs and does not want to be":     `trap '' TERM INT HUP; while :; do sleep 1; done`,
		"is not held up by an answer that has no end":     `exec yes`,
		"is not held up by complaints that have no end":   `exec yes >&2`,
		"does not let the asker's standard input hang it": `cat; exec sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := fake(t, script)
			l.Timeout = 300 * time.Millisecond
			begun := time.Now()
			_, err := l.ByName(t.Context(), "alice")
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(begun); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
	t.Run("ends with its caller", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := fake(t, `exec sleep 60`).ByName(ctx, "alice"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("takes 2 s at most unless told otherwise", func(t *testing.T) {
		t.Parallel()
		l := fake(t, `exec sleep 60`)
		l.Timeout = 0
		begun := time.Now()
		if _, err := l.ByName(t.Context(), "alice"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(begun); d < 1900*time.Millisecond || d > 4*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestByNames(t *testing.T) {
	t.Run("finds those who exist, and nobody else", func(t *testing.T) {
		l := fake(t, `echo '`+alice+`'; echo 'root:x:0:0::/root:/bin/sh'; exit 2`) // as getent does where one is unknown
		found, err := l.ByNames(t.Context(), []string{"alice", "0", "nobody-here", "-x", "a:b", ""})
		if err != nil || len(found) != 1 || found["alice"].UID != 1000 {
			t.Errorf("found %+v, %v", found, err)
		}
	})
	t.Run("asks for many at a time", func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		names := make([]string, 250)
		for n := range names {
			names[n] = fmt.Sprintf("user%d", n)
		}
		found, err := fake(t, `echo $# >>`+log+`; shift 2; for n; do echo "$n:x:1:1::/:/"; done`).ByNames(t.Context(), names)
		if err != nil || len(found) != len(names) {
			t.Errorf("found %d, %v", len(found), err)
		}
		if b, err := os.ReadFile(log); err != nil || string(b) != "102\n102\n52\n" {
			t.Errorf("getent was asked for %q, %v", b, err)
		}
	})
	t.Run("says nothing of any where the name service fails", func(t *testing.T) {
		for _, script := range []string{`exit 3`, `echo '` + alice + `'; exit 1`, `echo nonsense`, `exec yes`} {
			if found, err := fake(t, script).ByNames(t.Context(), []string{"alice"}); !errors.Is(err, ErrUnavailable) || found != nil {
				t.Errorf("%s: %+v, %v", script, found, err)
			}
		}
	})
	t.Run("asks nothing for nobody", func(t *testing.T) {
		if found, err := fake(t, `exit 3`).ByNames(t.Context(), []string{"-x"}); err != nil || len(found) != 0 {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

func TestRealGetent(t *testing.T) {
	var l Lookup
	if _, err := l.command(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	root, err := l.ByName(t.Context(), "root")
	if err != nil || root.UID != 0 || root.Name != "root" || root.Home == "" {
		t.Errorf("root is %+v, %v", root, err)
	}
	if u, err := l.ByUID(t.Context(), 0); err != nil || u != root {
		t.Errorf("uid 0 is %+v, %v", u, err)
	}
	if found, err := l.ByNames(t.Context(), []string{"root", "no-such-user-here"}); err != nil || len(found) != 1 || found["root"] != root {
		t.Errorf("of two, %+v, %v", found, err)
	}
	if u, err := l.ByName(t.Context(), "0"); !errors.Is(err, ErrUnknown) {
		t.Errorf("the name 0 is %+v, %v", u, err)
	}
	if u, err := l.ByName(t.Context(), "no-such-user-here"); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody is %+v, %v", u, err)
	}
	if u, err := l.ByUID(t.Context(), 4294967295); !errors.Is(err, ErrUnknown) {
		t.Errorf("uid -1 is %+v, %v", u, err)
	}
	if u, err := l.ByUID(t.Context(), 3999999999); !errors.Is(err, ErrUnknown) {
		t.Errorf("uid 3999999999 is %+v, %v", u, err)
	}
}

func FuzzParsePasswd(f *testing.F) {
	for _, s := range []string{
		alice + "\n", alice, alice + "\n\n", alice + "\n" + alice + "\n", "", "\n", ":::::\n", "::::::\n", "a:::::: \n",
		"a:x:4294967295:0::/:/\n", "a:x:4294967294:0::/:/\n", "a:x:+1:0::/:/\n", "a:x:01:0::/:/\n", "-a:x:1:0::/:/\n", "DOM\\user name:*:1234:1234:é:/home/u:/bin/sh\n",
		"a\x00:x:1:0::/:/\n", "a:x:1:0:\xff:/:/\n", "a:x:1:0::/:/\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := parsePasswd(b)
		if err != nil {
			if !errors.Is(err, ErrUnavailable) || u != (User{}) {
				t.Errorf("got %+v, %v", u, err)
			}
			return
		}
		if !validName(u.Name) || u.UID == 1<<32-1 || u.GID == 1<<32-1 || strings.ContainsAny(u.Home+u.Shell, "\n\r\x00:") {
			t.Errorf("accepted %+v", u)
		}
	})
}

func TestPeople(t *testing.T) {
	t.Run("lists who can log in, and no accounts of the system", func(t *testing.T) {
		l := fake(t, `printf '%s\n' "$*" 'root:x:0:0::/root:/bin/bash' '`+alice+`' 'www-data:x:33:33::/:/usr/sbin/nologin' \
			'ci:x:1001:1001::/:/bin/false' 'home:x:60001:60001::/home/home:/bin/zsh' 'nobody:x:65534:65534::/:/bin/sh' | sed 1d`)
		people, err := l.People(t.Context())
		if err != nil || len(people) != 2 || people[0].Name != "alice" || people[1].UID != 60001 {
			t.Errorf("got %+v, %v", people, err)
		}
	})
	t.Run("lists very many", func(t *testing.T) {
		l := fake(t, `i=1000; while [ $i -lt 6000 ]; do echo "user$i:x:$i:100::/home/user$i:/bin/bash"; i=$((i+1)); done`)
		if people, err := l.People(t.Context()); err != nil || len(people) != 5000 {
			t.Errorf("got %d, %v", len(people), err)
		}
	})
	for name, script := range map[string]string{
		"that never ends":   `exec yes '` + alice + `'`,
		"that is no passwd": `echo alice`,
		"that failed":       `echo '` + alice + `'; exit 3`,
	} {
		t.Run("takes no list "+name, func(t *testing.T) {
			if people, err := fake(t, script).People(t.Context()); !errors.Is(err, ErrUnavailable) || people != nil {
				t.Errorf("got %d, %v", len(people), err)
			}
		})
	}
	t.Run("agrees with the machine's own getent", func(t *testing.T) {
		if people, err := (Lookup{}).People(t.Context()); err != nil {
			t.Errorf("got %+v, %v", people, err)
		}
	})
}
