package daemon_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func TestSocket(t *testing.T) {
	i := start(t, "")
	m := i.enrol(t)

	t.Run("a tap approves a sign-in, and the receipt is true", func(t *testing.T) {
		s := i.begin(t, api.BeginRequest{Service: "mailer", Claimed: api.Claimed{Origin: "here"}})
		i.blinking(t, s)
		i.key.Touch()
		v := decision(t, s)
		if v.Decision != api.Approved || v.Strength != "key" || !v.SelfAsserted || v.LogSeq == 0 || v.Service[:4] != "app:" {
			t.Fatalf("got %+v", v)
		}
		page, err := i.Receipts(limit(t), v.ID)
		if err != nil || len(page.Entries) != 1 {
			t.Fatalf("got %+v, %v", page, err)
		}
		if _, err := client.CheckReceipt(page.Entries[0]); err != nil {
			t.Error(err)
		}
	})
	t.Run("leaving cancels, and the key stops blinking", func(t *testing.T) {
		s := i.begin(t, api.BeginRequest{Service: "mailer"})
		v := i.blinking(t, s)
		s.Close()
		if err := i.key.WaitIdle(limit(t)); err != nil {
			t.Error("the key blinks on")
		}
		if e := i.decided(t, v.ID); e.Decision != api.Cancelled {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("sending anything more cancels", func(t *testing.T) {
		c, err := net.Dial("unix", filepath.Join(i.dir, "fob.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		body := `{"service":"mailer"}`
		fmt.Fprintf(c, "POST /v1/requests HTTP/1.1\r\nHost: fob\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var v api.RequestState
		if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		i.waiting(t)
		fmt.Fprint(c, "\n")
		if e := i.decided(t, v.ID); e.Decision != api.Cancelled {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("a client that sends more with its request and leaves cancels", func(t *testing.T) {
		c, err := net.Dial("unix", filepath.Join(i.dir, "fob.sock"))
		if err != nil {
			t.Fatal(err)
		}
		before := len(i.log.String())
		body := `{"service":"ghost"}` + strings.Repeat(" ", 60_000)
		fmt.Fprintf(c, "POST /v1/requests HTTP/1.1\r\nHost: fob\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%sX", len(body), body)
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(i.log.String()[before:], "request begun"); {
			if time.Now().After(deadline) {
				break // it was refused before it began, which is as good
			}
			time.Sleep(time.Millisecond)
		}
		c.Close()
		for ctx := limit(t); ; time.Sleep(10 * time.Millisecond) {
			pending, err := i.Requests(ctx)
			if err != nil {
				t.Fatal("the request outlives its client")
			}
			if len(pending) == 0 {
				break
			}
		}
	})
	t.Run("another program of the user denies", func(t *testing.T) {
		s := i.begin(t, api.BeginRequest{Service: "mailer"})
		v := i.blinking(t, s)
		if err := i.Deny(limit(t), v.ID); err != nil {
			t.Fatal(err)
		}
		if v := decision(t, s); v.Decision != api.Denied {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("a method is renamed, and subscribers hear of it in order", func(t *testing.T) {
		next := i.events(t)
		first := next()
		if first.Seq != 1 || first.Snapshot == nil || len(first.Snapshot.Methods) != 1 {
			t.Fatalf("got %+v", first)
		}
		name := "green"
		if _, err := i.PatchMethod(limit(t), m.ID, api.MethodPatch{Name: &name}); err != nil {
			t.Fatal(err)
		}
		if e := next(); e.Seq != 2 || e.Methods == nil || (*e.Methods)[0].Name != "green" {
			t.Errorf("got %+v", e)
		}
		s := i.begin(t, api.BeginRequest{Service: "denied"})
		v := i.blinking(t, s)
		if err := i.Deny(limit(t), v.ID); err != nil {
			t.Fatal(err)
		}
		for seq := uint64(3); ; seq++ {
			e := next()
			if e.Seq == seq && e.Log > 0 {
				continue
			}
			if e.Seq != seq || e.Request == nil || e.Request.ID != v.ID {
				t.Fatalf("event %d: got %+v", seq, e)
			}
			if !e.Request.Pending {
				break
			}
		}
	})
	t.Run("a reader that is too slow is told so, and dropped", func(t *testing.T) {
		next := i.events(t)
		next()
		var all sync.WaitGroup // several at once: a write that waits for 10 s ends the stream by itself
		for worker := range 8 {
			all.Go(func() {
				for n := range 140 {
					name := fmt.Sprint(worker, "n", n, strings.Repeat("x", 50))
					if _, err := i.PatchMethod(limit(t), m.ID, api.MethodPatch{Name: &name}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		for seq := uint64(2); ; seq++ {
			e := next()
			if e.Seq != seq {
				t.Fatalf("event %d has the number %d", seq, e.Seq)
			}
			if e.Lagged {
				break
			}
			if e.Methods == nil {
				t.Fatalf("got %+v", e)
			}
		}
	})
}

// events subscribes with a bare connection that reads no more than it is asked for.
func (i *instance) events(t *testing.T) (next func() api.Event) {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(i.dir, "fob.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: fob\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(answer.Body)
	return func() (e api.Event) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestPIN(t *testing.T) {
	i := start(t, "")
	t.Run("goes to the key, and into no log", func(t *testing.T) {
		const pin = "83914627"
		s := i.begin(t, api.BeginRequest{Kind: api.KindSetPIN})
		for {
			v, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !v.Pending {
				if v.Decision != api.Approved {
					t.Fatalf("got %+v", v)
				}
				break
			}
			for _, p := range v.Prompts {
				if p.Type == api.PromptPIN {
					if err := i.Answer(limit(t), v.ID, api.Answer{Prompt: p.ID, PIN: api.Secret(pin)}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		keys, err := i.Keys(limit(t))
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		info, err := i.KeyInfo(limit(t), keys[0].ID)
		if err != nil || !info.PINSet {
			t.Errorf("the key has no PIN: %+v, %v", info, err)
		}
		if strings.Contains(i.log.String(), pin) {
			t.Error("the log has the PIN")
		}
	})
}

func TestShutdown(t *testing.T) {
	t.Run("cancels what is pending, tells it, and leaves nothing behind", func(t *testing.T) {
		i := start(t, "")
		i.enrol(t)
		s := i.begin(t, api.BeginRequest{Service: "mailer"})
		i.blinking(t, s)
		stopped := make(chan struct{})
		go func() { i.stop(); close(stopped) }()
		end := decision(t, s)
		if end.Decision != api.Cancelled || end.Error == nil || end.Error.Code != api.CodeShuttingDown || end.LogSeq == 0 {
			t.Errorf("got %+v, %v", end, end.Error)
		}
		select {
		case <-stopped:
		case <-time.After(8 * time.Second):
			t.Fatal("the shutdown hangs")
		}
		if matches, _ := filepath.Glob(filepath.Join(i.dir, "*.sock")); len(matches) > 0 {
			t.Error("the socket is still there")
		}
		if i.key.IsWaiting() {
			t.Error("the key blinks on")
		}
	})
}
