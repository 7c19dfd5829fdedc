package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/virtual"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
)

// TestCards runs what follows in a process where the readers are.
func TestCards(t *testing.T) {
	cmd, err := reader.Command("-test.run=^TestWithCards$", "-test.v")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	needPrograms(t)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, &out, &out
	if err := cmd.Run(); err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS: TestWithCards/")) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestWithCards(t *testing.T) {
	if !reader.Inside() {
		return // TestCards runs this, and sees to it that it ran
	}
	if err := reader.Available(); err != nil {
		t.Fatal(err)
	}
	t.Run("a mute card", muteCard)
	t.Run("a client that leaves", leavingClient)
	t.Run("killed between card and vault", killedBetween)
	t.Run("a flood", cardFlood)
}

// insertCard puts a new card into a reader, and gives its id.
func (i *instance) insertCard(t *testing.T, port int, o card.Options) (*card.Card, string) {
	t.Helper()
	c, err := card.New(o)
	if err != nil {
		t.Fatal(err)
	}
	pull, err := reader.Insert(c, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pull)
	all, err := i.Cards(limit(t))
	if err != nil || len(all) <= port-reader.FirstPort {
		t.Fatalf("the cards are %+v, %v", all, err)
	}
	return c, all[port-reader.FirstPort].ID
}

// on is an account for a place.
func on(name string, places ...string) api.NewAccount {
	n := newAccount(name)
	n.On = places
	return n
}

func (i *instance) put(t *testing.T, n api.NewAccount) string {
	t.Helper()
	ids, err := i.AddAccount(limit(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return ids[0]
}

// codes gives the codes by place, what could not be asked, and how long that took.
func (i *instance) codes(t *testing.T) (by map[string]string, problems string, took time.Duration) {
	t.Helper()
	begun := time.Now()
	found, err := i.Codes(limit(t), "")
	took = time.Since(begun)
	if err != nil {
		t.Fatal(err)
	}
	by = map[string]string{}
	for _, a := range found.Accounts {
		by[a.Where] += string(a.Code)
	}
	for _, p := range found.Problems {
		problems += p.Message + "\n"
	}
	return by, problems, took
}

// atOnce is well before the 2 s after which a busy card is given up.
const atOnce = 1800 * time.Millisecond

// A card that never answers costs others 2 s once, and what is about the vault alone nothing.
func muteCard(t *testing.T) {
	i := start(t, "")
	_, good := i.insertCard(t, reader.FirstPort, card.Options{})
	bad, mute := i.insertCard(t, reader.SecondPort, card.Options{})
	for _, where := range []string{good, mute, api.AccountVault} {
		i.put(t, on("me", where))
	}
	bad.SetFault(card.FaultMute, 1)
	for round, atMost := range []time.Duration{6 * time.Second, atOnce, atOnce} {
		by, problems, took := i.codes(t)
		if len(by) != 2 || by[good] == "" || by[api.AccountVault] == "" || took > atMost {
			t.Errorf("in round %d after %v there are codes in %d places", round, took, len(by))
		}
		if !strings.Contains(problems, reader.Second+": the card does not answer") {
			t.Errorf("in round %d the problems are %q", round, problems)
		}
	}
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			if _, err := i.AddAccount(limit(t), on("other", mute)); err == nil {
				t.Error("added to a mute card")
			}
		})
	}
	begun := time.Now()
	i.put(t, on("you", api.AccountVault))
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("an account was added to the vault after %v", took)
	}
	others.Wait()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("four adds were refused after %v", took)
	}
}

// What a client leaves goes on in the card: others are told, at once, and have the card when it is touched.
func leavingClient(t *testing.T) {
	i := start(t, "")
	waits := make(chan struct{}, 1)
	key, id := i.insertCard(t, reader.FirstPort, card.Options{Touch: virtual.TouchManual, OnWait: func() { waits <- struct{}{} }})
	n := on("me", id)
	n.Touch = true
	i.put(t, on("you", id))
	account := i.put(t, n)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- errOf(i.Code(ctx, account, nil)) }()
	<-waits
	leave()
	<-left
	const want = "the key waits for a touch"
	for range 2 {
		if by, problems, took := i.codes(t); len(by) != 0 || took > atOnce || !strings.Contains(problems, want) {
			t.Errorf("after %v the codes are in %d places, and the problems %q", took, len(by), problems)
		}
	}
	if err := i.DeleteAccount(limit(t), account); err == nil || codeOf(t, err) != api.CodeCardBusy || !strings.Contains(err.Error(), want) {
		t.Errorf("an account is deleted: %v", err)
	}
	for !key.Touch() {
	}
	if by, problems, took := i.codes(t); by[id] == "" || problems != "" || took > atOnce {
		t.Errorf("touched, after %v the codes are in %d places, and the problems %q", took, len(by), problems)
	}
}

