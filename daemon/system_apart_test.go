package daemon_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/virtual"
	contract "github.com/fobproject/fob/packaging/dbus"
)

func TestSystemBus(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	verify := func(pr *program, user, service string) (id, number string, err error) {
		err = pr.object.Call(contract.Interface+".Verify", 0, user, service, map[string]dbus.Variant{}).Store(&id, &number)
		return id, number, err
	}

	t.Run("another user's program gets a number, and learns nothing but the decision", func(t *testing.T) {
		web := p.sys.connect(t)
		id, number, err := verify(web, "daemon", "site")
		if err != nil || id == "" || len(number) != 2 {
			t.Fatal(id, number, err)
		}
		m.silent(t)
		p.desk.number(t, id, number)
		p.desk.tap(t)
		for {
			member, body := web.next(t)
			if member == "Decided" {
				if body[1] != api.Approved || body[2] != "key" {
					t.Errorf("it ends %v", body)
				}
				break
			}
			state := body[1].(map[string]dbus.Variant)
			if keys, _ := state["keys"].Value().([]string); len(keys) > 0 {
				t.Errorf("it hears of keys: %v", state)
			}
			if prompts, _ := state["prompts"].Value().([]string); len(prompts) > 0 {
				t.Errorf("it hears of prompts: %v", state)
			}
		}
	})
	t.Run("the user's own program at the desk gets none", func(t *testing.T) {
		mine := p.desk.connect(t)
		id, number, err := verify(mine, "", "mailer")
		if err != nil || number != "" {
			t.Fatal(id, number, err)
		}
		p.desk.tap(t)
		if d, _, _ := mine.decided(t, id); d != api.Approved {
			t.Errorf("it ends %s", d)
		}
	})
	t.Run("another user's requests and receipts do not exist", func(t *testing.T) {
		mine, other := p.desk.connect(t), p.bin.connect(t)
		id, _, err := verify(mine, "", "mailer")
		if err != nil {
			t.Fatal(err)
		}
		p.desk.waiting(t)
		if code := busCode(t, other.object.Call(contract.Interface+".Cancel", 0, id).Err); code != api.CodeNotFound {
			t.Errorf("cancel: %q", code)
		}
		m.key.Touch()
		mine.decided(t, id)
		if code := busCode(t, other.object.Call(contract.Interface+".Receipt", 0, id).Err); code != api.CodeNotFound {
			t.Errorf("receipt: %q", code)
		}
		if code := busCode(t, mine.object.Call(contract.Interface+".Receipt", 0, id).Err); code != "" {
			t.Errorf("the user's own receipt: %q", code)
		}
	})
	t.Run("another user who began a request takes it back, and decides nothing", func(t *testing.T) {
		s := p.sys.begin(t, api.BeginRequest{User: "daemon", Service: "elsewhere"})
		v := first(t, s)
		if v.Number == "" || len(v.Offers)+len(v.Prompts) > 0 || !strings.HasPrefix(v.Progress, "Waiting for ") || strings.Contains(v.Progress, "blue") {
			t.Errorf("it sees %+v", v)
		}
		prompt := p.desk.prompt(t, v.ID, api.PromptNumber).ID
		for verb, want := range map[string]api.Code{"deny": api.CodeForbidden, "report": api.CodeForbidden, "pick": api.CodeNotFound} {
			if code := p.sys.call(t, "POST", "/requests/"+v.ID+"/"+verb, nil, nil); code != want {
				t.Errorf("%s: %q", verb, code)
			}
		}
		if err := p.sys.Answer(limit(t), v.ID, api.Answer{Prompt: prompt, Number: v.Number}); err == nil || codeOf(t, err) != api.CodePlace {
			t.Errorf("types the number: %v", err)
		}
		if err := p.sys.Cancel(limit(t), v.ID); err != nil {
			t.Error(err)
		}
		if v := decision(t, s); v.Decision != api.Cancelled {
			t.Errorf("it ends %+v", v)
		}
	})
	t.Run("names of PAM are root's", func(t *testing.T) {
		if _, _, err := verify(p.desk.connect(t), "", "pam:sudo"); busCode(t, err) != api.CodeForbidden {
			t.Errorf("got %v", err)
		}
	})
}

