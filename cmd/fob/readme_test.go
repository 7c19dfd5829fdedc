package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme follows README from the registration to the first sign-in, command by command, as
// somebody does who reads it for the first time.
func TestReadme(t *testing.T) {
	bin := built(t)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "fob") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	start := func(ready, program string, args ...string) {
		t.Helper()
		stop, err := startProgram(exec.Command(filepath.Join(bin, program), args...), ready)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	first, second, sock := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "d", "fob.sock")
	start(first, "fob-virtual", "key", "--link", first)
	start(sock, "fobd", "--dir", filepath.Join(dir, "d"), "--key", first, "--key", second)
	fob := func(t *testing.T, commands string) string {
		t.Helper()
		shell := exec.Command("sh", "-e", "-c", `fob() { command fob --socket "$SOCK" "$@"; }`+"\n"+commands)
		shell.Env = append(os.Environ(), "SOCK="+sock, "GORACE=atexit_sleep_ms=0")
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v after\n%s\nit said\n%s", err, commands, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		section string
		second  bool // it says to plug the second key in
		block   int  // the first block, or all of them
		shows   string
	}{
		{section: "Register a key", shows: "“Blue, on the ring” is the name now."},
		{section: "A second key as backup", second: true, shows: "Removed: “Drawer”"},
		{section: "Sign in", block: 1, shows: "it is you"},
	} {
		t.Run("works as it says: "+c.section, func(t *testing.T) {
			if c.second {
				start(second, "fob-virtual", "key", "--link", second)
			}
			commands := shellOf(string(readme), c.section)
			if c.block > 0 && len(commands) > c.block {
				commands = commands[:c.block]
			}
			if len(commands) == 0 {
				t.Fatal("there are no commands")
			}
			if got := fob(t, strings.Join(commands, "")); !strings.Contains(got, c.shows) {
				t.Errorf("%q is not in:\n%s", c.shows, got)
			}
		})
	}
	t.Run("works as it says: A fob as a fallback", func(t *testing.T) {
		commands := shellOf(string(readme), "A fob as a fallback")
		if len(commands) == 0 {
			t.Fatal("there are no commands")
		}
		x := runOnTerminal(t, &standIn{}, exec.Command("sh", "-e", "-c", `fob() { command fob --socket `+sock+` "$@"; }`+"\n"+commands[0]))
		for _, ask := range [][2]string{
			{`Type totp or hotp: `, "hotp"},
			{`Type hex or base32: `, "hex"},
			{`Seed of the token 80415512: `, "3132333435363738393031323334353637383930"}, // RFC 4226, appendix D
			{`Code: `, "755224"},
			{`Code: `, "287082"},
		} {
			x.sees(ask[0])
			x.types(ask[1] + "\r")
		}
		x.sees("Registered: “Belt”")
		x.ends(0)
	})
}

// shellOf gives the blocks of shell commands in a section.
func shellOf(readme, section string) (blocks []string) {
	_, text, _ := strings.Cut(readme, "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for {
		var found bool
		if _, text, found = strings.Cut(text, "```sh\n"); !found {
			return blocks
		}
		var block string
		block, text, _ = strings.Cut(text, "```")
		blocks = append(blocks, block)
	}
}
