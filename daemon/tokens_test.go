package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/testbus"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// codeOf is the code of the daemon's error.
func codeOf(t *testing.T, err error) api.Code {
	t.Helper()
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		t.Fatalf("the daemon did not answer: %v", err)
	}
	return e.Code
}

func TestFob(t *testing.T) {
	i := start(t, "")
	i.enrol(t)
	for _, kind := range []string{"hotp", "totp"} {
		t.Run("a fob's code signs in once: "+kind, func(t *testing.T) {
			f := newFob("FOB-"+kind, kind)
			m := carry(t, i.Client, f, func() { i.tap(t) })
			if m.Type != "token" || m.Strength != "code" || m.Serial != f.serial {
				t.Errorf("the method is %+v", m)
			}
			code := f.show(t)
			if kind == "totp" { // the code that registered it is used; the next is 30 seconds away
				if got := byCode(t, i.Client, code); got != api.CodeCodeUsed {
					t.Errorf("the code that registered it: %q", got)
				}
				return
			}
			if got := byCode(t, i.Client, code); got != "" {
				t.Errorf("its code: %q", got)
			}
			if got := byCode(t, i.Client, code); got != api.CodeCodeUsed {
				t.Errorf("the same once more: %q", got)
			}
		})
	}
	t.Run("a code races the key, and lets it go", func(t *testing.T) {
		f := newFob("FOB-race", "hotp")
		carry(t, i.Client, f, func() { i.tap(t) })
		s := i.begin(t, api.BeginRequest{Service: "mailer"})
		i.waiting(t)
		if v := typing(t, i.Client, s, func() string { return f.show(t) }); v.Decision != api.Approved || v.Strength != "code" {
			t.Errorf("it ended %+v", v)
		}
		if err := i.key.WaitIdle(limit(t)); err != nil {
			t.Error("the key blinks on")
		}
	})
	t.Run("seeds are sealed on disk", func(t *testing.T) {
		f := newFob("FOB-sealed", "hotp")
		carry(t, i.Client, f, func() { i.tap(t) })
		db, err := os.ReadFile(filepath.Join(i.dir, "fob.db"))
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{f.seed, fmt.Appendf(nil, "%x", f.seed), []byte(base64.StdEncoding.EncodeToString(f.seed))} {
			if bytes.Contains(db, form) {
				t.Error("a seed stands in the database")
			}
			if strings.Contains(i.log.String(), string(form)) {
				t.Error("a seed stands in the log")
			}
		}
		info, err := os.Stat(filepath.Join(i.dir, "vault.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key file: %v, %v", info, err)
		}
	})
	t.Run("another instance with another key file opens nothing", func(t *testing.T) {
		i.stop()
		key := filepath.Join(i.dir, "vault.key")
		if err := os.Rename(key, key+".away"); err != nil {
			t.Fatal(err)
		}
		again := startIn(t, i.dir, "", i.key)
		if got := byCode(t, again.Client, "123456"); got != api.CodeSealed {
			t.Errorf("a code without the key file: %q", got)
		}
		if s, err := again.Status(limit(t)); err != nil || s.Vault.State != api.VaultSealed || !strings.Contains(s.Vault.Problem, "vault.key") {
			t.Errorf("the status says %+v, %v", s.Vault, err)
		}
		if _, err := os.Stat(key); err == nil {
			t.Error("another key file took its place")
		}
		v, err := again.Begin(limit(t), api.BeginRequest{Service: "mailer"})
		if err != nil {
			t.Fatal(err)
		}
		again.tap(t)
		if v := decision(t, v); v.Decision != api.Approved {
			t.Errorf("a tap while the vault is sealed: %+v", v)
		}
	})
}

func TestLockoutAcrossDoors(t *testing.T) {
	bus := testbus.New(t)
	i := start(t, bus.Address)
	i.enrol(t)
	f := newFob("FOB-1", "hotp")
	carry(t, i.Client, f, func() { i.tap(t) })
	p := newProgram(t, bus)
	overBus := func(code string) string {
		var id string
		err := p.object.Call(contract.Interface+".VerifyCode", 0, "", "mailer", code, map[string]dbus.Variant{}).Store(&id)
		if e, ok := errors.AsType[dbus.Error](err); ok {
			return strings.TrimPrefix(e.Name, contract.Interface+".Error.")
		}
		if err != nil || id == "" {
			t.Fatal(err)
		}
		return ""
	}
	if got := overBus(f.show(t)); got != "" {
		t.Fatalf("a right code over D-Bus: %s", got)
	}
	for n := range 5 {
		if got := overBus("000000"); got != "CodeWrong" {
			t.Fatalf("wrong code %d over D-Bus: %s", n, got)
		}
	}
	for n := range 4 {
		if got := byCode(t, i.Client, "000000"); got != api.CodeCodeWrong {
			t.Fatalf("wrong code %d at the socket: %s", n, got)
		}
	}
	if got := byCode(t, i.Client, "000000"); got != api.CodeLockedOut {
		t.Errorf("the tenth: %s", got)
	}
	if got := overBus(f.show(t)); got != "LockedOut" {
		t.Errorf("a right code over D-Bus: %s", got)
	}
	if got := overBus("letters"); got != "BadRequest" {
		t.Errorf("letters: %s", got)
	}

	i.stop()
	i = startIn(t, i.dir, bus.Address, i.key)
	if got := byCode(t, i.Client, f.show(t)); got != api.CodeLockedOut {
		t.Errorf("after a restart: %s", got)
	}
	s := i.begin(t, api.BeginRequest{Service: "mailer"})
	i.tap(t)
	if v := decision(t, s); v.Decision != api.Approved || v.Strength != "key" {
		t.Errorf("a tap while locked out: %+v", v)
	}
	s = i.begin(t, api.BeginRequest{Kind: api.KindUnblock})
	i.tap(t)
	if v := decision(t, s); v.Decision != api.Approved {
		t.Errorf("lifting it: %+v", v)
	}
	if got := byCode(t, i.Client, f.show(t)); got != "" {
		t.Errorf("after it was lifted: %s", got)
	}
}

