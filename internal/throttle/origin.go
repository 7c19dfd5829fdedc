package throttle

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

const (
	maxVouched = 1024 // bytes of a vouched text that are looked at
	maxHost    = 253  // bytes: as long as a name in the DNS can be (RFC 1035 §2.3.4)
	// siteBits is what one IPv6 site has in common: whoever has one address has all below it.
	siteBits = 64
)

// Origin brings where a request comes from, as far as that is vouched for, into the one form that is
// counted: an IPv4 address, also for one that is mapped into IPv6 or stands behind NAT64; the /64 of an IPv6 address, as in
// "2001:db8:0:7::/64"; else a host name in lower case, with "_" for what host names do not have; else,
// of blank text, "". Brackets, ports, zones and prefix lengths are left out. What it returns it gives
// back unchanged, and it never returns a "uid:…".
func Origin(vouched string) string {
	text := strings.TrimSpace(vouched[:min(len(vouched), maxVouched)])
	host := strings.TrimRight(withoutPort(text), ".")
	for _, form := range []string{text, host} {
		if addr, ok := address(form); ok {
			return site(addr)
		}
	}
	return hostName(host)
}

// IsGlobal reports whether an origin, as Origin returns it, stands for one place whatever link it is seen on:
// a host's name can be its owner's choice, and a link-local address anybody's.
func IsGlobal(origin string) bool {
	addr, err := netip.ParseAddr(origin)
	if prefix, bad := netip.ParsePrefix(origin); bad == nil {
		addr, err = prefix.Addr(), nil
	}
	return err == nil && !addr.IsLinkLocalUnicast() && !addr.IsLoopback() && !addr.IsUnspecified() && !addr.IsMulticast()
}

// withoutPort cuts a port off. More than one colon outside brackets is no port's.
func withoutPort(text string) string {
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && strings.HasPrefix(text, "[") && (rest == "" || rest[0] == ':') {
		return inner
	}
	if host, port, ok := strings.Cut(text, ":"); ok && !strings.Contains(port, ":") {
		return host
	}
	return text
}

// address reads an address, with a prefix length behind it or, in IPv6, a zone and all that follows.
func address(text string) (netip.Addr, bool) {
	if bare, _, ok := strings.Cut(text, "%"); ok && strings.Contains(bare, ":") {
		text = bare
	}
	text, bits, ok := strings.Cut(text, "/")
	if ok && (bits == "" || strings.Trim(bits, "0123456789") != "") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap(), err == nil
}

// nat64 is the well-known prefix in which IPv4 addresses stand (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func site(addr netip.Addr) string {
	addr = addr.WithZone("")
	switch {
	case nat64.Contains(addr):
		inside := addr.As16()
		return netip.AddrFrom4([4]byte(inside[12:])).String()
	case addr.Is4(), addr.IsLinkLocalUnicast(): // its neighbours are not one site
		return addr.String()
	}
	return netip.PrefixFrom(addr, siteBits).Masked().String()
}

// hostName never makes an address of what was none: signs are replaced and not left out.
func hostName(text string) string {
	var b strings.Builder
	for len(text) > 0 && b.Len() < maxHost {
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			r = '_'
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), ".")
}
