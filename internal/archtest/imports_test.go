package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rule says what some packages may import directly. Patterns are import paths, the module's own
// without its prefix; "x/..." means x and all below it, "..." everything.
type rule struct {
	of     []string // the packages that the rule binds
	except []string // those among them that it leaves free
	only   []string // of the module's own packages, these alone may be imported; nil: any
	std    bool     // beside them, the standard library alone
	also   []string // and these
	never  []string // these may not be imported
	tests  bool     // binds test files too
	reason string
}

var rules = []rule{
	{
		of:     []string{"cmd/..."},
		except: []string{"cmd/fob", "cmd/fob-helper", "cmd/fob-virtual"},
		only:   []string{"daemon", "tray/...", "internal/client", "internal/api"},
		reason: "a command is a thin main: what it does stands in daemon, tray or internal/client",
	},
	{
		of:     []string{"cmd/fob"},
		only:   []string{"internal/client", "internal/api", "internal/provision/...", "internal/secret", "internal/recovery/sheet", "internal/screen"},
		reason: "fob is a client like any other: it knows the daemon by its socket alone; QR images are decoded, and codes printed, where the person is",
	},
	{
		of:     []string{"cmd/fob-helper"},
		only:   []string{"internal/helper", "internal/fido", "internal/fido/libfido", "internal/card", "internal/ykoath", "internal/pcsc"},
		reason: "fob-helper alone meets hostile devices: it holds the device libraries and nothing that knows users, requests or storage",
	},
	{
		of:     []string{"cmd/fob-virtual"},
		only:   []string{"internal/virtual", "internal/virtual/card", "internal/virtual/reader"},
		reason: "the software key shares no code with what it is used to test",
	},
	{
		of:     []string{"internal/virtual/..."},
		only:   []string{"internal/virtual/..."},
		reason: "the software key shares no code with what it is used to test",
	},
	{
		of:     []string{"..."},
		except: []string{"cmd/fob-virtual", "internal/virtual/...", "internal/bench"},
		never:  []string{"internal/virtual/..."},
		reason: "the software key is for tests, the demo and the benchmarks: it is never linked into a program that people rely on",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/bench"},
		never:  []string{"internal/testbus", "internal/store/storetest", "internal/provision/qr/qrtest", "internal/archtest", "internal/bench"},
		reason: "what serves tests and measurements stays out of the programs",
	},
	{
		of:     []string{"daemon/..."},
		only:   []string{"daemon/...", "internal/...", "packaging/dbus"},
		never:  []string{"internal/client", "internal/provision/...", "internal/screen"},
		reason: "the daemon is put together from internal packages; it is nobody's client, and decodes no images",
	},
	{
		of:     []string{"daemon/busapi"},
		never:  []string{"daemon/socketapi", "net/http"},
		tests:  true,
		reason: "doors never import each other: each can be removed without the other noticing",
	},
	{
		of:     []string{"daemon/socketapi"},
		never:  []string{"daemon/busapi", "github.com/godbus/dbus/..."},
		tests:  true,
		reason: "doors never import each other: each can be removed without the other noticing",
	},
	{
		of:     []string{"daemon/authz"},
		only:   []string{"internal/caller", "internal/secret"},
		never:  []string{"net/http"},
		reason: "polkit's answers are asked for by the doors: what asks knows neither them nor what is done with a yes",
	},
	{
		of:     []string{"tray/..."},
		except: []string{"tray/gtkui"},
		only:   []string{"tray/...", "internal/client", "internal/api"},
		reason: "the tray is no trust boundary: it is a client of the socket",
	},
	{
		of:     []string{"tray/gtkui"},
		only:   []string{"tray/...", "internal/client", "internal/api", "internal/provision/...", "internal/screen"},
		reason: "windows are clients of the socket; they decode QR images because they run where the person is",
	},
	{
		of:     []string{"internal/..."},
		except: []string{"internal/bench"},
		never:  []string{"cmd/...", "daemon/...", "tray/..."},
		reason: "imports point inwards: the daemon knows its parts, they do not know it",
	},
	{
		of: []string{"internal/signin"},
		only: []string{"internal/method", "internal/policy", "internal/fido", "internal/oath", "internal/lockout", "internal/audit",
			"internal/vault", "internal/store", "internal/caller", "internal/secret", "internal/nss", "internal/clock", "internal/token",
			"internal/grant", "internal/recovery", "internal/throttle"},
		never:  []string{"github.com/godbus/dbus/...", "net/http", "go.etcd.io/bbolt", "C"},
		reason: "the engine decides; doors, storage formats and devices are others' and can change without it",
	},
	{
		of:     []string{"internal/api", "internal/secret", "internal/caller"},
		only:   []string{},
		std:    true,
		reason: "types that everything shares depend on nothing but the standard library",
	},
	{
		of:     []string{"internal/provision"},
		only:   []string{"internal/secret"},
		std:    true,
		reason: "files with seeds are hostile input: what reads them knows neither the daemon nor its database",
	},
	{
		of:     []string{"internal/provision/account"},
		only:   []string{"internal/provision", "internal/secret"},
		std:    true,
		also:   []string{"golang.org/x/crypto/scrypt"},
		reason: "links and other programs' files are hostile input too; Aegis' passwords need scrypt",
	},
	{
		of:     []string{"internal/provision/qr"},
		only:   []string{},
		reason: "pictures are hostile input: what reads them knows neither what the codes are for nor where pictures come from",
	},
	{
		of:     []string{"internal/screen"},
		only:   []string{"internal/provision/qr"},
		reason: "what takes pictures of the screen knows the desktop alone, and decodes the portal's files as all pictures are",
	},
	{
		of:     []string{"cmd/...", "tray/gtkui", "internal/..."},
		except: []string{"internal/screen", "internal/client", "internal/testbus", "internal/bench"},
		never:  []string{"github.com/godbus/dbus/..."},
		reason: "beside the daemon, D-Bus is spoken to authorize a caller and to take a picture of the screen, and nowhere else",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/screen"},
		never:  []string{"github.com/jezek/xgb/..."},
		tests:  true,
		reason: "one package speaks to the X server",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/provision/qr"},
		never:  []string{"github.com/makiuchi-d/gozxing/..."},
		tests:  true,
		reason: "one package adapts gozxing, which may panic on what is no code",
	},
	{
		of:     []string{"internal/client"},
		only:   []string{"internal/api", "internal/fido"},
		reason: "a client knows the wire and how to check a receipt, nothing of the daemon's inside",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/store", "internal/bench"},
		never:  []string{"go.etcd.io/bbolt"},
		tests:  true,
		reason: "store alone knows the database: everything else goes through its one writer (the benchmarks measure it bare, as a limit)",
	},
	{
		of:     []string{"internal/bench"},
		never:  []string{"C"},
		reason: "the benchmarks measure C through the packages that have it",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/fido/libfido", "internal/pcsc", "tray/systrayui", "tray/gtkui", "internal/bench"},
		never:  []string{"C", "github.com/keys-pub/go-libfido2", "github.com/ebfe/scard", "github.com/getlantern/systray", "github.com/gotk3/gotk3/..."},
		tests:  true,
		reason: "C stays in the four packages that a reviewer of memory safety has to read",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/fido/libfido", "internal/bench"},
		never:  []string{"github.com/keys-pub/go-libfido2"},
		tests:  true,
		reason: "one package adapts libfido2; the benchmarks measure it bare, as a limit",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/pcsc", "internal/bench"},
		never:  []string{"github.com/ebfe/scard"},
		tests:  true,
		reason: "one package adapts PC/SC; the benchmarks measure it bare, as a limit",
	},
	{
		of:     []string{"..."},
		except: []string{"tray/systrayui"},
		never:  []string{"github.com/getlantern/systray"},
		tests:  true,
		reason: "one package adapts the system tray, with all that must be known of its traps",
	},
	{
		of:     []string{"..."},
		except: []string{"tray/gtkui"},
		never:  []string{"github.com/gotk3/gotk3/..."},
		tests:  true,
		reason: "GTK takes minutes to build and one thread to call: one package has both troubles",
	},
	{
		of:     []string{"..."},
		except: []string{"cmd/fob-helper"},
		never:  []string{"internal/fido/libfido", "internal/pcsc"},
		reason: "device libraries are linked into fob-helper alone, never into fobd",
	},
	{
		of:     []string{"..."},
		never:  []string{"os/user"},
		tests:  true,
		reason: "without cgo os/user knows /etc/passwd alone and believes $USER: use internal/nss",
	},
	{
		of:     []string{"..."},
		except: []string{"internal/testbus", "internal/store/storetest"},
		never:  []string{"testing", "testing/..."},
		reason: "what only tests need stands in test files",
	},
}

