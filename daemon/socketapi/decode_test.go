package socketapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

func TestDecode(t *testing.T) {
	t.Run("reads a whole request", func(t *testing.T) {
		var r api.BeginRequest
		err := decode([]byte(` {"kind":"sign-in","service":"m","timeout_ms":5000,"claimed":{"origin":"a\"b}"},"method":{"backup":true}} `), &r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != "sign-in" || r.Claimed.Origin != `a"b}` || !r.Method.Backup || r.TimeoutMS != 5000 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("takes an empty object", func(t *testing.T) {
		if err := decode([]byte("{}"), new(api.BeginRequest)); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct{ body, says string }{
		"refuses nothing":                       {"", "not one JSON object"},
		"refuses white space":                   {"  ", "not one JSON object"},
		"refuses half an object":                {`{"kind":`, "not one JSON object"},
		"refuses what follows the object":       {`{} {}`, "not one JSON object"},
		"refuses an array":                      {`[]`, "not a JSON object"},
		"refuses null":                          {`null`, "not a JSON object"},
		"refuses a string":                      {`"kind"`, "not a JSON object"},
		"refuses an unknown field":              {`{"knd":"x"}`, `unknown field "knd"`},
		"refuses an unknown field within":       {`{"claimed":{"orgin":"x"}}`, `unknown field "claimed.orgin"`},
		"refuses a field in other case":         {`{"Kind":"x"}`, `unknown field "Kind"`},
		"refuses an escaped field":              {`{"\u006bind":"x"}`, `unknown field`},
		"refuses a field twice":                 {`{"kind":"a","kind":"b"}`, `"kind" stands twice`},
		"refuses a field twice within":          {`{"method":{"id":"a","id":"b"}}`, `"method.id" stands twice`},
		"refuses a number for a string":         {`{"kind":1}`, `"kind" has the wrong type`},
		"refuses a string for a number":         {`{"timeout_ms":"1"}`, `"timeout_ms" has the wrong type`},
		"refuses a fraction for a whole":        {`{"timeout_ms":1.5}`, `"timeout_ms" has the wrong type`},
		"refuses a number out of range":         {`{"timeout_ms":1e400}`, `"timeout_ms" has the wrong type`},
		"refuses a string for an object":        {`{"claimed":"x"}`, `"claimed" has the wrong type`},
		"refuses an object for a string":        {`{"kind":{"a":1}}`, `"kind" has the wrong type`},
		"refuses invalid UTF-8":                 {"{\"kind\":\"\xff\"}", "UTF-8"},
		"refuses deep nesting":                  {`{"claimed":` + strings.Repeat("[", 60000), "nested too deeply"},
		"refuses deep nesting that is complete": {`{"claimed":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, "nested too deeply"},
	} {
		t.Run(name, func(t *testing.T) {
			err := decode([]byte(c.body), new(api.BeginRequest))
			if err == nil || err.Code != api.CodeBadRequest || !strings.Contains(err.Message, c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	t.Run("does not show the value that has the wrong type", func(t *testing.T) {
		err := decode([]byte(`{"prompt":"p","pin":123456}`), new(api.Answer))
		if err == nil || strings.Contains(err.Message, "123456") {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"kind":"sign-in","claimed":{"origin":"x"}}`, `{"kind":"a","kind":"b"}`, `{"timeout_ms":1e9}`,
		`{"method":{"backup":true,"name":"\ud800"}}`, `{"claimed":[[[{"a":[]}]]]}`, `{"kind":nul`, "{\"a\\", `{"":{}}`, `{"kind" : null , "user":""}`,
		`{"token":{"serial":"A","seed":"c3Nzcw==","digits":6}}`, `{"options":{"partial":true}}`, `{"commit":true}`,
		`{"backup":{"format":1,"data_key":"AA=="}}`, `{"record":{"bucket":"b","key":"AA==","value":"AA=="}}`, `{"code":"123456"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []any{new(api.Answer), new(api.MethodPatch), new(api.TokenPatch), new(api.Unlock), new(api.ImportLine), new(api.RestoreLine)} {
			_ = decode(b, v)
		}
		var r api.BeginRequest
		if decode(b, &r) != nil {
			return
		}
		// What was taken must be what the standard library reads with its own strictness.
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		var again api.BeginRequest
		if err := d.Decode(&again); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("read %+v, the standard library %+v: %v", r, again, err)
		}
	})
}
