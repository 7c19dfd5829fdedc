package card

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeRun stands in for the helper: it says what comes from news, and ends with what comes from ends.
type fakeRun struct {
	news chan string
	ends chan error

	running, started, warned atomic.Int32
}

// Write counts the lines of the log that warn.
func (f *fakeRun) Write(line []byte) (int, error) {
	f.warned.Add(int32(bytes.Count(line, []byte("level=WARN"))))
	return len(line), nil
}

func newFakeWatch(t *testing.T) (*Watch, *fakeRun) {
	f := &fakeRun{news: make(chan string), ends: make(chan error)}
	w := &Watch{run: f.run, log: slog.New(slog.NewTextHandler(f, nil)), followers: map[*Follower]struct{}{}}
	t.Cleanup(w.Close)
	return w, f
}

func (f *fakeRun) run(ctx context.Context, tell func(json.RawMessage) error) error {
	f.running.Add(1)
	f.started.Add(1)
	defer f.running.Add(-1)
	for {
		select {
		case b := <-f.news:
			if err := tell(json.RawMessage(b)); err != nil {
				return err
			}
		case err := <-f.ends:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next is what a follower was told by now; "nothing" if nothing.
func next(f *Follower) string {
	synctest.Wait()
	select {
	case v, ok := <-f.Views():
		if !ok {
			return "end"
		}
		if v.Err != nil {
			return v.Err.Error()
		}
		return fmt.Sprint(v.Readers)
	default:
		return "nothing"
	}
}

func TestWatchRunsWhileSomebodyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, run := newFakeWatch(t)
		count := func(running, started int32) {
			t.Helper()
			if synctest.Wait(); run.running.Load() != running || run.started.Load() != started {
				t.Errorf("%d helpers run of %d, not %d of %d", run.running.Load(), run.started.Load(), running, started)
			}
		}
		expect := func(f *Follower, want string) {
			t.Helper()
			if got := next(f); got != want {
				t.Errorf("a follower is told %q, not %q", got, want)
			}
		}
		time.Sleep(time.Hour)
		count(0, 0)
		a := w.Follow()
		expect(a, "nothing")
		count(1, 1)
		run.news <- `{"readers":[{"name":"x","card":true}]}`
		expect(a, "[{x true false false}]")
		run.news <- `{"readers":[{"name":"x","card":true}]}`
		expect(a, "nothing")
		b := w.Follow()
		expect(b, "[{x true false false}]")
		run.news <- `{"trouble":"FOB_CARD_NO_SERVICE"}`
		expect(a, ErrNoService.Error())
		expect(b, ErrNoService.Error())
		a.Close()
		expect(a, "end")
		time.Sleep(time.Hour)
		count(1, 1)
		b.Close()
		b.Close()
		time.Sleep(linger - time.Millisecond)
		count(1, 1)
		c := w.Follow()
		expect(c, ErrNoService.Error())
		time.Sleep(time.Hour)
		count(1, 1)
		c.Close()
		time.Sleep(linger + time.Millisecond)
		count(0, 1)
		d := w.Follow()
		expect(d, "nothing")
		count(1, 2)
		w.Close()
		expect(d, "end")
		count(0, 2)
		expect(w.Follow(), "end")
		count(0, 2)
	})
}

func TestWatchOutlivesItsHelper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, run := newFakeWatch(t)
		f := w.Follow()
		run.news <- `{}`
		if got := next(f); got != "[]" {
			t.Errorf("of no readers it tells %q", got)
		}
		run.ends <- errors.New("signal: killed")
		if got := next(f); got != "nothing" {
			t.Errorf("of a helper that was killed it tells %q", got)
		}
		time.Sleep(firstPause)
		run.news <- `{"readers":[{"name":"x"}]}`
		if got := next(f); got != "[{x false false false}]" {
			t.Errorf("then it tells %q", got)
		}
		began := run.started.Load()
		for _, garbage := range []string{`{"readers":[{"name":""}]}`, `{"readers":7}`, `{"readers":[{"name":"x"}],"trouble":"FOB_CARD_BUSY"}`, `[`} {
			run.news <- garbage // no helper says anything first: from the second on the follower is told
			synctest.Wait()
		}
		if got := next(f); !strings.Contains(got, "it is started again") {
			t.Errorf("of helpers that say nothing that makes sense it tells %q", got)
		}
		if got := next(f); got != "nothing" {
			t.Errorf("and again: %q", got)
		}
		start := time.Now()
		for range 20 {
			run.ends <- errors.New("it crashed")
		}
		if d := time.Since(start); d < 5*time.Minute {
			t.Errorf("20 helpers were started in %v", d)
		}
		synctest.Wait()
		if n, started := run.warned.Load(), run.started.Load(); n != started-1 && n != started || started < began+20 {
			t.Errorf("%d lines in the log for %d helpers", n, started)
		}
		time.Sleep(mostPause)
		run.news <- `{}`
		if got := next(f); got != "[]" {
			t.Errorf("at the end it tells %q", got)
		}
	})
}

func TestWatchKnowsWhenItSeesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, run := newFakeWatch(t)
		f := w.Follow()
		for range 10 { // each says what it sees, and crashes
			run.news <- `{"readers":[{"name":"x"}]}`
			run.ends <- errors.New("it crashed")
		}
		synctest.Wait()
		var last string
		for got := next(f); got != "nothing"; got = next(f) {
			last = got
		}
		if !strings.Contains(last, "it is started again") {
			t.Errorf("while none runs it tells %q", last)
		}
		run.news <- `{"readers":[{"name":"x"}]}`
		if got := next(f); got != "[{x false false false}]" {
			t.Errorf("of the next it tells %q", got)
		}
	})
}

func TestWatchDropsWhoIsTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, run := newFakeWatch(t)
		slow := w.Follow()
		for i := range viewsBehind + 1 {
			run.news <- fmt.Sprintf(`{"readers":[{"name":"%d"}]}`, i)
		}
		synctest.Wait()
		for range viewsBehind {
			<-slow.Views()
		}
		if got := next(slow); got != "end" || !slow.Lagged() {
			t.Errorf("it is told %q, and lagged is %v", got, slow.Lagged())
		}
		again := w.Follow()
		if got := next(again); got != fmt.Sprintf("[{%d false false false}]", viewsBehind) {
			t.Errorf("when it comes back it is told %q", got)
		}
		again.Close()
	})
}

func FuzzSeen(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"readers":[{"name":"x","card":true,"mute":true,"exclusive":true}]}`, `{"trouble":"FOB_CARD_NO_SERVICE"}`, `{"trouble":"?"}`,
		`{"readers":[{"name":""}]}`, `null`, `[]`, `{"readers":[` + strings.Repeat(`{"name":"x"},`, MaxReaders) + `{"name":"x"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseSeen(b)
		if err != nil {
			return
		}
		if len(v.Readers) > MaxReaders || v.Err != nil && len(v.Readers) > 0 {
			t.Errorf("%q is taken for %v", b, v)
		}
	})
}
