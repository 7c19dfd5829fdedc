// Package fido knows security keys: which are plugged in, what they are asked, and whether what
// they answered is true. It is pure Go; the C library runs in fob-helper (package fido/libfido).
package fido

// Key is a security key that is plugged in now.
type Key struct {
	// ID names the key at the doors until it is unplugged: short, lower-case hexadecimal, made from
	// what identifies the device node; never a path.
	ID string
	// Name is for people: manufacturer and product, cleaned and bounded.
	Name string
	// Path is the device node. It never crosses a door.
	Path      string
	VendorID  uint16
	ProductID uint16
	// Serial is the USB serial number where the key has one. Two keys may report the same.
	Serial string
	// Extra is true for a path that was named to fobd (--key) and not discovered.
	Extra bool
}
