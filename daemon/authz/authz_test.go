package authz_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/internal/testbus"
)

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer any
		want   error
		says   string
	}{
		{"a yes", yes, nil, ""},
		{"a yes after a password", result{Authorized: true, Details: map[string]string{"polkit.x": "y"}}, nil, ""},
		{"a no", no, authz.ErrRefused, "did not allow"},
		{"a dialog that was closed", dismissed, authz.ErrDismissed, "closed"},
		{"a dialog that was closed, and could be shown again", result{Challenge: true, Details: dismissed.Details}, authz.ErrDismissed, "closed"},
		{"nobody there to ask", nobody, authz.ErrRefused, "no authentication agent: run it in a desktop session, or as root"},
		{"a yes that is a challenge", result{true, true, map[string]string{}}, authz.ErrUnavailable, "makes no sense"},
		{"a yes that was dismissed", result{true, false, dismissed.Details}, authz.ErrUnavailable, "makes no sense"},
		{"a text", "yes", authz.ErrUnavailable, "makes no sense"},
		{"a bare yes", true, authz.ErrUnavailable, "makes no sense"},
		{"numbers", struct {
			A, B uint32
			D    map[string]string
		}{1, 0, map[string]string{}}, authz.ErrUnavailable, "makes no sense"},
		{"details of another type", struct {
			A, B bool
			D    map[string]uint32
		}{true, false, map[string]uint32{}}, authz.ErrUnavailable, "makes no sense"},
		{"too little", struct{ A, B bool }{true, false}, authz.ErrUnavailable, "makes no sense"},
		{"too much", struct {
			A, B bool
			D    map[string]string
			C    bool
		}{true, false, map[string]string{}, false}, authz.ErrUnavailable, "makes no sense"},
		{"a variant", dbus.MakeVariant(yes), authz.ErrUnavailable, "makes no sense"},
	} {
		t.Run("takes "+tt.name+" for what it is", func(t *testing.T) {
			b := newBench(t, authz.Options{})
			servePolkit(t, b.bus.Address, always(tt.answer))
			wants(t, b.check(t), tt.want, tt.says)
		})
	}
	t.Run("takes two answers at once for garbage", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		servePolkit(t, b.bus.Address, func(p *polkit, m *dbus.Message) { p.reply(m, yes, yes) })
		wants(t, b.check(t), authz.ErrUnavailable, "makes no sense")
	})
	t.Run("takes an empty answer for garbage", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		servePolkit(t, b.bus.Address, func(p *polkit, m *dbus.Message) { p.reply(m) })
		wants(t, b.check(t), authz.ErrUnavailable, "makes no sense")
	})
	for name, says := range map[string]string{
		polkitName + ".Error.NotAuthorized":        "it takes no questions from Fob",
		polkitName + ".Error.Failed":               "said [31mpolkit",
		"org.freedesktop.DBus.Error.UnknownMethod": "said [31mpolkit",
	} {
		t.Run("takes the error "+name+" for no answer, and cleans it", func(t *testing.T) {
			b := newBench(t, authz.Options{})
			servePolkit(t, b.bus.Address, func(p *polkit, m *dbus.Message) { p.fail(m, name) })
			err := b.check(t)
			wants(t, err, authz.ErrUnavailable, says)
			if strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("it says %q", err)
			}
		})
	}
}

// wants checks an error and its words.
func wants(t *testing.T, got, want error, says string) {
	t.Helper()
	if !errors.Is(got, want) || got != nil && !strings.Contains(got.Error(), says) {
		t.Errorf("got %v, want %v that says %q", got, want, says)
	}
}

