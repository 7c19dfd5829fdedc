package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseFile(t *testing.T) {
	t.Run("reads all of it", func(t *testing.T) {
		f, err := ParseFile([]byte("keys = ['/dev/a', '/dev/b']\nlog_level = 'debug'\nhelper = '/opt/fob-helper'\n"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Keys, []string{"/dev/a", "/dev/b"}) || f.LogLevel != "debug" || f.Helper != "/opt/fob-helper" {
			t.Errorf("got %+v", f)
		}
	})
	t.Run("takes an empty file", func(t *testing.T) {
		if _, err := ParseFile(nil); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct{ text, says string }{
		"refuses an unknown key, with the line":        {"log_level = 'info'\n\ncolour = 'red'\n", `line 3: unknown key "colour"`},
		"refuses an unknown quoted key, with the line": {"\n\"a b\\\"c\" = 1\n", "line 2: unknown key"},
		"refuses an unknown table, with the line":      {"# one\n[service]\nx = 1\n", `line 2: unknown key "service"`},
		"refuses an unknown nested key":                {"a.b.c = 1\n", "line 1: unknown key"},
		"refuses a wrong type, with the line":          {"\nlog_level = 3\n", "line 2 (last key \"log_level\"): incompatible types"},
		"refuses a wrong element, with the line":       {"keys = ['/a',\n 3]\n", "line "},
		"refuses a key that stands twice":              {"helper = '/a'\nhelper = '/b'\n", "line 2: "},
		"refuses what is no TOML, with the line":       {"\n\nkeys = [\n", "line "},
		"refuses a relative path of a key":             {"keys = ['hidraw0']", `"hidraw0" is not an absolute path`},
		"refuses a relative helper":                    {"helper = 'fob-helper'", "not an absolute path"},
		"refuses an unknown level":                     {"log_level = 'loud'", "debug, info"},
		"refuses too many keys":                        {"keys = [" + strings.Repeat("'/a',", 17) + "]", "more than 16"},
		"refuses invalid UTF-8":                        {"helper = '/\xff'", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseFile([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestHowLongTheLogIsKept(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"":                      400 * day,
		"keep_log_days = 0":     400 * day,
		"keep_log_days = 1":     day,
		"keep_log_days = 7":     7 * day,
		"keep_log_days = 800":   800 * day,
		"keep_log_days = 36500": 36500 * day,
	} {
		f, err := ParseFile([]byte(text))
		if got := f.keepLog(); err != nil || got != want {
			t.Errorf("%q: %v, want %v (%v)", text, got, want, err)
		}
	}
	for _, text := range []string{"keep_log_days = -1", "keep_log_days = 36501", "keep_log_days = '7'"} {
		if _, err := ParseFile([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, s := range []string{"", "keys = ['/a']", "log_level = 'info'", "[a.b]\nc = 1", "\"a\\\"b\" = 1", "a = {b = [1, 2]}", "helper = '''/x'''", "[[x]]\n[[x]]", "keys = [["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2000 {
			return
		}
		file, err := ParseFile(b)
		if err == nil && file.check() != nil {
			t.Errorf("took %+v", file)
		}
		if err != nil && file.Keys != nil {
			t.Errorf("gave something beside %v", err)
		}
	})
}

func TestPaths(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	t.Run("follow the session's folders", func(t *testing.T) {
		l, err := session(env(map[string]string{"XDG_RUNTIME_DIR": "/run/user/1", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"}), "/home/a")
		want := layout{state: "/s/fob", database: "/s/fob/fob.db", vaultKey: "/s/fob/vault.key", socket: "/run/user/1/fob/fob.sock", config: "/c/fob/fobd.toml", policy: "/c/fob/policy.d", bus: "unix:path=/run/user/1/bus", logind: systemBus, journal: "/run/systemd/journal/socket"}
		if err != nil || l != want {
			t.Errorf("got %+v, %v", l, err)
		}
	})
	t.Run("are the standard's where the environment says nothing, or nothing absolute", func(t *testing.T) {
		l, err := session(env(map[string]string{"XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "relative", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/b"}), "/home/a")
		if err != nil || l.state != "/home/a/.local/state/fob" || l.config != "/home/a/.config/fob/fobd.toml" || l.bus != "unix:path=/b" {
			t.Errorf("got %+v, %v", l, err)
		}
	})
	t.Run("of a private instance are all below one folder, and it has no bus and no journal", func(t *testing.T) {
		l, err := private("/d")
		want := layout{state: "/d", database: "/d/fob.db", vaultKey: "/d/vault.key", socket: "/d/fob.sock", config: "/d/fobd.toml", policy: "/d/policy.d"}
		if err != nil || l != want {
			t.Errorf("got %+v, %v", l, err)
		}
	})
	t.Run("of the machine's instance below one folder let the environment say where bus and journal are", func(t *testing.T) {
		said := env(map[string]string{"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/b", "FOB_JOURNAL_SOCKET": "/j"})
		for _, c := range []struct {
			o            Options
			bus, journal string
		}{
			{Options{Dir: "/d", System: true, Env: said}, "unix:path=/b", "/j"},
			{Options{Dir: "/d", System: true, Env: env(nil)}, "", ""},
			{Options{Dir: "/d", Env: said}, "", ""},
			{Options{System: true, Env: said}, "unix:path=/b", "/run/systemd/journal/socket"}, // nothing diverts the log's heads
		} {
			if l, err := c.o.layout("/home/a"); err != nil || l.bus != c.bus || l.journal != c.journal {
				t.Errorf("of %+v: %+v, %v", c.o, l, err)
			}
		}
	})
	t.Run("of the helper never come from the environment", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if got := findHelper("", "/nonexistent/bin/fobd"); got != "/usr/libexec/fob/fob-helper" && got != "/nonexistent/libexec/fob/fob-helper" {
			t.Error(got)
		}
		if got := findHelper("/opt/h", "/usr/bin/fobd"); got != "/opt/h" {
			t.Error(got)
		}
	})
}
