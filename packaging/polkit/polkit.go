// Package polkit holds the actions about which Fob's system instance asks polkit, as the file that is
// installed below /usr/share/polkit-1/actions.
package polkit

import _ "embed" // for the file

// FileName is the file's name where it is installed.
const FileName = "io.github.fobproject.fob.policy"

// XML is the file as it stands here (polkit(8), "Declaring actions").
//
//go:embed io.github.fobproject.fob.policy
var XML string
