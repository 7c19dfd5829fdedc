// Command bench measures Fob against its budgets, each row beside its limit and, where there is one,
// a peer, in the same run. `make bench` runs it on programs that were built before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`folder` with the built programs")
	flag.StringVar(&o.json, "json", "", "write the rows to this `file` too")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 where a budget is missed")
	flag.IntVar(&o.taps, "taps", 60, "`number` of taps, over each door and with each peer")
	flag.DurationVar(&o.idle, "idle", 40*time.Second, "for how `long` the idle daemon is watched")
	flag.StringVar(&o.only, "only", "", "take the rows of this `part` alone: "+partNames())
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of this process to this `file`, and of those that it starts of itself beside it")
	role := flag.String("as", "", "")
	flag.Parse()
	err := profiled(o.profile, func() error {
		if *role != "" {
			return play(*role, flag.Args())
		}
		return bench(o)
	})
	switch {
	case errors.Is(err, errMissed):
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	return 0
}

// errMissed says that a budget was missed, and that this counts.
var errMissed = errors.New("a budget is missed")

// bench takes the rows and shows them.
func bench(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows, err := measure(ctx, o)
	if err == nil {
		err = show(rows, o.json)
	}
	if err == nil && o.strict && slices.ContainsFunc(rows, func(r Row) bool { return !r.Met }) {
		err = errMissed
	}
	return err
}

// profiled runs f, and writes a CPU profile of it to path if that is not empty.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	stop, err := startProfile(path)
	if err != nil {
		return err
	}
	defer stop()
	return f()
}

// startProfile writes a profile until the function that it returns is called.
func startProfile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write the profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// options are the command line.
type options struct {
	bin, json string
	only      string
	profile   string
	strict    bool
	taps      int
	idle      time.Duration
}

// parts are what is measured, in the table's order.
var parts = []struct {
	name string
	rows func(context.Context, options, string) ([]Row, error)
}{
	{"tap", tapRows}, {"code", codeRows}, {"cards", cardRows}, {"qr", qrRows}, {"users", userRows}, {"event", eventRows}, {"flood", floodRows},
	{"log", logRows}, {"policy", policyRows}, {"store", storeRows}, {"daemon", daemonRows},
}

func partNames() string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

// measure takes all rows.
func measure(ctx context.Context, o options) ([]Row, error) {
	if o.only != "" && !slices.Contains(strings.Split(partNames(), ", "), o.only) {
		return nil, fmt.Errorf("there is no part %q to measure: choose %s", o.only, partNames())
	}
	dir, err := os.MkdirTemp("", "fob-bench")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	var rows []Row
	for _, part := range parts {
		if o.only != "" && part.name != o.only {
			continue
		}
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			return nil, fmt.Errorf("cannot make a folder: %w", err)
		}
		more, err := part.rows(ctx, o, sub)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// show prints the rows, and writes them to a file if one is named.
func show(rows []Row, file string) error {
	if err := printTable(os.Stdout, rows); err != nil {
		return fmt.Errorf("cannot print the table: %w", err)
	}
	if file == "" {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("cannot write the rows: %w", err)
	}
	if err := writeJSON(f, rows); err != nil {
		f.Close()
		return fmt.Errorf("cannot write the rows: %w", err)
	}
	return f.Close()
}
