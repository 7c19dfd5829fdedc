package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
)

func seed(n int) api.TokenSeed {
	return api.TokenSeed{Line: n, Serial: fmt.Sprint("T", n), Kind: "totp", Algorithm: "SHA1", Digits: 6, Period: 30, Seed: bytes.Repeat([]byte{byte(n)}, 20)}
}

// refuse answers with an error after so many lines of the body, and reads no more.
func refuse(after, status int, err *api.Error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for range after {
			lines.Scan()
		}
		w.Header().Set("Connection", "close") // what follows is not read
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`, err.Code, err.Message)
	}
}

func TestImport(t *testing.T) {
	ctx := t.Context()
	t.Run("sends options, tokens and commit, and gives the report", func(t *testing.T) {
		var head, body string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			head, body = fmt.Sprint(r.Method, r.RequestURI, r.Host, r.Header.Get("Content-Type"), r.ContentLength), string(data)
			answer("application/json", `{"imported":2,"assigned":1,"unassigned_total":0}`)(w, r)
		})
		i, err := c.Import(ctx, api.ImportOptions{Partial: true, Source: "file"})
		if err != nil {
			t.Fatal(err)
		}
		one := seed(1)
		if err := errors.Join(i.Add(one), i.Add(seed(2))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Seed, make([]byte, 20)) {
			t.Error("the seed was not wiped")
		}
		report, err := i.Commit()
		if err != nil || report.Imported != 2 || report.Assigned != 1 {
			t.Errorf("got %+v, %v", report, err)
		}
		if want := "POST/v1/tokensfobapplication/x-ndjson-1"; head != want {
			t.Errorf("got %s, want %s", head, want)
		}
		ones := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 20))
		twos := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{2}, 20))
		want := `{"options":{"partial":true,"source":"file"}}
{"token":{"line":1,"serial":"T1","kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":"` + ones + `"}}
{"token":{"line":2,"serial":"T2","kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":"` + twos + `"}}
{"commit":true}
`
		if body != want {
			t.Errorf("sent:\n%swant:\n%s", body, want)
		}
	})
	t.Run("sends many tokens whole", func(t *testing.T) {
		n := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for lines := bufio.NewScanner(r.Body); lines.Scan(); n++ {
				if !strings.HasSuffix(lines.Text(), "}") {
					t.Errorf("line %d is cut: %s", n, lines.Text())
				}
			}
			answer("application/json", fmt.Sprintf(`{"imported":%d}`, n-2))(w, r)
		})
		i, err := c.Import(ctx, api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5000 {
			if err := i.Add(seed(n)); err != nil {
				t.Fatal(err)
			}
		}
		if report, err := i.Commit(); err != nil || report.Imported != 5000 {
			t.Errorf("got %+v, %v", report, err)
		}
	})
	for name, after := range map[string]int{"refused at once": 0, "refused at its options": 1, "refused in the middle": 500} {
		t.Run("gives the daemon's error when it is "+name, func(t *testing.T) {
			// Often, since the error must not be lost to the broken pipe.
			for range 20 {
				c := serve(t, refuse(after, http.StatusLocked, api.Errorf(api.CodeSealed, "the vault is sealed")))
				i, err := c.Import(ctx, api.ImportOptions{})
				for n := 0; err == nil && n < 100_000; n++ {
					err = i.Add(seed(n))
				}
				if !errors.Is(err, &api.Error{Code: api.CodeSealed}) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
	t.Run("gives the daemon's error at commit", func(t *testing.T) {
		c := serve(t, refuse(3, http.StatusLocked, api.Errorf(api.CodeSealed, "the vault is sealed")))
		i, err := c.Import(ctx, api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Add(seed(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Commit(); !errors.Is(err, &api.Error{Code: api.CodeSealed}) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gives the report of an import that was refused for what is in it", func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, `{"problems":[{"line":7,"serial":"T7","text":"it is there"}],"problems_total":1,"error":{"code":"import_refused","message":"nothing was imported"}}`)
		})
		i, err := c.Import(ctx, api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		report, err := i.Commit()
		if err != nil || report.Error == nil || report.Error.Code != api.CodeImport || len(report.Problems) != 1 {
			t.Errorf("got %+v, %v", report, err)
		}
	})
	t.Run("is not known to be done when the daemon goes away at commit", func(t *testing.T) {
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		})
		i, err := c.Import(ctx, api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Commit(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "not known") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("says that the daemon went away before commit", func(t *testing.T) {
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
		i, err := c.Import(ctx, api.ImportOptions{})
		for n := 0; err == nil && n < 100_000; n++ {
			err = i.Add(seed(n))
		}
		if !errors.Is(err, ErrNoDaemon) {
			t.Errorf("got %v", err)
		}
	})
	for name, stop := range map[string]func(*Import, context.CancelFunc){
		"is aborted":          func(i *Import, _ context.CancelFunc) { i.Abort() },
		"ends by its context": func(_ *Import, cancel context.CancelFunc) { cancel() },
	} {
		t.Run("says no commit when it "+name, func(t *testing.T) {
			got := make(chan string, 1)
			c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got <- string(body)
			})
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			i, err := c.Import(ctx, api.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := i.Add(seed(1)); err != nil {
				t.Fatal(err)
			}
			stop(i, cancel)
			if body := <-got; strings.Contains(body, "commit") {
				t.Errorf("sent %s", body)
			}
			for n := range 1000 { // more than waits to be sent
				if err = i.Add(seed(n)); err != nil {
					break
				}
			}
			if err == nil {
				t.Error("tokens are taken after the end")
			}
		})
	}
	t.Run("sends what waits although the next token takes its time", func(t *testing.T) {
		got := make(chan string)
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			for lines := bufio.NewScanner(r.Body); lines.Scan(); {
				got <- lines.Text()
			}
		})
		i, err := c.Import(ctx, api.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer i.Abort()
		<-got
		i.up.sent = time.Now().Add(-2 * chunkTime)
		if err := i.Add(seed(1)); err != nil {
			t.Fatal(err)
		}
		if line := <-got; !strings.Contains(line, "T1") {
			t.Errorf("got %s", line)
		}
	})
	t.Run("says that there is no daemon", func(t *testing.T) {
		c, err := New(Default("/nonexistent/fob.sock"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Import(ctx, api.ImportOptions{}); !errors.Is(err, ErrNoDaemon) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRestore(t *testing.T) {
	ctx := t.Context()
	head := func() api.BackupHead {
		return api.BackupHead{Format: 1, Made: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Schema: 2, Instance: "i", DataKey: bytes.Repeat([]byte{9}, 32), Records: 2}
	}
	t.Run("sends the head, records and commit", func(t *testing.T) {
		var body string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			body = r.RequestURI + "\n" + string(data)
			answer("application/json", `{"made":"2026-01-02T03:04:05Z","methods":1,"tokens":2}`)(w, r)
		})
		h := head()
		r, err := c.Restore(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(h.DataKey, make([]byte, 32)) {
			t.Error("the key was not wiped")
		}
		big := bytes.Repeat([]byte("x"), 2*chunkSize) // longer than a chunk
		if err := errors.Join(r.Add(api.BackupRecord{Bucket: "a", Key: []byte("k"), Value: []byte("v")}), r.Add(api.BackupRecord{Bucket: "b", Value: big})); err != nil {
			t.Fatal(err)
		}
		done, err := r.Commit()
		if err != nil || done.Methods != 1 || done.Tokens != 2 {
			t.Errorf("got %+v, %v", done, err)
		}
		lines := strings.Split(body, "\n")
		if len(lines) != 6 || lines[0] != "/v1/vault/restore" || lines[2] != `{"record":{"bucket":"a","key":"aw==","value":"dg=="}}` ||
			len(lines[3]) < len(big) || lines[4] != `{"commit":true}` {
			t.Errorf("sent:\n%.1000s", body)
		}
	})
	t.Run("gives the daemon's error", func(t *testing.T) {
		c := serve(t, refuse(1, http.StatusConflict, api.Errorf(api.CodeNotEmpty, "there is something already")))
		r, err := c.Restore(ctx, head())
		for n := 0; err == nil && n < 100_000; n++ {
			err = r.Add(api.BackupRecord{Bucket: "a", Key: []byte("k"), Value: make([]byte, 100)})
		}
		if !errors.Is(err, &api.Error{Code: api.CodeNotEmpty}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTokens(t *testing.T) {
	ctx := t.Context()
	t.Run("reads every page", func(t *testing.T) {
		var asked []string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.RawQuery)
			page := `{"tokens":[{"serial":"A"},{"serial":"B"}],"more":true}`
			if r.URL.Query().Get("after") == "B" {
				page = `{"tokens":[{"serial":"C"}],"more":false}`
			}
			answer("application/json", page)(w, r)
		})
		var got string
		for token, err := range c.Tokens(ctx, "alice") {
			if err != nil {
				t.Fatal(err)
			}
			got += token.Serial
		}
		if got != "ABC" || fmt.Sprint(asked) != "[limit=1000&user=alice after=B&limit=1000&user=alice]" {
			t.Errorf("got %s, asked %v", got, asked)
		}
	})
	t.Run("does not go round in a circle", func(t *testing.T) {
		for _, page := range []string{`{"tokens":[],"more":true}`, `{"tokens":[{"serial":"A"}],"more":true}`} {
			var last error
			for _, err := range serve(t, answer("application/json", page)).Tokens(ctx, "") {
				last = err
			}
			if !errors.Is(last, ErrBadAnswer) {
				t.Errorf("%s: got %v", page, last)
			}
		}
	})
	t.Run("names a token that has a slash in its serial number", func(t *testing.T) {
		var asked string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = r.Method + r.RequestURI + string(body)
			answer("application/json", `{"serial":"A/B C"}`)(w, r)
		})
		user := ""
		token, err := c.PatchToken(ctx, "A/B C", api.TokenPatch{User: &user})
		if err != nil || token.Serial != "A/B C" || asked != `PATCH/v1/tokens/A%2FB%20C{"user":""}` {
			t.Errorf("got %+v, %v after %s", token, err, asked)
		}
		if _, err := c.Token(ctx, "A"); err != nil || asked != "GET/v1/tokens/A" {
			t.Errorf("got %v after %s", err, asked)
		}
	})
}

func TestVault(t *testing.T) {
	ctx := t.Context()
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		answer("application/json", `{"state":"open","recovery":true}`)(w, r)
	})
	v, err := c.Vault(ctx)
	if err != nil || v.State != api.VaultOpen || !v.Recovery {
		t.Errorf("got %+v, %v", v, err)
	}
	if err := errors.Join(c.LockVault(ctx), c.UnlockVault(ctx, nil), c.UnlockVault(ctx, api.Secret("a phrase"))); err != nil {
		t.Error(err)
	}
	want := `[GET /v1/vault POST /v1/vault/lock POST /v1/vault/unlock {} POST /v1/vault/unlock {"by":"a phrase"}]`
	if fmt.Sprint(asked) != want {
		t.Errorf("got %v", asked)
	}
}
