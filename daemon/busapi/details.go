package busapi

import (
	"math"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
)

// parseDetails reads Verify's details, in which only what the contract names may stand, with the
// types that it names. What the values mean is checked by wire.Ask.
func parseDetails(details map[string]dbus.Variant) (api.BeginRequest, *api.Error) {
	var r api.BeginRequest
	texts := map[string]*string{
		"require": &r.Require,
		"origin":  &r.Claimed.Origin,
		"host":    &r.Claimed.Host,
		"command": &r.Claimed.Command,
		"ssh_key": &r.Claimed.SSHKey,
	}
	for name, v := range details {
		if field, ok := texts[name]; ok {
			s, ok := v.Value().(string)
			if !ok {
				return r, wrongType(name, v, "s")
			}
			*field = s
			continue
		}
		if name != "timeout_ms" {
			if len(name) > 64 {
				name = name[:64] + "…"
			}
			return r, api.Errorf(api.CodeBadRequest, "unknown detail %q", name)
		}
		switch ms := v.Value().(type) {
		case int64:
			r.TimeoutMS = ms
		case uint64:
			r.TimeoutMS = int64(min(ms, math.MaxInt64))
		case uint32:
			r.TimeoutMS = int64(ms)
		default:
			return r, wrongType(name, v, "x, t or u")
		}
		if r.TimeoutMS == 0 {
			r.TimeoutMS = -1 // zero stands for “not given” on the socket only
		}
	}
	return r, nil
}

func wrongType(name string, v dbus.Variant, want string) *api.Error {
	got := v.Signature().String()
	if len(got) > 32 {
		got = got[:32] + "…"
	}
	return api.Errorf(api.CodeBadRequest, "detail %q has the type %q: it must be %s", name, got, want)
}