func TestSixtyFourWithOneCode(t *testing.T) {
	i := start(t, "")
	f := newFob("FOB-1", "hotp")
	carry(t, i.Client, f, nil)
	code := f.show(t)
	var right, used atomic.Int32
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			switch got := byCode(t, i.Client, code); got {
			case "":
				right.Add(1)
			case api.CodeCodeUsed:
				used.Add(1)
			default:
				t.Errorf("got %s", got)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || used.Load() != 63 {
		t.Errorf("%d approved, %d told that it is used", right.Load(), used.Load())
	}
}

// TestKilledAroundCodes kills fobd at random moments while codes are verified one after another. A code
// of which a caller was told that it is right is never accepted again, and its approval is on disk.
func TestKilledAroundCodes(t *testing.T) {
	fobd := needPrograms(t)
	dir := tempDir(t)
	random := rand.New(rand.NewPCG(3, 4))
	f := newFob("FOB-1", "hotp")
	approved := map[string]uint64{}
	told, twice := 0, 0
	var last string // the code of the last call, whose answer may not have come
	var lastTold bool
	for round := range 100 {
		cmd := exec.Command(fobd, "--dir", dir, "--log-level", "error")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		c := dial(t, filepath.Join(dir, "fob.sock"))
		awaitDaemon(t, c)
		if round == 0 {
			carry(t, c, f, nil)
		}
		if last != "" {
			if got := byCode(t, c, last); got == "" && lastTold {
				t.Fatalf("round %d: a code that was accepted before the kill is accepted again", round)
			} else if got == "" {
				twice++ // nobody was told that it was right: it may count now
			}
		}
		killed := time.AfterFunc(time.Duration(random.IntN(12_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		before := len(approved)
		for {
			last, lastTold = f.show(t), false
			v := stateOf(t, c, last)
			if v.Decision == "" {
				break // killed meanwhile
			}
			lastTold = true
			approved[v.ID] = v.LogSeq
		}
		if len(approved) > before {
			told++
		}
		killed.Stop()
		_ = cmd.Wait()
	}
	if told < 25 {
		t.Errorf("only %d of 100 kills came after a decision: the test proves little", told)
	}
	s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.View(func(tx *store.Tx) error {
		for id, seq := range approved {
			if e, err := audit.Get(tx, seq); err != nil || e.Request != id || e.Decision != api.Approved {
				t.Errorf("request %s was approved as entry %d, and on disk is %+v (%v)", id, seq, e, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(t.Context(), s, audit.Check{}); err != nil {
		t.Error(err)
	}
	t.Logf("100 kills, %d of them after a decision, %d approvals, %d codes that counted after nobody had heard of it", told, len(approved), twice)
}

// stateOf signs in with a code; a state without decision if the daemon went away meanwhile.
func stateOf(t *testing.T, c *client.Client, code string) api.RequestState {
	t.Helper()
	return lastState(t, c, api.BeginRequest{Service: "mailer", Code: api.Secret(code)})
}

func TestImportDoor(t *testing.T) {
	i := start(t, "")
	socket := filepath.Join(i.dir, "fob.sock")
	web := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	t.Cleanup(web.CloseIdleConnections)
	send := func(kind string, body io.Reader) (int, string) {
		t.Helper()
		resp, err := web.Post("http://fob/v1/tokens", kind, body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const options, commit = `{"options":{}}` + "\n", `{"commit":true}` + "\n"
	seed := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), 20))
	good := func(serial string) string {
		return fmt.Sprintf(`{"token":{"line":2,"serial":%q,"kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":%q}}`, serial, seed) + "\n"
	}
	for name, c := range map[string]struct {
		kind, body string
		status     int
		says       string
	}{
		"a body of another type":         {"application/json", options + commit, 415, "x-ndjson"},
		"nothing at all":                 {"application/x-ndjson", "", 400, "ends without commit"},
		"a body that ends too early":     {"application/x-ndjson", options + good("A"), 400, "ends without commit"},
		"a line that ends in the middle": {"application/x-ndjson", options + good("A")[:40], 400, "not one JSON object"},
		"no options":                     {"application/x-ndjson", good("A") + commit, 400, "options come first"},
		"options twice":                  {"application/x-ndjson", options + options + commit, 400, "options come first"},
		"commit at once":                 {"application/x-ndjson", commit, 400, "options come first"},
		"something after commit":         {"application/x-ndjson", options + good("A") + commit + good("B"), 400, "nothing comes after commit"},
		"an unknown field":               {"application/x-ndjson", options + `{"token":{"colour":"red"}}` + "\n" + commit, 400, "line 2: unknown field"},
		"a seed that is no Base64":       {"application/x-ndjson", options + `{"token":{"serial":"A","seed":"%%"}}` + "\n" + commit, 400, "line 2"},
		"a line of 5 kB":                 {"application/x-ndjson", options + `{"token":{"name":"` + strings.Repeat("x", 5000) + `"}}` + "\n" + commit, 413, "longer than 4096 bytes"},
		"bytes that are no text":         {"application/x-ndjson", options + "{\"token\":{\"serial\":\"\xff\"}}\n" + commit, 400, "UTF-8"},
		"0 digits":                       {"application/x-ndjson", options + strings.Replace(good("A"), `"digits":6`, `"digits":0`, 1) + commit, 422, "6 to 8 digits, not 0"},
		"99 digits":                      {"application/x-ndjson", options + strings.Replace(good("A"), `"digits":6`, `"digits":99`, 1) + commit, 422, "not 99"},
		"period 0":                       {"application/x-ndjson", options + strings.Replace(good("A"), `"period":30`, `"period":0`, 1) + commit, 422, "1 to 3600 seconds"},
		"a negative period":              {"application/x-ndjson", options + strings.Replace(good("A"), `"period":30`, `"period":-30`, 1) + commit, 422, "1 to 3600 seconds"},
		"an empty seed":                  {"application/x-ndjson", options + strings.Replace(good("A"), seed, "", 1) + commit, 422, "0 bytes long"},
		"a serial number twice":          {"application/x-ndjson", options + good("A") + good("a") + commit, 422, "stands in line 2 already"},
		"a serial number to laugh at":    {"application/x-ndjson", options + good("A\u202eB") + commit, 422, "serial number"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			status, text := send(c.kind, strings.NewReader(c.body))
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("it says %d %s", status, text)
			}
			if strings.Contains(text, seed) {
				t.Error("the answer repeats the seed")
			}
			if s, err := i.Status(limit(t)); err != nil || s.Tokens != 0 {
				t.Fatalf("%d tokens are there, %v", s.Tokens, err)
			}
		})
	}
	t.Run("stops reading what is too much", func(t *testing.T) {
		lines := 0
		endless, w := io.Pipe()
		go func() {
			many := bufio.NewWriterSize(w, 64<<10)
			_, err := many.WriteString(options)
			for err == nil {
				lines++
				_, err = many.WriteString(good(fmt.Sprint("S", lines)))
			}
		}()
		status, text := send("application/x-ndjson", endless)
		_ = endless.Close()
		if status != 400 || !strings.Contains(text, "250000") {
			t.Errorf("it says %d %s", status, text)
		}
		if s, err := i.Status(limit(t)); err != nil || s.Tokens != 0 {
			t.Fatalf("%d tokens are there, %v", s.Tokens, err)
		}
	})
	t.Run("a caller that leaves imports nothing", func(t *testing.T) {
		imp, err := i.Import(limit(t), api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := imp.Add(newFob("A", "hotp").row("")); err != nil {
			t.Fatal(err)
		}
		imp.Abort()
		if s, err := i.Status(limit(t)); err != nil || s.Tokens != 0 {
			t.Fatalf("%d tokens are there, %v", s.Tokens, err)
		}
	})
}

func TestHundredThousandTokens(t *testing.T) {
	i := start(t, "")
	f := newFob("M", "hotp")
	status, err := i.Status(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	const many = 100_000
	imp, err := i.Import(t.Context(), api.ImportOptions{Source: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range many - 1 {
		row := f.row("")
		row.Serial = fmt.Sprintf("T%06d", n)
		if err := imp.Add(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := imp.Add(f.row(status.User)); err != nil {
		t.Fatal(err)
	}
	report, err := imp.Commit()
	if err != nil || report.Imported != many || report.Assigned != 1 {
		t.Fatalf("the import: %+v, %v", report, err)
	}
	s := i.begin(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "token", Serial: "M"}})
	if v := typing(t, i.Client, s, func() string { return f.show(t) }); v.Decision != api.Approved {
		t.Fatalf("the fob was not registered: %+v", v)
	}
	if got := byCode(t, i.Client, f.show(t)); got != "" {
		t.Errorf("its code: %s", got)
	}
	listed := 0
	for _, err := range i.Tokens(t.Context(), "") {
		if listed++; err != nil {
			t.Fatal(err)
		}
	}
	if status, err = i.Status(limit(t)); err != nil || listed != many || status.Tokens != many {
		t.Errorf("%d are listed, the status says %d, %v", listed, status.Tokens, err)
	}
}
