package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/store"
)

// fobd runs the program until it ends, and gives its exit code and what it said.
func fobd(t *testing.T, env []string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, needPrograms(t), args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// process is a fobd in a process of its own.
type process struct {
	*exec.Cmd
	dir string
	log bytes.Buffer
	// said gets what fobd tells the service manager.
	said *net.UnixConn
}

// launch starts fobd --dir and waits until it says that it is ready.
func launch(t *testing.T, dir, notify string) *process {
	t.Helper()
	p := &process{dir: dir}
	said, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = said.Close() })
	p.said = said
	p.Cmd = exec.Command(needPrograms(t), "--dir", dir)
	p.Env = []string{"NOTIFY_SOCKET=" + notify}
	p.Stderr = &p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	if got := p.hear(t); got != "READY=1" {
		t.Fatalf("fobd said %q", got)
	}
	return p
}

func (p *process) hear(t *testing.T) string {
	t.Helper()
	b := make([]byte, 256)
	_ = p.said.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := p.said.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func (p *process) status(t *testing.T) error {
	t.Helper()
	c, err := client.New(client.Config{Socket: filepath.Join(p.dir, "fob.sock"), UID: uint32(os.Geteuid()), Getenv: func(string) string { return "" }})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Status(limit(t))
	return err
}

func TestProcess(t *testing.T) {
	t.Run("says when it is ready, answers, and stops cleanly", func(t *testing.T) {
		dir := tempDir(t)
		p := launch(t, dir, filepath.Join(dir, "notify"))
		if err := p.status(t); err != nil {
			t.Fatal(err)
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := p.hear(t); got != "STOPPING=1" {
			t.Errorf("fobd said %q", got)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %s", err, &p.log)
		}
		if _, err := os.Lstat(filepath.Join(dir, "fob.sock")); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
		if !strings.Contains(p.log.String(), "msg=ready") {
			t.Errorf("the log does not say ready: %s", &p.log)
		}
	})
	t.Run("starts without a key that was named, and says so in the log", func(t *testing.T) {
		dir := tempDir(t)
		if err := os.WriteFile(filepath.Join(dir, "fobd.toml"), []byte("keys = ['/nonexistent/key']\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := launch(t, dir, filepath.Join(dir, "notify"))
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil { // from here on nothing writes to the log
			t.Error(err)
		}
		if log := p.log.String(); !strings.Contains(log, "nothing is plugged in where a key was named") || !strings.Contains(log, "/nonexistent/key") {
			t.Errorf("the log: %s", log)
		}
	})
	t.Run("does not wait for a service manager that does not read", func(t *testing.T) {
		path := filepath.Join(tempDir(t), "notify")
		deaf, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		full, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		for err == nil {
			_ = full.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, err = full.Write([]byte("x"))
		}
		dir := tempDir(t)
		cmd := exec.Command(needPrograms(t), "--dir", dir)
		cmd.Env = []string{"NOTIFY_SOCKET=" + path}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		awaitDaemon(t, dial(t, filepath.Join(dir, "fob.sock")))
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("fobd does not end")
		}
	})
	t.Run("tells a service manager with an abstract socket", func(t *testing.T) {
		dir := tempDir(t)
		launch(t, dir, "@"+dir+"/notify")
	})
	t.Run("leaves the state to the fobd that has it, and starts after a kill", func(t *testing.T) {
		dir := tempDir(t)
		p := launch(t, dir, filepath.Join(dir, "notify"))
		code, out := fobd(t, nil, "--dir", dir)
		if code != daemon.ExitInUse || !strings.Contains(out, "in use by another fobd") {
			t.Errorf("a second fobd: exit %d: %s", code, out)
		}
		if err := p.status(t); err != nil {
			t.Errorf("the first one: %v", err)
		}
		_ = p.Process.Kill()
		_ = p.Wait()
		again := launch(t, dir, filepath.Join(dir, "notify2"))
		if err := again.status(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("gives no core dump and lets no program of the same user read it", func(t *testing.T) {
		dir := tempDir(t)
		p := launch(t, dir, filepath.Join(dir, "notify"))
		limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Process.Pid), "limits"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(limits)) {
			if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
				t.Error(line)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	needPrograms(t)
	write := func(t *testing.T, name, text string) string {
		t.Helper()
		dir := tempDir(t)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct {
		name string
		args func(t *testing.T) []string
		code int
		says []string
	}{
		{"no choice of instance", func(*testing.T) []string { return nil }, 2, []string{"--user", "--dir DIR"}},
		{"an unknown flag", func(*testing.T) []string { return []string{"--sistem"} }, 2, []string{"sistem"}},
		{"two daemons at once", func(*testing.T) []string { return []string{"--system", "--user"} }, 2, []string{"choose one"}},
		{"an argument that would speak to the terminal", func(*testing.T) []string { return []string{"--dir", "x", "--\x1b[31mz"} }, 2, []string{"\uFFFD[31mz"}},
		{"an argument", func(*testing.T) []string { return []string{"--user", "start"} }, 2, []string{`"start"`}},
		{"an unknown level", func(*testing.T) []string { return []string{"--user", "--log-level", "loud"} }, 2, []string{"debug, info"}},
		{"no session", func(*testing.T) []string { return []string{"--user"} }, 2, []string{"XDG_RUNTIME_DIR"}},
		{"a missing configuration file", func(t *testing.T) []string { return []string{"--dir", tempDir(t), "--config", "/nonexistent"} }, 2, []string{"/nonexistent"}},
		{"an unknown key in the configuration", func(t *testing.T) []string { return []string{"--dir", write(t, "fobd.toml", "\nlog_lvl = 'info'\n")} }, 2, []string{"fobd.toml: line 2", "log_lvl"}},
		{"a wrong type in the configuration", func(t *testing.T) []string { return []string{"--dir", write(t, "fobd.toml", "keys = 3\n")} }, 2, []string{"fobd.toml: line 1"}},
		{"a pipe for a configuration file", func(t *testing.T) []string {
			dir := tempDir(t)
			if err := syscall.Mkfifo(filepath.Join(dir, "fobd.toml"), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"--dir", dir}
		}, 2, []string{"fobd.toml", "regular file"}},
		{"a database of a newer fobd", func(t *testing.T) []string {
			dir := tempDir(t)
			later := store.Migration{To: 99, Do: func(*store.Tx) error { return nil }}
			var steps []store.Migration
			for to := 2; to < later.To; to++ {
				steps = append(steps, store.Migration{To: to, Do: later.Do})
			}
			s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{Migrations: append(steps, later)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return []string{"--dir", dir}
		}, 4, []string{"newer", "99"}},
		{"a damaged database", func(t *testing.T) []string { return []string{"--dir", write(t, "fob.db", "this is no database")} }, 4, []string{"fob.db", "move"}},
		{"a folder where the database belongs", func(t *testing.T) []string {
			dir := tempDir(t)
			if err := os.Mkdir(filepath.Join(dir, "fob.db"), 0o700); err != nil {
				t.Fatal(err)
			}
			return []string{"--dir", dir}
		}, 4, []string{"fobd: the database is damaged: ", "fob.db: it is a folder"}},
		{"a file for a folder", func(t *testing.T) []string { return []string{"--dir", filepath.Join(write(t, "file", ""), "file")} }, 2, []string{"file is not a folder"}},
		{"a folder below a file", func(t *testing.T) []string {
			return []string{"--dir", filepath.Join(write(t, "file", ""), "file", "d")}
		}, 2, []string{"cannot be a folder"}},
		{"a key by half a path", func(t *testing.T) []string { return []string{"--dir", tempDir(t), "--key", "key"} }, 2, []string{"-key", "whole path", "fobd --help"}},
		{"a socket path that is no socket", func(t *testing.T) []string { return []string{"--dir", write(t, "fob.sock", "x")} }, 2, []string{"fob.sock", "no socket"}},
		{"a socket path that is too long", func(t *testing.T) []string {
			return []string{"--dir", filepath.Join(tempDir(t), strings.Repeat("x", 120))}
		}, 2, []string{"107"}},
		{"a folder that others write to", func(t *testing.T) []string {
			dir := tempDir(t)
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			return []string{"--dir", dir}
		}, 2, []string{"0700"}},
		{"a folder that is a link", func(t *testing.T) []string {
			link := filepath.Join(tempDir(t), "link")
			if err := os.Symlink(tempDir(t), link); err != nil {
				t.Fatal(err)
			}
			return []string{"--dir", link}
		}, 2, []string{"link"}},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			code, out := fobd(t, []string{}, c.args(t)...)
			if code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, out)
			}
			for _, s := range c.says {
				if !strings.Contains(out, s) {
					t.Errorf("%q is not in: %s", s, out)
				}
			}
			if n := strings.Count(out, "\n"); n > 2 || strings.Contains(out, "goroutine") {
				t.Errorf("this is not for people: %s", out)
			}
		})
	}
	t.Run("prints its version and its help", func(t *testing.T) {
		if code, out := fobd(t, nil, "--version"); code != 0 || !strings.HasPrefix(out, "fobd ") {
			t.Error(code, out)
		}
		if code, out := fobd(t, nil, "--help"); code != 0 || !strings.Contains(out, "--dir DIR") {
			t.Error(code, out)
		}
	})
}
