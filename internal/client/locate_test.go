package client

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	installed := filepath.Join(dir, "state")
	if err := os.Mkdir(installed, 0o700); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	for name, c := range map[string]struct {
		socket string
		uid    uint32
		env    map[string]string
		state  string
		want   string
	}{
		"takes the path that was named first":             {"/x/s", 1000, map[string]string{"FOB_SOCKET": "/env"}, installed, "/x/s"},
		"takes FOB_SOCKET next":                           {"", 1000, map[string]string{"FOB_SOCKET": "/env"}, installed, "/env"},
		"ignores FOB_SOCKET for root":                     {"", 0, map[string]string{"FOB_SOCKET": "/env", "XDG_RUNTIME_DIR": "/run/user/0"}, none, "/run/user/0/fob/fob.sock"},
		"takes the system instance where it is installed": {"", 1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}, installed, none},
		"takes the user's own otherwise":                  {"", 1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}, none, "/run/user/1000/fob/fob.sock"},
		"for what the user's own has alone takes that also where a system instance is installed": {"", 1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}, installed, "/run/user/1000/fob/fob.sock"},
		"for what the user's own has alone takes FOB_SOCKET first":                               {"", 1000, map[string]string{"FOB_SOCKET": "/env"}, installed, "/env"},
		"ignores a runtime folder that is not absolute":                                          {"", 1000, map[string]string{"XDG_RUNTIME_DIR": "run"}, none, ""},
		"says when there is nowhere to look":                                                     {"", 1000, nil, none, ""},
		"refuses a path that no socket can have":                                                 {"/" + strings.Repeat("x", 107), 1000, nil, none, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Socket: c.socket, UID: c.uid, Getenv: func(k string) string { return c.env[k] }, SystemSocket: none, SystemState: c.state}
			cfg.Own = strings.HasPrefix(name, "for what the user's own has alone")
			got, err := cfg.Locate()
			if got != c.want || (c.want == "") != errors.Is(err, ErrNoDaemon) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestTrust(t *testing.T) {
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	passwd := filepath.Join(dir, "passwd")
	lines := "root:x:0:0:root:/root:/bin/sh\nfobber:x:7:7::/:/bin/sh\n# fob:x:8:8::/:/bin/sh\nfob:x:990:990:Fob:/var/lib/fob:/usr/sbin/nologin\n"
	if err := os.WriteFile(passwd, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	self := uint32(os.Geteuid())
	dial := func(uid uint32, passwd string) error {
		c, err := New(Config{Socket: path, UID: uid, Getenv: func(string) string { return "" }, Passwd: passwd})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := c.dial(t.Context())
		if err == nil {
			conn.Close()
		}
		return err
	}
	t.Run("believes a daemon of the same user", func(t *testing.T) {
		if err := dial(self, passwd); err != nil {
			t.Error(err)
		}
	})
	t.Run("believes root, oneself and the system instance, and nobody else", func(t *testing.T) {
		for _, uid := range []uint32{0, 1000} {
			cfg := Config{UID: uid, Passwd: passwd}
			for daemon, want := range map[uint32]bool{0: true, 990: true, 1000: uid == 1000, 7: false, 8: false, 65534: false} {
				if cfg.trusts(daemon) != want {
					t.Errorf("uid %d trusts a daemon of uid %d: %v", uid, daemon, !want)
				}
			}
		}
	})
	t.Run("turns away a daemon of a stranger", func(t *testing.T) {
		if os.Geteuid() != 0 {
			if err := dial(self+1, passwd); !errors.Is(err, ErrUntrusted) {
				t.Errorf("got %v", err)
			}
			return
		}
		// Root's daemon is everybody's; a socket that another user owns is not root's to trust.
		if err := os.Chown(path, 4242, 4242); err != nil {
			t.Fatal(err)
		}
		if err := dial(0, passwd); !errors.Is(err, ErrUntrusted) {
			t.Errorf("got %v", err)
		}
	})
	if os.Geteuid() == 0 { // only root can listen as somebody else
		t.Run("asks the kernel who listens, whoever owns the socket", func(t *testing.T) {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			strange := filepath.Join(dir, "strange")
			listener := make(chan net.Listener)
			go func() {
				// The kernel notes the thread's own uid. The thread ends with the goroutine.
				runtime.LockOSThread()
				if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 4242, ^uintptr(0)); errno != 0 {
					t.Error(errno)
				}
				l, err := net.Listen("unix", strange)
				if err != nil {
					t.Error(err)
				}
				listener <- l
			}()
			l := <-listener
			if l == nil {
				return
			}
			defer l.Close()
			if err := os.Chown(strange, 0, 0); err != nil {
				t.Fatal(err)
			}
			c, err := New(Default(strange))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Status(t.Context()); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "runs as uid 4242") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("says plainly that nothing answers", func(t *testing.T) {
		for file, want := range map[string]string{
			filepath.Join(dir, "missing"): "there is no such socket",
			passwd:                        "is not a socket",
			filepath.Join(passwd, "s"):    "not a directory",
		} {
			c, err := New(Default(file))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Status(t.Context())
			if !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "http://") {
				t.Errorf("%s: got %v", file, err)
			}
		}
	})
	t.Run("says how a daemon is started at a path only where one would make its socket there", func(t *testing.T) {
		for file, want := range map[string]string{
			filepath.Join(dir, "d", "fob.sock"): "Start it with: fobd --dir " + filepath.Join(dir, "d"),
			filepath.Join(dir, "missing"):       "Name a daemon's socket: that of fobd --dir DIR is DIR/fob.sock",
		} {
			c, err := New(Default(file))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoDaemon) || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: got %v", file, err)
			}
		}
	})
	t.Run("says to root that the environment's socket does not count, if that is set and nothing else was named", func(t *testing.T) {
		const hint = "root ignores FOB_SOCKET: use --socket"
		for _, tt := range []struct {
			socket, env, runtime string
			uid                  uint32
			want                 bool
		}{
			{env: "/x/fob.sock", want: true},
			{env: "/x/fob.sock", runtime: dir, want: true},
			{runtime: dir},
			{env: "/x/fob.sock", runtime: dir, uid: 1000},
			{socket: filepath.Join(dir, "missing"), env: "/x/fob.sock"},
		} {
			env := map[string]string{SocketEnv: tt.env, "XDG_RUNTIME_DIR": tt.runtime}
			c, err := New(Config{Socket: tt.socket, UID: tt.uid, Getenv: func(name string) string { return env[name] }, Passwd: passwd})
			if err == nil {
				_, err = c.Status(t.Context())
			}
			if !errors.Is(err, ErrNoDaemon) || strings.Contains(err.Error(), hint) != tt.want {
				t.Errorf("%+v: got %v", tt, err)
			}
		}
	})
	t.Run("says that a socket is left over from a daemon that is gone", func(t *testing.T) {
		dead := filepath.Join(dir, "dead")
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		old.Close()
		c, err := New(Default(dead))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
	})
}
