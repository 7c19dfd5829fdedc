package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fobproject/fob/daemon/journal"
)

// layout says where an instance keeps what.
type layout struct {
	state    string // folder of the database
	database string
	vaultKey string // file with what opens the vault, where nothing else holds it
	socket   string
	config   string
	policy   string // folder of the policy's files
	bus      string // address; empty where the instance has no bus
	logind   string // address of the bus where the session manager is; empty where nobody is asked
	journal  string // path of the journal's socket; empty where nothing is sent to it
}

// systemBus is where the system bus is (D-Bus Specification, "Well-known Message Bus Instances").
const systemBus = "unix:path=/var/run/dbus/system_bus_socket"

// machine is the layout of the machine's own instance.
func machine(env func(string) string) layout {
	l := layout{
		state:    "/var/lib/fob",
		database: "/var/lib/fob/fob.db",
		vaultKey: "/var/lib/fob/vault.key",
		socket:   "/run/fob/fob.sock",
		config:   "/etc/fob/fobd.toml",
		policy:   "/etc/fob/policy.d",
		bus:      busAddress(env),
		journal:  journal.DefaultPath,
	}
	l.logind = l.bus
	return l
}

func busAddress(env func(string) string) string {
	if address := env("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
		return address
	}
	return systemBus
}

// private is the layout of an instance below one folder.
func private(dir string) (layout, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	// What is wrong with a folder that is one, ownDir says.
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return layout{}, fmt.Errorf("%w: %s is not a folder: name one with --dir, existing or not", ErrConfig, dir)
	case errors.Is(err, syscall.ENOTDIR):
		return layout{}, fmt.Errorf("%w: %s cannot be a folder: something above it is none", ErrConfig, dir)
	}
	return layout{
		state:    dir,
		database: filepath.Join(dir, "fob.db"),
		vaultKey: filepath.Join(dir, "vault.key"),
		socket:   filepath.Join(dir, "fob.sock"),
		config:   filepath.Join(dir, "fobd.toml"),
		policy:   filepath.Join(dir, "policy.d"),
	}, nil
}

// session is the layout of a user's own instance (XDG Base Directory Specification 0.8): relative
// paths in the environment are ignored, as it asks.
func session(env func(string) string, home string) (layout, error) {
	from := func(name, instead string) string {
		if dir := env(name); filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(home, instead)
	}
	runtime := env("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(runtime) {
		return layout{}, fmt.Errorf("%w: XDG_RUNTIME_DIR is not set: start fobd --user within a login session, or use --dir DIR", ErrConfig)
	}
	state := filepath.Join(from("XDG_STATE_HOME", ".local/state"), "fob")
	l := layout{
		state:    state,
		database: filepath.Join(state, "fob.db"),
		vaultKey: filepath.Join(state, "vault.key"),
		socket:   filepath.Join(runtime, "fob", "fob.sock"),
		config:   filepath.Join(from("XDG_CONFIG_HOME", ".config"), "fob", "fobd.toml"),
		policy:   filepath.Join(from("XDG_CONFIG_HOME", ".config"), "fob", "policy.d"),
		bus:      env("DBUS_SESSION_BUS_ADDRESS"),
		logind:   busAddress(env),
		journal:  journal.DefaultPath,
	}
	if l.bus == "" {
		l.bus = "unix:path=" + filepath.Join(runtime, "bus")
	}
	return l, nil
}

// ownDir makes dir and what is above it where they are missing, for the user alone (0700), or if others
// must reach what is in it, so that they can go through it (0755). It fails unless dir then is a folder,
// not a link to one, that belongs to the user and that nobody else can write to.
func ownDir(dir string, through bool) error {
	_, err := os.Lstat(dir)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the state folder: %w", err)
	}
	if isNew && through {
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("cannot open the state folder to others: %w", err)
		}
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot use the state folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is a link or a file, and must be a folder of its own", ErrConfig, dir)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: the folder %s belongs to another user", ErrConfig, dir)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%w: others may write to the folder %s (mode %04o): make it 0700", ErrConfig, dir, perm)
	}
	return nil
}

// helperNames are where fob-helper may be, seen from fobd's own folder; the last is where a package
// puts it. The environment and $PATH have no say.
func helperPaths(fobd string) []string {
	dir := filepath.Dir(fobd)
	return []string{
		filepath.Join(dir, "fob-helper"),
		filepath.Join(dir, "..", "libexec", "fob", "fob-helper"),
		"/usr/libexec/fob/fob-helper",
	}
}

// findHelper is where fob-helper is: as configured, or the first place that has it; where none has,
// the last, so that the error names it.
func findHelper(configured, fobd string) string {
	if configured != "" {
		return configured
	}
	paths := helperPaths(fobd)
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return filepath.Clean(p)
		}
	}
	return paths[len(paths)-1]
}