// What fobd was killed in the middle of stands in the log once, and in the listing until the account is taken off.
func killedBetween(t *testing.T) {
	dir := tempDir(t)
	p := launch(t, dir, filepath.Join(dir, "notify"))
	i := &instance{Client: dial(t, filepath.Join(dir, "fob.sock"))}
	_, one := i.insertCard(t, reader.FirstPort, card.Options{})
	bad, two := i.insertCard(t, reader.SecondPort, card.Options{})
	bad.SetFault(card.FaultMute, 4) // at PUT: SELECT and CALCULATE ALL, SELECT and LIST come before
	ended := make(chan error, 1)
	go func() { ended <- errOf(i.AddAccount(context.Background(), on("me", one, two, api.AccountVault))) }()
	for limit := limit(t); bad.Answered() < 4; time.Sleep(10 * time.Millisecond) {
		if limit.Err() != nil {
			t.Fatal("the second card is not written")
		}
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	if err := <-ended; err == nil {
		t.Fatal("added")
	}
	_ = os.Remove(filepath.Join(dir, "notify"))
	launch(t, dir, filepath.Join(dir, "notify"))
	i = &instance{Client: dial(t, filepath.Join(dir, "fob.sock"))}
	const want = "adding “Site: me” ("
	for range 2 {
		by, problems, _ := i.codes(t)
		if by[one] == "" || len(by) != 1 || !strings.Contains(problems, want) {
			t.Errorf("afterwards there are codes in %d places, and the problems %q", len(by), problems)
		}
	}
	page, err := i.Log(limit(t), client.LogQuery{})
	if text, _ := json.Marshal(page); err != nil || strings.Count(string(text), "was broken off") != 1 {
		t.Errorf("the log is %s, %v", text, err)
	}
	found, err := i.Accounts(limit(t), "")
	if err != nil || len(found.Accounts) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := i.DeleteAccount(limit(t), found.Accounts[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, problems, _ := i.codes(t); strings.Contains(problems, want) {
		t.Errorf("deleted, the problems are %q", problems)
	}
	i.put(t, on("me", one, api.AccountVault))
}

// helperCount counts the helper processes that run; this process has a PID namespace of its own.
func helperCount() (n int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline") // empty of what has ended: nobody waits for those of a fobd that was killed
	for _, name := range names {
		if b, _ := os.ReadFile(name); strings.Contains(string(b), "fob-helper") {
			n++
		}
	}
	return n
}

// Many calls about cards, or guesses at a password, leave room for others, and nothing behind.
func cardFlood(t *testing.T) {
	i := start(t, "")
	_, id := i.insertCard(t, reader.FirstPort, card.Options{})
	i.put(t, on("me", id))
	account := i.put(t, on("me", api.AccountVault))
	open := func() int { all, _ := os.ReadDir("/proc/self/fd"); return len(all) }
	before := open()
	during := func(n int, do func(*client.Client)) {
		t.Helper()
		var all sync.WaitGroup
		var most int
		for range 100 {
			c := dial(t, filepath.Join(i.dir, "fob.sock"))
			all.Go(func() {
				for range n / 100 {
					do(c)
				}
				c.Close()
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		var slowest, cards time.Duration
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			begun := time.Now()
			if _, err := i.Code(limit(t), account, nil); err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(begun))
			by, problems, took := i.codes(t)
			if by[id] == "" {
				t.Fatalf("the card has no codes: %s", problems)
			}
			cards, most = max(cards, took), max(most, helperCount())
		}
		t.Logf("the vault's code took at most %v, all codes %v, and there were %d helpers", slowest, cards, most)
		if most > 24 || slowest > 10*time.Second || cards > 30*time.Second {
			t.Error("that is too much")
		}
	}
	during(1000, func(c *client.Client) { _, _ = c.Codes(limit(t), "") })
	if err := i.SetCardPassword(limit(t), id, api.Secret("correct horse")); err != nil {
		t.Fatal(err)
	}
	var refused, wrong atomic.Int32
	begun := time.Now()
	during(200, func(c *client.Client) {
		switch err := c.UnlockCard(limit(t), id, api.CardUnlock{Password: api.Secret("wrong")}); codeOf(t, err) {
		case api.CodeTooFast:
			refused.Add(1)
		case api.CodeCardPassword:
			wrong.Add(1)
		default:
			t.Error(err)
		}
	})
	if took := time.Since(begun); time.Duration(wrong.Load()-1)*time.Second > took {
		t.Errorf("in %v %d guesses were tried, and %d refused", took, wrong.Load(), refused.Load())
	}
	time.Sleep(2 * time.Second)
	if now := open(); now > before+20 {
		t.Errorf("%d files are open, and there were %d", now, before)
	}
	if n := helperCount(); n > 2 {
		t.Errorf("%d helpers are left", n)
	}
	if err := i.UnlockCard(limit(t), id, api.CardUnlock{Password: api.Secret("correct horse")}); err != nil {
		t.Error(err)
	}
}
