package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

func TestCodes(t *testing.T) {
	buses := map[string]api.Code{}
	for _, c := range api.Codes() {
		m := c.Meaning()
		if m.HTTP < 400 || m.HTTP > 599 || m.Exit < 1 || m.Exit > 8 || !strings.HasPrefix(m.DBus, "io.github.fobproject.Fob1.Error.") {
			t.Errorf("%s means %+v", c, m)
		}
		if other, twice := buses[m.DBus]; twice {
			t.Errorf("%s and %s have the same D-Bus name", c, other)
		}
		buses[m.DBus] = c
		if got := api.CodeOfBusName(m.DBus); got != c {
			t.Errorf("%s is read back as %s", m.DBus, got)
		}
	}
	if got := api.Code("made up").Meaning(); got != api.CodeInternal.Meaning() {
		t.Errorf("an unknown code means %+v", got)
	}
	if got := api.CodeOfBusName("org.example.Error"); got != api.CodeInternal {
		t.Errorf("an unknown name is %s", got)
	}
	err := fmt.Errorf("wrapped: %w", api.Errorf(api.CodeNoKey, "plug in %s", "a key"))
	if !errors.Is(err, &api.Error{Code: api.CodeNoKey}) || errors.Is(err, &api.Error{Code: api.CodeNoMethod}) {
		t.Error("errors are not told apart by their codes")
	}
}

func TestPINShowsNothing(t *testing.T) {
	const value = "hunter2"
	a := api.Answer{Prompt: "p1", PIN: api.Secret(value)}
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("a line", "pin", a.PIN)
	}
	fmt.Fprintf(&log, "%v %+v %#v %s %d %x %#v", a, a, a, a.PIN, a.PIN, a.PIN, a.PIN)
	for _, leak := range []string{value, fmt.Sprint([]byte(value)), fmt.Sprintf("%x", value)} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("the PIN shows: %s", &log)
		}
	}
	b, err := json.Marshal(a)
	if err != nil || !strings.Contains(string(b), `"pin":"hunter2"`) {
		t.Errorf("on the wire: %s, %v", b, err)
	}
	var back api.Answer
	if err := json.Unmarshal(b, &back); err != nil || string(back.PIN) != value {
		t.Errorf("read back: %v", err)
	}
	back.PIN.Wipe()
	if strings.Trim(string(back.PIN), "\x00") != "" {
		t.Error("the PIN was not wiped")
	}
}
