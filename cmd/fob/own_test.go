package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/client"
)

// Where the machine has a daemon, what is the person's alone is asked of their own, and the rest where they say so.
func TestOwnDaemon(t *testing.T) {
	dir := t.TempDir()
	system, own := filepath.Join(dir, "system.sock"), filepath.Join(dir, "fob")
	if err := os.WriteFile(system, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	vault := own
	if os.Getuid() == 0 {
		vault = system
	}
	for line, want := range map[string]string{
		"codes": own, "cards": own, "cards watch": own, "accounts": own,
		"vault": vault, "vault unlock": vault, "vault slots": vault, "vault --own": own,
		"log": system, "log --own": own, "methods": system, "methods --own": own, "requests --own": own,
	} {
		a := &app{stdin: os.Stdin, out: bufio.NewWriter(io.Discard), stderr: os.Stderr, config: func(socket string) client.Config {
			return client.Config{Socket: socket, UID: 1000, SystemSocket: system, Passwd: "/dev/null", Getenv: func(name string) string {
				return map[string]string{"XDG_RUNTIME_DIR": dir}[name]
			}}
		}}
		root := a.root()
		root.SetArgs(strings.Fields(line))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fob %s asks at another place than %s: %v", line, want, err)
		}
	}
}
