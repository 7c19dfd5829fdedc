package daemon_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
)

// watchers counts the helpers that watch readers for this process.
func watchers(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range all {
		cmdline, _ := os.ReadFile(name) // it may have ended
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if bytes.HasSuffix(cmdline, []byte("fob-helper\x00watch\x00")) && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			n++
		}
	}
	return n
}

// With or without readers, and the service that has them: cards are told to whom asks for them, and only then is
// there a process that looks.
func TestEventsOfCards(t *testing.T) {
	i := start(t, "")
	for range i.Events(limit(t)) {
		break // the snapshot
	}
	if n := watchers(t); n != 0 {
		t.Errorf("for who does not ask for cards %d watch", n)
	}
	first := func() {
		t.Helper()
		for readers, err := range i.WatchCards(limit(t)) {
			if err != nil || readers.Problem != nil && (len(readers.Readers) > 0 || readers.Problem.Code != api.CodeNoCardService) {
				t.Errorf("it tells %+v, %v", readers, err)
			}
			if n := watchers(t); n != 1 {
				t.Errorf("%d watch", n)
			}
			break
		}
	}
	first()
	first() // by the same, which lingers
	for end := time.Now().Add(6 * time.Second); watchers(t) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it watches for nobody")
		}
	}
	first()
	i.stop()
	if n := watchers(t); n != 0 {
		t.Errorf("when fobd has stopped %d watch", n)
	}
}

func TestEventsOfCardsAreAskedForWell(t *testing.T) {
	i := start(t, "")
	for _, query := range []string{"cards=perhaps", "cards=true&cards=true", "readers=true", "cards=TRUE"} {
		c, err := net.Dial("unix", filepath.Join(i.dir, "fob.sock"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /v1/events?%s HTTP/1.1\r\nHost: fob\r\nConnection: close\r\n\r\n", query)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b, _ := io.ReadAll(c)
		_ = c.Close()
		if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.Contains(string(b), string(api.CodeBadRequest)) {
			t.Errorf("%s is answered %s", query, b)
		}
	}
	if n := watchers(t); n != 0 {
		t.Errorf("%d watch", n)
	}
}
