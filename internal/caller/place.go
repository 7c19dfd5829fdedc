package caller

import "slices"

// Session is a login session as the session manager describes it. Class and Type are in part the
// session's own choice (CVE-2019-3842): they never count without Active, Remote and Seat.
type Session struct {
	ID   string
	UID  uint32 // of the owner
	Seat string // empty: on none
	// Active is set while the session is in the foreground of its seat.
	Active bool
	// Remote is set where the session came over a network.
	Remote bool
	Class  string // "user", "greeter", "lock-screen", "background", "manager", …
	Type   string // "wayland", "x11", "tty", "unspecified", …
	State  string // "active", "online", "closing", …
}

// Standing is where a caller sits as seen by one user.
type Standing struct {
	// Place says whether the caller sits at the user's desk.
	Place Place
	// SameUser says that code running as the user may have begun it on this machine, whatever its place:
	// approvals that only show attention (click, match) never count then. It is set where that cannot be
	// told.
	SameUser bool
}

// Facts are what is known of a caller and of the user asked. The zero value knows nothing: its
// standing is remote, and the same user's.
type Facts struct {
	// CallerUID is vouched for by the door.
	CallerUID uint32
	// OwnKnown says that the session manager was asked about the caller's process: Own and Manager
	// count only then.
	OwnKnown bool
	// Own is the caller's session, nil where it has none: below user@.service, or in a system service.
	Own *Session
	// Manager is the user below whose service manager the caller runs without a session of its own, as
	// GNOME's terminals do and sudo in one; nil: below nobody's, as a system service.
	Manager *uint32
	// User is the user asked.
	User uint32
	// SessionsKnown says that the session manager was asked for the user's sessions: UserSessions
	// counts only then.
	SessionsKnown bool
	// UserSessions are sessions of the user asked; those on the keys' seat suffice.
	UserSessions []Session
	// Seat is where the keys are: "seat0".
	Seat string
}

// Standing decides where the caller sits.
//
//   - local: in an active, local session on the keys' seat, the user's own or (as root) a greeter, and
//     running as root or as the user.
//   - unknown: without a session, as the user or as root below the user's service manager, while the
//     user has an active, local session on the keys' seat.
//   - remote: all else, among it what could not be told, whoever is neither root nor the user, and
//     root in a system service, as sshd is.
func (f Facts) Standing() Standing {
	if !f.OwnKnown {
		return Standing{Place: PlaceRemote, SameUser: true}
	}
	own, manager := f.begunIn()
	return Standing{
		Place: f.place(own, manager),
		SameUser: f.CallerUID == f.User ||
			own != nil && own.UID == f.User ||
			manager != nil && *manager == f.User,
	}
}

func (f Facts) place(own *Session, manager *uint32) Place {
	isRoot := f.CallerUID == 0
	switch {
	case !f.SessionsKnown, !isRoot && f.CallerUID != f.User:
		return PlaceRemote
	case own != nil:
		isGreeter := own.Class == "greeter" && (isRoot || f.CallerUID == own.UID)
		if own.atDesk(f.Seat) && (f.isUsers(*own) || isGreeter) {
			return PlaceLocal
		}
		return PlaceRemote
	case manager != nil && *manager != f.User, manager == nil && isRoot:
		return PlaceRemote
	case slices.ContainsFunc(f.UserSessions, func(s Session) bool { return f.isUsers(s) && s.atDesk(f.Seat) }):
		return PlaceUnknown
	}
	return PlaceRemote
}

// begunIn gives the session that counts as the caller's, or the user below whose service manager it
// runs. Newer session managers make sessions of what has no person in front of it: service managers
// and jobs.
func (f Facts) begunIn() (own *Session, manager *uint32) {
	switch {
	case f.Own == nil:
		return nil, f.Manager
	case !f.Own.Remote && slices.Contains(unattended, f.Own.Class):
		return nil, &f.Own.UID
	}
	return f.Own, nil
}

// unattended are the classes of sessions that nobody sits at.
var unattended = []string{"manager", "manager-early", "background", "background-light"}

// isUsers reports whether s is a session in which the user asked works.
func (f Facts) isUsers(s Session) bool { return s.Class == "user" && s.UID == f.User }

// atDesk reports whether somebody sits at s now, at the seat. A session that is closing still calls
// itself active.
func (s Session) atDesk(seat string) bool {
	return s.Active && !s.Remote && s.State == "active" && s.Seat == seat && seat != ""
}
