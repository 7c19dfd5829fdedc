package card

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Port is where vsmartcard-vpcd waits for the card of its first reader; that of the second is the next.
const Port = 35963

// The answers to reset (ISO 7816-3 §8), both T=1: that which a reader makes up for a contactless card, with "Fob" as
// historical bytes (PC/SC part 3 §3.1.3.2.3.1), and a YubiKey's in a USB port.
var (
	contactlessATR = []byte{0x3b, 0x83, 0x80, 0x01, 'F', 'o', 'b', 0x49}
	contactATR     = []byte{0x3b, 0xfd, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x15, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57, 'Y', 'u', 'b', 'i', 'K', 'e', 'y', 0x40}
)

// What the reader sends in a message of one byte.
const (
	powerOff = 0
	powerOn  = 1
	reset    = 2
	getATR   = 4
)

// ErrNoReader says that no virtual reader waits for a card.
var ErrNoReader = errors.New("cannot reach the virtual reader: is a pcscd with vsmartcard-vpcd running?")

// Insert puts the card into the virtual reader at 127.0.0.1:port, and takes it out when ctx ends, or when the card
// pulls itself: it then returns nil. in is called when the reader has given it power. Insert fails with ErrNoReader
// where no reader is there, and where it goes away. A Card may be inserted again.
func (c *Card) Insert(ctx context.Context, port int, in func()) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoReader, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c.Reset()
	err = c.serve(ctx, conn, sync.OnceFunc(in))
	c.Reset()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *Card) serve(ctx context.Context, conn net.Conn, in func()) error {
	powered := false
	for {
		answerAtOnce(conn)
		b, err := receive(conn)
		if err != nil {
			return fmt.Errorf("the virtual reader is gone: %w", err)
		}
		var out []byte
		switch {
		case len(b) == 1 && b[0] == getATR:
			if out = contactlessATR; c.o.Contact {
				out = contactATR
			}
		case len(b) == 1 && (b[0] == powerOff || b[0] == powerOn || b[0] == reset):
			powered = b[0] != powerOff
			c.Reset()
			continue
		default:
			if out = c.Answer(b); out == nil {
				if c.is(FaultMute) {
					select {
					case <-c.gone:
					case <-ctx.Done():
					}
				}
				return nil
			}
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return fmt.Errorf("the virtual reader is gone: %w", err)
		}
		if powered {
			in()
		}
	}
}

// answerAtOnce has the kernel acknowledge what comes without delay (tcp(7)): the driver writes a length and its bytes
// one after the other, and would wait 40 ms between them.
func answerAtOnce(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		// It only costs time where this fails.
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}

// receive reads a length and so many bytes.
func receive(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}
