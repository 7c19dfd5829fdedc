package logind

import (
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
)

// maxText bounds the names that the session manager gives to things.
const maxText = 64

// listed is what a list tells of a session.
type listed struct {
	ID   string
	UID  uint32
	Seat string
}

// parseList reads the answer to ListSessions, a(susso): id, user's id, user's name, seat, object.
func parseList(c *dbus.Call) (map[dbus.ObjectPath]listed, error) {
	body, err := bodyOf(c, 1)
	if err != nil {
		return nil, err
	}
	rows, ok := body[0].([][]any)
	if !ok {
		return nil, fmt.Errorf("%w: it gives no list of sessions", errGarbled)
	}
	sessions := make(map[dbus.ObjectPath]listed, len(rows))
	ids := make(map[string]bool, len(rows))
	for _, row := range rows {
		if len(row) != 5 {
			return nil, fmt.Errorf("%w: a session in its list has %d values", errGarbled, len(row))
		}
		var s listed
		var okID, okUID, okSeat, okPath bool
		var path dbus.ObjectPath
		s.ID, okID = row[0].(string)
		s.UID, okUID = row[1].(uint32)
		s.Seat, okSeat = row[3].(string)
		path, okPath = row[4].(dbus.ObjectPath)
		if !okID || !okUID || !okSeat || !okPath || !path.IsValid() || s.ID == "" || !isName(s.ID) || !isName(s.Seat) {
			return nil, fmt.Errorf("%w: a session in its list is none", errGarbled)
		}
		if _, again := sessions[path]; again || ids[s.ID] {
			return nil, fmt.Errorf("%w: it lists the session %s twice", errGarbled, s.ID)
		}
		sessions[path], ids[s.ID] = s, true
	}
	return sessions, nil
}

// parseSession reads a session's properties out of the answer to Properties.GetAll.
func parseSession(c *dbus.Call) (caller.Session, error) {
	body, err := bodyOf(c, 1)
	if err != nil {
		return caller.Session{}, err
	}
	properties, ok := body[0].(map[string]dbus.Variant)
	if !ok {
		return caller.Session{}, fmt.Errorf("%w: a session has no properties", errGarbled)
	}
	p := reader{properties: properties}
	s := caller.Session{
		ID:     p.name("Id"),
		Active: p.flag("Active"),
		Remote: p.flag("Remote"),
		Class:  p.name("Class"),
		Type:   p.name("Type"),
		State:  p.name("State"),
	}
	s.UID, ok = p.first("User").(uint32)
	p.need(ok, "User")
	s.Seat, ok = p.first("Seat").(string)
	p.need(ok && isName(s.Seat), "Seat")
	return s, p.err
}

// reader reads properties, and notes the first that is not as it should be.
type reader struct {
	properties map[string]dbus.Variant
	err        error
}

func (r *reader) need(ok bool, property string) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%w: a session's %s is none", errGarbled, property)
	}
}

func (r *reader) name(property string) string {
	s, ok := r.properties[property].Value().(string)
	r.need(ok && isName(s), property)
	return s
}

func (r *reader) flag(property string) bool {
	b, ok := r.properties[property].Value().(bool)
	r.need(ok, property)
	return b
}

// first gives the first value of a property that is a pair of a value and an object: (uo) or (so).
func (r *reader) first(property string) any {
	pair, _ := r.properties[property].Value().([]any)
	if len(pair) != 2 {
		return nil
	}
	if _, ok := pair[1].(dbus.ObjectPath); !ok {
		return nil
	}
	return pair[0]
}

// isName reports whether s may name a seat, a session or a kind of either: short, and no more than
// visible ASCII.
func isName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxText
}
