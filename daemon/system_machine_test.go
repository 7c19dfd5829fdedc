package daemon_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/virtual"
)

// machine is fobd --system as a process, on a bus with a session manager and polkit, and with a key.
type machine struct {
	dir    string
	socket string
	key    *virtual.Key
	log    *lockedBuffer
	bus    *testbus.Bus
	login  *sessions
	polkit *password
	noted  *journald
	fobd   *exec.Cmd
	stop   func()
}

// sshPolicy is the policy of most of these tests.
const sshPolicy = `[service."pam:sudo"]
require = "key"

[service."pam:sshd"]
require = "key"
fallback = ["code", "recovery"]
remember = "90d"
`

// needRoot skips a test on a desk where it cannot become other users, and fails it in CI.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("these tests need root: they speak as several users")
	}
	t.Skip("these tests need root: they speak as several users")
}

// newMachine starts one on a bus of its own.
func newMachine(t *testing.T, policy string) *machine {
	t.Helper()
	needRoot(t)
	return newMachineOn(t, testbus.New(t), policy)
}

func newMachineOn(t *testing.T, bus *testbus.Bus, policy string) *machine {
	t.Helper()
	m := &machine{dir: tempDir(t), log: new(lockedBuffer), bus: bus}
	for _, dir := range []string{m.dir, filepath.Dir(m.busPath())} {
		if err := os.Chmod(dir, 0o755); err != nil { // everybody may go through
			t.Fatal(err)
		}
	}
	m.socket = filepath.Join(m.dir, "fob.sock")
	m.login, m.polkit = serveSessions(t, m.bus), servePassword(t, m.bus)
	m.noted = serveJournal(t, m.dir)
	m.key = newKey(t, virtual.Options{})
	link := filepath.Join(m.dir, "key1")
	if err := m.key.Link(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.dir, "policy.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, "50.toml", policy)
	m.start(t, "--key", link)
	return m
}

// start starts the machine's fobd and waits until it is ready.
func (m *machine) start(t *testing.T, more ...string) {
	t.Helper()
	m.fobd = exec.Command(needPrograms(t), append([]string{"--system", "--dir", m.dir, "--log-level", "debug"}, more...)...)
	m.fobd.Env = []string{"DBUS_SYSTEM_BUS_ADDRESS=" + m.bus.Address}
	if m.noted != nil {
		m.fobd.Env = append(m.fobd.Env, "FOB_JOURNAL_SOCKET="+m.noted.path)
	}
	m.launch(t)
}

// launch starts fobd as it was prepared and waits until it is ready.
func (m *machine) launch(t *testing.T) {
	t.Helper()
	dir := tempDir(t)
	notify := filepath.Join(dir, "notify")
	said, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	for path, mode := range map[string]os.FileMode{dir: 0o755, notify: 0o666} {
		if err == nil {
			err = os.Chmod(path, mode)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = said.Close() })
	m.fobd.Env, m.fobd.Stderr = append(m.fobd.Env, "NOTIFY_SOCKET="+notify), m.log
	if err := m.fobd.Start(); err != nil {
		t.Fatal(err)
	}
	m.stop = sync.OnceFunc(func() { m.end(t) })
	t.Cleanup(m.stop)
	b := make([]byte, 64)
	_ = said.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := said.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Fatalf("fobd says %q (%v): %s", b[:n], err, m.log)
	}
	_ = said.SetReadDeadline(time.Time{})
	go func() { _, _ = io.Copy(io.Discard, said) }() // until the test ends
}

// newUsers starts a user's own fobd on a session bus, beside a machine's session manager. Its socket is
// opened to everybody, so that it is the door that turns others away.
func (m *machine) newUsers(t *testing.T, uid uint32) *machine {
	t.Helper()
	u := &machine{dir: tempDir(t), log: new(lockedBuffer), bus: testbus.New(t), login: m.login, key: m.key}
	program := needPrograms(t)
	for _, dir := range []string{u.dir, filepath.Dir(u.busPath()), filepath.Dir(program)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(u.dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	u.socket = filepath.Join(home, "fob", "fob.sock")
	u.fobd = exec.Command(program, "--user", "--log-level", "debug")
	u.fobd.Env = []string{
		"XDG_RUNTIME_DIR=" + home, "XDG_STATE_HOME=" + home, "XDG_CONFIG_HOME=" + home,
		"DBUS_SESSION_BUS_ADDRESS=" + u.bus.Address, "DBUS_SYSTEM_BUS_ADDRESS=" + m.bus.Address,
	}
	u.fobd.Dir, u.fobd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	u.launch(t)
	return u
}

// end ends fobd, which must end by itself and in peace.
func (m *machine) end(t *testing.T) {
	t.Helper()
	if t.Failed() {
		t.Logf("fobd's log:\n%s", m.log)
	}
	_ = m.fobd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(15*time.Second, func() { _ = m.fobd.Process.Kill() })
	defer late.Stop()
	if err := m.fobd.Wait(); err != nil {
		t.Errorf("fobd did not end well: %v", err)
	}
	if strings.Contains(m.log.String(), "panic") || strings.Contains(m.log.String(), "DATA RACE") {
		t.Errorf("fobd panicked: %s", m.log)
	}
}

// busPath is where the bus listens.
func (m *machine) busPath() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(m.bus.Address, "unix:path="), ",")
	return path
}

// write writes a file of the policy.
func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, "policy.d", name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reload makes fobd read its policy, and gives what it says about it in its log.
func (m *machine) reload(t *testing.T) string {
	t.Helper()
	before := len(m.log.String())
	if err := m.fobd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for ctx := limit(t); ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(m.log.String()[before:]) {
			if strings.Contains(line, "the policy was read") || strings.Contains(line, "the policy before stays in force") {
				return line
			}
		}
	}
	t.Fatal("fobd says nothing of its policy")
	return ""
}

// people are the processes of most of these tests.
type people struct {
	sudo *actor // root, in daemon's session at the desk
	sshd *actor // root, in a system service
	desk *actor // daemon, in the same session
	bin  *actor // another user, who has a session too
	sys  *actor // a user without a session
}

func (m *machine) people(t *testing.T) people {
	t.Helper()
	return people{
		sudo: m.login.seat(m.newActor(t, uidRoot), uidDaemon),
		sshd: m.newActor(t, uidRoot),
		desk: m.login.seat(m.newActor(t, uidDaemon), uidDaemon),
		bin:  m.login.seat(m.newActor(t, uidBin), uidBin),
		sys:  m.newActor(t, uidSys),
	}
}

// memory is what fobd has in memory, in bytes.
func (m *machine) memory(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.fobd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("fobd's memory is not known")
	return 0
}
