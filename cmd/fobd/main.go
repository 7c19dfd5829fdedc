// Command fobd is Fob's daemon: it asks the user's security keys whether it is really them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"unicode"

	"github.com/fobproject/fob/daemon"
)

const usage = `fobd is Fob's daemon.

  fobd --user        the user's own daemon: socket below $XDG_RUNTIME_DIR, session bus
  fobd --system      the machine's daemon, for every user: /run/fob/fob.sock, system bus
  fobd --dir DIR     a private daemon with everything below DIR and no bus, for trying things out; with
                     --system the machine's, with everything below DIR

  --key PATH         take the device at PATH, from / on, for a security key (may be repeated)
  --renamed          the user was given another name: keep the sign-in methods of the old one
  --clock-was-wrong  the clock is right now and was ahead before: accept codes again
  --config FILE      read FILE instead of fobd.toml
  --log-level LEVEL  debug, info, warn or error
  --version          print the version

SIGHUP makes it read its policy anew.

Exit codes: 0 stopped, 1 failed, 2 usage or configuration, 3 another fobd runs, 4 unusable database.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	o, showVersion, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(out, usage)
		return 0
	case err != nil:
		return fail(errOut, fmt.Errorf("%w (see fobd --help)", err), daemon.ExitUsage)
	case showVersion:
		_, _ = fmt.Fprintln(out, "fobd", version())
		return 0
	}
	if err := daemon.Harden(); err != nil {
		return fail(errOut, err, daemon.ExitFailure)
	}
	daemon.TuneMemory()
	if o.Executable, err = daemon.Executable(); err != nil {
		return fail(errOut, err, daemon.ExitFailure)
	}
	o.Version, o.Env, o.Log = version(), os.Getenv, errOut
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(daemon.ExitFailure) // the second time somebody means it
	}()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	o.Reload = hangups
	if err := daemon.Run(ctx, o); err != nil {
		return fail(errOut, err, daemon.ExitCode(err))
	}
	return 0
}

// parse reads the command line.
func parse(args []string) (o daemon.Options, showVersion bool, err error) {
	flags := flag.NewFlagSet("fobd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.User, "user", false, "")
	flags.BoolVar(&o.System, "system", false, "")
	flags.StringVar(&o.Dir, "dir", "", "")
	flags.BoolVar(&o.Renamed, "renamed", false, "")
	flags.BoolVar(&o.ClockWasWrong, "clock-was-wrong", false, "")
	flags.StringVar(&o.Config, "config", "", "")
	flags.StringVar(&o.LogLevel, "log-level", "", "")
	flags.BoolVar(&showVersion, "version", false, "")
	flags.Func("key", "", func(path string) error {
		if !filepath.IsAbs(path) {
			return errors.New("name the device by its whole path, beginning with /")
		}
		o.Keys = append(o.Keys, path)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, false, err
	}
	if flags.NArg() > 0 {
		return o, false, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if !showVersion && !o.User && !o.System && o.Dir == "" {
		return o, false, errors.New("choose which daemon to run: --user (your own), --system (the machine's) or --dir DIR (a private one)")
	}
	if o.User && o.System {
		return o, false, errors.New("--user and --system are two daemons: choose one")
	}
	if _, err := daemon.ParseLevel(o.LogLevel); err != nil {
		return o, false, fmt.Errorf("--log-level: %w", err)
	}
	return o, showVersion, nil
}

func fail(w io.Writer, err error, code int) int {
	// What was typed stands in it: a terminal must not obey that.
	text := strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, err.Error())
	_, _ = fmt.Fprintln(w, "fobd:", text)
	return code
}

// version is the module's version as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
