package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/vault"
)

const (
	serviceName = "org.freedesktop.secrets"
	servicePath = "/org/freedesktop/secrets"
	loginPath   = "/org/freedesktop/secrets/collection/login"
)

// gnome is a bus with GNOME's real keyring on it, whose login keyring is new and unlocked.
type gnome struct {
	t       *testing.T
	address string
	home    string
	conn    *dbus.Conn // the test's own
	kill    func()
	shown   atomic.Int32 // prompts that the keyring wanted to show
}

// needGNOME skips the test on a desk where GNOME's keyring is not installed, and fails where CI is set.
func needGNOME(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("gnome-keyring-daemon"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("install the package gnome-keyring")
		}
		t.Skip("the package gnome-keyring is not installed")
	}
}

// newGnome starts a bus and the keyring.
func newGnome(t *testing.T) *gnome {
	t.Helper()
	needGNOME(t)
	g := &gnome{t: t, address: testbus.New(t).Address, home: shortDir(t)}
	g.conn = dial(t, g.address)
	// Who shows prompts is here, so that one that is shown is seen.
	if err := g.conn.ExportMethodTable(map[string]any{
		"BeginPrompting": func(dbus.ObjectPath) *dbus.Error { g.shown.Add(1); return nil },
	}, "/org/gnome/keyring/Prompter", "org.gnome.keyring.internal.Prompter"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.conn.RequestName("org.gnome.keyring.SystemPrompter", 0); err != nil {
		t.Fatal(err)
	}
	g.start("--unlock")
	return g
}

// start starts the keyring, until kill or the test's end.
func (g *gnome) start(flags ...string) {
	g.t.Helper()
	cmd := exec.Command("gnome-keyring-daemon", append([]string{"--foreground", "--components=secrets"}, flags...)...)
	cmd.Env = append(g.env(), "DBUS_SESSION_BUS_ADDRESS="+g.address)
	cmd.Stdin = strings.NewReader("the login password")
	var diagnosis bytes.Buffer
	cmd.Stdout, cmd.Stderr = &diagnosis, &diagnosis
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.kill = func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	}
	g.t.Cleanup(g.kill)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var there bool
		if err := g.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, serviceName).Store(&there); err != nil {
			g.t.Fatal(err)
		}
		if there {
			return
		}
		if time.Now().After(deadline) {
			g.kill()
			g.t.Fatalf("the keyring does not come up: %s", &diagnosis)
		}
	}
}

func (g *gnome) env() []string {
	return []string{"PATH=/usr/bin:/bin", "HOME=" + g.home, "XDG_RUNTIME_DIR=" + g.home, "XDG_DATA_HOME=" + filepath.Join(g.home, "data")}
}

// call calls the keyring itself.
func (g *gnome) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	g.t.Helper()
	call := g.conn.Object(serviceName, path).Call(method, 0, args...)
	if call.Err != nil {
		g.t.Fatalf("%s: %v", method, call.Err)
	}
	return call
}

func (g *gnome) lock() {
	g.t.Helper()
	g.call(servicePath, "org.freedesktop.Secret.Service.Lock", []dbus.ObjectPath{loginPath})
}

