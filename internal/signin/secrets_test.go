package signin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// collected is a log that is written from many places.
type collected struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *collected) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

func (c *collected) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}

// Commands hold secrets. However a request ends, the executable and a hash are all that is kept of one: in the
// log, in what keys sign, in the daemon's own log and in its database.
func TestNoCommandIsKept(t *testing.T) {
	const secret = "hunter2"
	command := caller.Clean("PASSWORD=" + secret + " /usr/bin/curl -u alice:" + secret + " https://example.org/" + secret)
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		said := new(collected)
		d.config.Log = slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		d.anew()
		d.register(k)
		f := d.supply("77")

		with := func(service string) signin.Ask {
			return signin.Ask{Service: service, Timeout: 30 * time.Second, Claimed: signin.Claimed{Command: command}}
		}
		ends := map[string]string{} // requests by how they are to end
		began := func(r *signin.Request, want signin.Decision) *signin.Request {
			ends[r.ID()] = string(want)
			return r
		}
		r := began(d.by(sudo, with("pam:sudo")), signin.Approved)
		d.touch(k)
		d.wants(r, signin.Approved)
		r = began(d.by(sudo, with("pam:sudo")), signin.Expired)
		time.Sleep(31 * time.Second)
		d.wants(r, signin.Expired)
		r = began(d.by(sudo, with("pam:sudo")), signin.Denied)
		if err := d.Deny(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Denied)
		time.Sleep(time.Hour)
		r = began(d.by(sudo, with("pam:sudo")), signin.Reported)
		if err := d.Report(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Reported)
		time.Sleep(time.Hour)
		r = began(d.by(d.me, with("mailer")), signin.Cancelled)
		if err := d.Cancel(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Cancelled)
		r = began(d.by(d.me, with("mailer")), signin.Approved)
		d.types(r, "000000") // the log has wrong codes too
		d.types(r, f.press())
		d.wants(r, signin.Approved)
		a := from("192.0.2.7", fingerprint)
		a.Claimed.Command = command
		ends[d.remembers(k, a).ID] = string(signin.Approved)
		again := began(d.by(sshd, a), signin.Approved)
		if v := d.wants(again, signin.Approved); v.Grant == "" {
			t.Fatal("it is not remembered")
		}
		a.Code = typed(f.press())
		a.User = "alice"
		v, err := d.VerifyCode(t.Context(), sshd, a)
		if err != nil {
			t.Fatal(err)
		}
		ends[v.ID] = string(signin.Approved)

		entries, receipts, wrongs := d.everything(), 0, 0
		kept := map[string][]byte{"the daemon's log": []byte(said.String())}
		for _, e := range entries {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			kept[fmt.Sprintf("the entry %d (%s)", e.Seq, e.Decision)] = text
			if e.Receipt != nil {
				receipts++
				kept[fmt.Sprintf("what the key signed in the entry %d", e.Seq)] = e.Receipt.ClientData
			}
			if e.Decision == "wrong-code" {
				wrongs++
			}
			if want, mine := ends[e.Request]; mine {
				if e.Executable != "/usr/bin/curl" || len(e.CommandHash) != 64 {
					t.Errorf("the entry %d has the executable %q and the hash %q", e.Seq, e.Executable, e.CommandHash)
				}
				if e.Decision == want {
					delete(ends, e.Request)
				}
			}
		}
		if len(ends) > 0 || receipts < 3 || wrongs != 1 || !strings.Contains(said.String(), "request ended") {
			t.Errorf("this test saw %d receipts and %d wrong codes, and not how these ended: %v", receipts, wrongs, ends)
		}
		gs, err := d.Grants(t.Context(), d.me, "")
		if err != nil || len(gs) != 1 {
			t.Fatal(gs, err)
		}
		if kept["the grant"], err = json.Marshal(gs); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(d.dir, "*.db"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if kept["the database"], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		for what, text := range kept {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds what stood in the command", what)
			}
		}
	}, k)
}
