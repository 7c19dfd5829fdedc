// Package nss looks users and groups up as the system does, through getent and whatever name service it uses:
// without cgo the standard library knows /etc/passwd alone and believes $USER.
package nss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// How a look-up can fail.
var (
	// ErrUnknown says that there is no such user.
	ErrUnknown = errors.New("there is no such user")
	// ErrUnavailable says that nobody can tell now: the name service failed or did not answer in time.
	ErrUnavailable = errors.New("users cannot be looked up now")
)

// DefaultTimeout is how long a look-up may take.
const DefaultTimeout = 2 * time.Second

// Bounds in bytes.
const (
	maxName   = 256
	maxOutput = 64 << 10
	maxList   = 4 << 20 // of everybody
)

// User is one user of the system.
type User struct {
	UID, GID uint32
	Name     string
	Home     string
	Shell    string
}

// Lookup looks users up. The zero value is ready for use; all values may be used concurrently.
type Lookup struct {
	// Command is getent's absolute path; /usr/bin/getent or /bin/getent if empty.
	Command string
	// Timeout bounds a look-up; DefaultTimeout if 0.
	Timeout time.Duration
}

// ByName returns the user who is called exactly name. A number is a name like any other here,
// although getent takes it for a uid. Errors wrap ErrUnknown or ErrUnavailable.
func (l Lookup) ByName(ctx context.Context, name string) (User, error) {
	if !validName(name) {
		return User{}, fmt.Errorf("cannot look up %.64q: %w", name, ErrUnknown)
	}
	u, err := l.passwd(ctx, name)
	if err == nil && u.Name != name {
		err = ErrUnknown
	}
	if err != nil {
		return User{}, fmt.Errorf("cannot look up %q: %w", name, err)
	}
	return u, nil
}

// ByUID returns the user whose id is uid. Errors wrap ErrUnknown or ErrUnavailable.
func (l Lookup) ByUID(ctx context.Context, uid uint32) (User, error) {
	u, err := l.passwd(ctx, strconv.FormatUint(uint64(uid), 10))
	if err == nil && u.UID != uid {
		err = ErrUnknown
	}
	if err != nil {
		return User{}, fmt.Errorf("cannot look up uid %d: %w", uid, err)
	}
	return u, nil
}

// notFound is getent's exit status for a key that the database does not have.
const notFound = 2

// batch is how many names getent is asked for at a time.
const batch = 100

// ByNames returns the users who are called exactly as one of names, by name; those who do not exist are
// left out. Its error wraps ErrUnavailable: then nothing is known of any of them.
func (l Lookup) ByNames(ctx context.Context, names []string) (map[string]User, error) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !validName(name) })
	found := make(map[string]User, len(names))
	for some := range slices.Chunk(names, batch) {
		out, err := l.getent(ctx, "passwd", allOf, some...)
		if err != nil && !errors.Is(err, ErrUnknown) { // it says so where one of them is unknown
			return nil, fmt.Errorf("cannot look up users: %w", err)
		}
		for line := range strings.Lines(string(out)) {
			u, err := parsePasswd([]byte(line))
			if err != nil {
				return nil, fmt.Errorf("cannot look up users: %w", err)
			}
			if slices.Contains(some, u.Name) {
				found[u.Name] = u
			}
		}
	}
	return found, nil
}

// The ids of people, and not of the system's own accounts: those of login.defs(5) as it is delivered, and
// behind them those of systemd-homed.
const (
	firstPerson = 1000
	lastPerson  = 60513
)

