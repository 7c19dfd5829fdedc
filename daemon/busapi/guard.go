package busapi

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// member is one method of the interface. An access that is not declared denies.
type member struct {
	name   string
	access caller.Access
	// fn takes a *call and the arguments, and gives the results and a *dbus.Error.
	fn any
	// replies is set for a method that sends its reply itself, because signals must follow it.
	replies bool
	// waits is set for a method that waits for a person, and is bounded elsewhere: it takes no place from
	// the others.
	waits bool
}

// call is one call of a method.
type call struct {
	msg  dbus.Message
	peer *peer
	// answer is true where a method that replies itself has to.
	answer bool
}

// ownReply is a header field of our own, on incoming messages only, that says that the method must
// send the reply. It is far from what D-Bus defines.
const ownReply = dbus.HeaderField(0xf0)

// in is the signature of the arguments, as D-Bus writes it.
func (m member) in() string {
	t := reflect.TypeOf(m.fn)
	sig := ""
	for i := 1; i < t.NumIn(); i++ {
		sig += dbus.SignatureOfType(t.In(i)).String()
	}
	return sig
}

// out is the signature of the results.
func (m member) out() string {
	t := reflect.TypeOf(m.fn)
	sig := ""
	for i := range t.NumOut() - 1 {
		sig += dbus.SignatureOfType(t.Out(i)).String()
	}
	return sig
}

// inspect sees each message before godbus handles it. godbus would convert arguments of other types
// than the contract's; here they become a wrong number of arguments, which it refuses. And it would
// reply by itself to a method that must reply before its signals go out.
func (s *session) inspect(msg *dbus.Message) {
	if msg.Type != dbus.TypeMethodCall {
		return
	}
	delete(msg.Headers, ownReply)
	if path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath); path != contract.Path {
		return
	}
	if iface, _ := msg.Headers[dbus.FieldInterface].Value().(string); iface != "" && iface != contract.Interface {
		return
	}
	name, _ := msg.Headers[dbus.FieldMember].Value().(string)
	for _, m := range s.members {
		if m.name != name {
			continue
		}
		sig, _ := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
		if sig.String() != m.in() {
			msg.Body = make([]any, reflect.TypeOf(m.fn).NumIn())
			return
		}
		if m.replies && msg.Flags&dbus.FlagNoReplyExpected == 0 {
			msg.Flags |= dbus.FlagNoReplyExpected
			msg.Headers[ownReply] = dbus.MakeVariant(true)
		}
		return
	}
}

// guard makes of a member what godbus calls: it finds out who calls, keeps the access rule and the
// bounds, and survives a panic.
func (s *session) guard(m member) any {
	fn := reflect.ValueOf(m.fn)
	t := fn.Type()
	ins := []reflect.Type{reflect.TypeFor[dbus.Message]()}
	for i := 1; i < t.NumIn(); i++ {
		ins = append(ins, t.In(i))
	}
	outs := make([]reflect.Type, 0, t.NumOut())
	for o := range t.Outs() {
		outs = append(outs, o)
	}
	refused := func(err *dbus.Error) []reflect.Value {
		vs := make([]reflect.Value, 0, len(outs))
		for _, o := range outs[:len(outs)-1] {
			vs = append(vs, reflect.Zero(o))
		}
		return append(vs, reflect.ValueOf(err))
	}
	return reflect.MakeFunc(reflect.FuncOf(ins, outs, false), func(args []reflect.Value) (results []reflect.Value) {
		defer func() {
			if p := recover(); p != nil {
				results = refused(busError(s.d.Errors.Internal(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))))
			}
		}()
		msg := args[0].Interface().(dbus.Message)
		sender, _ := msg.Headers[dbus.FieldSender].Value().(string)
		p, err := s.enter(sender, m.waits)
		if errors.Is(err, errCrowded) {
			return refused(dbus.NewError(busName+".Error.LimitsExceeded", []any{errCrowded.Error()}))
		}
		if err == nil {
			defer s.exit(p, m.waits)
			err = m.access.Check(p.who, s.d.Instance)
		}
		if err != nil {
			return refused(s.fail(err))
		}
		answer, _ := msg.Headers[ownReply].Value().(bool)
		args[0] = reflect.ValueOf(&call{msg: msg, peer: p, answer: answer})
		return fn.Call(args)
	}).Interface()
}

// fail is what a domain error becomes on the bus.
func (s *session) fail(err error) *dbus.Error { return busError(s.d.Errors.Of(err)) }

func busError(err *api.Error) *dbus.Error {
	return dbus.NewError(err.Code.Meaning().DBus, []any{err.Message})
}
