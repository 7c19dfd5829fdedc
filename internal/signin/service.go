package signin

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fobproject/fob/internal/caller"
)

// ownService is the name under which requests stand that are about Fob itself.
const ownService = "fob"

// ErrBadService is an ErrBadRequest that says what services are called.
var ErrBadService error = &refusal{ErrBadRequest, "a service is NAME, pam:NAME or app:UID:NAME, where NAME is 1 to 64 of a-z, 0-9, '.', '_' and '-' and begins with a letter or digit"}

// ParseService makes a service's full name of what the caller asked for. "mailer" becomes
// "app:UID:mailer"; "app:UID:…" must carry the caller's own uid; "pam:…" is root's alone
// (caller.ErrForbidden). Empty is Fob itself.
func ParseService(asked string, c caller.Caller) (string, error) {
	prefix := fmt.Sprintf("app:%d:", c.UID)
	name := asked
	switch {
	case asked == "":
		name = ownService
	case strings.HasPrefix(asked, "pam:"):
		prefix, name = "pam:", strings.TrimPrefix(asked, "pam:")
		if err := checkServiceName(name); err != nil {
			return "", err
		}
		if c.UID != 0 {
			return "", fmt.Errorf("%w: only root may begin a request as %q", caller.ErrForbidden, prefix+name)
		}
	case strings.HasPrefix(asked, "app:"):
		uid, rest, ok := strings.Cut(strings.TrimPrefix(asked, "app:"), ":")
		if !ok {
			return "", badService(asked)
		}
		if uid != strconv.FormatUint(uint64(c.UID), 10) {
			return "", fmt.Errorf("%w: uid %d may not begin a request in another user's name", caller.ErrForbidden, c.UID)
		}
		name = rest
	}
	if err := checkServiceName(name); err != nil {
		return "", err
	}
	return prefix + name, nil
}

// checkFullName allows "pam:NAME" and "app:UID:NAME".
func checkFullName(full string) error {
	kind, name, _ := strings.Cut(full, ":")
	switch kind {
	case "pam":
	case "app":
		var uid string
		uid, name, _ = strings.Cut(name, ":")
		if _, err := strconv.ParseUint(uid, 10, 32); err != nil {
			return badService(full)
		}
	default:
		return badService(full)
	}
	return checkServiceName(name)
}

// checkServiceName allows 1 to 64 of a-z, 0-9, '.', '_' and '-', not beginning with a mark.
func checkServiceName(name string) error {
	if len(name) < 1 || len(name) > 64 || strings.Trim(name[:1], "._-") == "" {
		return badService(name)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r) {
			return badService(name)
		}
	}
	return nil
}

func badService(name string) error {
	return fmt.Errorf("%w, and not %q", ErrBadService, caller.Clean(name))
}

// isApp reports whether a service was begun by an ordinary program; such requests blink for a
// limited time.
func isApp(service string) bool { return strings.HasPrefix(service, "app:") }
