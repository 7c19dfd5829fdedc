package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pattern names services: one, or with "*" in the place of a part all those that differ there.
type pattern string

// matches reports whether service is one of those. The forms "*", "pam:*", "app:*:NAME", "app:UID:*" and
// "app:*:*" are wide.
func (p pattern) matches(service string) bool {
	switch {
	case p == "*" || string(p) == service:
		return true
	case p == "pam:*":
		return strings.HasPrefix(service, "pam:")
	}
	uid, name, ok := cutApp(string(p))
	if !ok || uid != "*" && name != "*" {
		return false
	}
	u, n, ok := cutApp(service)
	return ok && (uid == "*" || uid == u) && (name == "*" || name == n)
}

func (p pattern) isWide() bool { return strings.Contains(string(p), "*") }

// cutApp splits "app:UID:NAME".
func cutApp(service string) (uid, name string, ok bool) {
	rest, ok := strings.CutPrefix(service, "app:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// checkService fails unless name can stand for services: where wide is set a pattern of any form, else a
// service's full name or "app:*:NAME".
func checkService(name string, wide bool) error {
	if wide && (name == "*" || name == "pam:*") {
		return nil
	}
	if app, ok := strings.CutPrefix(name, "pam:"); ok && isServiceName(app) {
		return nil
	}
	if uid, app, ok := cutApp(name); ok && (uid == "*" || isUID(uid)) && (isServiceName(app) || wide && app == "*") {
		return nil
	}
	if isServiceName(name) {
		return fmt.Errorf("%[1]q is no service: write \"app:*:%[1]s\" for every user's program of that name, \"app:UID:%[1]s\" for one user's, or \"pam:%[1]s\" for PAM's", name)
	}
	forms := `"pam:NAME", "app:UID:NAME" or "app:*:NAME"`
	if wide {
		forms = `"pam:NAME", "pam:*", "app:UID:NAME", "app:*:NAME", "app:UID:*" or "*"`
	}
	return fmt.Errorf("%s is no service: write %s, with a name of 1 to 64 of a-z, 0-9, '.', '_' and '-' that begins with a letter or digit", quote(name), forms)
}

// isServiceName allows the names under which a request may be begun.
func isServiceName(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsRune("._-", rune(s[0])) && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
}

// isUID allows a uid as a service's name carries it: no sign, no zero before it, and not the one that
// means "none" to the kernel.
func isUID(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n != 1<<32-1 && strconv.FormatUint(n, 10) == s
}

// beginsHere reports whether a service's requests always begin on this machine, whatever their place
// says: by a command that the user or a program of theirs has started, or at a locked or waiting screen.
// A program of the same user could begin such a request and press the button that approves it, so that
// neither a click nor a typed number may do. Services that are not PAM's are all begun by programs here.
func beginsHere(service string) bool {
	name, ok := strings.CutPrefix(service, "pam:")
	return !ok || slices.Contains(localServices[:], name)
}

var localServices = [...]string{
	// Commands that give other rights.
	"sudo", "sudo-i", "su", "su-l", "runuser", "runuser-l", "doas", "polkit-1", "ksu", "newrole", "sudo-rs", "sudo-rs-i",
	// Commands that change the account.
	"chsh", "chfn", "passwd", "chpasswd", "chage", "newusers",
	// The console and the screen, whose greeters unlock sessions too (GNOME's does).
	"login", "gdm-password", "gdm-fingerprint", "gdm-smartcard", "gdm-autologin", "gdm-launch-environment", "gdm", "lightdm", "lightdm-autologin",
	"lightdm-greeter", "sddm", "sddm-autologin", "sddm-greeter", "greetd", "lxdm", "xdm", "slim", "ly", "plasmalogin",
	// Screen lockers.
	"i3lock", "swaylock", "xscreensaver", "gnome-screensaver", "kde", "kde-fingerprint", "kde-smartcard", "kscreenlocker_greet", "kscreensaver",
	"xlock", "xsecurelock", "slock", "physlock", "vlock", "light-locker", "cinnamon-screensaver", "mate-screensaver", "xfce4-screensaver", "budgie-screensaver",
	"gtklock", "hyprlock", "waylock", "phosh", "cosmic-greeter",
	// What runs without anybody there.
	"cron", "crond", "atd", "at", "systemd-user",
}
