// Command bench measures Fob against its budgets, each row beside its limit and, where there is one,
// a peer, in the same run. `make bench` runs it on programs that were built before.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "`folder` with the built programs")
	flag.StringVar(&o.json, "json", "", "write the rows to this `file` too")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 where a budget is missed")
	flag.IntVar(&o.taps, "taps", 60, "`number` of taps, over each door and with each peer")
	flag.DurationVar(&o.idle, "idle", 40*time.Second, "for how `long` the idle daemon is watched")
	flag.StringVar(&o.only, "only", "", "take the rows of this `part` alone: tap, store, daemon, code or users")
	bareDir := flag.String("bare", "", "")
	profile := flag.String("cpuprofile", "", "write a CPU profile of this process to this `file`: of use with -only users")
	flag.Parse()
	if *bareDir != "" {
		if err := serveBare(*bareDir); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		return
	}

	if *profile != "" {
		stopProfile, err := startProfile(*profile)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		defer stopProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rows, err := measure(ctx, o)
	stop()
	if err == nil {
		err = show(rows, o.json)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	for _, r := range rows {
		if !r.Met && o.strict {
			os.Exit(1)
		}
	}
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
	strict    bool
	taps      int
	idle      time.Duration
}

// measure takes all rows, in the table's order.
func measure(ctx context.Context, o options) ([]Row, error) {
	dir, err := os.MkdirTemp("", "fob-bench")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	var rows []Row
	for _, part := range []struct {
		name string
		rows func(context.Context, options, string) ([]Row, error)
	}{{"tap", tapRows}, {"code", codeRows}, {"users", userRows}, {"store", storeRows}, {"daemon", daemonRows}} {
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
