package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
)

// TestCards runs the command against the real daemon, the real helper, a real pcscd and software cards: in a process
// where the readers are, which runs TestCardScripts.
func TestCards(t *testing.T) {
	cmd, err := reader.Command("-test.run=^TestCardScripts$", "-test.v", "-test.parallel=1")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, &out, &out
	if err := cmd.Run(); err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS: TestCardScripts/")) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestCardScripts(t *testing.T) {
	if !reader.Inside() {
		return // TestCards runs this, and sees to it that it ran
	}
	if err := reader.Available(); err != nil {
		t.Fatal(err)
	}
	bin := built(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/cards",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("SOCK", filepath.Join(env.WorkDir, "d", "fob.sock"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"card":  insertCard,
			"pull":  pullCard,
			"fobd":  func(ts *testscript.TestScript, _ bool, args []string) { startFobd(ts, bin, args) },
			"code":  wantCode,
			"calm":  awaitCalm,
			"xvfb":  startX,
			"sway":  startSway,
			"pcscd": runService,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "desk" { // where what is missing may be
				return false, fmt.Errorf("there is no condition %q", cond)
			}
			return os.Getenv("CI") == "", nil
		},
	})
}

// insertCard is "card N [VERSION]": a software card in reader N, 1 or 2, that touches itself after a tenth of a second.
func insertCard(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: card N [version]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	o := card.Options{Delay: 100 * time.Millisecond}
	if len(args) > 1 {
		_, err := fmt.Sscanf(args[1], "%d.%d.%d", &o.Version[0], &o.Version[1], &o.Version[2])
		ts.Check(err)
	}
	c, err := card.New(o)
	ts.Check(err)
	pull, err := reader.Insert(c, reader.FirstPort+n-1)
	ts.Check(err)
	inserted.Store(args[0], pull)
	ts.Defer(pull)
}

var inserted sync.Map

func pullCard(ts *testscript.TestScript, _ bool, args []string) {
	pull, ok := inserted.LoadAndDelete(args[0])
	if !ok {
		ts.Fatalf("there is no card in reader %s", args[0])
	}
	pull.(func())()
}

// runService is "pcscd stop", until "pcscd start" or the script's end.
func runService(ts *testscript.TestScript, _ bool, args []string) {
	switch strings.Join(args, " ") {
	case "stop":
		ts.Check(reader.Stop())
		stopped = true
		ts.Defer(func() {
			if stopped {
				_ = reader.Start()
			}
		})
	case "start":
		ts.Check(reader.Start())
		stopped = false
	default:
		ts.Fatalf("usage: pcscd stop|start")
	}
}

var stopped bool // pcscd is

// awaitCalm is "calm N": waits until a period of 30 s has at least N seconds left.
func awaitCalm(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	if left := 30 - time.Now().Unix()%30; left < n {
		time.Sleep(time.Duration(left) * time.Second)
	}
}

// startX is "xvfb": an X server, as DISPLAY.
func startX(ts *testscript.TestScript, _ bool, _ []string) {
	r, w, err := os.Pipe()
	ts.Check(err)
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	ts.Check(cmd.Start())
	_ = w.Close()
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	ts.Check(err)
	ts.Setenv("DISPLAY", ":"+strings.TrimSpace(line))
}

// startSway is "sway": a Wayland compositor without a screen, as WAYLAND_DISPLAY and XDG_RUNTIME_DIR.
func startSway(ts *testscript.TestScript, _ bool, _ []string) {
	const somebody = 65534 // it refuses root, which everybody is where the readers are
	dir, err := os.MkdirTemp("/run", "wayland")
	ts.Check(err)
	var cmd *exec.Cmd
	for _, as := range []*syscall.SysProcAttr{
		{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: somebody, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: somebody, HostID: os.Getgid(), Size: 1}},
		},
		{Credential: &syscall.Credential{Uid: somebody, Gid: somebody}}, // in a chroot, which cannot have the other
	} {
		if as.Credential != nil {
			ts.Check(os.Chown(dir, somebody, somebody))
		}
		cmd = exec.Command("sway", "--config", os.DevNull)
		cmd.Dir, cmd.SysProcAttr = "/", as
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
			"WLR_BACKENDS=headless", "WLR_LIBINPUT_NO_DEVICES=1", "WLR_RENDERER=pixman",
		}
		if err = cmd.Start(); err == nil {
			break
		}
	}
	ts.Check(err)
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ts.Setenv("XDG_RUNTIME_DIR", dir)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(dir, "wayland-*[0-9]")); len(found) > 0 {
			ts.Setenv("WAYLAND_DISPLAY", filepath.Base(found[0]))
			return
		}
	}
	ts.Fatalf("sway does not come up")
}
