package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPolicyAtStart(t *testing.T) {
	needPrograms(t)
	dir := tempDir(t)
	folder := filepath.Join(dir, "policy.d")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "10.toml"), []byte("[default]\nrequire = \"kye\"\ntimeout = \"x\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out := fobd(t, []string{}, "--dir", dir)
	if code != 2 {
		t.Errorf("exit %d, not 2", code)
	}
	_, said, ok := strings.Cut(out, "fobd: ")
	faults := strings.Split(strings.TrimSuffix(said, "\n"), "; ")
	if !ok || len(faults) != 2 || !strings.HasPrefix(faults[0], "cannot use the policy: 10.toml:2: require: ") || !strings.HasPrefix(faults[1], "10.toml:3: timeout: ") {
		t.Errorf("says %q", out)
	}
}
