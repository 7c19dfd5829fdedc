package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needTool skips the test on a desk, and fails it in CI, where the program is missing.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing", name)
}

// running is the command in this process.
type running struct {
	t     *testing.T
	link  string
	stdin *io.PipeWriter
	lines *bufio.Scanner
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, link: filepath.Join(t.TempDir(), "key"), ended: make(chan error, 1)}
	c := newCommand()
	c.SetArgs(append([]string{"key", "--link", r.link}, args...))
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(io.Discard)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	r.stdin, r.stop, r.lines = stdin, stop, bufio.NewScanner(stdout)
	go func() {
		err := c.ExecuteContext(ctx)
		_ = out.Close()
		r.ended <- err
	}()
	t.Cleanup(func() {
		stop()
		_ = stdin.Close()
		_ = stdout.Close()
	})
	return r
}

func (r *running) want(line string) {
	r.t.Helper()
	if !r.lines.Scan() {
		r.t.Fatalf("it prints no more (%v); want %q", <-r.ended, line)
	}
	if r.lines.Text() != line {
		r.t.Fatalf("it prints %q, want %q", r.lines.Text(), line)
	}
}

func (r *running) typed(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.stdin, s); err != nil {
		r.t.Fatal(err)
	}
}

// resetting runs a tool that waits for a touch, and returns its end.
func (r *running) resetting() <-chan error {
	c := exec.CommandContext(r.t.Context(), "fido2-token", "-R", r.link)
	done := make(chan error, 1)
	go func() { done <- c.Run() }()
	return done
}

func TestKey(t *testing.T) {
	t.Run("waits for Enter, for SIGUSR1 once stdin has ended, and removes its link at the end", func(t *testing.T) {
		needTool(t, "fido2-token")
		r := start(t, "--touch", "manual", "--name", "blue")
		r.want("blue: ready " + r.link)
		for _, touch := range []func(){
			func() { r.typed("\n") },
			func() {
				if err := r.stdin.Close(); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
					t.Fatal(err)
				}
			},
		} {
			done := r.resetting()
			r.want("blue: waiting for touch: press Enter")
			touch()
			if err := <-done; err != nil {
				t.Fatalf("fido2-token -R: %v", err)
			}
		}
		r.stop()
		if err := <-r.ended; err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(r.link); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("the link stays (%v)", err)
		}
	})
	t.Run("takes its PIN from stdin and keeps it in its state", func(t *testing.T) {
		needTool(t, "fido2-token")
		state := filepath.Join(t.TempDir(), "state.json")
		for _, args := range [][]string{{"--pin"}, nil} {
			r := start(t, append(args, "--state", state)...)
			if args != nil {
				r.typed("1234\n")
			}
			r.want("ready " + r.link)
			out, err := exec.CommandContext(t.Context(), "fido2-token", "-I", r.link).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "pin retries: 8") {
				t.Fatalf("fido2-token -I: %v\n%s", err, out)
			}
			r.stop()
			<-r.ended
		}
	})
	t.Run("says who touches it", func(t *testing.T) {
		needTool(t, "fido2-token")
		r := start(t, "--delay", "10ms")
		r.want("ready " + r.link)
		done := r.resetting()
		r.want("waiting for touch: it touches itself after 10ms")
		if err := <-done; err != nil {
			t.Fatalf("fido2-token -R: %v", err)
		}
	})
	for name, args := range map[string][]string{
		"an unknown touch":          {"--touch", "twice"},
		"an unknown fault":          {"--fault", "rust"},
		"an unknown quirk":          {"--quirk", "odd"},
		"an unknown algorithm":      {"--alg", "rs256"},
		"an unknown attestation":    {"--attestation", "tpm"},
		"an argument":               {"extra"},
		"a PIN on the command line": {"--pin=1234"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			r := start(t, args...)
			if err := <-r.ended; err == nil {
				t.Fatal("takes it")
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	link := filepath.Join(t.TempDir(), "key")
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"no path", []string{"key"}, 2},
		{"an unknown flag", []string{"key", "--link", link, "--blink"}, 2},
		{"an unknown flag before the device", []string{"--blink"}, 2},
		{"an unknown device", []string{"token"}, 2},
		{"a card's argument", []string{"card", "1"}, 2},
		{"a card's version that is none", []string{"card", "--applet-version", "5.x.1"}, 2},
		{"a card's port that is none", []string{"card", "--port", "70000"}, 2},
		{"a card's unknown fault", []string{"card", "--fault", "tired"}, 2},
		{"a card's state that is none", []string{"card", "--state", "/dev/null"}, 1},
		{"an argument", []string{"key", link}, 2},
		{"an unknown fault", []string{"key", "--link", link, "--fault", "tired"}, 2},
		{"an unknown algorithm", []string{"key", "--link", link, "--alg", "rot13"}, 2},
		{"a delay that is none", []string{"key", "--link", link, "--delay", "soon"}, 2},
		{"a path that cannot be made", []string{"key", "--link", filepath.Join(link, "below")}, 1},
	} {
		t.Run("is "+strconv.Itoa(c.code)+" for "+c.name, func(t *testing.T) {
			cmd := newCommand()
			cmd.SetArgs(c.args)
			cmd.SetOut(io.Discard)
			cmd.SetErr(io.Discard)
			ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			err := cmd.ExecuteContext(ctx)
			if err == nil || exitCode(err) != c.code {
				t.Errorf("got %v", err)
			}
		})
	}
}
