package logind

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fobproject/fob/internal/caller"
)

// errProcess says that the caller's process cannot be told from others.
var errProcess = errors.New("cannot find the caller's process")

const (
	// tick is the unit of the times that the kernel shows of a process (USER_HZ, the same on all
	// machines that Go runs on).
	tick = time.Second / 100
	// maxProc bounds what is read of a file of the kernel's.
	maxProc = 4096
)

// process is a caller's process. Its folder is held open: through it nothing can be read once the
// process is gone, whichever process has its id then.
type process struct {
	dir   *os.Root
	start time.Duration
}

// hold finds c's process and checks that it is c's: begun before c was accepted, and running as c.UID
// or on behalf of root.
func hold(proc string, c caller.Caller) (*process, error) {
	if c.PID <= 0 || c.Accepted <= 0 {
		return nil, fmt.Errorf("%w: its id was not seen", errProcess)
	}
	dir, err := os.OpenRoot(filepath.Join(proc, strconv.Itoa(int(c.PID))))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProcess, err)
	}
	p := &process{dir: dir}
	if p.start, err = p.startTime(); err == nil && p.start > c.Accepted {
		err = fmt.Errorf("%w: its id is another's now", errProcess)
	}
	// Root's processes begin with others' ids, as sudo does: the kernel vouches for what they are now.
	if err == nil && c.UID != 0 {
		err = p.runsAs(c.UID)
	}
	if err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// check fails unless the process is still there.
func (p *process) check() error {
	start, err := p.startTime()
	if err == nil && start != p.start {
		err = fmt.Errorf("%w: its id is another's now", errProcess)
	}
	return err
}

func (p *process) release() { _ = p.dir.Close() }

// startTime is when the process began, on the boot clock, rounded down to a tick.
func (p *process) startTime() (time.Duration, error) {
	b, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	ticks, ok := parseStat(b)
	if !ok {
		return 0, fmt.Errorf("%w: its start time is none", errProcess)
	}
	return time.Duration(ticks) * tick, nil
}

// runsAs fails unless uid is the process's real user. The owner of its folder says less: what must not
// leave a core dump belongs to root there.
func (p *process) runsAs(uid uint32) error {
	b, err := p.read("status")
	if err != nil {
		return err
	}
	if got, ok := parseStatus(b); !ok || got != uid {
		return fmt.Errorf("%w: it does not run as the caller", errProcess)
	}
	return nil
}

func (p *process) read(name string) ([]byte, error) {
	f, err := p.dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProcess, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProc))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProcess, err)
	}
	return b, nil
}

// parseStat reads a process's start time in ticks since boot out of /proc/PID/stat (proc(5), field
// 22). The program's name is the process's own choice and may hold anything, ')' too.
func parseStat(b []byte) (ticks int64, ok bool) {
	name := bytes.LastIndexByte(b, ')')
	if name < 0 {
		return 0, false
	}
	const field = 22 - 3 // the first after the name is the third
	fields := bytes.Fields(b[name+1:])
	if len(fields) <= field {
		return 0, false
	}
	ticks, err := strconv.ParseInt(string(fields[field]), 10, 64)
	return ticks, err == nil && ticks >= 0 && ticks <= math.MaxInt64/int64(tick)
}

// parseStatus reads a process's real user out of /proc/PID/status (proc(5), "Uid"). The kernel escapes
// line breaks in the program's name.
func parseStatus(b []byte) (uid uint32, ok bool) {
	for line := range bytes.Lines(b) {
		rest, isUID := bytes.CutPrefix(line, []byte("Uid:"))
		if !isUID {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) != 4 {
			return 0, false
		}
		n, err := strconv.ParseUint(string(fields[0]), 10, 32)
		return uint32(n), err == nil
	}
	return 0, false
}
