package daemon_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/virtual"
)

// kills is how often fobd is killed around decisions.
const kills = 200

// TestKilledAroundDecisions kills fobd at random moments while sign-ins are approved one after
// another. Whatever a caller was told is approved must be on disk afterwards, and nothing may be
// damaged or forgotten.
func TestKilledAroundDecisions(t *testing.T) {
	fobd := needPrograms(t)
	dir := tempDir(t)
	key, err := virtual.NewKey(virtual.Options{Touch: virtual.TouchAuto})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = key.Close() })
	random := rand.New(rand.NewPCG(1, 2))

	approved := map[string]uint64{} // by request: its place in the log
	var failed, told int            // told: rounds in which somebody was told before the kill
	for round := range kills {
		cmd := exec.Command(fobd, "--dir", dir, "--key", key.Path(), "--log-level", "error")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		c := dial(t, filepath.Join(dir, "fob.sock"))
		awaitDaemon(t, c)
		if round == 0 {
			if v := lastState(t, c, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key"}}); v.Decision != api.Approved {
				t.Fatalf("the key was not registered: %+v", v)
			}
		}
		// Every other round lives until its first decision, however slow the machine is.
		soon := func(micro int) *time.Timer {
			return time.AfterFunc(time.Duration(random.IntN(micro))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
		var killed *time.Timer
		if round%2 == 0 {
			killed = soon(25_000)
		}
		before := len(approved)
		for {
			v := lastState(t, c, api.BeginRequest{Service: "mailer"})
			if v.Decision == "" {
				break // killed meanwhile
			}
			if v.Decision == api.Approved {
				approved[v.ID] = v.LogSeq
				if killed == nil {
					killed = soon(8_000)
				}
			} else if failed++; failed > kills/10 { // a key whose last program was killed may fail once
				t.Fatalf("round %d: %+v %v", round, v, v.Error)
			}
		}
		if len(approved) > before {
			told++
		}
		if killed != nil {
			killed.Stop()
		}
		_ = cmd.Wait()
	}
	if told < kills/4 {
		t.Errorf("only %d of %d kills came after a decision: the test proves little", told, kills)
	}

	s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := audit.Verify(t.Context(), s, audit.Check{}); err != nil {
		t.Error(err)
	}
	if err := s.View(func(tx *store.Tx) error {
		for id, seq := range approved {
			e, err := audit.Get(tx, seq)
			if err != nil || e.Request != id || e.Decision != api.Approved || e.Receipt == nil {
				t.Errorf("request %s was approved as entry %d, and on disk is %+v (%v)", id, seq, e, err)
			}
		}
		ms, err := method.List(tx, uint32(os.Geteuid()))
		if err != nil || len(ms) != 1 || int(ms[0].Key.Counter) < len(approved) {
			t.Errorf("after %d approvals the methods are %+v (%v)", len(approved), ms, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %d of them after a decision, %d approvals, all on disk", kills, told, len(approved))
}

// awaitDaemon waits until the daemon answers.
func awaitDaemon(t *testing.T, c *client.Client) {
	t.Helper()
	for ctx := limit(t); ; time.Sleep(time.Millisecond) {
		if _, err := c.Requests(ctx); err == nil {
			return
		} else if ctx.Err() != nil {
			t.Fatalf("the daemon does not answer: %v", err)
		}
	}
}

// lastState begins a request and gives its last state; a state without decision if the daemon
// went away meanwhile.
func lastState(t *testing.T, c *client.Client, r api.BeginRequest) api.RequestState {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := c.Begin(ctx, r)
	if err != nil {
		if _, told := errors.AsType[*api.Error](err); told {
			t.Fatal(err)
		}
		return api.RequestState{}
	}
	defer s.Close()
	for {
		v, err := s.Next()
		if err != nil {
			return api.RequestState{}
		}
		if !v.Pending {
			return v
		}
	}
}
