package authz_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/authz"
)

// FuzzVerdict feeds answers as they come off the bus.
func FuzzVerdict(f *testing.F) {
	for _, v := range []any{yes, no, dismissed, nobody, "yes", dbus.MakeVariant(yes)} {
		f.Add(wire(f, v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		m, err := dbus.DecodeMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		err = authz.Verdict(m.Body)
		if err == nil {
			sig := dbus.SignatureOf(m.Body...).String()
			var r result
			if stored := dbus.Store(m.Body, &r); sig != "av" && sig != "(bba{ss})" || stored != nil || !r.Authorized || r.Challenge || r.Details["polkit.dismissed"] != "" {
				t.Errorf("%s %v was taken for a yes", sig, m.Body)
			}
			return
		}
		if !errors.Is(err, authz.ErrRefused) && !errors.Is(err, authz.ErrDismissed) && !errors.Is(err, authz.ErrUnavailable) {
			t.Errorf("an answer ended in %v", err)
		}
	})
}

// wire is a reply with one value, as it comes off the bus.
func wire(f *testing.F, v any) []byte {
	f.Helper()
	m := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(v)),
	}, Body: []any{v}}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}
