package socketapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/clock"
)

// maxConns bounds the connections that are served at a time. Where the door is everybody's, maxPerUser
// bounds those of one user but root, and maxOthers those of all users but root: nobody can take all of
// them, and several together cannot shut root out.
const (
	maxConns   = 256
	maxPerUser = 32
	maxOthers  = maxConns - 32
)

// busyAnswer is what a connection beyond maxConns gets.
const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"error":{"code":"too_many_pending","message":"fobd serves too many connections: close some and try again"}}` + "\n"

// listener takes connections with the peer's credentials, and never more than maxConns.
type listener struct {
	*net.UnixListener
	log     *slog.Logger
	shared  bool // serves every user
	mu      sync.Mutex
	open    int            // connections that are served
	users   map[uint32]int // of them, by user
	paces   paces
	leaving atomic.Int32 // connections that are told that there is no room
}

// Accept waits for a connection whose peer the kernel vouches for. One without credentials is closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		who, err := peer(c)
		if err != nil {
			l.log.Warn("turned away a connection without credentials", slog.Any("error", err))
			_ = c.Close()
			continue
		}
		if !l.enter(who.UID) {
			l.turnAway(c)
			continue
		}
		in := &conn{UnixConn: c, who: who, release: sync.OnceFunc(func() { l.exit(who.UID) })}
		if l.shared && who.UID != 0 {
			in.paces, in.closed = &l.paces, make(chan struct{})
		}
		return in, nil
	}
}

// enter counts a connection in; false if there is no room for one of that user.
func (l *listener) enter(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxConns || l.shared && uid != 0 && (l.users[uid] >= maxPerUser || l.open-l.users[0] >= maxOthers) {
		return false
	}
	if l.users == nil {
		l.users = make(map[uint32]int)
	}
	l.open++
	l.users[uid]++
	return true
}

func (l *listener) exit(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.users[uid]--; l.users[uid] == 0 {
		delete(l.users, uid)
	}
}

// turnAway tells a connection that there is no room. What the client has sent meanwhile must be read:
// closing a socket with unread data makes the client see an error and not the answer.
func (l *listener) turnAway(c *net.UnixConn) {
	_, _ = c.Write([]byte(busyAnswer)) // fits the socket's empty buffer: never blocks
	_ = c.CloseWrite()
	if l.leaving.Add(1) > maxConns {
		l.leaving.Add(-1)
		_ = c.Close()
		return
	}
	go func() {
		defer l.leaving.Add(-1)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, c, maxBody)
		_ = c.Close()
	}()
}

// peer reads who is at the other end (SO_PEERCRED, unix(7)): as it was when it connected.
func peer(c *net.UnixConn) (caller.Caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return caller.Caller{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return caller.Caller{}, err
	}
	if credErr != nil {
		return caller.Caller{}, credErr
	}
	const overflow = ^uint32(0) // the kernel's answer where there is no peer
	if cred.Uid == overflow {
		return caller.Caller{}, errors.New("the kernel does not know the peer's user id")
	}
	return caller.Caller{UID: cred.Uid, PID: cred.Pid, Door: caller.DoorSocket, Accepted: clock.System().Boot()}, nil
}

// conn is a connection that knows its caller. While a stream is sent over it, anything that the
// client sends ends the stream: net/http reads one byte ahead to notice a client that leaves, and a
// client that sent more would never be noticed leaving.
type conn struct {
	*net.UnixConn
	who     caller.Caller
	ahead   atomic.Bool // the last read was of one byte: net/http's, ahead of the next request
	onData  atomic.Pointer[context.CancelFunc]
	release func()
	paces   *paces        // nil where nobody is paced
	closed  chan struct{} // closed with the connection, where it is paced
	closing sync.Once
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	if n > 0 {
		c.keepPace(n)
		c.ahead.Store(len(p) == 1)
		if end := c.onData.Load(); end != nil {
			(*end)()
		}
	}
	return n, err
}

// keepPace waits as long as a user who brings too much has to.
func (c *conn) keepPace(n int) {
	if c.paces == nil {
		return
	}
	wait := c.paces.brought(c.who.UID, n, time.Now())
	if wait == 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closing.Do(func() {
		if c.closed != nil {
			close(c.closed)
		}
	})
	c.release()
	return c.UnixConn.Close()
}

type connKey struct{}

// withConn is http.Server's ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf gives the connection that a request came by; nil if it came by none of ours.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
