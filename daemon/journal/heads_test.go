package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/daemon/journal"
)

// rig runs Heads in a bubble over a log whose head the test sets.
type rig struct {
	mu       sync.Mutex // guards what follows
	instance string
	seq      uint64
	readErr  error
	sendErr  error
	sent     []string // time since the start, number
	log      bytes.Buffer

	stop func()
}

// set changes what the log is.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func start(t *testing.T, r *rig) {
	t.Helper()
	begin := time.Now()
	h := &journal.Heads{
		Instance: func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.instance
		},
		Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Send: func(m journal.Message) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.sendErr == nil {
				r.sent = append(r.sent, fmt.Sprintf("%v:%s", time.Since(begin), m.Fields["SEQ"]))
			}
			return r.sendErr
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx, func() (uint64, [32]byte, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.seq, [32]byte{byte(r.seq)}, r.readErr
		})
	}()
	synctest.Wait()
	r.stop = func() { cancel(); <-done }
}

func (r *rig) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.sent) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", r.sent, want)
	}
}

// pass lets time go by, to a moment after the interval's end.
func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestHeads(t *testing.T) {
	t.Run("sends at the start, when it has changed, and at the stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{seq: 3}
			start(t, r)
			r.want(t, "0s:3")
			pass(time.Minute)
			r.set(func() { r.seq = 4 })
			pass(13 * time.Minute)
			r.set(func() { r.seq = 5 })
			r.want(t, "0s:3")
			pass(time.Minute)
			r.want(t, "0s:3", "15m0s:5")
			pass(24*time.Hour - 15*time.Minute)
			r.want(t, "0s:3", "15m0s:5")
			r.set(func() { r.seq = 6 })
			pass(time.Minute)
			r.stop()
			r.want(t, "0s:3", "15m0s:5", "24h1m0s:6")
		})
	})
	t.Run("sends at the stop also what has not changed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{}
			start(t, r)
			r.stop()
			r.want(t, "0s:0", "0s:0")
		})
	})
	t.Run("sends again when a backup took the log's place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{seq: 3, instance: "a"}
			start(t, r)
			r.set(func() { r.instance = "b" })
			pass(15 * time.Minute)
			r.want(t, "0s:3", "15m0s:3")
			r.stop()
		})
	})
	t.Run("tries again what could not be sent or read, and says so once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &rig{seq: 3, sendErr: fmt.Errorf("cannot: %w", journal.ErrNone)}
			start(t, r)
			pass(time.Hour)
			if n := strings.Count(r.log.String(), "\n"); n != 1 || !strings.Contains(r.log.String(), "level=INFO") {
				t.Errorf("logged %s", r.log.String())
			}
			r.set(func() { r.sendErr = nil })
			pass(15 * time.Minute)
			r.want(t, "1h15m0s:3")
			r.set(func() { r.seq, r.readErr = 4, errors.New("damaged") })
			pass(time.Hour)
			if n := strings.Count(r.log.String(), "\n"); n != 2 || !strings.Contains(r.log.String(), "level=WARN") {
				t.Errorf("logged %s", r.log.String())
			}
			r.set(func() { r.readErr = nil })
			pass(15 * time.Minute)
			r.want(t, "1h15m0s:3", "2h30m0s:4")
			r.stop()
		})
	})
}
