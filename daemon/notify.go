package daemon

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// notify tells the service manager of the daemon's state (sd_notify(3)). socket is $NOTIFY_SOCKET: a
// path, or an abstract name that begins with '@'; empty means that nobody wants to know.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return fmt.Errorf("cannot notify the service manager: %q is no socket's name", socket)
	}
	// Package net turns a leading '@' into the abstract name's zero byte.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	defer c.Close()
	// A service manager that does not read is not waited for.
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	return nil
}
