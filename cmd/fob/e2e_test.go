package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fobproject/fob/internal/client"
)

// programs builds the daemon, its helper and the software key once, and gives their folder.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fob-programs")
	if err != nil {
		return "", err
	}
	programsDir = dir
	for program, cgo := range map[string]string{"fobd": "0", "fob-virtual": "0", "fob-helper": "1"} {
		build := exec.Command("go", "build", "-o", dir+"/", "../"+program)
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("cannot build %s: %w\n%s", program, err, out)
		}
	}
	return dir, nil
})

// programsDir is to be removed at the end.
var programsDir string

// built is the folder of the programs. Where they cannot be built, such as without libfido2-dev, a
// test is skipped on a desk and fails in CI.
func built(t *testing.T) string {
	t.Helper()
	dir, err := programs()
	if err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDaemon runs the command against the real daemon, the real helper and a software key.
func TestDaemon(t *testing.T) {
	bin := built(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/e2e",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("SOCK", filepath.Join(env.WorkDir, "d", "fob.sock"))
			env.Setenv("SOCK2", filepath.Join(env.WorkDir, "d2", "fob.sock"))
			seeds, err := filepath.Abs("../../internal/provision/testdata")
			if err != nil {
				return err
			}
			env.Setenv("SEEDS", seeds)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"key":     func(ts *testscript.TestScript, _ bool, args []string) { startKey(ts, bin, args) },
			"restart": func(ts *testscript.TestScript, _ bool, args []string) { restartKey(ts, bin, args) },
			"fobd":    func(ts *testscript.TestScript, _ bool, args []string) { startFobd(ts, bin, args) },
			"code":    wantCode,
			"pending": awaitPending,
			"id":      takeID,
			"press":   pressFob,
			"second":  func(ts *testscript.TestScript, _ bool, args []string) { secondFobd(ts, bin, args) },
			"cut":     cutFile,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// startKey is "key NAME [FLAGS]": a software key at $WORK/NAME.
func startKey(ts *testscript.TestScript, bin string, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: key name [flags]")
	}
	link := ts.MkAbs(args[0])
	cmd := exec.Command(filepath.Join(bin, "fob-virtual"), append([]string{"key", "--link", link}, args[1:]...)...)
	cmd.Dir = ts.Getenv("WORK") // where --state puts its file
	stop, err := startProgram(cmd, link)
	ts.Check(err)
	keys.Store(link, stop)
	ts.Defer(func() {
		if stop, ok := keys.LoadAndDelete(link); ok {
			stop.(func())()
		}
	})
}

// keys are the running software keys' stops by path.
var keys sync.Map

// restartKey is "restart NAME [FLAGS]": unplugs a software key and plugs it in again.
func restartKey(ts *testscript.TestScript, bin string, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: restart name [flags]")
	}
	if stop, ok := keys.LoadAndDelete(ts.MkAbs(args[0])); ok {
		stop.(func())()
	}
	startKey(ts, bin, args)
}

// startFobd is "fobd [KEY...]": the daemon, with these keys.
func startFobd(ts *testscript.TestScript, bin string, args []string) {
	flags := []string{"--dir", ts.MkAbs("d")}
	for _, key := range args {
		flags = append(flags, "--key", ts.MkAbs(key))
	}
	stop, err := startProgram(exec.Command(filepath.Join(bin, "fobd"), flags...), ts.Getenv("SOCK"))
	ts.Check(err)
	ts.Defer(stop)
}

// secondFobd is "second": another daemon with an empty state of its own, and the same keys.
func secondFobd(ts *testscript.TestScript, bin string, args []string) {
	flags := []string{"--dir", ts.MkAbs("d2")}
	for _, key := range args {
		flags = append(flags, "--key", ts.MkAbs(key))
	}
	stop, err := startProgram(exec.Command(filepath.Join(bin, "fobd"), flags...), ts.Getenv("SOCK2"))
	ts.Check(err)
	ts.Defer(stop)
}

// pressFob is "press FILE SEED COUNTER...": writes what a fob with that seed (hexadecimal) shows at its
// presses into FILE, one code a line. It is oathtool, which nobody here wrote, that knows.
func pressFob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: press file seed counter...")
	}
	var codes []byte
	for _, counter := range args[2:] {
		code, err := exec.Command("oathtool", "--hotp", "--counter="+counter, args[1]).Output()
		if err != nil {
			ts.Fatalf("oathtool: %v (Debian package oathtool)", err)
		}
		codes = append(codes, code...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), codes, 0o600))
}

// cutFile is "cut FROM TO BYTES": copies a file without its last bytes; BYTES of 0 changes one in its
// middle instead.
func cutFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut from to bytes")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	if n == 0 {
		b[len(b)/2] ^= 1
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b[:len(b)-n], 0o600))
}

