package daemon_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon/journal"
	"github.com/fobproject/fob/internal/api"
)

// journald is a journal that takes what it is sent.
type journald struct {
	path    string
	entries chan map[string]string // fields by name
}

// serveJournal listens below dir.
func serveJournal(t *testing.T, dir string) *journald {
	t.Helper()
	j := &journald{path: filepath.Join(dir, "journal"), entries: make(chan map[string]string, 1000)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1<<20)
		for {
			n, err := c.Read(b)
			if err != nil {
				return // the test is over
			}
			fields := map[string]string{}
			for line := range strings.Lines(string(b[:n])) { // no value here has several
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				fields[name] = value
			}
			j.entries <- fields
		}
	}()
	return j
}

// next waits for the next entry.
func (j *journald) next(t *testing.T) map[string]string {
	t.Helper()
	select {
	case e := <-j.entries:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes to the journal")
		return nil
	}
}

// none fails if there was more.
func (j *journald) none(t *testing.T) {
	t.Helper()
	select {
	case e := <-j.entries:
		t.Errorf("to the journal also comes %v", e)
	case <-time.After(100 * time.Millisecond):
	}
}

// head fails unless the entry is that of a log's head.
func head(t *testing.T, e map[string]string, seq uint64, hash string) {
	t.Helper()
	if e["MESSAGE_ID"] != journal.MessageIDHead || e["FOB_SEQ"] != fmt.Sprint(seq) || e["FOB_HASH"] != hash || e["FOB_INSTANCE"] == "" || e["PRIORITY"] != "6" {
		t.Errorf("to the journal comes %v, not the head %d, %s", e, seq, hash)
	}
}

// What an administrator should find later stands in the journal, where fobd cannot take it back.
func TestSystemTellsTheJournal(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	head(t, m.noted.next(t), 0, strings.Repeat("0", 64))

	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	s := p.sshd.begin(t, ssh("192.0.2.44", "SHA256:one"))
	v := first(t, s)
	if err := p.desk.Report(limit(t), v.ID); err != nil {
		t.Fatal(err)
	}
	if v = decision(t, s); v.Decision != api.Reported || v.LogSeq == 0 {
		t.Fatalf("it ends %+v", v)
	}
	report := m.noted.next(t)
	for name, want := range map[string]string{
		"MESSAGE_ID": journal.MessageIDReport, "PRIORITY": "4", "FOB_SEQ": strconv.FormatUint(v.LogSeq, 10), "FOB_REQUEST": v.ID,
		"FOB_USER": "daemon", "FOB_UID": fmt.Sprint(uidDaemon), "FOB_SERVICE": "pam:sshd", "FOB_PLACE": "remote", "FOB_ORIGIN": "192.0.2.44",
	} {
		if report[name] != want {
			t.Errorf("of the report %s is %q, want %q", name, report[name], want)
		}
	}
	s = p.sshd.begin(t, ssh("192.0.2.45", ""))
	if err := p.desk.Deny(limit(t), first(t, s).ID); err != nil {
		t.Fatal(err)
	}
	decision(t, s)
	m.noted.none(t) // of a denial nobody has to hear

	st, err := p.sshd.Status(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	m.stop()
	head(t, m.noted.next(t), v.LogSeq+1, st.LogHead)
	m.noted.none(t)
}
