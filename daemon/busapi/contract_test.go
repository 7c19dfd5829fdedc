package busapi

import (
	"encoding/xml"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5/introspect"

	"github.com/fobproject/fob/internal/api"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// iface reads one interface of introspection data.
func iface(t *testing.T, data, name string) introspect.Interface {
	t.Helper()
	var node introspect.Node
	if err := xml.Unmarshal([]byte(data), &node); err != nil {
		t.Fatal(err)
	}
	for _, i := range node.Interfaces {
		if i.Name == name {
			return i
		}
	}
	t.Fatalf("there is no interface %s", name)
	return introspect.Interface{}
}

func signature(args []introspect.Arg, direction string) string {
	sig := ""
	for _, a := range args {
		if a.Direction == direction {
			sig += a.Type
		}
	}
	return sig
}

func TestContract(t *testing.T) {
	written := iface(t, contract.XML, contract.Interface)
	members := (&session{}).table()

	t.Run("has the methods that the code has, with their true types", func(t *testing.T) {
		if len(written.Methods) != len(members) {
			t.Errorf("the XML has %d methods, the code %d", len(written.Methods), len(members))
		}
		for _, m := range members {
			at := slices.IndexFunc(written.Methods, func(w introspect.Method) bool { return w.Name == m.name })
			if at < 0 {
				t.Errorf("the XML lacks %s", m.name)
				continue
			}
			args := written.Methods[at].Args
			if in, out := signature(args, "in"), signature(args, "out"); in != m.in() || out != m.out() {
				t.Errorf("%s is (%s) → (%s) in the XML and (%s) → (%s) in the code", m.name, in, out, m.in(), m.out())
			}
		}
	})
	t.Run("has methods that declare who may call them", func(t *testing.T) {
		for _, m := range members {
			if !m.access.Declared() {
				t.Errorf("%s declares no access: it lets nobody in", m.name)
			}
		}
	})
	t.Run("names errors that exist", func(t *testing.T) {
		known := map[string]bool{}
		for _, c := range api.Codes() {
			known[c.Meaning().DBus] = true
		}
		n := 0
		for _, word := range strings.Fields(contract.XML) {
			if strings.HasPrefix(word, contract.Interface+".Error.") {
				if n++; !known[word] {
					t.Errorf("%s is no error of Fob's", word)
				}
			}
		}
		if n == 0 {
			t.Error("no error is documented")
		}
	})
	t.Run("is served word for word", func(t *testing.T) {
		b := newBench(t)
		var live string
		if err := b.object.Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&live); err != nil {
			t.Fatal(err)
		}
		if live != contract.XML {
			t.Error("live introspection is not the contract")
		}
		if !reflect.DeepEqual(iface(t, live, contract.Interface), written) {
			t.Error("the live interface differs")
		}
	})
}

// unitValues reads the values of a key in a unit, desktop or service file.
func unitValues(t *testing.T, path, key string) (values []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			values = append(values, v)
		}
	}
	return values
}

func TestServiceFiles(t *testing.T) {
	const service, unit = "../../packaging/dbus/" + contract.Name + ".service", "../../packaging/systemd/fobd-user.service"
	for _, c := range []struct {
		what, file, key string
		want            string
	}{
		{"the D-Bus service has the door's name", service, "Name", contract.Name},
		{"the D-Bus service starts the unit", service, "SystemdService", "fobd.service"},
		{"the D-Bus service runs the user instance", service, "Exec", "/usr/bin/fobd --user"},
		{"the unit runs the same program", unit, "ExecStart", "/usr/bin/fobd --user"},
		{"the unit waits until fobd is ready", unit, "Type", "notify"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := unitValues(t, c.file, c.key); !slices.Equal(got, []string{c.want}) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("the object's path follows from the name", func(t *testing.T) {
		if contract.Path != "/"+strings.ReplaceAll(contract.Name, ".", "/") || contract.Interface != contract.Name {
			t.Error(contract.Path)
		}
	})
}
