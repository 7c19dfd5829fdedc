package keyring_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"
)

// wire is a secret on its way.
type wire struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

const (
	fakeCollection = dbus.ObjectPath("/org/freedesktop/secrets/collection/fake")
	noPrompt       = dbus.ObjectPath("/")
	aPrompt        = dbus.ObjectPath("/org/freedesktop/secrets/prompt/p1")
)

// fake is a secret service that knows no encryption and does as it is told. Its fields are set before
// it is used.
type fake struct {
	prompts   map[string]bool // the methods that answer with a prompt
	locked    bool            // the collection; items are not found then
	aliases   map[string]dbus.ObjectPath
	hangAt    string        // the method that is never answered
	agree     *dbus.Variant // what OpenSession gives for a key exchange; nil: an error
	dismissed atomic.Int32

	conn  *dbus.Conn
	mu    sync.Mutex
	items map[dbus.ObjectPath]wire
}

// serve puts the fake on the bus.
func (f *fake) serve(t *testing.T, address string, texts ...string) {
	t.Helper()
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	var err error
	f.conn, err = dbus.Connect(address, dbus.WithIncomingInterceptor(func(m *dbus.Message) {
		if f.hangAt != "" && m.Headers[dbus.FieldMember].Value() == f.hangAt {
			<-end
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.conn.Close() })
	f.items = make(map[dbus.ObjectPath]wire)
	if f.aliases == nil {
		f.aliases = map[string]dbus.ObjectPath{"default": fakeCollection}
	}
	f.export(t, servicePath, "org.freedesktop.Secret.Service", map[string]any{
		"OpenSession": f.openSession, "SearchItems": f.search, "ReadAlias": f.alias, "Unlock": f.unlock,
	})
	f.export(t, fakeCollection, "org.freedesktop.Secret.Collection", map[string]any{"CreateItem": func(_ map[string]dbus.Variant, s wire, replace bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
		if replace || f.prompts["CreateItem"] {
			return noPrompt, aPrompt, nil
		}
		return f.add(t, string(s.Value)), noPrompt, nil
	}})
	f.export(t, fakeCollection, "org.freedesktop.DBus.Properties", map[string]any{"Get": func(_, _ string) (dbus.Variant, *dbus.Error) {
		return dbus.MakeVariant(f.locked), nil
	}})
	f.export(t, aPrompt, "org.freedesktop.Secret.Prompt", map[string]any{"Dismiss": func() *dbus.Error {
		f.dismissed.Add(1)
		return nil
	}})
	for _, text := range texts {
		f.add(t, text)
	}
	if _, err := f.conn.RequestName(serviceName, 0); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) export(t *testing.T, path dbus.ObjectPath, iface string, methods map[string]any) {
	t.Helper()
	if err := f.conn.ExportMethodTable(methods, path, iface); err != nil {
		t.Fatal(err)
	}
}

// add keeps an item with a text.
func (f *fake) add(t *testing.T, text string) dbus.ObjectPath {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := fakeCollection + dbus.ObjectPath(fmt.Sprint("/", len(f.items)))
	f.items[path] = wire{"/", nil, []byte(text), "text/plain"}
	f.export(t, path, "org.freedesktop.Secret.Item", map[string]any{
		"GetSecret": func(dbus.ObjectPath) (wire, *dbus.Error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.items[path], nil
		},
		"Delete": func() (dbus.ObjectPath, *dbus.Error) {
			if f.prompts["Delete"] {
				return aPrompt, nil
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.items, path)
			return noPrompt, nil
		},
	})
	return path
}

// left is how many items there are.
func (f *fake) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items)
}

func (f *fake) openSession(algorithm string, _ dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	switch {
	case algorithm == "plain":
		return dbus.MakeVariant(""), "/session", nil
	case f.agree != nil:
		return *f.agree, "/session", nil
	}
	return dbus.MakeVariant(""), noPrompt, &dbus.Error{Name: "org.freedesktop.DBus.Error.NotSupported"}
}

func (f *fake) search(map[string]string) (unlocked, locked []dbus.ObjectPath, _ *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path := range f.items {
		if !f.locked {
			unlocked = append(unlocked, path)
		}
	}
	return unlocked, nil, nil
}

func (f *fake) alias(name string) (dbus.ObjectPath, *dbus.Error) {
	if path, ok := f.aliases[name]; ok {
		return path, nil
	}
	return noPrompt, nil
}

// unlock unlocks at once, unless it is told to prompt or to do nothing.
func (f *fake) unlock(objects []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	switch {
	case f.prompts["Unlock"]:
		return nil, aPrompt, nil
	case f.prompts["nothing"]:
		return nil, noPrompt, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.locked = false
	return objects, noPrompt, nil
}