func TestSystemKeepsUsersApart(t *testing.T) {
	m := newMachine(t, sshPolicy)
	p := m.people(t)
	method := p.sudo.register(t, api.BeginRequest{User: "daemon"})
	s := p.sudo.begin(t, api.BeginRequest{User: "daemon", Service: "pam:sudo"})
	v := p.sudo.blinking(t, s)

	for _, c := range []struct {
		name, method, path string
		body               any
		want               api.Code
	}{
		{"the request", "GET", "/requests/" + v.ID, nil, api.CodeNotFound},
		{"an answer to it", "POST", "/requests/" + v.ID + "/answer", api.Answer{Prompt: "p1"}, api.CodeNotFound},
		{"picking it", "POST", "/requests/" + v.ID + "/pick", nil, api.CodeNotFound},
		{"remembering it", "POST", "/requests/" + v.ID + "/remember", api.Remember{Remember: true}, api.CodeNotFound},
		{"denying it", "POST", "/requests/" + v.ID + "/deny", nil, api.CodeNotFound},
		{"reporting it", "POST", "/requests/" + v.ID + "/report", nil, api.CodeNotFound},
		{"cancelling it", "POST", "/requests/" + v.ID + "/cancel", nil, api.CodeNotFound},
		{"its receipt", "GET", "/receipts/" + v.ID, nil, api.CodeNotFound},
		{"renaming the method", "PATCH", "/methods/" + method.ID, map[string]string{"name": "mine"}, api.CodeNotFound},
		{"renaming it by the user's name", "PATCH", "/methods/" + method.ID, map[string]string{"name": "mine", "user": "daemon"}, api.CodeForbidden},
		{"the methods by the user's name", "GET", "/methods?user=daemon", nil, api.CodeForbidden},
		{"the log by the user's name", "GET", "/log?user=daemon", nil, api.CodeForbidden},
		{"the policy for the user", "GET", "/policy/check?service=pam:sudo&user=daemon", nil, api.CodeForbidden},
	} {
		t.Run("does not give another user "+c.name, func(t *testing.T) {
			if code := p.bin.call(t, c.method, c.path, c.body, nil); code != c.want {
				t.Errorf("got %q, want %s", code, c.want)
			}
		})
	}
	t.Run("shows another user nothing in lists, events and counts", func(t *testing.T) {
		st, err := p.bin.Status(limit(t))
		if err != nil || st.Pending != 0 || st.Methods != 0 || st.Tokens != 0 || len(st.Short) != 0 {
			t.Errorf("the status is %+v %v", st, err)
		}
		for _, path := range []string{"/requests", "/methods", "/grants", "/log", "/log?request=" + v.ID} {
			if _, b := p.bin.http(t, "GET", path, ""); bytes.Contains(b, []byte(v.ID)) || bytes.Contains(b, []byte(method.ID)) {
				t.Errorf("%s has %s", path, b)
			}
		}
		heard := make(chan []byte, 1)
		go func() { heard <- p.bin.everyLine(t, "/events", 500*time.Millisecond) }()
		time.Sleep(50 * time.Millisecond)
		m.key.Touch()
		if v := decision(t, s); v.Decision != api.Approved {
			t.Errorf("it ends %+v", v)
		}
		if b := <-heard; bytes.Contains(b, []byte(v.ID)) || bytes.Contains(b, []byte("daemon")) || !bytes.Contains(b, []byte("snapshot")) {
			t.Errorf("the events are %s", b)
		}
	})
}

func TestSystemMakesItsFolder(t *testing.T) {
	needRoot(t)
	parent := tempDir(t)
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: filepath.Join(parent, "new"), log: new(lockedBuffer), bus: testbus.New(t), key: newKey(t, virtual.Options{})}
	m.socket = filepath.Join(m.dir, "fob.sock")
	m.start(t)
	t.Run("so that every user reaches the socket, and nobody its secrets", func(t *testing.T) {
		if _, err := m.newActor(t, uidSys).Status(limit(t)); err != nil {
			t.Error(err)
		}
		files, err := os.ReadDir(m.dir)
		if err != nil || len(files) < 2 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v %v", f.Name(), info.Mode(), err)
			}
		}
	})
}
