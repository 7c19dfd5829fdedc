package libfido

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
)

// patience is how long another program may hold the key before it is called busy.
const patience = 2 * time.Second

// probe is a second descriptor of the key's device node, kept while libfido2 uses its own: it tells
// what libfido2's error codes do not. A nil probe knows nothing.
type probe struct {
	fd     int
	hidraw bool
}

// newProbe opens the device node and waits until no other program holds its lock: libfido2 itself
// would try for 21 s and then call it an internal error. The lock is held until unlock.
func newProbe(ctx context.Context, path string, end time.Time) (*probe, error) {
	// Not to become the terminal of this process, not to wait for a line, not to be inherited.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nodeError(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		unix.Close(fd)
		return nil, &helper.OpError{Name: "FOB_NO_DEVICE", Text: "cannot use what is no device node", Cause: fido.CauseGone}
	}
	p := &probe{fd: fd}
	p.hidraw = p.isHidraw()
	limit := time.Now().Add(min(patience, time.Until(end)/2))
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil, !errors.Is(err, unix.EWOULDBLOCK): // what cannot be locked is libfido2's to refuse
			return p, nil
		case time.Now().After(limit):
			unix.Close(fd)
			return nil, &helper.OpError{Name: "FOB_KEY_BUSY", Text: "another program holds the key", Cause: fido.CauseBusy}
		}
		select {
		case <-ctx.Done():
			unix.Close(fd)
			return nil, &helper.OpError{Name: "FOB_CANCELLED", Text: "the operation was cancelled", Cause: fido.CauseCancelled}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// nodeError says why a device node could not be opened.
func nodeError(err error) error {
	e := &helper.OpError{Name: "FOB_NO_DEVICE", Text: "cannot open the device node: " + err.Error()}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Cause = fido.CauseForbidden
	case errors.Is(err, unix.EBUSY):
		e.Cause = fido.CauseBusy
	default:
		e.Cause = fido.CauseGone
	}
	return e
}

// unlock lets libfido2 take the lock.
func (p *probe) unlock() {
	// It fails only where it was not locked.
	unix.Flock(p.fd, unix.LOCK_UN)
}

// close closes the descriptor; libfido2 must be done with the device.
func (p *probe) close() {
	if p != nil {
		unix.Close(p.fd)
	}
}

// gone reports whether the device has been unplugged.
func (p *probe) gone() bool {
	if p == nil {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return false
	}
	return fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// isHidraw reports whether each descriptor of the device gets its own copy of what the key sends, as
// hidraw's do. On a pseudo-terminal reading would take it from libfido2.
func (p *probe) isHidraw() bool {
	const hidiocgrawinfo = 0x80084803
	var info [8]byte
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.fd), hidiocgrawinfo, uintptr(unsafe.Pointer(&info[0])))
	return errno == 0
}

// sawBusy reports whether the key has said that it works for another program: libfido2 makes a plain
// receive error of that.
func (p *probe) sawBusy() bool {
	if p == nil || !p.hidraw {
		return false
	}
	var report [64]byte
	for range 64 { // hidraw keeps no more
		n, err := unix.Read(p.fd, report[:])
		if err != nil || n <= 0 {
			return false
		}
		if isBusyReport(report[:n]) {
			return true
		}
	}
	return false
}

// isBusyReport reports whether an input report is CTAPHID_ERROR with ERR_CHANNEL_BUSY (CTAP 2.1
// §11.2.9.1.6): channel, command, length, code.
func isBusyReport(b []byte) bool {
	return len(b) >= 8 && b[4] == 0xbf && b[5] == 0 && b[6] == 1 && b[7] == 0x06
}
