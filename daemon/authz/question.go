package authz

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/caller"
)

// What polkit is called on the bus.
const (
	polkitName      = "org.freedesktop.PolicyKit1"
	polkitPath      = "/org/freedesktop/PolicyKit1/Authority"
	polkitInterface = "org.freedesktop.PolicyKit1.Authority"
)

// allowUserInteraction lets polkit ask a person (CheckAuthorizationFlags).
const allowUserInteraction uint32 = 1

// subject is polkit's Subject, of D-Bus type (sa{sv}).
type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

// ask puts a question to polkit and waits for the answer, or for the question's end.
func (a *Authority) ask(q *question, action Action, details map[string]string) error {
	l, err := a.join(q.ctx)
	if err != nil {
		return err
	}
	defer a.leave(l, q)
	uid, err := l.watch(q.ctx, q.subject)
	if err != nil {
		return err
	}
	defer l.unwatch(q.subject)
	if uid != q.uid { // the bus is another one by now, where the name is somebody else's
		return ErrGone
	}
	owner, err := l.authority(q.ctx, a.owners)
	if err != nil {
		return err
	}
	if q.ctx.Err() != nil {
		return context.Cause(q.ctx)
	}
	polkit := l.conn.Object(owner, polkitPath)
	who := subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(q.subject)}}
	call := polkit.CallWithContext(q.ctx, polkitInterface+".CheckAuthorization", dbus.FlagNoAutoStart,
		who, string(action), details, allowUserInteraction, q.id)
	if q.ctx.Err() != nil {
		polkit.Go(polkitInterface+".CancelCheckAuthorization", dbus.FlagNoReplyExpected|dbus.FlagNoAutoStart, nil, q.id)
		return context.Cause(q.ctx)
	}
	if call.Err != nil {
		return unanswered(call.Err)
	}
	return verdict(call.Body)
}

// unanswered is what an error in the place of an answer means.
func unanswered(err error) error {
	known, _ := errors.AsType[dbus.Error](err)
	switch known.Name {
	case polkitName + ".Error.NotAuthorized":
		return fmt.Errorf("%w: it takes no questions from Fob. Install Fob's package again, which tells polkit of Fob", ErrUnavailable)
	case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner":
		return fmt.Errorf("%w: it ended before it answered. Try again", ErrUnavailable)
	}
	return unavailable(err)
}

// unavailable wraps an error whose text came from outside.
func unavailable(err error) error {
	return fmt.Errorf("%w: %s", ErrUnavailable, caller.Clean(err.Error()))
}

var errGarbage = fmt.Errorf("%w: its answer makes no sense", ErrUnavailable)

// verdict reads an AuthorizationResult, of D-Bus type (bba{ss}): whether the subject is authorised,
// whether it could be if somebody were asked, and details. Only an answer that is a yes in every
// respect is one.
func verdict(body []any) error {
	if len(body) != 1 {
		return errGarbage
	}
	result, _ := body[0].([]any)
	if len(result) != 3 {
		return errGarbage
	}
	authorized, okAuthorized := result[0].(bool)
	challenge, okChallenge := result[1].(bool)
	details, okDetails := result[2].(map[string]string)
	if !okAuthorized || !okChallenge || !okDetails {
		return errGarbage
	}
	_, dismissed := details["polkit.dismissed"]
	switch {
	case authorized && (challenge || dismissed):
		return errGarbage
	case authorized:
		return nil
	case dismissed:
		return ErrDismissed
	case challenge:
		return fmt.Errorf("%w: no authentication agent: run it in a desktop session, or as root", ErrRefused)
	default:
		return ErrRefused
	}
}

// uniqueName is what a bus daemon calls a connection: ":1.42". That is narrower than the standard, and
// such names are safe in a match rule.
var uniqueName = regexp.MustCompile(`^:[0-9]{1,20}\.[0-9]{1,20}$`)

func isUniqueName(s string) bool { return uniqueName.MatchString(s) }

// maxDetails bounds the details of a question.
const maxDetails = 8

// detailName has no dot: "polkit.message" and its like would replace the dialog's own text.
var detailName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// cleanDetails gives details that polkit may show.
func cleanDetails(details map[string]string) (map[string]string, error) {
	if len(details) > maxDetails {
		return nil, fmt.Errorf("cannot pass on %d details: %d are the most", len(details), maxDetails)
	}
	shown := make(map[string]string, len(details))
	for name, value := range details {
		if !detailName.MatchString(name) {
			return nil, fmt.Errorf("cannot pass on the detail “%s”: its name must be of a-z, 0-9, _ and -, at most 32 long", caller.Clean(name))
		}
		shown[name] = caller.Clean(value).String()
	}
	return shown, nil
}
