package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is what may stand in the tree's first folder, beside dot-files and what the Makefile makes.
var topLevel = []string{
	"cmd", "daemon", "tray", "internal", "packaging", "docs", "bin", "dist",
	"go.mod", "go.sum", "Makefile", "LICENSE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
}

// emptyNames are package names that say nothing of what is inside.
var emptyNames = []string{"util", "utils", "common", "helpers", "manager", "misc", "base", "lib", "shared"}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s stands in the first folder: every folder has its place in README's map", e.Name())
		}
	}
}

func TestPackages(t *testing.T) {
	for _, p := range list(t, "./...") {
		if p.ImportPath == "." {
			t.Errorf("the module's root is a package: code stands below cmd, daemon, tray or internal")
		}
		if slices.Contains(emptyNames, p.Name) {
			t.Errorf("%s: the name %q does not say what the package is for", p.ImportPath, p.Name)
		}
		code, tests := p.files()
		documented := 0
		for _, file := range code {
			source := read(t, file)
			for _, fault := range codeFaults(file, source) {
				t.Error(fault)
			}
			if hasPackageDoc(t, file, source) {
				documented++
			}
		}
		if len(code) > 0 && documented != 1 {
			t.Errorf("%s: %d files have the package's doc comment: one file says what the package is for", p.ImportPath, documented)
		}
		for _, file := range tests {
			for _, fault := range testFaults(file, read(t, file)) {
				t.Error(fault)
			}
		}
	}
}

// unfinished finds the words that people leave where work is left.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// codeFaults tells what is wrong with a file that is no test.
func codeFaults(file string, source []byte) (faults []string) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, source, parser.ParseComments)
	if err != nil {
		return []string{err.Error()}
	}
	faults = unfinishedWords(file, source)
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			faults = append(faults, fmt.Sprintf("%s has an init function: what runs, is called by somebody", set.Position(f.Pos())))
		}
	}
	return faults
}

// testFaults tells what is wrong with a test file: a fuzz target that keeps no inputs below testdata/fuzz
// (f.Add alone does not do: what a fuzzer found is kept for all later runs), or a test that may skip
// without failing in CI.
func testFaults(file string, source []byte) (faults []string) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, source, 0)
	if err != nil {
		return []string{err.Error()}
	}
	faults = unfinishedWords(file, source)
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		if f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") && !keepsInputs(filepath.Dir(file), f.Name.Name) {
			faults = append(faults, fmt.Sprintf("%s: %s has no kept inputs: add some below testdata/fuzz/%s", set.Position(f.Pos()), f.Name.Name, f.Name.Name))
		}
		// A fuzz target skips inputs that say nothing; that is no test that could not run.
		if !strings.HasPrefix(f.Name.Name, "Fuzz") && calls(f, "Skip", "Skipf", "SkipNow") && !asksForCI(f) {
			faults = append(faults, fmt.Sprintf("%s: %s skips without asking for CI: a test that cannot run fails where CI is set", set.Position(f.Pos()), f.Name.Name))
		}
		if callsOf(f, "testing", "Short") {
			faults = append(faults, fmt.Sprintf("%s: %s has a short form: all tests run, always", set.Position(f.Pos()), f.Name.Name))
		}
	}
	return faults
}

// keepsInputs reports whether the package in dir keeps an input for a fuzz target: a file in the form
// that go test reads.
func keepsInputs(dir, target string) bool {
	kept, err := filepath.Glob(filepath.Join(dir, "testdata", "fuzz", target, "*"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(kept, func(file string) bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.HasPrefix(string(b), "go test fuzz v1\n")
	})
}

func unfinishedWords(file string, source []byte) (faults []string) {
	for i, line := range strings.Split(string(source), "\n") {
		if word := unfinished.FindString(line); word != "" {
			faults = append(faults, fmt.Sprintf("%s:%d says %s: finish it, or leave it out", file, i+1, word))
		}
	}
	return faults
}

// calls reports whether f calls a method or package function with one of the names.
func calls(f *ast.FuncDecl, names ...string) bool { return callsOf(f, "", names...) }

// callsOf is calls, of functions of one package alone; of any if it is empty.
func callsOf(f *ast.FuncDecl, of string, names ...string) bool {
	found := false
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(names, sel.Sel.Name) {
				on, plain := sel.X.(*ast.Ident)
				found = found || of == "" || plain && on.Name == of
			}
		}
		return !found
	})
	return found
}

