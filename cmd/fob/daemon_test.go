package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// standIn is a daemon that answers what a text says. The text holds blocks, each begun by a line
//
//	> METHOD /v1/path STATUS      one answer, the JSON that follows
//	> METHOD /v1/path stream      an answer of lines; a line "wait METHOD /path" waits for that call,
//	                              "wait METHOD /path N" for its Nth while the stream lasts, "hold" until
//	                              the caller is gone
//
// "@+60s@" stands for a time so far from now.
type standIn struct {
	mu     sync.Mutex
	blocks map[string]*block
	calls  []string
	called map[string]chan struct{}
	counts map[string]int
	more   chan struct{} // closed at the next call
}

type block struct {
	status int // 0: a stream
	lines  []string
}

var timeMark = regexp.MustCompile(`@([+-][0-9a-z]+)@`)

func newStandIn(text string) (*standIn, error) {
	d := &standIn{blocks: map[string]*block{}, called: map[string]chan struct{}{}, counts: map[string]int{}, more: make(chan struct{})}
	var b *block
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if head, ok := strings.CutPrefix(line, "> "); ok {
			f := strings.Fields(head)
			if len(f) != 3 {
				return nil, fmt.Errorf("bad block %q", line)
			}
			b = &block{}
			if f[2] != "stream" {
				var err error
				if b.status, err = strconv.Atoi(f[2]); err != nil {
					return nil, err
				}
			}
			d.blocks[f[0]+" "+f[1]] = b
			continue
		}
		if b != nil && strings.TrimSpace(line) != "" {
			b.lines = append(b.lines, line)
		}
	}
	return d, nil
}

func (d *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Method + " " + r.URL.RequestURI()
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	d.calls = append(d.calls, strings.TrimSpace(name+" "+string(body)))
	b := d.blocks[name]
	d.counts[name]++
	close(d.more)
	d.more = make(chan struct{})
	before := maps.Clone(d.counts)
	done := d.channel(name)
	select {
	case <-done:
	default:
		close(done)
	}
	d.mu.Unlock()
	switch {
	case b == nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":{"code":"not_found","message":"there is nothing at %s"}}`, r.URL.Path)
	case b.status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(b.status)
		io.WriteString(w, stamp(strings.Join(b.lines, "\n")))
	default:
		w.Header().Set("Content-Type", "application/x-ndjson")
		d.stream(w, r, b.lines, before)
	}
}

func (d *standIn) stream(w http.ResponseWriter, r *http.Request, lines []string, before map[string]int) {
	for _, line := range lines {
		if call, ok := strings.CutPrefix(line, "wait "); ok {
			if f := strings.Fields(call); len(f) == 3 {
				call = f[0] + " " + f[1]
				n, _ := strconv.Atoi(f[2])
				if !d.awaitCalls(r, call, before[call]+n) {
					return
				}
				continue
			}
			d.mu.Lock()
			done := d.channel(call)
			d.mu.Unlock()
			select {
			case <-done:
			case <-r.Context().Done():
				return
			}
			continue
		}
		if line == "hold" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, stamp(line)+"\n")
		w.(http.Flusher).Flush()
	}
}

// awaitCalls waits until there were n calls of that name; false if the caller is gone.
func (d *standIn) awaitCalls(r *http.Request, name string, n int) bool {
	for {
		d.mu.Lock()
		count, more := d.counts[name], d.more
		d.mu.Unlock()
		if count >= n {
			return true
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return false
		}
	}
}

// channel is closed at the first call of that name; the lock is held.
func (d *standIn) channel(name string) chan struct{} {
	if d.called[name] == nil {
		d.called[name] = make(chan struct{})
	}
	return d.called[name]
}

func (d *standIn) allCalls() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.calls, "\n") + "\n"
}

// listen serves on a socket until stop.
func (d *standIn) listen(path string) (stop func(), err error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := httptest.NewUnstartedServer(d)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	return s.Close, nil
}

// stamp puts times in.
func stamp(text string) string {
	return timeMark.ReplaceAllStringFunc(text, func(m string) string {
		away, err := time.ParseDuration(strings.Trim(m, "@"))
		if err != nil {
			return m
		}
		data, _ := json.Marshal(time.Now().UTC().Add(away))
		return strings.Trim(string(data), `"`)
	})
}

// startDaemon is "daemon FILE [SOCKET]".
func startDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon file")
	}
	d, err := newStandIn(ts.ReadFile(args[0]))
	ts.Check(err)
	stop, err := d.listen(ts.Getenv("SOCK"))
	ts.Check(err)
	ts.Defer(stop)
	daemons.Store(ts.Getenv("WORK"), d)
}

// daemons are the running scripts' daemons by folder.
var daemons sync.Map

// showCalls is "calls [REGEXP]": prints what the daemon was asked for, and wants a match.
func showCalls(ts *testscript.TestScript, neg bool, args []string) {
	d, ok := daemons.Load(ts.Getenv("WORK"))
	if !ok || len(args) != 1 {
		ts.Fatalf("usage, after daemon: calls regexp")
	}
	calls := d.(*standIn).allCalls()
	if regexp.MustCompile("(?m)"+args[0]).MatchString(calls) == neg {
		ts.Fatalf("calls:\n%s", calls)
	}
}

func exitStatus(err error) string {
	if err == nil {
		return "0"
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}
