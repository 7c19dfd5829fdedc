// Package dbus holds the contract of the D-Bus door: the interface as hand-written XML, and the names
// that the bus, the service file and the daemon share.
package dbus

import _ "embed" // for the XML

// The names of the door.
const (
	Name      = "io.github.fobproject.Fob1"
	Path      = "/io/github/fobproject/Fob1"
	Interface = "io.github.fobproject.Fob1"
)

// XML is the introspection data, which the daemon serves as it stands here.
//
//go:embed io.github.fobproject.Fob1.xml
var XML string
