// Package journal sends the few messages that an administrator should find later to systemd's journal,
// with fields and a message id. (go-systemd has the socket's path built in, so that it cannot be tested.)
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// DefaultPath is where journald listens.
const DefaultPath = "/run/systemd/journal/socket"

// Bounds of a message: then it fits into a datagram (some 200 KiB) with the kernel's defaults.
const (
	MaxValue  = 2 << 10 // bytes of the text, and of each field; more is cut off
	MaxFields = 32
	maxName   = 64
)

var (
	// ErrNone says that no journal listens there.
	ErrNone = errors.New("there is no journal")
	// ErrBusy says that the journal did not take the message at once; nobody waits for it.
	ErrBusy = errors.New("the journal does not keep up")
)

// Priority is that of syslog(3).
type Priority int

// The priorities that Fob uses.
const (
	Warning Priority = 4
	Info    Priority = 6
)

// Message is one entry for the journal.
type Message struct {
	ID       string // 128 bits, hexadecimal
	Priority Priority
	Text     string
	// Fields are kept beside the text, under their names with FOB_ in front. Names are of capitals,
	// digits and '_'. Empty values are left out.
	Fields map[string]string
}

// Journal is the journal's native socket. The zero value is the system's. It is safe for concurrent use.
type Journal struct {
	Path string // DefaultPath if empty
}

// Send sends m and never waits: it fails with ErrNone or ErrBusy where the journal does not take it now. A
// caller may ignore the error; then the message is lost.
func (j Journal) Send(m Message) error {
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	path := j.Path
	if path == "" {
		path = DefaultPath
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	defer unix.Close(fd)
	err = unix.Sendto(fd, data, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: path})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		err = fmt.Errorf("%w at %s", ErrNone, path)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		err = ErrBusy
	}
	if err != nil {
		return fmt.Errorf("cannot write to the journal: %w", err)
	}
	return nil
}

// encode writes the message in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
func (m Message) encode() ([]byte, error) {
	if len(m.Fields) > MaxFields {
		return nil, fmt.Errorf("a message of %d fields, %d are allowed", len(m.Fields), MaxFields)
	}
	b := appendField(nil, "MESSAGE", m.Text)
	b = appendField(b, "MESSAGE_ID", m.ID)
	b = appendField(b, "PRIORITY", strconv.Itoa(int(m.Priority)))
	b = appendField(b, "SYSLOG_IDENTIFIER", "fobd")
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		full := "FOB_" + name
		if !isName(full) {
			return nil, fmt.Errorf("%.80q is no name of a field", full)
		}
		b = appendField(b, full, m.Fields[name])
	}
	return b, nil
}

// isName reports whether the journal would take a field of this name. It drops others without a word.
func isName(name string) bool {
	allowed := func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' }
	return len(name) <= maxName && strings.IndexFunc(name, func(r rune) bool { return !allowed(r) }) < 0 && !strings.HasSuffix(name, "_")
}

func appendField(b []byte, name, value string) []byte {
	value = cut(value)
	if value == "" {
		return b
	}
	b = append(b, name...)
	if strings.Contains(value, "\n") {
		// Otherwise a value could bring fields of its own.
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	} else {
		b = append(b, '=')
	}
	return append(append(b, value...), '\n')
}

// cut shortens a value to MaxValue bytes and never within a character.
func cut(value string) string {
	const more = "…"
	if len(value) <= MaxValue {
		return value
	}
	end := MaxValue - len(more)
	for end > 0 && !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end] + more
}
