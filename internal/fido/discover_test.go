package fido_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/fido"
)

// Report descriptors as devices send them.
var (
	fidoDescriptor = []byte{ // CTAP 2.1 §11.2.8.1; YubiKeys, Nitrokeys and SoloKeys send this one
		0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40,
		0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0xc0,
	}
	keyboardDescriptor = []byte{ // HID 1.11 appendix E.6, a boot keyboard; YubiKeys have it for OTP
		0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
		0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01,
		0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65,
		0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
	}
	mouseDescriptor = []byte{ // HID 1.11 appendix E.10
		0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00,
		0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30,
		0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0xc0,
	}
)

func TestReportDescriptor(t *testing.T) {
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for _, tc := range []struct {
		name    string
		desc    []byte
		want    bool
		damaged bool
	}{
		{"a key", fidoDescriptor, true, false},
		{"a keyboard", keyboardDescriptor, false, false},
		{"a mouse", mouseDescriptor, false, false},
		{"a key behind a keyboard", join(keyboardDescriptor, fidoDescriptor), true, false},
		{"nothing", nil, false, false},
		{"a page of four bytes", join([]byte{0x07, 0xd0, 0xf1, 0, 0}, fidoDescriptor[3:]), true, false},
		{"a page of one byte", join([]byte{0x05, 0xd0}, fidoDescriptor[3:]), false, false},
		{"a usage of two bytes", join(fidoDescriptor[:3], []byte{0x0a, 1, 0}, fidoDescriptor[5:]), true, false},
		{"a usage with its page", []byte{0x0b, 0x01, 0x00, 0xd0, 0xf1, 0xa1, 0x01, 0xc0}, true, false},
		{"a usage with its page, despite another page", []byte{0x05, 1, 0x0b, 0x01, 0x00, 0xd0, 0xf1, 0xa1, 0x01}, true, false},
		{"a usage before its page", []byte{0x09, 0x01, 0x06, 0xd0, 0xf1, 0xa1, 0x01, 0xc0}, true, false},
		{"the second usage of a collection", []byte{0x06, 0xd0, 0xf1, 0x09, 0x02, 0x09, 0x01, 0xa1, 0x01}, true, false},
		{"another usage of FIDO's page", join(fidoDescriptor[:3], []byte{0x09, 2}, fidoDescriptor[5:]), false, false},
		{"a physical collection", join(fidoDescriptor[:6], []byte{0}, fidoDescriptor[7:]), false, false},
		{"usages that no collection has", fidoDescriptor[:5], false, false},
		{"a usage that was meant for an input", []byte{0x06, 0xd0, 0xf1, 0x09, 0x01, 0x81, 0x02, 0xa1, 0x01}, false, false},
		{"a page that is pushed and popped", []byte{0x06, 0xd0, 0xf1, 0xa4, 0x05, 0x01, 0xb4, 0x09, 0x01, 0xa1, 0x01}, true, false},
		{"a page that is popped away", []byte{0x05, 0x01, 0xa4, 0x06, 0xd0, 0xf1, 0xb4, 0x09, 0x01, 0xa1, 0x01}, false, false},
		{"a long item before", join([]byte{0xfe, 3, 0x10, 0x06, 0xd0, 0xf1}, fidoDescriptor), true, false},
		{"FIDO inside a long item", join([]byte{0xfe, byte(len(fidoDescriptor)), 0x10}, fidoDescriptor), false, false},
		{"a long item cut short", []byte{0xfe, 9, 0x10, 0x06}, false, true},
		{"a long item without length", []byte{0xfe}, false, true},
		{"an item cut short", []byte{0x06, 0xd0}, false, true},
		{"an item cut short behind a key", join(fidoDescriptor, []byte{0x27, 1}), true, true},
		{"a pop without push", []byte{0xb4}, false, true},
		{"pushes without end", slices.Repeat([]byte{0xa4}, 4096), false, true},
		{"usages without end", slices.Repeat([]byte{0x08}, 4096), false, true},
		{"a descriptor that is too long", make([]byte, 4097), false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := fido.IsFIDO(tc.desc)
			if got != tc.want || (err != nil) != tc.damaged {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}

// device is one hidraw device of a fake sysfs.
type device struct {
	node       string // hidraw3
	port       string // where it is plugged in
	descriptor []byte
	hid        map[string]string
	noNode     bool
	noUevent   bool
}

func hid(id, name, phys, uniq string) map[string]string {
	return map[string]string{"DRIVER": "hid-generic", "HID_ID": id, "HID_NAME": name, "HID_PHYS": phys, "HID_UNIQ": uniq}
}

// sysfs is a fake /sys and /dev.
type sysfs struct{ sys, dev string }

func newSysfs(t *testing.T, devices ...device) sysfs {
	t.Helper()
	s := sysfs{filepath.Join(t.TempDir(), "sys"), filepath.Join(t.TempDir(), "dev")}
	s.must(t, os.MkdirAll(filepath.Join(s.sys, "class/hidraw"), 0o755), os.MkdirAll(s.dev, 0o755))
	for _, d := range devices {
		s.plug(t, d)
	}
	return s
}

func (s sysfs) must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plug lays the files out as the kernel does: the class has links, and so has each hidraw device to
// its HID device.
func (s sysfs) plug(t *testing.T, d device) {
	t.Helper()
	hidDir := filepath.Join(s.sys, "devices/pci0000:00/usb1", d.port)
	raw := filepath.Join(hidDir, "hidraw", d.node)
	minor := strings.TrimPrefix(d.node, "hidraw")
	s.must(t,
		os.MkdirAll(raw, 0o755),
		os.Symlink(hidDir, filepath.Join(raw, "device")),
		os.Symlink(raw, filepath.Join(s.sys, "class/hidraw", d.node)),
		os.WriteFile(filepath.Join(hidDir, "report_descriptor"), d.descriptor, 0o444),
	)
	if !d.noUevent {
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(d.hid)) {
			fmt.Fprintf(&b, "%s=%s\n", k, d.hid[k])
		}
		s.must(t,
			os.WriteFile(filepath.Join(hidDir, "uevent"), []byte(b.String()), 0o444),
			os.WriteFile(filepath.Join(raw, "uevent"), fmt.Appendf(nil, "MAJOR=244\nMINOR=%s\nDEVNAME=%s\n", minor, d.node), 0o444),
		)
	}
	if !d.noNode {
		s.must(t, os.WriteFile(filepath.Join(s.dev, d.node), nil, 0o600))
	}
}

func (s sysfs) unplug(t *testing.T, node string) {
	t.Helper()
	raw, err := os.Readlink(filepath.Join(s.sys, "class/hidraw", node))
	s.must(t, err, os.Remove(filepath.Join(s.sys, "class/hidraw", node)), os.RemoveAll(filepath.Dir(filepath.Dir(raw))), os.Remove(filepath.Join(s.dev, node)))
}

func (s sysfs) discover(t *testing.T, extra ...string) ([]fido.Key, []fido.Problem) {
	t.Helper()
	keys, problems, err := fido.Discover(s.sys, s.dev, extra)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !regexp.MustCompile(`^[0-9a-f]{8,}$`).MatchString(k.ID) {
			t.Errorf("the id %q is not 8 hexadecimal digits or more", k.ID)
		}
	}
	for _, p := range problems {
		if strings.Contains(p.Text+p.Name, "/") {
			t.Errorf("%q shows a path", p)
		}
	}
	return keys, problems
}

var (
	yubiKeyboard = device{node: "hidraw2", port: "1-1/1-1:1.0/0003:1050:0407.0004", descriptor: keyboardDescriptor, hid: hid("0003:00001050:00000407", "Yubico YubiKey OTP+FIDO+CCID", "usb-0000:00:14.0-1/input0", "")}
	yubiKey      = device{node: "hidraw3", port: "1-1/1-1:1.1/0003:1050:0407.0005", descriptor: fidoDescriptor, hid: hid("0003:00001050:00000407", "Yubico YubiKey OTP+FIDO+CCID", "usb-0000:00:14.0-1/input1", "")}
	nitrokey     = device{node: "hidraw10", port: "1-2/1-2:1.0/0003:20A0:42B2.0006", descriptor: fidoDescriptor, hid: hid("0003:000020A0:000042B2", "Nitrokey Nitrokey 3", "usb-0000:00:14.0-2/input0", "1234")}
	soloKey      = device{node: "hidraw4", port: "1-3/1-3:1.0/0003:0483:A2CA.0007", descriptor: fidoDescriptor, hid: hid("0003:00000483:0000A2CA", "SoloKeys Solo 4.1.5", "usb-0000:00:14.0-3/input0", "0123456789AB")}
	mouse        = device{node: "hidraw0", port: "1-4/1-4:1.0/0003:046D:C077.0001", descriptor: mouseDescriptor, hid: hid("0003:0000046D:0000C077", "Logitech USB Optical Mouse", "usb-0000:00:14.0-4/input0", "")}
)

func TestDiscover(t *testing.T) {
	t.Run("finds keys among other devices, in the order of their nodes", func(t *testing.T) {
		s := newSysfs(t, nitrokey, yubiKeyboard, yubiKey, mouse, soloKey)
		keys, problems := s.discover(t)
		want := []fido.Key{
			{Name: "Yubico YubiKey OTP+FIDO+CCID", Path: filepath.Join(s.dev, "hidraw3"), VendorID: 0x1050, ProductID: 0x0407},
			{Name: "SoloKeys Solo 4.1.5", Path: filepath.Join(s.dev, "hidraw4"), VendorID: 0x0483, ProductID: 0xa2ca, Serial: "0123456789AB"},
			{Name: "Nitrokey Nitrokey 3", Path: filepath.Join(s.dev, "hidraw10"), VendorID: 0x20a0, ProductID: 0x42b2, Serial: "1234"},
		}
		for i := range min(len(keys), len(want)) {
			want[i].ID = keys[i].ID
		}
		if !slices.Equal(keys, want) || len(problems) != 0 {
			t.Errorf("got %+v, %v", keys, problems)
		}
		again, _ := s.discover(t)
		if !slices.Equal(keys, again) {
			t.Error("a second look finds other keys")
		}
	})
	t.Run("tells two identical keys apart", func(t *testing.T) {
		twin := soloKey
		twin.node, twin.port = "hidraw5", "1-5/1-5:1.0/0003:0483:A2CA.0008"
		keys, _ := newSysfs(t, soloKey, twin).discover(t)
		if len(keys) != 2 || keys[0].ID == keys[1].ID || keys[0].Serial != keys[1].Serial {
			t.Errorf("got %+v", keys)
		}
	})
	t.Run("gives a key another id when it was plugged in again", func(t *testing.T) {
		s := newSysfs(t, soloKey)
		before, _ := s.discover(t)
		s.unplug(t, soloKey.node)
		if keys, problems := s.discover(t); len(keys)+len(problems) != 0 {
			t.Errorf("unplugged: %+v, %v", keys, problems)
		}
		later := soloKey
		later.port = "1-3/1-3:1.0/0003:0483:A2CA.0009" // the same port and node
		s.plug(t, later)
		after, _ := s.discover(t)
		if len(before) != 1 || len(after) != 1 || before[0].ID == after[0].ID {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
	t.Run("has no keys where there is no hidraw", func(t *testing.T) {
		keys, problems, err := fido.Discover(t.TempDir(), t.TempDir(), nil)
		if len(keys)+len(problems) != 0 || err != nil {
			t.Errorf("got %v, %v, %v", keys, problems, err)
		}
	})
	t.Run("fails where the class is no directory", func(t *testing.T) {
		root := t.TempDir()
		newSysfs(t).must(t, os.MkdirAll(filepath.Join(root, "class"), 0o755), os.WriteFile(filepath.Join(root, "class/hidraw"), nil, 0o644))
		if _, _, err := fido.Discover(root, t.TempDir(), nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("cleans what a key says of itself", func(t *testing.T) {
		evil := soloKey
		evil.hid = hid("0003:zz:99999999", "Evil\x1b[31m\u202e "+strings.Repeat("x", 300), "p", "\x07serial")
		keys, _ := newSysfs(t, evil).discover(t)
		if len(keys) != 1 || strings.ContainsAny(keys[0].Name, "\x1b\u202e") || len([]rune(keys[0].Name)) > 64 || keys[0].Serial != "serial" || keys[0].VendorID != 0 {
			t.Errorf("got %+v", keys)
		}
	})
	t.Run("finds a key that says nothing of itself", func(t *testing.T) {
		mute := soloKey
		mute.noUevent = true
		keys, problems := newSysfs(t, mute).discover(t)
		if len(keys) != 1 || keys[0].Name != "security key" || len(problems) != 0 {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("leaves out devices that vanish while it looks", func(t *testing.T) {
		s := newSysfs(t, soloKey)
		s.must(t, os.Symlink(filepath.Join(s.sys, "devices/gone"), filepath.Join(s.sys, "class/hidraw/hidraw9")))
		keys, problems := s.discover(t)
		if len(keys) != 1 || len(problems) != 0 {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("leaves out hostile and damaged descriptors", func(t *testing.T) {
		bad := func(node string, desc []byte) device {
			d := soloKey
			d.node, d.port, d.descriptor = node, node, desc
			return d
		}
		keys, problems := newSysfs(t,
			bad("hidraw20", nil), bad("hidraw21", []byte{0xfe}), bad("hidraw22", slices.Repeat([]byte{0xa4}, 4096)),
		).discover(t)
		if len(keys) != 0 || len(problems) != 0 {
			t.Errorf("got %+v, %v", keys, problems)
		}
		keys, problems = newSysfs(t, bad("hidraw23", make([]byte, 8192)), bad("hidraw24", append(slices.Clone(fidoDescriptor), 0x27))).discover(t)
		if len(keys) != 0 || len(problems) != 2 {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("says so of a key without node", func(t *testing.T) {
		d := soloKey
		d.noNode = true
		keys, problems := newSysfs(t, d).discover(t)
		if len(keys) != 0 || len(problems) != 1 || problems[0].Name != "SoloKeys Solo 4.1.5" || !strings.Contains(problems[0].Text, "plug") {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("follows no device name out of dev", func(t *testing.T) {
		s := newSysfs(t, soloKey)
		raw := filepath.Join(s.sys, "class/hidraw", soloKey.node, "uevent")
		s.must(t, os.Chmod(raw, 0o644), os.WriteFile(raw, []byte("DEVNAME=../sys/class\n"), 0o644))
		keys, problems := s.discover(t)
		if len(keys) != 0 || len(problems) != 1 {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("says what mends a key that this user may not use", func(t *testing.T) {
		s := newSysfs(t, soloKey)
		node := filepath.Join(s.dev, soloKey.node)
		s.must(t, os.Chmod(node, 0))
		for _, dir := range []string{s.sys, s.dev} { // test directories are their owner's alone
			for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				s.must(t, os.Chmod(dir, 0o755))
			}
		}
		var keys []fido.Key
		var problems []fido.Problem
		asNobody(t, func() { keys, problems, _ = fido.Discover(s.sys, s.dev, []string{node}) })
		if len(keys) != 0 || len(problems) == 0 || problems[0].Name != "SoloKeys Solo 4.1.5" || !strings.Contains(problems[0].Text, "udev rule") {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("finds 64 keys at most, and says so", func(t *testing.T) {
		s := newSysfs(t)
		for i := range 70 {
			d := soloKey
			d.node, d.port = fmt.Sprintf("hidraw%d", i), fmt.Sprintf("port%d", i)
			s.plug(t, d)
		}
		keys, problems := s.discover(t)
		if len(keys) != 64 || len(problems) != 1 || keys[63].Path != filepath.Join(s.dev, "hidraw63") {
			t.Errorf("got %d keys, %v", len(keys), problems)
		}
	})
}

// asNobody runs f without root's power over files, on a thread that ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with its changed identity
		err := unix.Setfsuid(65534)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDiscoverNamed(t *testing.T) {
	// A terminal's other end stands for a key: it is what a software key offers.
	link := filepath.Join(t.TempDir(), "key")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	t.Run("lists a path that was named, after those found", func(t *testing.T) {
		keys, problems := newSysfs(t, soloKey).discover(t, link)
		if len(keys) != 2 || len(problems) != 0 || !keys[1].Extra || keys[0].Extra || keys[1].Path != link || keys[1].Name != "key" {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("makes the id of the path as it was named", func(t *testing.T) {
		s := newSysfs(t)
		a, _ := s.discover(t, link)
		b, _ := s.discover(t, filepath.Dir(link)+"/../"+filepath.Base(filepath.Dir(link))+"//key")
		c, _ := s.discover(t, "/dev/null")
		if len(a) != 1 || len(b) != 1 || len(c) != 1 || a[0].ID != b[0].ID || a[0].ID == c[0].ID {
			t.Errorf("got %+v, %+v, %+v", a, b, c)
		}
	})
	t.Run("says so of a path where nothing is plugged in", func(t *testing.T) {
		dangling := filepath.Join(t.TempDir(), "key")
		if err := os.Symlink("/dev/pts/none", dangling); err != nil {
			t.Fatal(err)
		}
		keys, problems := newSysfs(t).discover(t, filepath.Join(t.TempDir(), "none"), dangling, link+"/below")
		if len(keys) != 0 || len(problems) != 3 {
			t.Fatalf("got %+v, %v", keys, problems)
		}
		for _, p := range problems {
			if p.Text != "nothing is plugged in at this path" {
				t.Errorf("%s: %s", p.Name, p.Text)
			}
		}
	})
	t.Run("lists a device once, however often it is named", func(t *testing.T) {
		keys, problems := newSysfs(t).discover(t, link, "/dev/null", link)
		if len(keys) != 1 || len(problems) != 0 || keys[0].Path != link {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
	t.Run("says so of a file and of a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, fs.FileMode(0o600)); err != nil {
			t.Fatal(err)
		}
		keys, problems := newSysfs(t).discover(t, file, t.TempDir())
		if len(keys) != 0 || len(problems) != 2 {
			t.Errorf("got %+v, %v", keys, problems)
		}
	})
}
