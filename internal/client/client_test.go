package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
)

// serve runs a daemon of the test's own on a socket and gives a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "fob.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	c, err := New(Default(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	}
}

func TestCall(t *testing.T) {
	ctx := t.Context()
	t.Run("asks for what was meant", func(t *testing.T) {
		var got []string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, fmt.Sprintf("%s %s %s %s %s", r.Host, r.Method, r.RequestURI, r.Header.Get("Content-Type"), body))
			w.Header().Set("Content-Type", "application/json")
			switch {
			case r.Method == http.MethodPost:
				w.WriteHeader(http.StatusNoContent)
			case strings.HasPrefix(r.URL.Path, "/v1/log"), strings.HasPrefix(r.URL.Path, "/v1/receipts"):
				io.WriteString(w, `{"entries":[],"more":false}`)
			case strings.Contains(r.URL.Path, "/methods/"), strings.Contains(r.URL.Path, "/keys/"):
				io.WriteString(w, `{"id":"m1","new_field":1}`)
			default:
				io.WriteString(w, `[]`)
			}
		})
		name := "Blue"
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		_, err := c.Keys(ctx)
		check(err)
		_, err = c.KeyInfo(ctx, "a/b?c")
		check(err)
		_, err = c.Methods(ctx, "alice")
		check(err)
		_, err = c.PatchMethod(ctx, "m1", api.MethodPatch{Name: &name})
		check(err)
		_, err = c.Log(ctx, LogQuery{After: 7, Limit: 3, Request: "r1", Newest: true})
		check(err)
		_, err = c.Receipts(ctx, "r1")
		check(err)
		check(c.Pick(ctx, "r1"))
		check(c.Answer(ctx, "r1", api.Answer{Prompt: "p1", PIN: api.Secret("1234")}))
		want := []string{
			`fob GET /v1/keys  `,
			`fob GET /v1/keys/a%2Fb%3Fc  `,
			`fob GET /v1/methods?user=alice  `,
			`fob PATCH /v1/methods/m1 application/json {"name":"Blue"}`,
			`fob GET /v1/log?after=7&limit=3&newest=true&request=r1  `,
			`fob GET /v1/receipts/r1  `,
			`fob POST /v1/requests/r1/pick  `,
			`fob POST /v1/requests/r1/answer application/json {"prompt":"p1","pin":"1234"}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("gives the daemon's own error", func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			json.NewEncoder(w).Encode(api.ErrorBody{Error: api.Errorf(api.CodeNoKey, "no key is plugged in")})
		})
		_, err := c.Begin(ctx, api.BeginRequest{})
		if !errors.Is(err, &api.Error{Code: api.CodeNoKey}) || err.Error() != "no key is plugged in" {
			t.Errorf("got %v", err)
		}
	})
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"refuses an error without a body": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ErrBadAnswer},
		"refuses a redirect":              {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, ErrBadAnswer},
		"refuses what is not JSON":        {answer("application/json", "<html>"), ErrBadAnswer},
		"refuses another type":            {answer("text/html", "{}"), ErrBadAnswer},
		"refuses an endless body":         {answer("application/json", strings.Repeat(" ", maxBody+1)), ErrBadAnswer},
		"says that the daemon broke off":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrNoDaemon},
		"ends when its context was ended": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			if c.want == context.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
			}
			defer cancel()
			if _, err := serve(t, c.handler).Status(ctx); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("refuses an id that would name another route", func(t *testing.T) {
		c := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
		for _, id := range []string{"", ".", ".."} {
			if err := c.Pick(ctx, id); !errors.Is(err, &api.Error{Code: api.CodeBadRequest}) {
				t.Errorf("id %q: got %v", id, err)
			}
		}
	})
}

func TestStream(t *testing.T) {
	ctx := t.Context()
	stream := func(t *testing.T, lines string) *Stream {
		t.Helper()
		s, err := serve(t, answer("application/x-ndjson", lines)).Begin(ctx, api.BeginRequest{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	t.Run("gives each state, the decision, and then its end", func(t *testing.T) {
		s := stream(t, `{"id":"r1","pending":true}`+"\n\n"+`{"id":"r1","pending":false,"decision":"approved"}`+"\n")
		first, err := s.Next()
		if err != nil || !first.Pending {
			t.Fatalf("got %+v, %v", first, err)
		}
		last, err := s.Next()
		if err != nil || last.Decision != api.Approved {
			t.Fatalf("got %+v, %v", last, err)
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v", err)
		}
	})
	for name, c := range map[string]struct {
		lines string
		want  error
	}{
		"is lost when it ends without a decision":   {`{"id":"r1","pending":true}` + "\n", ErrLost},
		"is lost when it ends within a line":        {`{"id":"r1","pending":true}` + "\n" + `{"id":"r1","pending":false,"decision":"approved"}`, ErrLost},
		"refuses a line that is too long":           {`{"id":"r1","pending":true}` + "\n" + strings.Repeat("x", maxLine+1) + "\n", ErrBadAnswer},
		"refuses a line that is not JSON":           {`{"id":"r1","pending":true}` + "\n" + "approved\n", ErrBadAnswer},
		"refuses a decision on a pending request":   {`{"id":"r1","pending":true}` + "\n" + `{"id":"r1","pending":true,"decision":"approved"}` + "\n", ErrBadAnswer},
		"refuses an end that is no decision at all": {`{"id":"r1","pending":true}` + "\n" + `{"id":"r1"}` + "\n", ErrBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			s := stream(t, c.lines)
			if _, err := s.Next(); err != nil {
				t.Fatal(err)
			}
			if state, err := s.Next(); !errors.Is(err, c.want) || state.Decision != "" {
				t.Errorf("got %+v, %v; want %v", state, err, c.want)
			}
		})
	}
	t.Run("hangs up when it is closed", func(t *testing.T) {
		gone := make(chan struct{})
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			io.WriteString(w, `{"id":"r1","pending":true}`+"\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		})
		s, err := c.Begin(ctx, api.BeginRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		s.Close()
		<-gone
		if _, err := s.Next(); err == nil {
			t.Error("a closed stream still gives states")
		}
	})
}

func TestYield(t *testing.T) {
	const approved = `{"id":"r1","pending":false,"decision":"approved"}` + "\n"
	stream := func(t *testing.T, lines string) *Stream {
		t.Helper()
		s, err := serve(t, answer("application/x-ndjson", approved+lines)).Begin(t.Context(), api.BeginRequest{Kind: api.KindExportTokens})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if state, err := s.Next(); err != nil || state.Decision != api.Approved {
			t.Fatalf("got %+v, %v", state, err)
		}
		return s
	}
	t.Run("gives what follows the approval, to its end", func(t *testing.T) {
		var got string
		for y, err := range stream(t, `{"token":{"serial":"A","seed":"AQI="}}`+"\n"+`{"token":{"serial":"B"}}`+"\n"+`{"end":true}`+"\n").Yield() {
			if err != nil {
				t.Fatal(err)
			}
			got += y.Token.Serial + fmt.Sprint(len(y.Token.Seed))
		}
		if got != "A2B0" {
			t.Errorf("got %s", got)
		}
	})
	for name, c := range map[string]struct {
		lines string
		want  error
	}{
		"is lost without its last line":        {`{"token":{"serial":"A"}}` + "\n", ErrLost},
		"is lost when the last line is cut":    {`{"token":{"serial":"A"}}` + "\n" + `{"end":true}`, ErrLost},
		"is lost when nothing follows":         {"", ErrLost},
		"gives the error that ends it":         {`{"error":{"code":"sealed","message":"the vault is sealed"}}` + "\n", &api.Error{Code: api.CodeSealed}},
		"refuses what is not JSON":             {"token\n", ErrBadAnswer},
		"takes no error for an end, nor after": {`{"error":{"code":"sealed","message":"x"},"end":true}` + "\n", &api.Error{Code: api.CodeSealed}},
	} {
		t.Run(name, func(t *testing.T) {
			var last error
			for _, err := range stream(t, c.lines).Yield() {
				last = err
			}
			if !errors.Is(last, c.want) {
				t.Errorf("got %v, want %v", last, c.want)
			}
			if errors.Is(last, ErrLost) && strings.Contains(last.Error(), "approved") {
				t.Errorf("it was approved, and the error says: %v", last)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	t.Run("ends after the event that says lagged", func(t *testing.T) {
		c := serve(t, answer("application/x-ndjson", `{"seq":1,"snapshot":{"requests":[],"methods":[]}}`+"\n"+`{"seq":2,"lagged":true}`+"\n"+`{"seq":3}`+"\n"))
		var seqs []uint64
		for e, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, e.Seq)
		}
		if fmt.Sprint(seqs) != "[1 2]" {
			t.Errorf("got %v", seqs)
		}
	})
	t.Run("says that the daemon went away", func(t *testing.T) {
		var last error
		for _, err := range serve(t, answer("application/x-ndjson", `{"seq":1}`+"\n")).Events(t.Context()) {
			last = err
		}
		if !errors.Is(last, ErrLost) {
			t.Errorf("got %v", last)
		}
	})
	t.Run("follows one request over a new snapshot to its decision", func(t *testing.T) {
		calls := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/requests/r1" {
				answer("application/json", `{"id":"r1","pending":false,"decision":"denied"}`)(w, r)
				return
			}
			calls++
			lines := `{"seq":1,"snapshot":{"requests":[{"id":"r1","pending":true},{"id":"r2","pending":true}],"methods":[]}}
{"seq":2,"request":{"id":"r2","pending":false,"decision":"approved"}}
{"seq":3,"request":{"id":"r1","pending":true,"progress":"more"}}
{"seq":4,"lagged":true}
`
			if calls > 1 {
				lines = `{"seq":1,"snapshot":{"requests":[],"methods":[]}}` + "\n"
			}
			answer("application/x-ndjson", lines)(w, r)
		})
		var got []string
		for s, err := range c.Watch(t.Context(), "r1") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s.ID+s.Progress+s.Decision)
		}
		if fmt.Sprint(got) != "[r1 r1more r1denied]" {
			t.Errorf("got %v", got)
		}
	})
}

func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"plain “text” 名前":              "plain “text” 名前",
		"a\x1b[31mred\x1b]0;title\x07": "a[31mred]0;title",
		"two\nlines\ttab\r":            "two lines tab",
		"\u202eevil\u2066\u200b":       "evil",
		"c1\u009b31m":                  "c131m",
		"\xff\xfe":                     "\uFFFD\uFFFD",
		strings.Repeat("x", 3000):      strings.Repeat("x", maxShown) + "…",
	} {
		if got := Show(in); got != want {
			t.Errorf("Show(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"id":"r1","pending":true}` + "\n" + `{"id":"r1","pending":false,"decision":"approved"}` + "\n"))
	f.Add([]byte("\n\n{}\n"))
	f.Add([]byte(`{"pending":false,"decision":"approved"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &Stream{lines: newLines(strings.NewReader(string(data))), close: func() {}}
		for {
			state, err := s.Next()
			if err != nil {
				break
			}
			if !state.Pending && state.Decision == "" {
				t.Fatal("an end without a decision")
			}
		}
		if s.decided.Load() && !strings.Contains(string(data), "\n") {
			t.Fatal("a line that broke off was taken")
		}
	})
}

func FuzzYield(f *testing.F) {
	f.Add([]byte(`{"token":{"serial":"A","seed":"AQI="}}` + "\n" + `{"end":true}` + "\n"))
	f.Add([]byte(`{"backup":{"format":1,"data_key":"AQI="}}` + "\n" + `{"record":{"bucket":"b","key":"","value":"AA=="}}` + "\n" + `{"end":true}`))
	f.Add([]byte(`{"error":{"code":"sealed","message":"x"}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &Stream{lines: newLines(strings.NewReader(string(data))), close: func() {}}
		var last error
		for y, err := range s.Yield() {
			if last = err; err == nil && (y.End || y.Error != nil) {
				t.Fatal("an end was given as a line")
			}
		}
		if last == nil && !bytes.Contains(bytes.ToLower(data), []byte("end")) {
			t.Fatal("lines without an end were taken for the whole")
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add(200, []byte(`{"imported":1,"problems":[{"line":1,"serial":"A","text":"x"}]}`))
	f.Add(422, []byte(`{"problems_total":1,"error":{"code":"import_refused","message":"x"}}`))
	f.Add(422, []byte(`{}`))
	f.Add(423, []byte(`{"error":{"code":"sealed","message":"x"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		report, err := importReport(reply{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: body})
		if err == nil && status != 422 && (status < 200 || status > 299) {
			t.Fatalf("status %d is a success", status)
		}
		if err == nil && status == 422 && report.Error == nil {
			t.Fatal("refused, and nobody hears of it")
		}
	})
}

func FuzzShow(f *testing.F) {
	f.Add("plain “text”")
	f.Add("\x1b]0;title\x07\u202e\u009b31m\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Show(s)
		for _, r := range got {
			if !unicode.IsGraphic(r) && r != utf8.RuneError {
				t.Fatalf("%U reaches the terminal", r)
			}
		}
		if n := utf8.RuneCountInString(got); n > maxShown+1 {
			t.Fatalf("%d runes", n)
		}
		if Show(got) != got && utf8.RuneCountInString(got) <= maxShown {
			t.Fatalf("%q is not shown as it is", got)
		}
	})
}