// check tells of every import in pkgs that breaks r, with the reason.
func (r rule) check(pkgs []pkg) (broken []string) {
	for _, p := range pkgs {
		if !matchAny(r.of, p.ImportPath) || matchAny(r.except, p.ImportPath) {
			continue
		}
		sets := []struct {
			kind    string
			imports []string
		}{{"", p.Imports}, {" in its tests", p.TestImports}, {" in its tests", p.XTestImports}}
		if !r.tests {
			sets = sets[:1]
		}
		for _, set := range sets {
			for _, path := range set.imports {
				if path == p.ImportPath || r.allows(path) {
					continue
				}
				broken = append(broken, fmt.Sprintf("%s imports %s%s: %s", p.ImportPath, path, set.kind, r.reason))
			}
		}
	}
	return broken
}

func (r rule) allows(path string) bool {
	switch {
	case matchAny(r.never, path):
		return false
	case isOwn(path):
		return r.only == nil || matchAny(r.only, path)
	default:
		return !r.std || isStandard(path) || matchAny(r.also, path)
	}
}

// isOwn reports whether a path, relative as decode makes it, is the module's own.
func isOwn(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{".", "cmd", "daemon", "tray", "internal", "packaging"}, first)
}

// isStandard reports whether a path is the standard library's: its first element has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && path != "C"
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, path) })
}

func match(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	prefix, below := strings.CutSuffix(pattern, "/...")
	return path == prefix || below && strings.HasPrefix(path, prefix+"/")
}

func TestImports(t *testing.T) {
	pkgs := list(t, "./...")
	for _, r := range rules {
		for _, broken := range r.check(pkgs) {
			t.Error(broken)
		}
	}
}

func TestFobdIsPureGo(t *testing.T) {
	closure := list(t, "-deps", "./cmd/fobd")
	for _, broken := range impure(closure) {
		t.Error(broken)
	}
}

// impure tells of the packages that fobd may not contain.
func impure(closure []pkg) (broken []string) {
	forbidden := []string{"internal/virtual/...", "internal/testbus", "internal/store/storetest", "internal/archtest", "internal/bench", "internal/fido/libfido", "internal/pcsc", "tray/..."}
	for _, p := range closure {
		if !p.Standard && (len(p.CgoFiles) > 0 || slices.Contains(p.Imports, "C")) {
			broken = append(broken, fmt.Sprintf("fobd contains %s, which has C in it: fobd holds the secrets, so it loads no C code that a hostile device could reach", p.ImportPath))
		}
		if p.own() && matchAny(forbidden, p.ImportPath) {
			broken = append(broken, fmt.Sprintf("fobd contains %s: see the rules of its imports", p.ImportPath))
		}
	}
	return broken
}
