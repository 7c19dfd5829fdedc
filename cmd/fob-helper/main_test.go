package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fob-helper")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot build fob-helper: %s", out)
		}
		t.Skipf("cannot build fob-helper: %s", out)
	}
	t.Run("refuses a terminal", func(t *testing.T) {
		master, slave, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		defer slave.Close()
		cmd := exec.Command(path)
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stderr = slave, &stderr
		if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "use fob instead") {
			t.Errorf("%v: %s", err, stderr.String())
		}
	})
	t.Run("refuses arguments", func(t *testing.T) {
		if out, err := exec.Command(path, "--help").CombinedOutput(); err == nil || !strings.Contains(string(out), "use fob instead") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("ends without a word where there is no operation", func(t *testing.T) {
		out, err := exec.Command(path).Output()
		if err != nil || !strings.Contains(string(out), `"ready"`) {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("watches until its stdin ends, and takes no more arguments", func(t *testing.T) {
		out, err := exec.Command(path, "watch").Output()
		if err != nil || !strings.Contains(string(out), `"ready"`) {
			t.Errorf("%v: %s", err, out)
		}
		if out, err := exec.Command(path, "watch", "x").CombinedOutput(); err == nil || !strings.Contains(string(out), "use fob instead") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("does not repeat a call that makes no sense", func(t *testing.T) {
		cmd := exec.Command(path)
		call := `{"do":"run","op":"x","pin":"hunter2"}`
		cmd.Stdin = strings.NewReader("\x00\x00\x00" + string(rune(len(call))) + call)
		out, err := cmd.CombinedOutput()
		if err == nil || strings.Contains(string(out), "hunter2") {
			t.Errorf("%v: %s", err, out)
		}
	})
}
