package throttle_test

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/throttle"
)

func TestOrigin(t *testing.T) {
	for _, tt := range []struct{ name, vouched, want string }{
		{"an IPv4 address", "192.0.2.7", "192.0.2.7"},
		{"an IPv4 address with a port", "192.0.2.7:50123", "192.0.2.7"},
		{"an IPv4 address in brackets", "[192.0.2.7]:22", "192.0.2.7"},
		{"an IPv4 address mapped into IPv6", "::ffff:192.0.2.7", "192.0.2.7"},
		{"a mapped address in hexadecimal", "::ffff:c000:0207", "192.0.2.7"},
		{"a mapped address with a zone", "::ffff:192.0.2.7%eth0", "192.0.2.7"},
		{"a mapped address in brackets with a port", "[::ffff:192.0.2.7]:22", "192.0.2.7"},
		{"an IPv6 address", "2001:db8:0:7::17", "2001:db8:0:7::/64"},
		{"another of the same site", "2001:DB8:0:7:ffff:ffff:ffff:ffff", "2001:db8:0:7::/64"},
		{"one of the next site", "2001:db8:0:8::17", "2001:db8:0:8::/64"},
		{"an IPv6 address in brackets", "[2001:db8:0:7::17]", "2001:db8:0:7::/64"},
		{"an IPv6 address in brackets with a port", "[2001:db8:0:7::17]:22", "2001:db8:0:7::/64"},
		{"an IPv6 address with a zone", "fe80::1%eth0", "fe80::1"},
		{"an IPv6 address with a zone and a port", "[fe80::1%eth0]:22", "fe80::1"},
		{"a prefix, as it is listed", "2001:db8:0:7::/64", "2001:db8:0:7::/64"},
		{"an address with spaces around it", " \t192.0.2.7\r\n", "192.0.2.7"},
		{"an address with a dot behind it", "192.0.2.7.", "192.0.2.7"},
		{"a host", "Laptop.Example.COM.", "laptop.example.com"},
		{"a host with a port", "laptop.example.com:22", "laptop.example.com"},
		{"nothing", "", ""},
		{"blank text", " \n\t ", ""},
		{"a host with controls in it", "lap\x1b[31mtop", "lap__31mtop"},
		{"a host in other letters", "пример.example", "______.example"},
		{"a host that is no UTF-8", "a\xff\xfeb", "a__b"},
		{"an address with something to hide it", "192.0.2.7\x00", "192.0.2.7_"},
		{"a host that claims a zone of an address", "192.0.2.7%evil.example", "192.0.2.7_evil.example"},
		{"a host that claims a prefix of an address", "192.0.2.7/evil.example", "192.0.2.7_evil.example"},
		{"a host that claims to be a program", "uid:1000", "uid"},
		{"a host that claims so with a port", "uid:1000:22", "uid_1000_22"},
		{"a name without end", strings.Repeat("a", 1<<20), strings.Repeat("a", 253)},
		{"a zone without end", "fe80::1%" + strings.Repeat("a", 1<<20), "fe80::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := throttle.Origin(tt.vouched); got != tt.want {
				t.Errorf("%.100q gives %q, want %q", tt.vouched, got, tt.want)
			}
		})
	}
}

func FuzzOrigin(f *testing.F) {
	f.Fuzz(func(t *testing.T, vouched string) {
		got := throttle.Origin(vouched)
		if again := throttle.Origin(got); again != got {
			t.Errorf("%q gives %q, which gives %q", vouched, got, again)
		}
		if len(got) > 253 || strings.HasPrefix(got, "uid:") {
			t.Errorf("%q gives %q", vouched, got)
		}
		for _, r := range got {
			if r <= ' ' || r > '~' || r >= 'A' && r <= 'Z' {
				t.Errorf("%q gives %q, with %q in it", vouched, got, r)
			}
		}
		if utf8.ValidString(vouched) && strings.TrimSpace(vouched) == vouched && !strings.ContainsAny(vouched, ".:[]") && got == "" && vouched != "" {
			t.Errorf("%q has no origin", vouched)
		}
		if addr, err := netip.ParseAddr(vouched); err == nil && len(vouched) < 100 {
			addr = addr.Unmap()
			prefix, err := netip.ParsePrefix(got)
			behind := netip.MustParsePrefix("64:ff9b::/96").Contains(addr.WithZone(""))
			alone := addr.Is4() || addr.IsLinkLocalUnicast()
			if alone && got != addr.WithZone("").String() || addr.Is6() && !alone && !behind && (err != nil || prefix.Bits() != 64 || !prefix.Contains(addr.WithZone(""))) {
				t.Errorf("the address %s gives %q", addr, got)
			}
		}
	})
}