// startProgram starts a program and waits for the file that says that it is ready.
func startProgram(cmd *exec.Cmd, ready string) (stop func(), err error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it said is in out
		close(ended)
	}()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	}
	for range 1000 {
		if _, err := os.Stat(ready); err == nil {
			return stop, nil
		}
		select {
		case <-ended:
			return nil, fmt.Errorf("%s ended: %s", cmd.Path, out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	return nil, fmt.Errorf("%s does not get ready: %s", cmd.Path, out.String())
}

// awaitPending is "pending VAR": waits for a pending request whose key blinks, and puts its id into VAR.
func awaitPending(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pending var")
	}
	c, err := client.New(client.Default(ts.Getenv("SOCK")))
	ts.Check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for event, err := range c.Events(ctx) {
		ts.Check(err)
		states := []string{}
		if event.Snapshot != nil {
			for _, r := range event.Snapshot.Requests {
				if hasOffer(r, "touch") {
					states = append(states, r.ID)
				}
			}
		}
		if event.Request != nil && hasOffer(*event.Request, "touch") {
			states = append(states, event.Request.ID)
		}
		if len(states) > 0 {
			ts.Setenv(args[0], states[0])
			return
		}
	}
	ts.Fatalf("no request became pending")
}

// takeID is "id VAR FILE": puts the last word of the last line of FILE into VAR.
func takeID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: id var file")
	}
	words := strings.Fields(ts.ReadFile(args[1]))
	if len(words) == 0 {
		ts.Fatalf("%s is empty", args[1])
	}
	ts.Setenv(args[0], words[len(words)-1])
}

// TestDaemonTerminal types at a terminal what the real daemon asks for.
func TestDaemonTerminal(t *testing.T) {
	bin := built(t)
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key, sock := filepath.Join(dir, "key"), filepath.Join(dir, "d", "fob.sock")
	for _, program := range []struct {
		cmd   *exec.Cmd
		ready string
	}{
		{exec.Command(filepath.Join(bin, "fob-virtual"), "key", "--link", key, "--reset-any-time"), key},
		{exec.Command(filepath.Join(bin, "fobd"), "--dir", filepath.Join(dir, "d"), "--key", key), sock},
	} {
		stop, err := startProgram(program.cmd, program.ready)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	none := &standIn{}
	fob := func(args ...string) *terminal {
		return startOnTerminal(t, none, append([]string{"--socket", sock}, args...)...)
	}

	x := fob("keys", "set-pin")
	x.sees("Type a new PIN for the key “.*”.*: ")
	x.types("7391\r")
	x.sees("The new PIN again: ")
	x.types("7391\r")
	x.sees("The PIN of .* is set")
	x.ends(0)

	x = fob("methods", "add", "key", "--name", "Blue")
	x.sees("PIN of the key.*: ")
	x.types("7391\r")
	if strings.Contains(x.sees("(?s)Registered: “Blue”|PIN of the key.*: "), "7391") {
		t.Error("the PIN was shown")
	}
	x.ends(0)

	x = fob("verify", "--require", "verified")
	x.sees(`PIN of the key.*\(8 tries left\): `)
	x.types("0000\r")
	x.sees(`PIN is wrong.*\(7 tries left\): `)
	x.types("7391\r")
	x.sees(`Approved: .*strength: verified`)
	x.ends(0)

	x = fob("keys", "change-pin")
	x.sees("present PIN.*: ")
	x.types("7391\r")
	x.sees("new PIN.*: ")
	x.types("846201\r")
	x.sees("The new PIN again: ")
	x.types("846201\r")
	x.sees("The PIN of .* is changed")
	x.ends(0)

	log := fob("log", "--follow", "-n", "1")
	log.sees(`approved +new PIN`)
	x = fob("verify", "--service", "followed")
	x.sees(`Approved`)
	x.ends(0)
	log.sees(`approved +sign-in .*:followed`)

	x = fob("methods", "add", "recovery")
	x.sees("PIN of the key.*: ")
	x.types("846201\r")
	codes := regexp.MustCompile(` 1  (\S+) `).FindStringSubmatch(x.sees("each works once, and they are not shown again"))
	x.ends(0)
	if codes == nil {
		t.Fatal("no recovery codes were shown")
	}
	x = fob("methods", "lost", "Blue")
	x.sees("What remains: .*Type LOST to go on: ")
	x.types("LOST\r")
	x.sees("ype a recovery code: ")
	x.types(codes[1] + "\r")
	x.sees("Removed: “Blue”, which was lost")
	x.ends(0)

	x = fob("keys", "reset", "key")
	x.sees("This erases the key")
	x.sees("Type RESET to go on: ")
	x.types("RESET\r")
	x.sees(`\[Enter\]`)
	x.types("\r")
	x.sees("is erased")
	x.ends(0)
}
