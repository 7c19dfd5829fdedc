package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/daemon/journal"
)

// listen is a journal that takes datagrams.
func listen(t *testing.T) (journal.Journal, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return journal.Journal{Path: path}, c
}

// receive reads a datagram as journald does.
func receive(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<20)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for b = b[:n]; len(b) > 0; {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			t.Fatalf("half a field: %q", b)
		}
		name, value, short := bytes.Cut(line, []byte("="))
		if !short {
			n := binary.LittleEndian.Uint64(rest)
			value, rest = rest[8:8+n], rest[8+n:]
			if rest[0] != '\n' {
				t.Fatalf("the field %s has no end", name)
			}
			rest = rest[1:]
		}
		if _, twice := fields[string(name)]; twice {
			t.Errorf("the field %s is twice", name)
		}
		fields[string(name)], b = string(value), rest
	}
	return fields
}

func TestSend(t *testing.T) {
	t.Run("sends text, id, priority and fields", func(t *testing.T) {
		j, c := listen(t)
		err := j.Send(journal.Message{ID: strings.Repeat("ab", 16), Priority: journal.Info, Text: "a=b ü", Fields: map[string]string{"SEQ": "7", "HOST": ""}})
		want := map[string]string{"MESSAGE": "a=b ü", "MESSAGE_ID": strings.Repeat("ab", 16), "PRIORITY": "6", "SYSLOG_IDENTIFIER": "fobd", "FOB_SEQ": "7"}
		if got := receive(t, c); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q, %v", got, want, err)
		}
	})
	t.Run("lets no value bring fields of its own", func(t *testing.T) {
		j, c := listen(t)
		evil := "x\nPRIORITY=0\nMESSAGE\n\x01\x00\x00\x00\x00\x00\x00\x00y\n"
		err := j.Send(journal.Message{Priority: journal.Warning, Text: evil, Fields: map[string]string{"HOST": evil, "ORIGIN": "\n"}})
		want := map[string]string{"MESSAGE": evil, "PRIORITY": "4", "SYSLOG_IDENTIFIER": "fobd", "FOB_HOST": evil, "FOB_ORIGIN": "\n"}
		if got := receive(t, c); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q, %v", got, want, err)
		}
	})
	t.Run("refuses names that the journal would drop", func(t *testing.T) {
		j, _ := listen(t)
		for _, name := range []string{"", "host", "A B", "A=B", "A\nB", "Ü", strings.Repeat("A", 61)} {
			if err := j.Send(journal.Message{Text: "x", Fields: map[string]string{name: "1"}}); err == nil {
				t.Errorf("%q is accepted", name)
			}
		}
	})
	t.Run("cuts long texts between characters, and the largest message fits", func(t *testing.T) {
		j, c := listen(t)
		m := journal.Message{Text: strings.Repeat("ü\n", journal.MaxValue), Fields: map[string]string{}}
		for i := range journal.MaxFields {
			m.Fields[fmt.Sprint("N", i)] = "x" + strings.Repeat("ü", journal.MaxValue)
		}
		if err := j.Send(m); err != nil {
			t.Fatal(err)
		}
		got := receive(t, c)
		for name, value := range got {
			if len(value) > journal.MaxValue || strings.ToValidUTF8(value, "?") != value {
				t.Errorf("%s has %d bytes: %q", name, len(value), value[len(value)-9:])
			}
		}
		if !strings.HasSuffix(got["FOB_N1"], "ü…") || len(got) != journal.MaxFields+3 {
			t.Errorf("%d fields, one ends in %q", len(got), got["FOB_N1"][2000:])
		}
		m.Fields["MORE"] = "1"
		if err := j.Send(m); err == nil {
			t.Error("one field more is accepted")
		}
	})
	t.Run("says that there is no journal", func(t *testing.T) {
		j, c := listen(t)
		missing := journal.Journal{Path: filepath.Join(t.TempDir(), "none")}
		if err := missing.Send(journal.Message{Text: "x"}); !errors.Is(err, journal.ErrNone) {
			t.Error(err)
		}
		// A socket without a listener stays where its program died.
		c.Close()
		if err := j.Send(journal.Message{Text: "x"}); !errors.Is(err, journal.ErrNone) {
			t.Error(err)
		}
		long := journal.Journal{Path: strings.Repeat("/long", 40)}
		if err := long.Send(journal.Message{Text: "x"}); err == nil {
			t.Error("a path that is no address is accepted")
		}
	})
	t.Run("never waits for a journal that does not read", func(t *testing.T) {
		j, _ := listen(t)
		start := time.Now()
		for range 100_000 {
			err := j.Send(journal.Message{Text: "x"})
			if errors.Is(err, journal.ErrBusy) {
				if time.Since(start) > 10*time.Second {
					t.Error("it waited")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Error("it never said that the journal is busy")
	})
}

// messages are one of each kind.
func messages() []journal.Message {
	return []journal.Message{
		journal.HeadMessage("0011", 7, [32]byte{0xab}),
		journal.Report{Instance: "0011", Seq: 8, Request: "r1", User: "anna", UID: 1000, Service: "pam:sshd", Place: "remote", Origin: "192.0.2.7", Host: "desk"}.Message(),
	}
}

func TestMessages(t *testing.T) {
	j, c := listen(t)
	var got []map[string]string
	for _, m := range messages() {
		if err := j.Send(m); err != nil {
			t.Fatal(err)
		}
		got = append(got, receive(t, c))
	}
	hash := "ab" + strings.Repeat("00", 31)
	want := []map[string]string{
		{
			"MESSAGE": "the newest entry of the log of decisions is number 7, with the hash " + hash, "MESSAGE_ID": journal.MessageIDHead, "PRIORITY": "6",
			"SYSLOG_IDENTIFIER": "fobd", "FOB_INSTANCE": "0011", "FOB_SEQ": "7", "FOB_HASH": hash,
		},
		{
			"MESSAGE": "anna reported a sign-in at pam:sshd that they had not begun, from 192.0.2.7", "MESSAGE_ID": journal.MessageIDReport, "PRIORITY": "4",
			"SYSLOG_IDENTIFIER": "fobd", "FOB_INSTANCE": "0011", "FOB_SEQ": "8", "FOB_REQUEST": "r1", "FOB_USER": "anna", "FOB_UID": "1000",
			"FOB_SERVICE": "pam:sshd", "FOB_PLACE": "remote", "FOB_ORIGIN": "192.0.2.7", "FOB_HOST": "desk",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// TestCatalog compares the explanations for people with what is sent.
func TestCatalog(t *testing.T) {
	b, err := os.ReadFile("../../packaging/journal/fob.catalog")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^-- ([0-9a-f]{32})$`).FindAllStringSubmatchIndex(string(b), -1)
	explained := map[string]string{}
	for i, at := range parts {
		end := len(b)
		if i+1 < len(parts) {
			end = parts[i+1][0]
		}
		explained[string(b[at[2]:at[3]])] = string(b[at[1]:end])
	}
	if len(explained) != len(messages()) || strings.Count("\n"+string(b), "\n--") != len(messages()) {
		t.Errorf("it explains %d messages, there are %d", len(explained), len(messages()))
	}
	for _, m := range messages() {
		text := explained[m.ID]
		head, body, ok := strings.Cut(strings.TrimPrefix(text, "\n"), "\n\n")
		if !ok || strings.TrimSpace(body) == "" {
			t.Errorf("%s is not explained", m.ID)
		}
		var names []string
		for line := range strings.Lines(head) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if value == "" {
				t.Errorf("%s: %q is no header", m.ID, line)
			}
			names = append(names, name)
		}
		if !slices.Contains(names, "Subject") || !slices.Contains(names, "Defined-By") {
			t.Errorf("%s has the headers %v", m.ID, names)
		}
		for _, field := range regexp.MustCompile(`@([A-Z_]+)@`).FindAllStringSubmatch(body, -1) {
			if _, ok := m.Fields[strings.TrimPrefix(field[1], "FOB_")]; !ok {
				t.Errorf("%s names %s, which it does not carry", m.ID, field[1])
			}
		}
	}
}