func TestQuestion(t *testing.T) {
	b := newBench(t, authz.Options{})
	p := servePolkit(t, b.bus.Address, always(yes))

	t.Run("names the connection, the action and cleaned details, and lets polkit ask", func(t *testing.T) {
		details := map[string]string{"user": "ada\x1b[2J\u202e", "what": strings.Repeat("x", 1000)}
		if err := b.authority.Check(t.Context(), b.subject, me(), authz.ActionFirstMethod, details); err != nil {
			t.Fatal(err)
		}
		m := next(t, "the question", p.asked)
		if sig := m.Headers[dbus.FieldSignature].Value().(dbus.Signature); sig.String() != "(sa{sv})sa{ss}us" {
			t.Fatalf("its type is %s", sig)
		}
		subject := m.Body[0].([]any)
		about := subject[1].(map[string]dbus.Variant)
		if subject[0] != "system-bus-name" || len(about) != 1 || about["name"].Value() != b.subject {
			t.Errorf("the subject is %v", subject)
		}
		if m.Body[1] != string(authz.ActionFirstMethod) || m.Body[3] != uint32(1) || m.Body[4] == "" {
			t.Errorf("it asks %v", m.Body)
		}
		got := m.Body[2].(map[string]string)
		if len(got) != 2 || got["user"] != "ada[2J" || len([]rune(got["what"])) > 200 {
			t.Errorf("the details are %q", got)
		}
	})
	t.Run("goes to polkit's connection, not to whoever has its name by then", func(t *testing.T) {
		if err := b.check(t); err != nil {
			t.Fatal(err)
		}
		if to := next(t, "the question", p.asked).Headers[dbus.FieldDestination].Value(); to != p.conn.Names()[0] {
			t.Errorf("it goes to %v", to)
		}
	})
	t.Run("has an id of its own", func(t *testing.T) {
		for range 2 {
			if err := b.check(t); err != nil {
				t.Fatal(err)
			}
		}
		if one, two := next(t, "a question", p.asked), next(t, "a question", p.asked); one.Body[4] == two.Body[4] {
			t.Errorf("two have the id %v", one.Body[4])
		}
	})

	many := map[string]string{}
	for i := range 9 {
		many[string(rune('a'+i))] = ""
	}
	for _, tt := range []struct {
		name    string
		subject string
		action  authz.Action
		details map[string]string
		says    string
	}{
		{"a name that anyone can take", polkitName, authz.ActionFirstMethod, nil, "no connection"},
		{"no subject", "", authz.ActionFirstMethod, nil, "no connection"},
		{"a subject that ends a match rule", ":1.2',arg0='", authz.ActionFirstMethod, nil, "no connection"},
		{"a subject with a line break", ":1.2\n", authz.ActionFirstMethod, nil, "no connection"},
		{"another's action", b.subject, "org.freedesktop.policykit.exec", nil, "no action of Fob's"},
		{"no action", b.subject, "", nil, "no action of Fob's"},
		{"a detail that replaces the dialog's text", b.subject, authz.ActionFirstMethod, map[string]string{"polkit.message": "x"}, "polkit.message"},
		{"a detail without a name", b.subject, authz.ActionFirstMethod, map[string]string{"": "x"}, "its name"},
		{"a detail with a long name", b.subject, authz.ActionFirstMethod, map[string]string{strings.Repeat("x", 33): "x"}, "its name"},
		{"too many details", b.subject, authz.ActionFirstMethod, many, "9 details"},
	} {
		t.Run("is not asked with "+tt.name, func(t *testing.T) {
			err := b.authority.Check(t.Context(), tt.subject, me(), tt.action, tt.details)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if len(p.asked) > 0 {
				t.Error("polkit was asked")
			}
		})
	}
	t.Run("is not asked for a caller that is gone already", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		wants(t, b.authority.Check(ctx, b.subject, me(), authz.ActionFirstMethod, nil), gone, "gone")
		if len(p.asked) > 0 {
			t.Error("polkit was asked")
		}
	})
	t.Run("is not asked for a subject that is another user's by now", func(t *testing.T) {
		wants(t, b.authority.Check(t.Context(), b.subject, me()+1, authz.ActionFirstMethod, nil), authz.ErrGone, "left the bus")
		if len(p.asked) > 0 {
			t.Error("polkit was asked")
		}
	})
	t.Run("is not asked for a subject that has left the bus", func(t *testing.T) {
		conn, name := program(t, b.bus.Address)
		_ = conn.Close()
		for b.program.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, name).Err == nil {
			time.Sleep(time.Millisecond)
		}
		wants(t, b.authority.Check(t.Context(), name, me(), authz.ActionFirstMethod, nil), authz.ErrGone, "left the bus")
		if len(p.asked) > 0 {
			t.Error("polkit was asked")
		}
	})
}

