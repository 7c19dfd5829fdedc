package daemon_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/testbus"
	contract "github.com/fobproject/fob/packaging/dbus"
)

const packaging = "../packaging/"

// values reads the values of a key in a unit.
func values(t *testing.T, path, key string) (all []string) {
	t.Helper()
	for line := range strings.Lines(read(t, path)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			all = append(all, v)
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(packaging + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSystemPackaging(t *testing.T) {
	const unit = "systemd/fobd.service"
	for _, c := range []struct {
		what, key string
		want      []string
	}{
		{"runs the machine's instance", "ExecStart", []string{"/usr/bin/fobd --system"}},
		{"waits until it is ready", "Type", []string{"notify"}},
		{"reads the policy anew with SIGHUP", "ExecReload", []string{"/bin/kill -HUP $MAINPID"}},
		{"runs it as the user whom clients believe", "User", []string{client.SystemUser}},
		{"makes the folder of the socket", "RuntimeDirectory", []string{filepath.Base(filepath.Dir(client.SystemSocket))}},
		{"lets everybody through to the socket", "RuntimeDirectoryMode", []string{"0755"}},
		{"makes the folder of the state", "StateDirectory", []string{filepath.Base(client.SystemState)}},
		{"keeps others out of the state", "StateDirectoryMode", []string{"0700"}},
		{"lets it read of every caller's process", "ProtectProc", []string{"default"}},
		{"lets it read all of a caller's process", "ProcSubset", []string{"all"}},
		{"gives it no right of root's", "CapabilityBoundingSet", []string{""}},
	} {
		t.Run("the unit "+c.what, func(t *testing.T) {
			if got := values(t, unit, c.key); !slices.Equal(got, c.want) {
				t.Errorf("%s is %q, not %q", c.key, got, c.want)
			}
		})
	}
	t.Run("the same user is made, owns the name and may ask polkit", func(t *testing.T) {
		for path, text := range map[string]string{
			"sysusers/fob.sysusers.conf":             "\nu " + client.SystemUser + " - ",
			"dbus/" + contract.Name + ".conf":        `<policy user="` + client.SystemUser + `">`,
			"polkit/io.github.fobproject.fob.policy": "unix-user:" + client.SystemUser,
			"systemd/fobd.service":                   "\nGroup=" + client.SystemUser + "\n",
		} {
			if !strings.Contains(read(t, path), text) {
				t.Errorf("%s has no %q", path, text)
			}
		}
	})
}

// systemBus is what a system bus allows where nothing else is said (dbus-daemon's system.conf), and the
// names of this test's own services.
const systemBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.login1"/>
    <allow own="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <include>%s/fob.conf</include>
</busconfig>
`

// newSystemBus starts a bus with a system bus's rules and Fob's own, with root in the place of Fob's user.
func newSystemBus(t *testing.T) *testbus.Bus {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	rules := strings.ReplaceAll(read(t, "dbus/"+contract.Name+".conf"), `user="`+client.SystemUser+`"`, `user="root"`)
	for name, text := range map[string]string{"fob.conf": rules, "bus.conf": fmt.Sprintf(systemBus, dir, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "--config-file="+dir+"/bus.conf", "--nofork", "--nopidfile", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &testbus.Bus{Address: strings.TrimSpace(address)}
}

func TestSystemBusRules(t *testing.T) {
	needRoot(t)
	m := newMachineOn(t, newSystemBus(t), sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	mine := p.desk.connect(t)

	t.Run("let every user ask, and hear how it ends", func(t *testing.T) {
		id := mine.verify(t, map[string]dbus.Variant{})
		p.desk.tap(t)
		if d, strength, _ := mine.decided(t, id); d != api.Approved || strength != "key" {
			t.Errorf("it ends %s %s", d, strength)
		}
		var xml string
		if err := mine.object.Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&xml); err != nil || xml != contract.XML {
			t.Error("nobody can look at the interface", err)
		}
	})
	t.Run("let polkit be asked", func(t *testing.T) {
		m.polkit.set("yes")
		var ticket string
		if err := p.bin.connect(t).object.Call(contract.Interface+".Authorize", 0).Store(&ticket); err != nil || ticket == "" {
			t.Error(err)
		}
	})
	t.Run("let nobody else have the name", func(t *testing.T) {
		_, err := mine.conn.RequestName(contract.Name, dbus.NameFlagReplaceExisting)
		if e, ok := err.(dbus.Error); !ok || e.Name != "org.freedesktop.DBus.Error.AccessDenied" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("let nothing else through", func(t *testing.T) {
		err := mine.object.Call("org.freedesktop.DBus.Properties.GetAll", 0, contract.Interface).Err
		if e, ok := err.(dbus.Error); !ok || e.Name != "org.freedesktop.DBus.Error.AccessDenied" {
			t.Errorf("got %v", err)
		}
	})
}
