package virtual

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/creack/pty"
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
	closing       sync.Once
}

// openPort makes a pty and sets it raw.
func openPort() (*port, error) {
	// pty.Open takes the slave with O_NOCTTY: a session leader would get it as its terminal, and die
	// of SIGHUP when the key is unplugged.
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open a pseudo-terminal: %w", err)
	}
	p := &port{master: master, slave: slave, path: slave.Name()}
	if err := control(slave, setRaw); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot set %s raw: %w", p.path, err)
	}
	return p, nil
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

// write sends one report to the host; one goroutine writes. Where nobody reads, the report is lost after
// a second, as it would be on USB.
func (p *port) write(r report) error {
	if err := p.master.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err := p.master.Write(r[:])
	return err
}

// discard throws away what no program has read: a program that opens a hidraw node sees nothing that
// came before.
func (p *port) discard() error {
	flush := func(queue int) func(fd int) error {
		return func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, queue) }
	}
	// First what is on its way to the slave, then what has arrived there.
	if err := control(p.master, flush(unix.TCOFLUSH)); err != nil {
		return err
	}
	return control(p.slave, flush(unix.TCIFLUSH))
}

// close makes the node vanish: a program that waits on it sees the end of file. It may be called more
// than once.
func (p *port) close() {
	p.closing.Do(func() {
		_ = p.master.Close() // nothing is buffered, and there is no one to tell
		_ = p.slave.Close()
	})
}
