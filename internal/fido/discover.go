package fido

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/caller"
)

// Bounds on what is found.
const (
	maxKeys    = 64
	maxHidraw  = 1024 // directory entries that are looked at
	maxUevent  = 8 << 10
	maxKeyName = 64 // runes
)

// idLen is the length of a key's id, in hexadecimal digits.
const idLen = 12

// unnamed is what a key is called that does not say its name.
const unnamed = "security key"

// What stands in a Problem, and what mends it.
const (
	problemAccess = "no permission to use this key: sign in at the desk where it is plugged in, or install " +
		"Fob's udev rule (it comes with the package), then unplug the key and plug it in again"
	problemNode   = "the key has no device node: unplug it and plug it in again"
	problemRead   = "this may be a key, but its description cannot be read: unplug it and plug it in again"
	problemDamage = "the key describes itself wrongly and cannot be used"
	problemDevice = "what was named as a key is not a device"
	problemGone   = "nothing is plugged in at this path"
	problemMany   = "there are more keys than can be used at once"
)

// Problem is a key that was found and cannot be used.
type Problem struct {
	Name string // the key's name, for people
	Text string // what is wrong, and what to do
}

// Discover returns the keys that are plugged in now and those among extra, device paths named to
// fobd, that exist; sorted by device node, the extra ones last, 64 at most. What looks like a key and
// cannot be used is a Problem and no key; so is a path of extra where there is nothing.
//
// Keys are hidraw devices whose report descriptor has FIDO's usage, read below root ("/sys"); their
// nodes lie in dev ("/dev"). Nothing is opened for writing and no byte is sent to a device. A system
// without hidraw has no keys, and that is no error. A device that vanishes meanwhile is left out.
func Discover(root, dev string, extra []string) ([]Key, []Problem, error) {
	class := filepath.Join(root, "class", "hidraw")
	names, err := readNames(class)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot look for keys: %w", err)
	}
	var f finder
	for _, name := range names {
		f.hidraw(filepath.Join(class, name), dev)
	}
	slices.SortFunc(f.keys, byNode)
	for _, path := range extra {
		if err := f.named(path); err != nil {
			return nil, nil, fmt.Errorf("cannot look for keys: %w", err)
		}
	}
	if len(f.keys) > maxKeys {
		f.keys = f.keys[:maxKeys]
		f.problem("", problemMany)
	}
	return f.keys, f.problems, nil
}

// byNode sorts hidraw2 before hidraw10.
func byNode(a, b Key) int {
	return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path))
}

// readNames lists a directory's entries, sorted; one that does not exist has none.
func readNames(dir string) (names []string, err error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	names, err = d.Readdirnames(maxHidraw)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// finder gathers keys and problems.
type finder struct {
	keys     []Key
	nodes    []fs.FileInfo // of the keys, in no order
	problems []Problem
}

func (f *finder) problem(name, text string) {
	f.problems = append(f.problems, Problem{cmp.Or(name, unnamed), text})
}

// add keeps a key whose node may be used, and notes why another may not.
func (f *finder) add(k Key) {
	info, err := os.Stat(k.Path)
	if err != nil {
		f.problem(k.Name, problemNode)
		return
	}
	for _, other := range f.nodes {
		if os.SameFile(info, other) {
			return
		}
	}
	switch err := unix.Faccessat(unix.AT_FDCWD, k.Path, unix.R_OK|unix.W_OK, unix.AT_EACCESS); {
	case errors.Is(err, fs.ErrPermission):
		f.problem(k.Name, problemAccess)
	case err != nil:
		f.problem(k.Name, problemNode)
	default:
		f.keys = append(f.keys, k)
		f.nodes = append(f.nodes, info)
	}
}

// hidraw looks at one entry of class/hidraw.
func (f *finder) hidraw(dir, dev string) {
	device := filepath.Join(dir, "device")
	desc, err := readBounded(filepath.Join(device, "report_descriptor"), maxReportDescriptor)
	if vanished(err) {
		return
	}
	hid := parseUevent(readOptional(filepath.Join(device, "uevent")))
	name := keyName(hid["HID_NAME"])
	if err != nil {
		f.problem(name, problemRead)
		return
	}
	is, err := isFIDO(desc)
	if !is {
		return // also for a damaged one: nothing says that it is a key
	}
	if err != nil {
		f.problem(name, problemDamage)
		return
	}
	node := parseUevent(readOptional(filepath.Join(dir, "uevent")))
	devname := cmp.Or(node["DEVNAME"], filepath.Base(dir))
	at, err := filepath.EvalSymlinks(dir)
	if err != nil || !filepath.IsLocal(devname) {
		f.problem(name, problemNode)
		return
	}
	k := Key{
		// Where the node lies in sysfs changes each time that a key is plugged in, even at one port.
		ID:     id(at, hid["HID_PHYS"], hid["HID_ID"], hid["HID_UNIQ"], node["MAJOR"]+":"+node["MINOR"]),
		Name:   name,
		Path:   filepath.Join(dev, devname),
		Serial: clean(hid["HID_UNIQ"]),
	}
	k.VendorID, k.ProductID = parseHIDID(hid["HID_ID"])
	f.add(k)
}

// named looks at a path that was named to fobd. The id is made of the path as it was named: what a
// link leads to may change. Its last element is what tells such keys apart for people.
func (f *finder) named(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	name := keyName(filepath.Base(abs))
	switch info, err := os.Stat(abs); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		f.problem(name, problemGone)
		return nil
	case errors.Is(err, fs.ErrPermission):
		f.problem(name, problemAccess)
		return nil
	case err != nil:
		f.problem(name, problemNode)
		return nil
	case info.Mode()&fs.ModeCharDevice == 0:
		f.problem(name, problemDevice)
		return nil
	}
	f.add(Key{ID: id(abs), Name: name, Path: abs, Extra: true})
	return nil
}

// id makes a key's id of what identifies its device node.
func id(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])[:idLen]
}

// vanished reports whether a file of sysfs is gone with its device.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOTDIR)
}

// readBounded reads a file that is not longer than limit.
func readBounded(path string, limit int64) (b []byte, err error) {
	// O_NONBLOCK: whatever is there, opening it does not wait.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is too long", filepath.Base(path))
	}
	return b, err
}

// readOptional is what a uevent file holds, or nothing: a key without is used all the same.
func readOptional(path string) []byte {
	b, err := readBounded(path, maxUevent)
	if err != nil {
		return nil
	}
	return b
}

// parseUevent reads the lines NAME=VALUE of a uevent file. The first of a name counts; other lines
// are left out.
func parseUevent(b []byte) map[string]string {
	vars := map[string]string{}
	if len(b) > maxUevent {
		return vars
	}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if _, dup := vars[name]; ok && !dup && name != "" {
			vars[name] = value
		}
	}
	return vars
}

// parseHIDID reads "BUS:VENDOR:PRODUCT" in hexadecimal; what cannot be read is zero.
func parseHIDID(s string) (vendor, product uint16) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, 0
	}
	v, err1 := strconv.ParseUint(parts[1], 16, 32)
	p, err2 := strconv.ParseUint(parts[2], 16, 32)
	if err1 != nil || err2 != nil || v > 0xffff || p > 0xffff {
		return 0, 0
	}
	return uint16(v), uint16(p)
}

func keyName(s string) string { return cmp.Or(clean(s), unnamed) }

// clean makes what a device says safe to show.
func clean(s string) string {
	r := []rune(caller.Clean(s).String())
	if len(r) > maxKeyName {
		r = append(r[:maxKeyName-1], '…')
	}
	return string(r)
}
