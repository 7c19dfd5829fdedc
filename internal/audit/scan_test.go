package audit_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/audit"
)

func TestScan(t *testing.T) {
	bare := audit.Entry{Seq: 1, Time: noon.UTC()}
	odd := full("r", 1)
	odd.Host, odd.Service, odd.Receipt = "düsk \"x\"\\", "a\x00b\u2028", &audit.Receipt{Algorithm: 5, Signature: []byte{}}
	for name, e := range map[string]audit.Entry{"every field": full("r", 1), "hardly a field": bare, "odd texts and a bare receipt": odd} {
		t.Run("reads what Append writes with "+name, func(t *testing.T) {
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := audit.Scan(b)
			var want audit.Entry
			if err := json.Unmarshal(b, &want); err != nil || !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v %+v, want %+v, %v", ok, got, want, err)
			}
		})
	}
	for name, text := range map[string]string{
		"nothing":                `{}`,
		"what is no object":      `[]`,
		"spaces":                 `{"seq": 1}`,
		"a field that is twice":  `{"seq":1,"seq":2}`,
		"another field":          `{"seq":1,"more":1}`,
		"another case":           `{"SEQ":1}`,
		"a fraction":             `{"seq":1.0}`,
		"a leading zero":         `{"seq":01}`,
		"a great number":         `{"seq":18446744073709551616}`,
		"a great uid":            `{"uid":4294967296}`,
		"a short hash":           `{"prev":"00"}`,
		"a control character":    "{\"user\":\"a\nb\"}",
		"half a text":            `{"user":"a`,
		"half an escape":         `{"user":"a\`,
		"a bad escape":           `{"user":"\q"}`,
		"bad Base64":             `{"receipt":{"signature":"A"}}`,
		"a time that is none":    `{"time":"2026-02-30T00:00:00Z"}`,
		"something behind":       `{"seq":1}}`,
		"a comma and no more":    `{"seq":1,}`,
		"a list that is not one": `{"tried":["a" "b"]}`,
	} {
		t.Run("leaves "+name+" to others", func(t *testing.T) {
			if e, ok := audit.Scan([]byte(text)); ok {
				t.Errorf("it read %+v", e)
			}
		})
	}
}

// FuzzScan: what scan reads, encoding/json reads alike.
func FuzzScan(f *testing.F) {
	b, err := json.Marshal(full("r", 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"seq":1,"user":"\u00fc\ud800","uid":4294967295,"tried":["a"],"receipt":{"algorithm":-7,"auth_data":null,"signature":"AA=="}}`))
	f.Add([]byte(`{"prev":"` + strings.Repeat("Aa", 32) + `","time":"2026-01-01T00:00:00.5+01:00"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := audit.Scan(b)
		if !ok {
			t.Skip("left to encoding/json")
		}
		var want audit.Entry
		if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot %+v\nwant %+v, %v", b, got, want, err)
		}
	})
}
