package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// roles are what this program is beside the benchmark, each in a process of its own: it says "ready",
// and ends with its standard input.
var roles = map[string]func(args []string) error{"bare": serveBare, "crowd": serveCrowd, "flood": runFlood, "cards": timeCards}

// errRole says that a role was given other arguments than it takes.
var errRole = errors.New("this is for the benchmark alone: run it without -as")

// play takes a role until standard input ends.
func play(role string, args []string) error {
	f, ok := roles[role]
	if !ok {
		return errRole
	}
	return f(args)
}

// untilStdinEnds waits for the process that started this one.
func untilStdinEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }

// child is this program in a role.
type child struct {
	role string
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
}

// startChild starts a process in a role and waits until it is ready. Its CPU profile, where one is asked for,
// is written beside the benchmark's own.
func startChild(ctx context.Context, o options, role string, args ...string) (*child, error) {
	c, err := newChild(ctx, o, role, args)
	if err != nil {
		return nil, fmt.Errorf("cannot start the process %q: %w", role, err)
	}
	line, err := c.out.ReadString('\n')
	if err != nil || line != "ready\n" {
		_, stopped := c.stop()
		return nil, errors.Join(fmt.Errorf("the process %q did not become ready: it said %q", role, line), stopped)
	}
	return c, nil
}

func newChild(ctx context.Context, o options, role string, args []string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	flags := []string{"-as", role}
	if o.profile != "" {
		f, err := os.CreateTemp(filepath.Dir(o.profile), filepath.Base(o.profile)+"."+role+".*")
		if err != nil {
			return nil, err
		}
		flags = append(flags, "-cpuprofile", f.Name())
		_ = f.Close() // the child opens it
	}
	c := &child{role: role, cmd: exec.CommandContext(ctx, self, append(append(flags, "--"), args...)...)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// stop ends the process, and gives what it said last.
func (c *child) stop() (said string, err error) {
	err = c.in.Close()
	rest, readErr := io.ReadAll(c.out) // before Wait, which closes it
	if err := errors.Join(err, readErr, c.cmd.Wait()); err != nil {
		return "", fmt.Errorf("the process %q ended badly: %w", c.role, err)
	}
	return strings.TrimSpace(string(rest)), nil
}

// end is stop of a process that has nothing to say.
func (c *child) end() error {
	_, err := c.stop()
	return err
}
