package virtual

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// staleReport is how old the beginning of a report may be: a program that was killed in the middle of
// a write must not shift all reports after it.
const staleReport = 500 * time.Millisecond

// port is a pseudo-terminal whose slave is the key's device node. libfido2 writes report id 0 and 64
// bytes to a path that is no hidraw device, and reads 64 bytes. The slave is kept open here, so that
// the port outlives the programs that open and close it.
type port struct {
	master, slave *os.File
	path          string
	closed        *os.File // inotify: programs that close the node
	closing       sync.Once
	// locked says that the program which opened the node last, with INIT, holds its lock. It belongs to
	// the goroutine that writes.
	locked bool
}

// openPort makes a pty and sets it raw. Both ends are opened with O_NOCTTY: a session leader would get
// the slave as its terminal, and die of SIGHUP when the key is unplugged.
func openPort() (*port, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a pseudo-terminal: %w", err)
	}
	var n int
	err = control(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		var err error
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		_ = master.Close()
		return nil, fmt.Errorf("cannot unlock a pseudo-terminal: %w", err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		_ = master.Close()
		return nil, fmt.Errorf("cannot open a pseudo-terminal: %w", err)
	}
	p := &port{master: master, slave: slave, path: path}
	if err := control(slave, setRaw); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot set %s raw: %w", path, err)
	}
	if p.closed, err = watchClosing(path); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// watchClosing returns a file that can be read each time a program has closed path, or has died.
func watchClosing(path string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot watch %s: %w", path, err)
	}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_CLOSE); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot watch %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// setRaw turns off all that a terminal does to bytes, as cfmakeraw does. A read and a poll wait for a
// whole report, as they would on hidraw.
func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN] = reportLen
	t.Cc[unix.VTIME] = 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// control runs f on the descriptor of tty.
func control(tty *os.File, f func(fd int) error) error {
	raw, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// read sends every report of the host to out, until the port is closed or stop is.
func (p *port) read(out chan<- report, stop <-chan struct{}) error {
	const withID = reportLen + 1
	var buf [withID]byte
	n, began := 0, time.Time{}
	for {
		m, err := p.master.Read(buf[n:])
		if err != nil {
			if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("cannot read from the host: %w", err)
		}
		if n > 0 && time.Since(began) > staleReport {
			copy(buf[:], buf[n:n+m])
			n = 0
		}
		if n == 0 {
			began = time.Now()
		}
		if n += m; n < withID {
			continue
		}
		n = 0
		if buf[0] != 0 { // a report id that this key does not have
			continue
		}
		select {
		case out <- report(buf[1:]):
		case <-stop:
			return nil
		}
	}
}

// write sends one report to the host; one goroutine writes. It is lost where the program that began the
// session is gone, and where nobody reads for a second, as it would be on USB.
func (p *port) write(r report) error {
	if p.locked {
		if held, err := p.held(); err != nil || !held {
			return err
		}
	}
	if err := p.master.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err := p.master.Write(r[:])
	return err
}

// discard is called when a program begins a session. It throws away what no program has read: one that
// opens a hidraw node sees nothing that came before.
func (p *port) discard() (err error) {
	if p.locked, err = p.held(); err != nil {
		return err
	}
	return p.flush()
}

func (p *port) flush() error {
	queue := func(which int) func(fd int) error {
		return func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, which) }
	}
	// First what is on its way to the slave, then what has arrived there.
	if err := control(p.master, queue(unix.TCOFLUSH)); err != nil {
		return err
	}
	return control(p.slave, queue(unix.TCIFLUSH))
}

// held reports whether a program holds the node's lock, as libfido2 does while it has it open.
func (p *port) held() (held bool, err error) {
	err = control(p.slave, func(fd int) error {
		err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			held = true
			return nil
		}
		if err != nil {
			return err
		}
		return unix.Flock(fd, unix.LOCK_UN)
	})
	return held, err
}

// tidy throws away what a program left unread that closed the node, at once: the next one reads as soon
// as it has written INIT, and would take an old answer for its own. It ends when the port is closed.
func (p *port) tidy() {
	buf := make([]byte, 4096)
	for {
		if _, err := p.closed.Read(buf); err != nil {
			return
		}
		if held, err := p.held(); err == nil && !held {
			_ = p.flush() // INIT does it once more
		}
	}
}

// close makes the node vanish: a program that waits on it sees the end of file. It may be called more
// than once.
func (p *port) close() {
	p.closing.Do(func() {
		_ = p.master.Close() // nothing is buffered, and there is no one to tell
		_ = p.slave.Close()
		if p.closed != nil {
			_ = p.closed.Close()
		}
	})
}
