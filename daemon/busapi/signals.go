package busapi

import (
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/signin"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// reply answers a call now, so that no signal can come before it.
func (s *session) reply(c *call, values ...any) {
	msg := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(c.peer.name),
		dbus.FieldReplySerial: dbus.MakeVariant(c.msg.Serial()),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(values...)),
	}, Body: values}
	s.conn.Send(msg, nil)
}

// emit sends a signal to one connection.
func (s *session) emit(to, name string, values ...any) {
	msg := &dbus.Message{Type: dbus.TypeSignal, Flags: dbus.FlagNoReplyExpected, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(to),
		dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath(contract.Path)),
		dbus.FieldInterface:   dbus.MakeVariant(contract.Interface),
		dbus.FieldMember:      dbus.MakeVariant(name),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(values...)),
	}, Body: values}
	s.conn.Send(msg, nil)
}

// pump tells a peer of its request until the decision.
func (s *session) pump(p *peer, req *signin.Request) {
	states, stop := req.Watch()
	defer stop()
	var last changed
	for v := range states {
		if p.ctx.Err() != nil {
			continue // nobody is there to hear it; the engine is cancelling
		}
		if v = req.ForCaller(v); !v.Pending() {
			s.decided(p, v)
			continue
		}
		if now := changedOf(v); !now.equal(last) {
			s.emit(p.name, "Changed", v.ID, now.variants())
			last = now
		}
	}
}

// changed is what the signal Changed says.
type changed struct {
	progress string
	deadline int64
	prompts  []string
	keys     []string
}

func changedOf(v signin.View) changed {
	c := changed{progress: v.Progress, deadline: v.Deadline.UnixMilli(), prompts: []string{}, keys: []string{}}
	for _, p := range v.Prompts {
		c.prompts = append(c.prompts, string(p.Type))
	}
	for _, o := range v.Offers {
		if o.State == signin.OfferTouch {
			c.keys = append(c.keys, o.KeyName)
		}
	}
	return c
}

func (c changed) equal(o changed) bool {
	return c.progress == o.progress && c.deadline == o.deadline &&
		slices.Equal(c.prompts, o.prompts) && slices.Equal(c.keys, o.keys)
}

func (c changed) variants() map[string]dbus.Variant {
	return variants(map[string]any{"progress": c.progress, "deadline": c.deadline, "prompts": c.prompts, "keys": c.keys})
}

func (s *session) decided(p *peer, v signin.View) {
	st := s.d.Errors.State(v)
	details := map[string]any{"self_asserted": v.SelfAsserted, "log_seq": v.LogSeq}
	if st.Error != nil {
		details["error"] = st.Error.Code.Meaning().DBus
		details["message"] = st.Error.Message
	}
	s.emit(p.name, "Decided", v.ID, st.Decision, st.Strength, variants(details))
}
