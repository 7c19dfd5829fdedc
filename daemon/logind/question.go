package logind

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
)

const (
	managerPath      = "/org/freedesktop/login1"
	managerInterface = "org.freedesktop.login1.Manager"
	sessionInterface = "org.freedesktop.login1.Session"
	userInterface    = "org.freedesktop.login1.User"
)

const (
	// maxSessions bounds the sessions of a user that are looked at.
	maxSessions = 32
	// maxReplies bounds the replies of the session manager that a question waits for at a time.
	maxReplies = 4
)

// question is what is asked on behalf of one caller. Calls go to the connection that owned the session
// manager's name when the question began, and end with ctx.
type question struct {
	ctx   context.Context
	conn  *dbus.Conn
	owner string
	named <-chan *dbus.Call // the name's owner, asked first; nil: it was known before
}

// call begins a call and gives where it ends.
func (q *question) call(path dbus.ObjectPath, method string, args ...any) <-chan *dbus.Call {
	return q.conn.Object(q.owner, path).GoWithContext(q.ctx, method, dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), args...).Done
}

// sessions gives the session of a process, or else the user below whose service manager it runs, and
// the sessions of a user on the seat. What the session manager says twice, it must say twice the same.
func (q *question) sessions(pid, user uint32, seat string) (own *caller.Session, manager *uint32, users []caller.Session, err error) {
	byPID := q.call(managerPath, managerInterface+".GetSessionByPID", pid)
	userByPID := q.call(managerPath, managerInterface+".GetUserByPID", pid)
	list := q.call(managerPath, managerInterface+".ListSessions")
	ownPath, errOwn := objectPath(<-byPID, "org.freedesktop.login1.NoSessionForPID")
	userPath, errUser := objectPath(<-userByPID, "org.freedesktop.login1.NoUserForPID")
	listed, errList := parseList(<-list)
	if err := errors.Join(errOwn, errUser, errList); err != nil {
		return nil, nil, nil, err
	}

	var paths []dbus.ObjectPath
	for _, path := range slices.Sorted(maps.Keys(listed)) {
		if s := listed[path]; path == ownPath || s.UID == user && s.Seat == seat && len(paths) < maxSessions {
			paths = append(paths, path)
		}
	}
	if _, isListed := listed[ownPath]; ownPath != "" && !isListed {
		paths = append(paths, ownPath)
	}
	var manages <-chan *dbus.Call
	if ownPath == "" && userPath != "" {
		manages = q.call(userPath, "org.freedesktop.DBus.Properties.Get", userInterface, "UID")
	}
	for few := range slices.Chunk(paths, maxReplies-1) {
		asked := make([]<-chan *dbus.Call, len(few))
		for i, path := range few {
			asked[i] = q.call(path, "org.freedesktop.DBus.Properties.GetAll", sessionInterface)
		}
		for i, path := range few {
			s, err := parseSession(<-asked[i])
			if err != nil {
				return nil, nil, nil, err
			}
			l, isListed := listed[path]
			switch {
			case isListed && (s.ID != l.ID || s.UID != l.UID || s.Seat != l.Seat):
				return nil, nil, nil, fmt.Errorf("%w: it tells two things of the session %s", errGarbled, s.ID)
			case !isListed && s.Seat != "":
				return nil, nil, nil, fmt.Errorf("%w: it does not list the session %s", errGarbled, s.ID)
			}
			if path == ownPath {
				own = &s
			}
			if isListed && s.UID == user && s.Seat == seat {
				users = append(users, s)
			}
		}
	}
	if manages != nil {
		uid, err := parseUID(<-manages)
		if err != nil {
			return nil, nil, nil, err
		}
		manager = &uid
	}
	return own, manager, users, nil
}

// objectPath reads an answer that is one object; empty where it is the error that says that there is none.
func objectPath(c *dbus.Call, none string) (dbus.ObjectPath, error) {
	if isError(c.Err, none) {
		return "", nil
	}
	body, err := bodyOf(c, 1)
	if err != nil {
		return "", err
	}
	path, ok := body[0].(dbus.ObjectPath)
	if !ok || !path.IsValid() {
		return "", fmt.Errorf("%w: it gives no object", errGarbled)
	}
	return path, nil
}

// parseUID reads a user's id out of the answer to Properties.Get.
func parseUID(c *dbus.Call) (uint32, error) {
	body, err := bodyOf(c, 1)
	if err != nil {
		return 0, err
	}
	v, _ := body[0].(dbus.Variant)
	uid, ok := v.Value().(uint32)
	if !ok {
		return 0, fmt.Errorf("%w: a user's id is no number", errGarbled)
	}
	return uid, nil
}

// bodyOf gives a reply's values. Where there are not as many as there should be, it fails.
func bodyOf(c *dbus.Call, values int) ([]any, error) {
	var reply dbus.Error
	switch {
	case errors.As(c.Err, &reply):
		return nil, fmt.Errorf("the session manager refused: %w", c.Err)
	case c.Err != nil:
		return nil, fmt.Errorf("%w: %w", errLost, c.Err)
	case len(c.Body) != values:
		return nil, fmt.Errorf("%w: %d values instead of %d", errGarbled, len(c.Body), values)
	}
	return c.Body, nil
}
