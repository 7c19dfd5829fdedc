// Package libfido runs one operation on a security key with libfido2, through go-libfido2 and, where
// that lacks something, through a little C of its own: a time limit on every operation, libfido2's
// error codes as they are, all assertions, raw authenticator data, and PINs that are wiped. It is
// linked into fob-helper alone, and expects to run one operation in a process.
package libfido

import (
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
)

// Handlers are the operations of package fido.
func Handlers() map[string]helper.Handler {
	return map[string]helper.Handler{
		fido.OpInfo:   helper.Handle(Info),
		fido.OpMake:   helper.Handle(Make),
		fido.OpAssert: helper.Handle(Assert),
		fido.OpSelect: helper.Handle(Select),
		fido.OpSetPIN: helper.Handle(SetPIN),
		fido.OpReset:  helper.Handle(Reset),
	}
}
