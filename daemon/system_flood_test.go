package daemon_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// flood begins requests as fast as fobd takes them, half of them for another user, and says how it went.
func flood(socket string, n int) string {
	const workers = 8
	transport := &http.Transport{MaxIdleConnsPerHost: workers, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}
	defer transport.CloseIdleConnections()
	var left, refused, begun, unanswered atomic.Int64
	var last atomic.Value // what the last of those without an answer got
	last.Store("")
	left.Store(int64(n))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel() // what is pending ends with the flood
	began := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				at := left.Add(-1)
				if at < 0 {
					return
				}
				body := fmt.Sprintf(`{"service":"s%d"}`, at)
				if at%2 == 0 {
					body = fmt.Sprintf(`{"user":"daemon","service":"s%d"}`, at)
				}
				r, _ := http.NewRequestWithContext(ctx, "POST", "http://fob/v1/requests", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				answer, err := transport.RoundTrip(r)
				if err != nil {
					unanswered.Add(1)
					last.Store(err.Error())
					continue
				}
				if answer.StatusCode == http.StatusOK { // a stream, which goes on
					begun.Add(1)
					continue
				}
				var said api.ErrorBody
				err = json.NewDecoder(answer.Body).Decode(&said)
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if err != nil || said.Error == nil || said.Error.Message == "" {
					unanswered.Add(1)
					last.Store(answer.Status)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	return fmt.Sprintf("%d refused, %d begun, %d unanswered, in %d ms %s", refused.Load(), begun.Load(), unanswered.Load(), time.Since(began).Milliseconds(), last.Load())
}

// hold opens connections and gives those that are served.
func hold(socket string, n int) (served []net.Conn) {
	for range n {
		if c, ok := knock(socket); ok {
			served = append(served, c)
		}
	}
	return served
}

// knock opens a connection and reports whether fobd serves it.
func knock(socket string) (net.Conn, bool) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, false
	}
	fmt.Fprint(c, "GET /v1/nothing HTTP/1.1\r\nHost: fob\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusNotFound {
		_ = c.Close()
		return nil, false
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return c, true
}

// asUser opens a connection of another user, on a thread of its own that dies with the goroutine.
func asUser(t *testing.T, socket string, uid int) (c net.Conn, served bool) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			done <- e
			return
		}
		c, served = knock(socket)
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c, served
}

func TestSystemUnderAFlood(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})

	t.Run("ten thousand requests of one user are answered at fobd's pace, cost little memory, and another user's tap goes through", func(t *testing.T) {
		p.sys.tell(t, "flood 1000") // the heap has its usual size after it
		before := m.memory(t)
		said := make(chan string, 1)
		go func() {
			_, _ = fmt.Fprintln(p.sys.in, "flood 10000")
			line, _ := p.sys.out.ReadString('\n')
			said <- line
		}()
		taps := 0
		for flooding := true; flooding || taps == 0; {
			began := time.Now()
			s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
			p.sudo.tap(t)
			if v := decision(t, s); v.Decision != api.Approved || v.Place != "local" {
				t.Fatalf("in the flood the tap ended %+v %v", v, v.Error)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("a tap takes %v", d)
			}
			taps++
			if pending, err := p.desk.Requests(limit(t)); err != nil || len(pending) > 1 {
				t.Errorf("in the flood %d are pending, %v", len(pending), err) // a stranger has one place
			}
			select {
			case line := <-said:
				flooding = false
				t.Logf("the flood: %s; %d taps meanwhile", strings.TrimSpace(line), taps)
				var refused, begun, unanswered int
				if _, err := fmt.Sscanf(line, "%d refused, %d begun, %d unanswered", &refused, &begun, &unanswered); err != nil || refused+begun != 10000 || begun > 200 || unanswered > 0 {
					t.Errorf("of the flood %s", line)
				}
			case <-time.After(100 * time.Millisecond):
			}
		}
		after := m.memory(t)
		t.Logf("fobd's memory: %d KiB before, %d KiB after", before>>10, after>>10)
		if after-before > 24<<20 {
			t.Errorf("fobd's memory grew from %d to %d KiB", before>>10, after>>10)
		}
	})
	t.Run("ids without an account take no connection", func(t *testing.T) {
		for uid := 200_000; uid < 200_010; uid++ { // one user's subordinate ids
			for range 32 {
				if c, served := asUser(t, m.socket, uid); served {
					defer c.Close()
					t.Fatalf("uid %d is served", uid)
				}
			}
		}
		if _, served := asUser(t, m.socket, int(uidDaemon)); !served {
			t.Error("another user is shut out")
		}
	})
	t.Run("nobody else can take all connections, and root gets in", func(t *testing.T) {
		if n := p.sys.tell(t, "hold 100"); n != "32" {
			t.Errorf("%s connections of one user are served", n)
		}
		defer p.sys.in.Close()
		if _, err := p.desk.Status(limit(t)); err != nil {
			t.Errorf("another user: %v", err)
		}
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}()
		for _, uid := range []int{4, 5, 6, 7, 8, 9, 10, 13, 33, 34, 38} { // users whom every Debian has
			for range 32 {
				c, served := asUser(t, m.socket, uid)
				if !served {
					break
				}
				conns = append(conns, c)
			}
		}
		if _, served := asUser(t, m.socket, 39); served {
			t.Fatalf("%d connections are served and still one more", len(conns))
		}
		fresh := m.newActor(t, uidRoot)
		if _, err := fresh.Status(limit(t)); err != nil {
			t.Errorf("root is shut out by %d connections of others: %v", len(conns), err)
		}
	})
}
