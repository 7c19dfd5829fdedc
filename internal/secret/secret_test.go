package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/secret"
)

func TestSecretShowsNothing(t *testing.T) {
	const value = "hunter2"
	s := secret.New([]byte(value))
	holder := struct{ PIN *secret.Secret }{s}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d %v %+v %#v", s, s, s, s, s, s, s, holder, holder, *s)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("a line", "pin", s, "holder", holder)
	}
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	for _, leak := range []string{value, fmt.Sprintf("%x", value), fmt.Sprint([]byte(value)), strings.Trim(fmt.Sprintf("%#v", []byte(value)), "[]byte{}")} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the secret shows as %q in: %s", leak, out.String())
		}
	}
	if err := json.Unmarshal([]byte(`"x"`), s); err == nil {
		t.Error("a secret was read from JSON")
	}
}

func TestWipe(t *testing.T) {
	b := []byte("hunter2")
	s := secret.New(b)
	s.Wipe()
	s.Wipe()
	if s.Len() != 0 || !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("left over: %q", b)
	}
	var none *secret.Secret
	none.Wipe()
	if none.Len() != 0 || none.Reveal() != nil {
		t.Error("a nil secret is not empty")
	}
}