// asksForCI reports whether f looks at the variable CI.
func asksForCI(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Value == `"CI"` {
			found = true
		}
		return !found
	})
	return found
}

func hasPackageDoc(t *testing.T, file string, source []byte) bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, source, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Errorf("cannot read %s: %v", file, err)
		return false
	}
	return tree.Doc != nil && strings.TrimSpace(tree.Doc.Text()) != ""
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestSourceCheckerFindsFaults(t *testing.T) {
	tests := []struct {
		name, file, source string
		want               string
	}{
		{"finds an init function", "a.go", "package a\nfunc init() {}\n", "init function"},
		{"lets a method be called init", "a.go", "package a\ntype T int\nfunc (T) init() {}\n", ""},
		{"finds an unfinished word", "a.go", "package a\n// TO" + "DO: later\n", "finish it"},
		{"lets longer words be", "a.go", "package a\n// mastodon, hackney\n", ""},
		{"finds a skip that CI would not see", "a_test.go", "package a\nfunc TestA(t *testing.T) { t.Skip() }\n", "asking for CI"},
		{"lets a test skip on a desk", "a_test.go", "package a\nfunc TestA(t *testing.T) { if os.Getenv(\"CI\") != \"\" { t.Fatal() }; t.Skip() }\n", ""},
		{"lets other things be short", "a_test.go", "package a\nfunc TestA(t *testing.T) { id.Short() }\n", ""},
		{"finds short forms", "a_test.go", "package a\nfunc TestA(t *testing.T) { if testing.Short() { return } }\n", "short form"},
		{"finds a file that is not Go", "a.go", "pakage", "expected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			find := codeFaults
			if strings.HasSuffix(tt.file, "_test.go") {
				find = testFaults
			}
			faults := strings.Join(find(filepath.Join(t.TempDir(), tt.file), []byte(tt.source)), "\n")
			if (tt.want == "") != (faults == "") || !strings.Contains(faults, tt.want) {
				t.Errorf("says %q, want %q", faults, tt.want)
			}
		})
	}
}

func TestSourceCheckerFindsFuzzTargetsWithoutInputs(t *testing.T) {
	const (
		empty = "package a\nfunc FuzzA(f *testing.F) {}\n"
		adds  = "package a\nfunc FuzzA(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) { t.Skip() }) }\n"
		input = "go test fuzz v1\nint(1)\n"
	)
	for _, tt := range []struct {
		name, source string
		kept, input  string // a file below testdata/fuzz, and what it holds
		fault        bool
	}{
		{"finds one without inputs", empty, "", "", true},
		{"finds one that adds inputs and keeps none", adds, "", "", true},
		{"finds one whose folder is empty", adds, "FuzzA/", "", true},
		{"finds one with another's inputs", adds, "FuzzAB/0123456789abcdef", input, true},
		{"finds one whose file is no input", adds, "FuzzA/README", "see there\n", true},
		{"lets one keep its inputs", empty, "FuzzA/0123456789abcdef", input, false},
		{"lets one skip inputs", adds, "FuzzA/0123456789abcdef", input, false},
		{"lets a method be called so", "package a\nfunc (T) FuzzA() {}\n", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			folder, file := filepath.Split(filepath.Join(dir, "testdata", "fuzz") + "/" + tt.kept)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if file != "" {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(tt.input), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			faults := strings.Join(testFaults(filepath.Join(dir, "a_test.go"), []byte(tt.source)), "\n")
			if tt.fault != strings.Contains(faults, "FuzzA has no kept inputs") || !tt.fault && faults != "" {
				t.Errorf("says %q", faults)
			}
		})
	}
}
