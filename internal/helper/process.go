package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/caller"
)

// process is one helper process, from its start until it has been waited for. All its fields are set
// before it is shared.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *tail

	replies  chan reply    // what it said; closed when it says no more
	nonsense error         // why replies was closed early; read after replies is closed
	ready    chan struct{} // closed when it has said that it is ready
	done     chan struct{} // closed when it has been waited for and everything of it is closed
	status   string        // "exit status 1", "signal: killed"; read after done is closed
}

// startProcess starts a helper: in a process group of its own, in /, with a clean environment, and
// with no file but its three pipes. read reads what it says.
//
// It is no session leader: that would make a pseudo-terminal that it opens its controlling terminal.
// It has no parent-death signal: that follows the thread that started it, not the process, and
// SIGKILL would leave a key blinking for a touch that goes nowhere. The end of stdin tells it that
// fobd is gone, and it then cancels what the key waits for and ends (see Serve).
func startProcess(o Options, read func(*process)) (*process, error) {
	var closers []io.Closer
	fail := func(err error) (*process, error) {
		for _, c := range closers {
			c.Close()
		}
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	pipe := func() (r, w *os.File, err error) {
		r, w, err = os.Pipe()
		if err == nil {
			closers = append(closers, r, w)
		}
		return r, w, err
	}
	inR, inW, err := pipe()
	if err != nil {
		return fail(err)
	}
	outR, outW, err := pipe()
	if err != nil {
		return fail(err)
	}
	errR, errW, err := pipe()
	if err != nil {
		return fail(err)
	}
	if err := closeOnExec(); err != nil {
		return fail(err)
	}

	cmd := exec.Command(o.Path, o.Args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "GOTRACEBACK=single"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, errW
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	inR.Close()
	outW.Close()
	errW.Close()

	p := &process{
		cmd: cmd, stdin: inW, stdout: outR, stderr: &tail{},
		replies: make(chan reply, 4),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
	}
	var readers sync.WaitGroup
	readers.Go(func() { read(p) })
	readers.Go(func() {
		io.Copy(p.stderr, errR) // ends when the process does; what failed to be read is only for the log
		errR.Close()
	})
	go func() {
		// Whether it failed is in its state.
		cmd.Wait()
		// What it wrote is read to its end; nobody else can hold the pipes, but nothing hangs on that.
		soon := time.Now().Add(time.Second)
		outR.SetReadDeadline(soon)
		errR.SetReadDeadline(soon)
		readers.Wait()
		p.status = cmd.ProcessState.String()
		p.stdin.Close()
		p.stdout.Close()
		close(p.done)
	}()
	return p, nil
}

// closeOnExec keeps files that this process itself inherited without the flag, such as a service
// manager's sockets, out of the helper.
func closeOnExec() error {
	if unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	// Kernels before 5.11, and sandboxes that do not know the call.
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list open files: %w", err)
	}
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// read passes on what the process says until its last word, nonsense, or its end.
func (p *process) read() {
	defer close(p.replies)
	first := true
	for n := 0; n < cap(p.replies); n++ {
		r, ok := p.next(MaxMessage)
		if !ok {
			return
		}
		if first != (r.State == stateReady) || r.State == stateNews {
			p.nonsense = outOfTurn(r)
			return
		}
		if first {
			first = false
			close(p.ready)
			continue
		}
		p.replies <- r
		if r.State == stateDone || r.State == stateFailed {
			// Whatever it says after its answer is nobody's: the pipe is closed when it ends.
			return
		}
	}
	p.nonsense = errors.New("too many messages")
}

func outOfTurn(r reply) error { return fmt.Errorf("state %q out of turn", r.State) }

// next reads the next thing that the process says; false at its end, and where it makes no sense.
func (p *process) next(most uint32) (reply, bool) {
	b, err := readFrameUpTo(p.stdout, most)
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return reply{}, false
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("half a message")
	}
	var r reply
	if err == nil {
		r, err = parseReply(b)
		clear(b)
	}
	p.nonsense = err
	return r, err == nil
}

// alive reports whether the process has not ended yet.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once.
func (p *process) kill() {
	// Closing stdin too ends a write that the process does not read.
	p.stdin.Close()
	// An error means that it has ended already.
	p.cmd.Process.Kill()
}

// retire lets a process that has answered end by itself, and kills it if it does not.
func (p *process) retire(grace time.Duration) {
	p.stdin.Close()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.kill()
		<-p.done
	}
}

// dead waits for the end of a process that is ending, at most for d, and says how it ended.
func (p *process) dead(d time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	select {
	case <-p.done:
		return p.status
	case <-ctx.Done():
		return "still ending"
	}
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// maxTail bounds in bytes what is kept of a process's stderr.
const maxTail = 4 << 10

// Write implements io.Writer and never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - maxTail; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

// lines are what is kept, line by line, made safe to show.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for l := range bytes.Lines(t.b) {
		if c := caller.Clean(string(l)); !c.IsZero() {
			out = append(out, c.String())
		}
	}
	return out
}
