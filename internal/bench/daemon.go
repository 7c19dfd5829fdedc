package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startLimit bounds the start of a program that is measured.
const startLimit = 20 * time.Second

// process is a program that runs until stop.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ready  time.Duration // from start to READY=1, for a daemon
}

// stop ends the program with SIGTERM and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot stop %s: %w", p.cmd.Path, err)
	}
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s ended badly: %w\n%s", p.cmd.Path, err, p.stderr.Bytes())
		}
		return nil
	case <-time.After(startLimit):
		return errors.Join(fmt.Errorf("%s did not end", p.cmd.Path), p.cmd.Process.Kill())
	}
}

// startDaemon starts fobd and waits until it says that it is ready (sd_notify). dir holds the socket
// of that message; env is all of the daemon's environment beside it.
func startDaemon(ctx context.Context, fobd, dir string, env []string, args ...string) (*process, error) {
	address := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	if err := os.Remove(address.Name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove an old socket: %w", err)
	}
	notify, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the daemon's readiness: %w", err)
	}
	defer notify.Close()

	p := &process{cmd: exec.CommandContext(ctx, fobd, args...)}
	p.cmd.Env = append(env, "NOTIFY_SOCKET="+address.Name, "PATH=/usr/bin:/bin")
	p.cmd.Stderr = &p.stderr
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start fobd: %w", err)
	}
	if err := notify.SetReadDeadline(start.Add(startLimit)); err != nil {
		return nil, fmt.Errorf("cannot wait for fobd: %w", err)
	}
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fobd did not become ready: %w\n%s", err, p.stderr.Bytes()), p.cmd.Process.Kill())
		}
		if bytes.Contains(message[:n], []byte("READY=1")) {
			p.ready = time.Since(start)
			return p, nil
		}
	}
}

// memory is the process's anonymous memory in MiB.
func memory(pid int) (float64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read the memory of fobd: %w", err)
	}
	return anonymous(rollup)
}

// anonymous finds the anonymous pages in a smaps_rollup, in MiB.
func anonymous(rollup []byte) (float64, error) {
	kb, err := field(rollup, "Anonymous:")
	return float64(kb) / 1024, err
}

// wakeups counts the context switches of all threads of the process since they began.
func wakeups(pid int) (int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("cannot list the threads of process %d: %w", pid, err)
	}
	total := 0
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("cannot read a thread of fobd: %w", err)
		}
		n, err := switches(status)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// switches adds up the context switches in a thread's status.
func switches(status []byte) (int, error) {
	voluntary, err := field(status, "voluntary_ctxt_switches:")
	if err != nil {
		return 0, err
	}
	forced, err := field(status, "nonvoluntary_ctxt_switches:")
	return voluntary + forced, err
}

// field finds a number after a name at the beginning of a line.
func field(file []byte, name string) (int, error) {
	for line := range strings.Lines(string(file)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				return strconv.Atoi(words[0])
			}
		}
	}
	return 0, fmt.Errorf("the kernel's file has no %s", name)
}

// daemonRows measure fobd by itself: how soon it is ready, what it holds and how still it is.
func daemonRows(ctx context.Context, o options, dir string) (rows []Row, err error) {
	fobd, err := filepath.Abs(filepath.Join(o.bin, "fobd"))
	if err != nil {
		return nil, fmt.Errorf("cannot find fobd: %w", err)
	}
	const starts = 15
	var times []time.Duration
	for i := range starts {
		state := filepath.Join(dir, strconv.Itoa(i))
		p, err := startDaemon(ctx, fobd, dir, nil, "--dir", state)
		if err != nil {
			return nil, err
		}
		times = append(times, p.ready)
		if i < starts-1 {
			if err := p.stop(); err != nil {
				return nil, err
			}
			continue
		}
		// The last one stays: its store is empty, and nobody talks to it.
		defer func() { err = errors.Join(err, p.stop()) }()
		quiet, err := still(ctx, p.cmd.Process.Pid, o.idle)
		if err != nil {
			return nil, err
		}
		held, err := memory(p.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		rows = append(rows,
			newRow("fobd: start to ready, new state", "ms", median(times), budget(50), nil),
			newRow("fobd: anonymous memory, empty store, helper apart", "MiB", held, budget(25), nil),
			newRow("fobd: wakeups when idle", "/min", quiet, budget(2), nil))
	}
	return rows, nil
}

// budget is a fixed number as a limit.
func budget(value float64) *Bound { return &Bound{What: "budget", Value: value, Budget: 1} }

// still counts the context switches of a process a minute, watched for so long, after it had time to
// come to rest.
func still(ctx context.Context, pid int, long time.Duration) (float64, error) {
	const rest = 3 * time.Second
	if err := pause(ctx, rest); err != nil {
		return 0, err
	}
	before, err := wakeups(pid)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, long); err != nil {
		return 0, err
	}
	after, err := wakeups(pid)
	return float64(after-before) / long.Minutes(), err
}

func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(long):
		return nil
	}
}
