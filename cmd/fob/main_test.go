package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/virtual/reader"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"fob": alone})
}

// alone is the command without the terminal at which the tests were started, unless a test gave it one
// of its own.
func alone() {
	if os.Getenv("TEST_TERMINAL") == "" {
		_, _ = unix.Setsid()
	}
	main()
}

// tests are the tests, and the removal of what they built.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	reader.Inside() // where TestCards has started it
	code := t.m.Run()
	if programsDir != "" {
		os.RemoveAll(programsDir)
	}
	return code
}

// TestScripts runs the command against a daemon of the test's own, which says what each script wants
// it to say.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // it would sleep a second at the end of each run
			env.Setenv("SOCK", filepath.Join(env.WorkDir, "fob.sock"))
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			seeds, err := filepath.Abs("../../internal/provision/testdata")
			env.Setenv("PSKC", seeds)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon": startDaemon,
			"calls":  showCalls,
			"code":   wantCode,
		},
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

// wantCode runs "code N fob ARGS…": the exit code must be N.
func wantCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := exitStatus(err); got != args[0] {
		ts.Fatalf("exit code %s (%v), want %s", got, err, args[0])
	}
}
