package archtest

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// moduleInTable finds what stands between back quotes in a line of CONTRIBUTING's table.
var moduleInTable = regexp.MustCompile("`([a-z0-9.]+\\.[a-z]+/[^`]+)`")

// Every module that the tree imports has a line in CONTRIBUTING that says why, and no line speaks of
// a module that is gone.
func TestDependencies(t *testing.T) {
	listed := map[string]bool{} // module to whether something imports it
	for line := range strings.Lines(string(read(t, filepath.Join(root(t), "CONTRIBUTING.md")))) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range moduleInTable.FindAllStringSubmatch(line, -1) {
			listed[m[1]] = false
		}
	}
	imports := []string{"honnef.co/go/tools", "golang.org/x/vuln"} // go.mod's tools
	from := map[string]string{}
	for _, p := range list(t, "./...") {
		for _, set := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, path := range set {
				if !isOwn(path) && !isStandard(path) && path != "C" {
					imports = append(imports, path)
					from[path] = p.ImportPath
				}
			}
		}
	}
	for _, path := range imports {
		found := false
		for m := range listed {
			if match(m+"/...", path) {
				listed[m], found = true, true
			}
		}
		if !found {
			t.Errorf("%s imports %s: CONTRIBUTING.md does not say why it is here", from[path], path)
		}
	}
	for m, used := range listed {
		if !used {
			t.Errorf("CONTRIBUTING.md speaks of %s, which nothing imports", m)
		}
	}
}
