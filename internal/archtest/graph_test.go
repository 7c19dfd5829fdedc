package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/fobproject/fob"

// pkg is what `go list -json` says of a package, as far as the rules care. ImportPath is
// relative to the module for its own packages ("internal/store", "." for the root).
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Standard     bool
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Module       *struct{ Main bool }
	Error        *struct{ Err string }
}

// own reports whether the package is the module's own.
func (p pkg) own() bool { return p.Module != nil && p.Module.Main }

// files lists the package's files that are no tests, then its tests.
func (p pkg) files() (code, tests []string) {
	for _, f := range append(append([]string{}, p.GoFiles...), p.CgoFiles...) {
		code = append(code, filepath.Join(p.Dir, f))
	}
	for _, f := range append(append([]string{}, p.TestGoFiles...), p.XTestGoFiles...) {
		tests = append(tests, filepath.Join(p.Dir, f))
	}
	return code, tests
}

// list runs `go list -json` with cgo on, so that files with C are seen, and fails the test on a
// package that go itself cannot make sense of.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json"}, args...)...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v\n%s", err, stderr.Bytes())
	}
	pkgs, err := decode(out)
	if err != nil {
		t.Fatalf("cannot read what go list says: %v", err)
	}
	for _, p := range pkgs {
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
	}
	return pkgs
}

// decode reads go list's stream of objects and makes the module's own paths relative.
func decode(out []byte) ([]pkg, error) {
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		p.ImportPath = relative(p.ImportPath)
		for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for i := range imports {
				imports[i] = relative(imports[i])
			}
		}
		pkgs = append(pkgs, p)
	}
}

func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
