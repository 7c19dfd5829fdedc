package policy_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fobproject/fob/internal/policy"
)

// write puts files into a directory of its own.
func write(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policy.d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	who := policy.Subject{Name: "alice"}
	mine := policy.CheckOwner(uint32(os.Getuid()))
	t.Run("reads all files in the order of their names, but no others", func(t *testing.T) {
		dir := write(t, map[string]string{
			"20.toml": "[service.'pam:x']\nrequire='key'", "10.toml": "[default]\nrequire='verified'",
			"15.toml": "[keys]", "12.toml": "[recovery]", "17.toml": "[[restrict]]\ntimeout='1m'", "11.toml": "[[restrict]]\ntimeout='1m'",
			".10.toml": "x", "10.toml~": "x", "README": "x", "30.toml.bak": "x",
		})
		p, err := policy.Load(dir, mine)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := show(p.For("pam:x", who)), show(p.For("pam:y", who)); a != "key in 1m0s" || b != "verified in 1m0s" {
			t.Errorf("got %s and %s", a, b)
		}
		var names []string
		for _, table := range p.Rules() {
			names = append(names, table.File)
		}
		if got := strings.Join(names, " "); got != "10.toml 11.toml 12.toml 15.toml 17.toml 20.toml" {
			t.Errorf("read %s", got)
		}
	})
	t.Run("takes the built-in policy where there is none", func(t *testing.T) {
		for _, dir := range []string{write(t, nil), filepath.Join(t.TempDir(), "missing", "too")} {
			if p, err := policy.Load(dir, mine); err != nil || show(p.For("pam:x", who)) != "code in 1m0s" {
				t.Errorf("got %v", err)
			}
		}
	})

	refuses := func(name, want string, dir string) {
		t.Run("refuses "+name, func(t *testing.T) {
			if p, err := policy.Load(dir, mine); !errors.Is(err, policy.ErrInvalid) || p != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{"10.toml": "[default]\nrequire='verified'"}
	refuses("all files if one is bad", "20.toml:1: ", write(t, map[string]string{"10.toml": good["10.toml"], "20.toml": "["}))
	refuses("a file in the place of the directory", "not a directory", filepath.Join(write(t, good), "10.toml"))
	refuses("a file that is too large", "larger than", write(t, map[string]string{"10.toml": "#" + strings.Repeat("a", policy.MaxFile)}))

	dir := write(t, good)
	must(syscall.Mkfifo(filepath.Join(dir, "20.toml"), 0o600))
	refuses("a pipe, and does not hang", "20.toml is no regular file", dir)

	dir = write(t, good)
	must(os.Mkdir(filepath.Join(dir, "20.toml"), 0o755))
	refuses("a directory", "20.toml is no regular file", dir)

	dir = write(t, good)
	must(os.Symlink("/nonexistent", filepath.Join(dir, "20.toml")))
	refuses("a link to nothing", "20.toml", dir)

	many := make(map[string]string)
	for n := range policy.MaxFiles + 1 {
		many[fmt.Sprintf("%d.toml", n)] = ""
	}
	refuses("too many files", "more than 64 files", write(t, many))

	dir = write(t, good)
	must(os.Chmod(filepath.Join(dir, "10.toml"), 0o664))
	refuses("a file that a group may write to", "10.toml: users other than its owner may write to it (mode 0664)", dir)

	dir = write(t, good)
	must(os.Chmod(dir, 0o777))
	refuses("a directory that others may write to", "policy.d: users other than its owner may write to it", dir)

	t.Run("leaves writers alone where nobody asked for a check", func(t *testing.T) {
		if p, err := policy.Load(dir); err != nil || show(p.For("pam:x", who)) != "verified in 1m0s" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses what belongs to somebody else", func(t *testing.T) {
		owner, dir := os.Getuid(), write(t, good)
		if owner == 0 { // root's files are good for everybody: give them away
			owner = 12345
			must(os.Chown(dir, owner, 0))
			must(os.Chown(filepath.Join(dir, "10.toml"), owner, 0))
		}
		if _, err := policy.Load(dir, policy.CheckOwner(uint32(owner))); err != nil {
			t.Errorf("the daemon's own: %v", err)
		}
		belongs := fmt.Sprintf("belongs to uid %d", owner)
		if _, err := policy.Load(dir, policy.CheckOwner(uint32(owner)+1)); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "policy.d: it "+belongs) {
			t.Errorf("another's directory: %v", err)
		}
		if os.Getuid() == 0 {
			must(os.Chown(dir, 0, 0))
			if _, err := policy.Load(dir, policy.CheckOwner(uint32(owner)+1)); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "10.toml: it "+belongs) {
				t.Errorf("another's file: %v", err)
			}
		}
	})
}
