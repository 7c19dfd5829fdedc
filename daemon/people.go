package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
)

// standing is how it is found out where a caller sits: nil in a private instance, where all are at the
// desk. Without a session manager a user's own instance cannot tell, and the machine's takes everything
// for remote.
func (d *Daemon) standing() func(context.Context, caller.Caller, uint32) caller.Standing {
	switch {
	case d.logind == nil && d.o.System:
		return func(context.Context, caller.Caller, uint32) caller.Standing {
			return caller.Standing{Place: caller.PlaceRemote, SameUser: true}
		}
	case d.logind == nil:
		return nil
	case d.o.System:
		return d.logind.Standing
	}
	return func(ctx context.Context, c caller.Caller, user uint32) caller.Standing {
		s := d.logind.Standing(ctx, c, user)
		if d.logind.State() != "connected" && c.UID == user {
			s.Place = caller.PlaceUnknown // its approvals are self-asserted, and the prompt says so
		}
		return s
	}
}

// authorize lets polkit ask for the caller's password, and gives a ticket for their first method.
func (d *Daemon) authorize(ctx context.Context, c caller.Caller, sender string) (*secret.Secret, error) {
	if err := d.authority.Check(ctx, sender, c.UID, authz.ActionFirstMethod, nil); err != nil {
		return nil, fmt.Errorf("%w (%w)", signin.ErrNotFirst, err)
	}
	return d.tickets.Issue(c.UID, authz.ActionFirstMethod)
}

// ownAddress reports whether an address is one of this machine's, and that it is where nobody can tell.
func ownAddress(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}

// polkitOwners are the users who may own polkit's name on the bus.
func (d *Daemon) polkitOwners() []uint32 {
	owners := []uint32{0}
	ctx, cancel := context.WithTimeout(d.ctx, 5*time.Second)
	defer cancel()
	u, err := nss.Lookup{}.ByName(ctx, authz.OwnerUser)
	if err != nil {
		d.log.Debug("polkit has no user of its own here", slog.Any("error", err))
		return owners
	}
	return append(owners, u.UID)
}

// redeemer lets the socket door redeem what the D-Bus door gave.
type redeemer struct{ *authz.Tickets }

// RedeemFirstMethod implements socketapi.Tickets.
func (r redeemer) RedeemFirstMethod(uid uint32, ticket *secret.Secret) error {
	return r.Redeem(uid, authz.ActionFirstMethod, ticket)
}

var errNoLayout = errors.New("choose which daemon to run")

// layout says where the instance keeps what.
func (o Options) layout(home string) (layout, error) {
	switch {
	case o.System && o.Renamed:
		return layout{}, fmt.Errorf("%w: --renamed is for a user's own daemon: here an administrator says “fob methods confirm-name --user NAME”", ErrConfig)
	case o.Dir != "":
		l, err := private(o.Dir)
		if err == nil && o.System {
			l.bus = o.Env("DBUS_SYSTEM_BUS_ADDRESS")
			l.logind = l.bus
			l.journal = o.Env("FOB_JOURNAL_SOCKET")
		}
		return l, err
	case o.System:
		return machine(o.Env), nil
	case o.User:
		return session(o.Env, home)
	}
	return layout{}, fmt.Errorf("%w: %w", ErrConfig, errNoLayout)
}
