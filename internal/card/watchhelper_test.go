package card_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/helper"
	soft "github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
)

// watching are the process ids of the helpers that watch: where the readers are, all of them are this test's.
func watching(t *testing.T, path string) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, name := range all {
		b, _ := os.ReadFile(name) // it may have ended
		if string(b) == path+"\x00"+helper.WatchArg+"\x00" {
			pid, err := strconv.Atoi(strings.Split(name, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// follow gives what a follower is told next: "12" are cards in both readers, "-" is none in either.
func follow(t *testing.T, f *card.Follower, want string) {
	t.Helper()
	select {
	case v, ok := <-f.Views():
		got := ""
		for _, r := range v.Readers {
			if n := map[string]string{reader.First: "1", reader.Second: "2"}[r.Name]; r.Card {
				got += n
			} else {
				got += "-"
			}
		}
		if v.Err != nil {
			got = v.Err.Error()
		}
		if !ok || got != want {
			t.Fatalf("it is told %q (%v), not %q", got, ok, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("it is not told %q", want)
	}
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatchByARealHelper(t *testing.T) {
	newCards(t) // or skips
	path, _ := program()
	w := card.NewWatch(helper.Options{Path: path})
	t.Cleanup(w.Close)
	if pids := watching(t, path); len(pids) != 0 {
		t.Errorf("%v watch for nobody", pids)
	}
	f := w.Follow()
	follow(t, f, "--")
	second := insert(t, reader.SecondPort, soft.Options{})
	follow(t, f, "-2")
	other := w.Follow()
	follow(t, other, "-2")
	pids := watching(t, path)
	if len(pids) != 1 {
		t.Fatalf("%v watch for two", pids)
	}
	t.Run("a helper that is killed is started anew, and nothing is missed", func(t *testing.T) {
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		first, err := soft.New(soft.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pull, err := reader.Insert(first, reader.FirstPort)
		if err != nil {
			t.Fatal(err)
		}
		follow(t, f, "12")
		pull()
		follow(t, f, "-2")
		if n := first.Answered() + second.Answered(); n != 0 {
			t.Errorf("the cards were sent %d instructions", n)
		}
		if now := watching(t, path); len(now) != 1 || now[0] == pids[0] {
			t.Errorf("%v watch", now)
		}
	})
	t.Run("a service that is started anew is told", func(t *testing.T) {
		if err := reader.Stop(); err != nil {
			t.Fatal(err)
		}
		follow(t, f, card.ErrNoService.Error())
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		follow(t, f, "--")
	})
	f.Close()
	other.Close()
	gone := time.Now()
	for len(watching(t, path)) > 0 {
		if time.Since(gone) > 6*time.Second {
			t.Fatal("it watches for nobody")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("the helper was gone %v after the last follower", time.Since(gone).Round(10*time.Millisecond))
}

// A program that is no helper is a line in the log, and what the follower is told.
func TestWatchByAnotherProgram(t *testing.T) {
	for name, script := range map[string]string{
		"garbage": "echo hello, this is no message; exec sleep 100", "nothing": "exit 3",
		"what cannot be": `printf '\000\000\000\021{"state":"ready"}\000\000\000\077{"state":"news","result":{"readers":[{"name":"","card":true}]}}'; exec sleep 100`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fob-helper")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			var log buffer
			w := card.NewWatch(helper.Options{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
			f := w.Follow()
			select {
			case v := <-f.Views():
				if !errors.Is(v.Err, card.ErrHelper) || len(v.Readers) > 0 {
					t.Errorf("it is told %+v", v)
				}
			case <-time.After(10 * time.Second):
				t.Error("it is told nothing")
			}
			w.Close()
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("the log has %d lines:\n%s", n, log.String())
			}
		})
	}
}
