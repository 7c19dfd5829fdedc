package busapi

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
)

func TestDetails(t *testing.T) {
	t.Run("reads all of them", func(t *testing.T) {
		for _, ms := range []any{int64(5000), uint64(5000), uint32(5000)} {
			r, err := parseDetails(variants(map[string]any{"require": "verified", "timeout_ms": ms, "origin": "o", "host": "h", "command": "c"}))
			want := api.BeginRequest{Require: "verified", TimeoutMS: 5000, Claimed: api.Claimed{Origin: "o", Host: "h", Command: "c"}}
			if err != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("got %+v, %v", r, err)
			}
		}
	})
	for name, c := range map[string]struct {
		details map[string]any
		says    string
	}{
		"refuses an unknown one":             {map[string]any{"colour": "red"}, `unknown detail "colour"`},
		"refuses a PIN":                      {map[string]any{"pin": "1234"}, `unknown detail "pin"`},
		"refuses a number for a text":        {map[string]any{"require": uint32(1)}, "must be s"},
		"refuses a path for a text":          {map[string]any{"origin": dbus.ObjectPath("/")}, "must be s"},
		"refuses bytes for a text":           {map[string]any{"host": []byte("h")}, "must be s"},
		"refuses a text for a number":        {map[string]any{"timeout_ms": "5000"}, "must be x, t or u"},
		"refuses a fraction for a number":    {map[string]any{"timeout_ms": 5000.0}, "must be x, t or u"},
		"refuses a variant within a variant": {map[string]any{"require": dbus.MakeVariant("key")}, "must be s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDetails(variants(c.details))
			if err == nil || err.Code != api.CodeBadRequest || !strings.Contains(err.Message, c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("does not take a huge or a zero time for none", func(t *testing.T) {
		for _, ms := range []any{uint64(math.MaxUint64), int64(0), uint32(0)} {
			if r, err := parseDetails(variants(map[string]any{"timeout_ms": ms})); err != nil || r.TimeoutMS == 0 {
				t.Errorf("%v: got %+v, %v", ms, r, err)
			}
		}
	})
}

// FuzzDetails feeds bodies as they come off the bus.
func FuzzDetails(f *testing.F) {
	for _, m := range []map[string]any{
		{}, {"require": "key"}, {"timeout_ms": uint32(1000)}, {"origin": "x", "host": []string{"y"}}, {"command": map[string]dbus.Variant{"a": dbus.MakeVariant(1.5)}},
	} {
		var b bytes.Buffer
		msg := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/a")), dbus.FieldMember: dbus.MakeVariant("Verify"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust("a{sv}")),
		}, Body: []any{variants(m)}}
		if err := msg.EncodeTo(&b, binary.LittleEndian); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		msg, err := dbus.DecodeMessage(bytes.NewReader(b))
		if err != nil || len(msg.Body) != 1 {
			return
		}
		details, ok := msg.Body[0].(map[string]dbus.Variant)
		if !ok {
			return
		}
		r, bad := parseDetails(details)
		if bad == nil && (r.User != "" || r.Service != "" || r.Key != "" || r.Kind != "") {
			t.Errorf("details reached beyond themselves: %+v", r)
		}
	})
}
