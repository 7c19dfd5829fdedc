package archtest

import (
	"strings"
	"testing"
)

// The rules are only worth what their checker finds: each case is a tree with one fault.
func TestCheckerFindsViolations(t *testing.T) {
	tests := []struct {
		name string
		pkg  pkg
		want string // part of the message; empty: the tree is fine
	}{
		{"lets a client import the wire types", pkg{ImportPath: "internal/client", Imports: []string{"internal/api", "net/http"}}, ""},
		{"finds a command that reaches into the engine", pkg{ImportPath: "cmd/fob", Imports: []string{"internal/signin"}}, "cmd/fob imports internal/signin"},
		{"finds a new command that does so", pkg{ImportPath: "cmd/fob-new", Imports: []string{"internal/store"}}, "thin main"},
		{"finds bbolt outside store", pkg{ImportPath: "internal/audit", Imports: []string{"go.etcd.io/bbolt"}}, "store alone"},
		{"finds bbolt in a test outside store", pkg{ImportPath: "internal/audit", TestImports: []string{"go.etcd.io/bbolt"}}, "in its tests"},
		{"finds bbolt in an external test outside store", pkg{ImportPath: "internal/audit", XTestImports: []string{"go.etcd.io/bbolt"}}, "in its tests"},
		{"lets store import bbolt", pkg{ImportPath: "internal/store", Imports: []string{"go.etcd.io/bbolt"}}, ""},
		{"finds D-Bus in the engine", pkg{ImportPath: "internal/signin", Imports: []string{"github.com/godbus/dbus/v5"}}, "the engine decides"},
		{"finds HTTP in the engine", pkg{ImportPath: "internal/signin", Imports: []string{"net/http"}}, "the engine decides"},
		{"finds an engine that imports what is not on its list", pkg{ImportPath: "internal/signin", Imports: []string{"internal/api"}}, "the engine decides"},
		{"finds a door that imports the other", pkg{ImportPath: "daemon/busapi", Imports: []string{"daemon/socketapi"}}, "doors never"},
		{"finds C in the engine", pkg{ImportPath: "internal/signin", Imports: []string{"C"}}, "C stays"},
		{"lets the libfido2 adapter have C", pkg{ImportPath: "internal/fido/libfido", Imports: []string{"C", "github.com/keys-pub/go-libfido2"}}, ""},
		{"finds libfido2 in a package that may have other C", pkg{ImportPath: "tray/gtkui", Imports: []string{"github.com/keys-pub/go-libfido2"}}, "one package adapts"},
		{"finds the libfido2 adapter in the daemon", pkg{ImportPath: "daemon", Imports: []string{"internal/fido/libfido"}}, "never into fobd"},
		{"finds the software key in the daemon", pkg{ImportPath: "daemon", Imports: []string{"internal/virtual"}}, "software key"},
		{"lets the daemon's tests use the software key", pkg{ImportPath: "daemon", TestImports: []string{"internal/virtual"}}, ""},
		{"finds the test bus in the daemon", pkg{ImportPath: "daemon/busapi", Imports: []string{"internal/testbus"}}, "stays out"},
		{"finds a dependency of the wire types", pkg{ImportPath: "internal/api", Imports: []string{"github.com/fxamacker/cbor/v2"}}, "standard library"},
		{"finds an own package among the wire types", pkg{ImportPath: "internal/api", Imports: []string{"internal/policy"}}, "standard library"},
		{"finds os/user", pkg{ImportPath: "internal/nss", Imports: []string{"os/user"}}, "believes $USER"},
		{"finds os/user in a test", pkg{ImportPath: "internal/nss", TestImports: []string{"os/user"}}, "believes $USER"},
		{"finds an inner package that knows the daemon", pkg{ImportPath: "internal/method", Imports: []string{"daemon/wire"}}, "inwards"},
		{"finds a tray that knows the engine", pkg{ImportPath: "tray", Imports: []string{"internal/signin"}}, "client of the socket"},
		{"finds the system tray outside its package", pkg{ImportPath: "tray", Imports: []string{"github.com/getlantern/systray"}}, "adapts the system tray"},
		{"finds GTK below its module", pkg{ImportPath: "tray", Imports: []string{"github.com/gotk3/gotk3/gtk"}}, "GTK takes"},
		{"finds package testing in a program", pkg{ImportPath: "internal/oath", Imports: []string{"testing"}}, "test files"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var broken []string
			for _, r := range rules {
				broken = append(broken, r.check([]pkg{tt.pkg})...)
			}
			all := strings.Join(broken, "\n")
			if tt.want == "" && all != "" {
				t.Errorf("says of a good tree:\n%s", all)
			}
			if !strings.Contains(all, tt.want) {
				t.Errorf("says\n%s\nwhich does not have %q", all, tt.want)
			}
		})
	}
	t.Run("gives every rule a reason and a subject", func(t *testing.T) {
		for _, r := range rules {
			if r.reason == "" || len(r.of) == 0 || r.only == nil && r.never == nil {
				t.Errorf("rule for %v: reason %q, only %v, never %v", r.of, r.reason, r.only, r.never)
			}
		}
	})
	t.Run("finds C deep below fobd", func(t *testing.T) {
		closure := []pkg{{ImportPath: "net", Standard: true, CgoFiles: []string{"cgo_linux.go"}}, {ImportPath: "example.org/deep", CgoFiles: []string{"x.go"}}}
		if broken := impure(closure); len(broken) != 1 || !strings.Contains(broken[0], "example.org/deep") {
			t.Errorf("says %q", broken)
		}
	})
	t.Run("reads go list's stream", func(t *testing.T) {
		pkgs, err := decode([]byte(`{"ImportPath":"github.com/fobproject/fob/internal/a","Imports":["github.com/fobproject/fob/internal/b","fmt"]}` + "\n" + `{"ImportPath":"fmt","Standard":true}`))
		if err != nil || len(pkgs) != 2 || pkgs[0].ImportPath != "internal/a" || pkgs[0].Imports[0] != "internal/b" {
			t.Errorf("got %+v, %v", pkgs, err)
		}
		if _, err := decode([]byte(`{"ImportPath":`)); err == nil {
			t.Error("takes half an object")
		}
	})
}