func dial(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// monitor records what is sent on the bus from now on, until the function that it returns is called.
func monitor(t *testing.T, address string) (stop func() []*dbus.Message) {
	t.Helper()
	conn := dial(t, address)
	if err := conn.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, []string{}, uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
	messages := make(chan *dbus.Message, 10_000)
	conn.Eavesdrop(messages)
	return func() (all []*dbus.Message) {
		t.Helper()
		// The bus keeps the order: what was sent before this has been seen when this is.
		last := dial(t, address)
		if err := last.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil {
			t.Fatal(err)
		}
		for {
			select {
			case m := <-messages:
				if all = append(all, m); count(all, "GetId") > 0 {
					return all
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the monitor does not see the end")
			}
		}
	}
}

// count counts the calls of a method.
func count(messages []*dbus.Message, method string) (n int) {
	for _, m := range messages {
		if m.Type == dbus.TypeMethodCall && m.Headers[dbus.FieldMember].Value() == method {
			n++
		}
	}
	return n
}

func TestSecretServiceOfGNOME(t *testing.T) {
	g := newGnome(t)
	s := keyring.SecretService{Address: g.address, InstanceID: "0123456789abcdef"}
	holds := func(t *testing.T, s keyring.SecretService, want byte) {
		t.Helper()
		key, err := s.Get(t.Context())
		if err != nil || !bytes.Equal(key.Reveal(), aKey(want).Reveal()) {
			t.Errorf("Get gives %v, or another key", err)
		}
	}

	t.Run("holds no key at first", func(t *testing.T) {
		if _, err := s.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
			t.Error(err)
		}
		if err := s.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("keeps a key, and does not replace it", func(t *testing.T) {
		if err := s.Put(t.Context(), aKey(1)); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 1)
		if err := s.Put(t.Context(), aKey(2)); !errors.Is(err, vault.ErrKept) {
			t.Error(err)
		}
		holds(t, s, 1)
	})
	t.Run("keeps the keys of two vaults apart", func(t *testing.T) {
		other := s
		other.InstanceID = "fedcba9876543210"
		if err := other.Put(t.Context(), aKey(2)); err != nil {
			t.Fatal(err)
		}
		holds(t, s, 1)
		holds(t, other, 2)
		if err := other.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := other.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
			t.Error(err)
		}
		holds(t, s, 1)
	})
	t.Run("shows people what it is for", func(t *testing.T) {
		var unlocked, locked []dbus.ObjectPath
		found := g.call(servicePath, "org.freedesktop.Secret.Service.SearchItems", map[string]string{"xdg:schema": "io.github.fobproject.Fob.Vault"})
		if err := found.Store(&unlocked, &locked); err != nil || len(unlocked) != 1 {
			t.Fatalf("%v %v, %v", unlocked, locked, err)
		}
		var label dbus.Variant
		if err := g.call(unlocked[0], "org.freedesktop.DBus.Properties.Get", "org.freedesktop.Secret.Item", "Label").Store(&label); err != nil || label.Value() != "Fob vault key" {
			t.Errorf("its label is %v, %v", label, err)
		}
	})
	t.Run("sends no key in the open", func(t *testing.T) {
		watch := monitor(t, g.address)
		other := s
		other.InstanceID = "a third"
		if err := other.Put(t.Context(), aKey(0xee)); err != nil {
			t.Fatal(err)
		}
		sent := watch()
		if n := count(sent, "CreateItem") + count(sent, "GetSecret"); n != 2 {
			t.Errorf("%d calls were seen", n)
		}
		for _, m := range sent {
			if text := fmt.Sprintf("%q", m.Body); strings.Contains(text, "7u7u7u") || strings.Contains(text, "fob-vault-key") {
				t.Errorf("it stands in %s", text)
			}
		}
	})
	t.Run("holds the key after the keyring was killed and started anew", func(t *testing.T) {
		g.kill()
		if _, err := s.Get(t.Context()); !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "no secret service") {
			t.Errorf("meanwhile, it gives %v", err)
		}
		g.start("--unlock")
		holds(t, s, 1)
	})
	t.Run("is away while the keyring is locked, and asks nobody to unlock it", func(t *testing.T) {
		g.lock()
		other := s
		other.InstanceID = "fedcba9876543210" // of which the keyring holds nothing
		for _, s := range []keyring.SecretService{s, other} {
			watch, start := monitor(t, g.address), time.Now()
			_, err := s.Get(t.Context())
			for name, err := range map[string]error{"Get": err, "Put": s.Put(t.Context(), aKey(3)), "Delete": s.Delete(t.Context())} {
				if !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "the keyring is locked") {
					t.Errorf("%s gives %v", name, err)
				}
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("that took %v", took)
			}
			// Each of the three meets a prompt, sends it away, and never has it shown.
			sent := watch()
			if n, all := count(sent, "Dismiss"), count(sent, "Unlock"); n != 3 || all != 3 || count(sent, "Prompt") > 0 {
				t.Errorf("%d of %d prompts were dismissed, %d shown", n, all, count(sent, "Prompt"))
			}
		}
		if n := g.shown.Load(); n > 0 {
			t.Errorf("%d prompts were shown", n)
		}
	})
	t.Run("is away where there is no keyring", func(t *testing.T) {
		g.kill()
		if err := os.RemoveAll(filepath.Join(g.home, "data")); err != nil {
			t.Fatal(err)
		}
		g.start() // without a login there is no login keyring
		_, err := s.Get(t.Context())
		for _, err := range []error{err, s.Put(t.Context(), aKey(1))} {
			if !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "no default keyring") {
				t.Error(err)
			}
		}
	})
}

// A vault with both keepers, through what happens to keyrings.
func TestVaultInTheKeyring(t *testing.T) {
	g := newGnome(t)
	dir := t.TempDir()
	db, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	file := keyring.File{Path: filepath.Join(dir, "vault.key")}
	open := func() error {
		t.Helper()
		v, err := vault.New(vault.Options{Store: db, Keepers: []vault.Keeper{
			keyring.SecretService{Address: g.address, InstanceID: db.InstanceID()}, file,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return v.Open(t.Context())
	}
	for range 2 {
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	g.lock()
	if err := open(); !errors.Is(err, vault.ErrSealed) || !strings.Contains(err.Error(), "the secret service: cannot be used now: the keyring is locked") {
		t.Errorf("with a locked keyring it gives %v", err)
	}
	g.kill()
	g.start("--unlock")
	if err := open(); err != nil {
		t.Errorf("with the keyring unlocked it gives %v", err)
	}
	if err := (keyring.SecretService{Address: g.address, InstanceID: db.InstanceID()}).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, vault.ErrSealed) || !errors.Is(err, vault.ErrNoKey) {
		t.Errorf("with the key removed it gives %v", err)
	}
	if _, err := file.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
		t.Errorf("the key file gives %v", err)
	}
}