// A dialog must not outlive whoever wanted it.
func TestQuestionEnds(t *testing.T) {
	mine := errors.New("the caller hung up")
	for _, tt := range []struct {
		name string
		o    authz.Options
		end  func(b *bench, cancel context.CancelCauseFunc)
		want error
	}{
		{"the caller gives up", authz.Options{}, func(_ *bench, cancel context.CancelCauseFunc) { cancel(mine) }, mine},
		{"the subject leaves the bus", authz.Options{}, func(b *bench, _ context.CancelCauseFunc) { _ = b.program.Close() }, authz.ErrGone},
		{"nobody answers in time", authz.Options{Timeout: 300 * time.Millisecond}, func(*bench, context.CancelCauseFunc) {}, authz.ErrUnavailable},
	} {
		t.Run("when "+tt.name+", and polkit hears of it", func(t *testing.T) {
			b := newBench(t, tt.o)
			p := servePolkit(t, b.bus.Address, nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			done := make(chan error, 1)
			go func() { done <- b.authority.Check(ctx, b.subject, me(), authz.ActionFirstMethod, nil) }()
			id := next(t, "the question", p.asked).Body[4]
			tt.end(b, cancel)
			start := time.Now()
			wants(t, next(t, "the end", done), tt.want, "")
			if took := time.Since(start); took > atOnce {
				t.Errorf("it took %v", took)
			}
			if got := next(t, "the cancelling", p.cancelled); got != id {
				t.Errorf("%q was cancelled, %q was asked", got, id)
			}
		})
	}
	t.Run("when Fob ends, which leaves the bus", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		p := servePolkit(t, b.bus.Address, nil)
		done := make(chan error, 1)
		go func() { done <- b.check(t) }()
		sender := next(t, "the question", p.asked).Headers[dbus.FieldSender].Value()
		b.authority.Close()
		wants(t, next(t, "the end", done), authz.ErrUnavailable, "shutting down")
		for late := time.After(patience); b.program.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, sender).Err == nil; {
			select {
			case <-late:
				t.Fatal("the connection is still there")
			default:
			}
		}
		wants(t, b.check(t), authz.ErrUnavailable, "shutting down")
	})
	t.Run("when polkit vanishes mid-way, and its successor is asked next", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		p := servePolkit(t, b.bus.Address, func(p *polkit, _ *dbus.Message) { go p.conn.Close() })
		wants(t, b.check(t), authz.ErrUnavailable, "ended before it answered")
		<-p.conn.Context().Done()
		servePolkit(t, b.bus.Address, always(yes))
		wants(t, b.check(t), nil, "")
	})
	t.Run("no later than the caller, whatever polkit says", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		ctx, cancel := context.WithCancelCause(t.Context())
		servePolkit(t, b.bus.Address, func(p *polkit, m *dbus.Message) {
			cancel(mine)
			p.reply(m, yes)
		})
		wants(t, b.authority.Check(ctx, b.subject, me(), authz.ActionFirstMethod, nil), mine, "")
	})
}

func TestWhoIsPolkit(t *testing.T) {
	t.Run("nobody of another uid", func(t *testing.T) {
		b := newBench(t, authz.Options{Owners: []uint32{uint32(os.Getuid()) + 1}})
		p := servePolkit(t, b.bus.Address, always(yes))
		wants(t, b.check(t), authz.ErrUnavailable, "not polkit's user")
		if len(p.asked) > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("any of those that are named", func(t *testing.T) {
		b := newBench(t, authz.Options{Owners: []uint32{uint32(os.Getuid()) + 1, uint32(os.Getuid())}})
		servePolkit(t, b.bus.Address, always(yes))
		wants(t, b.check(t), nil, "")
	})
	t.Run("nobody where it is not installed", func(t *testing.T) {
		b := newBench(t, authz.Options{})
		wants(t, b.check(t), authz.ErrUnavailable, "Install the package polkitd")
	})
	t.Run("the program that the bus starts as it", func(t *testing.T) {
		testbus.New(t) // skips where there is no dbus-daemon
		dir, err := os.MkdirTemp("", "fob-bus")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		service := "[D-BUS Service]\nName=" + polkitName + "\nExec=" + self + " " + asPolkit + "\n"
		if err := os.WriteFile(dir+"/polkit.service", []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
		bus, err := testbus.Start(dir, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bus.Close)
		_, subject := program(t, bus.Address)
		wants(t, open(t, bus.Address, authz.Options{}).Check(t.Context(), subject, me(), authz.ActionFirstMethod, nil), nil, "")
	})
}

func TestLog(t *testing.T) {
	var lines lockedBuffer
	b := newBench(t, authz.Options{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	for range 3 {
		wants(t, b.check(t), authz.ErrUnavailable, "")
	}
	servePolkit(t, b.bus.Address, always(no))
	for range 3 {
		wants(t, b.check(t), authz.ErrRefused, "")
	}
	got := slices.Collect(strings.Lines(lines.String()))
	if len(got) != 2 || !strings.Contains(got[0], "WARN") || !strings.Contains(got[1], "answers again") {
		t.Errorf("the log says %q", got)
	}
}

func TestActions(t *testing.T) {
	seen := map[authz.Action]bool{}
	for _, a := range authz.Actions() {
		seen[a] = true
	}
	if len(seen) != 1 || !seen[authz.ActionFirstMethod] {
		t.Errorf("there are %v", slices.Collect(maps.Keys(seen)))
	}
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
