package main

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// TestHelp keeps what every command says of itself, so that a change of it is seen and meant.
func TestHelp(t *testing.T) {
	const golden = "testdata/help.golden"
	var got bytes.Buffer
	var walk func(path []string, cmd *cobra.Command)
	walk = func(path []string, cmd *cobra.Command) {
		// Each help is asked for as a person does, on a command line of its own.
		a := &app{stdin: os.Stdin, out: bufio.NewWriter(&got), stderr: os.Stderr}
		got.WriteString("$ " + strings.Join(append([]string{"fob"}, path...), " ") + " --help\n")
		if code := a.main(append(path, "--help")); code != 0 {
			t.Errorf("%v: exit code %d", path, code)
		}
		got.WriteString("\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
				walk(append(path[:len(path):len(path)], sub.Name()), sub)
			}
		}
		for line := range strings.Lines(cmd.Long) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				t.Errorf("%v: %d columns, and a narrow terminal has 80: %s", path, n, line)
			}
		}
	}
	walk(nil, (&app{out: bufio.NewWriter(&got), stderr: os.Stderr}).root())
	if *updateGolden {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the help has changed; if it is meant: go test ./cmd/fob -run TestHelp -update\n%s", got.Bytes())
	}
	t.Run("fits 110 columns", func(t *testing.T) {
		for line := range strings.Lines(got.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 110 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	})
}
