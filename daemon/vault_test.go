package daemon_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/testbus"
)

// startKeyring puts GNOME's real keyring on a bus, new and unlocked.
func startKeyring(t *testing.T, bus *testbus.Bus) {
	t.Helper()
	path, err := exec.LookPath("gnome-keyring-daemon")
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("%v (Debian package gnome-keyring)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	home := tempDir(t)
	cmd := exec.Command(path, "--foreground", "--components=secrets", "--unlock")
	cmd.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "XDG_DATA_HOME=" + home, "DBUS_SESSION_BUS_ADDRESS=" + bus.Address, "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader("the login password")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	})
	conn, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for ctx := limit(t); ; time.Sleep(10 * time.Millisecond) {
		var there bool
		if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&there); err != nil || ctx.Err() != nil {
			t.Fatalf("the keyring is not there: %v", err)
		}
		if there {
			return
		}
	}
}

// vaultOpen waits until the vault is open, and gives it.
func (i *instance) vaultOpen(t *testing.T) api.Vault {
	t.Helper()
	for ctx := limit(t); ; time.Sleep(10 * time.Millisecond) {
		v, err := i.Vault(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if v.State == api.VaultOpen {
			return v
		}
	}
}

func TestVaultInTheKeyring(t *testing.T) {
	bus := testbus.New(t)
	startKeyring(t, bus)
	i := start(t, bus.Address)
	if v := i.vaultOpen(t); v.Where != "the secret service" {
		t.Errorf("its key is in %q", v.Where)
	}
	if _, err := os.Stat(filepath.Join(i.dir, "fob", "vault.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a key file too: %v", err)
	}
	i.enrol(t)
	f := newFob("FOB-1", "hotp")
	carry(t, i.Client, f, func() { i.tap(t) })

	i.stop()
	i = startIn(t, i.dir, bus.Address, i.key)
	i.vaultOpen(t)
	if got := byCode(t, i.Client, f.show(t)); got != "" {
		t.Errorf("after a restart: %s", got)
	}
}

func TestVaultWithoutKeyring(t *testing.T) {
	i := start(t, testbus.New(t).Address)
	if v := i.vaultOpen(t); !strings.HasSuffix(v.Where, "/vault.key") {
		t.Errorf("its key is in %q", v.Where)
	}
}