// People returns the people who have an account here, as far as the name service lists them: many do not list
// those of a directory. Whoever cannot log in is left out. Errors wrap ErrUnavailable.
func (l Lookup) People(ctx context.Context) ([]User, error) {
	out, err := l.getent(ctx, "passwd", allOf)
	if err != nil {
		return nil, fmt.Errorf("cannot list users: %w", err)
	}
	var people []User
	for line := range strings.Lines(string(out)) {
		u, err := parsePasswd([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("cannot list users: %w", err)
		}
		shell := path.Base(u.Shell)
		if u.UID >= firstPerson && u.UID <= lastPerson && shell != "nologin" && shell != "false" {
			people = append(people, u)
		}
	}
	return people, nil
}

// passwd asks getent for one entry of the passwd database.
func (l Lookup) passwd(ctx context.Context, key string) (User, error) {
	out, err := l.getent(ctx, "passwd", allOf, key)
	if err != nil {
		return User{}, err
	}
	return parsePasswd(out)
}

// getent asks for entries of a database and gives what it printed, with ErrUnknown too where one of
// several keys is unknown. Of each line it keeps as many fields as said.
func (l Lookup) getent(ctx context.Context, database string, fields int, keys ...string) ([]byte, error) {
	command, err := l.command()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout())
	defer cancel()

	out := bounded{fields: fields, max: maxOutput}
	if len(keys) == 0 {
		out.max = maxList
	}
	cmd := exec.CommandContext(ctx, command, append([]string{database, "--"}, keys...)...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.Stdout = &out
	// What getent may have started goes with it, and a pipe that is held open is not waited for.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond

	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() == notFound:
		return out.b, ErrUnknown
	case err != nil:
		return nil, fmt.Errorf("%w: getent: %w", ErrUnavailable, err)
	}
	return out.b, nil
}

func (l Lookup) timeout() time.Duration {
	if l.Timeout <= 0 {
		return DefaultTimeout
	}
	return l.Timeout
}

func (l Lookup) command() (string, error) {
	if l.Command != "" {
		return l.Command, nil
	}
	for _, path := range []string{"/usr/bin/getent", "/bin/getent"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: getent is not installed", ErrUnavailable)
}

// bounded keeps what is written to it and fails once that is too much. Fields of a line beyond the number
// that is asked for are left out: the last of a group are its members, who may be very many.
type bounded struct {
	b      []byte
	max    int
	fields int
	seen   int // whole fields of the line so far
}

// allOf a line's fields are kept.
const allOf = 0

func (w *bounded) Write(p []byte) (int, error) {
	for _, c := range p {
		if w.fields == allOf || w.seen < w.fields || c == '\n' {
			if len(w.b) == w.max {
				return 0, errors.New("its answer is too long")
			}
			w.b = append(w.b, c)
		}
		switch c {
		case ':':
			w.seen++
		case '\n':
			w.seen = 0
		}
	}
	return len(p), nil
}

// parsePasswd reads the one line that getent prints for one entry (passwd(5)). Its errors wrap
// ErrUnavailable: a name service that answers something else cannot be asked.
func parsePasswd(b []byte) (User, error) {
	line, ok := strings.CutSuffix(string(b), "\n")
	if !ok || len(b) > maxOutput || strings.ContainsAny(line, "\n\r\x00") || !utf8.ValidString(line) {
		return User{}, fmt.Errorf("%w: getent did not print one line", ErrUnavailable)
	}
	f := strings.Split(line, ":")
	if len(f) != 7 || !validName(f[0]) {
		return User{}, fmt.Errorf("%w: getent printed no entry of passwd", ErrUnavailable)
	}
	uid, err := parseID(f[2])
	if err != nil {
		return User{}, err
	}
	gid, err := parseID(f[3])
	if err != nil {
		return User{}, err
	}
	return User{UID: uid, GID: gid, Name: f[0], Home: f[5], Shell: f[6]}, nil
}

// parseID reads a uid or gid: decimal digits, without sign. 4294967295 means "none" to the kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%w: getent printed the id %.32q", ErrUnavailable, s)
	}
	return uint32(n), nil
}

// validName reports whether name can be a login name at all: 1 to 256 bytes of printable UTF-8, no
// colon, and no hyphen or plus sign first (an option, or NIS's marker).
func validName(name string) bool {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return false
	}
	if name[0] == '-' || name[0] == '+' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r == ':' || !unicode.IsPrint(r) })
}
