package daemon_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// answersPolicy lets a number, and a code, approve by themselves.
const answersPolicy = sshPolicy + `
[service."pam:number"]
require = "match"
place = ["remote"]

[service."pam:code"]
require = "code"
`

// atNumber begins a request that the number approves.
func (p people) atNumber(t *testing.T, origin string, timeout time.Duration) (*client.Stream, api.RequestState, api.Answer) {
	t.Helper()
	s := p.sshd.begin(t, api.BeginRequest{User: "daemon", Service: "pam:number", TimeoutMS: timeout.Milliseconds(), Claimed: api.Claimed{Origin: origin}})
	v := first(t, s)
	if v.Number == "" {
		t.Fatalf("there is no number: %+v %v", v, v.Error)
	}
	return s, v, api.Answer{Prompt: p.desk.prompt(t, v.ID, api.PromptNumber).ID, Number: v.Number}
}

// once fails unless the log has one entry of a request, with the decision.
func (a *actor) once(t *testing.T, id, decision string) {
	t.Helper()
	page, err := a.Log(limit(t), client.LogQuery{Request: id})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Decision != decision {
		t.Errorf("the log has of a request that was %s %+v %v", decision, page.Entries, err)
	}
}

// late fails unless an answer is told that there is nothing to answer any more.
func late(t *testing.T, a *actor, id string, answer api.Answer) {
	t.Helper()
	err := a.Answer(limit(t), id, answer)
	if err == nil {
		t.Error("a late answer is taken")
	} else if code := codeOf(t, err); code != api.CodeNotFound && code != api.CodeNotPending {
		t.Errorf("a late answer: %v", err)
	}
}

func TestSystemAnswersOnce(t *testing.T) {
	m := newMachine(t, answersPolicy)
	p := m.people(t)
	p.sudo.register(t, api.BeginRequest{User: "daemon"})
	f := newFob("FOB-1", "hotp")
	imports(t, p.sshd.Client, f.row("daemon"))
	activate(t, p.desk.Client, f, func() { p.desk.tap(t) })

	for end, by := range map[string]func(id string, right func() error) error{
		api.Approved:  func(_ string, right func() error) error { return right() },
		api.Denied:    func(id string, _ func() error) error { return p.desk.Deny(limit(t), id) },
		api.Reported:  func(id string, _ func() error) error { return p.desk.Report(limit(t), id) },
		api.Cancelled: func(id string, _ func() error) error { return p.sshd.Cancel(limit(t), id) },
		api.Expired:   func(string, func() error) error { return nil },
	} {
		timeout := time.Minute
		if end == api.Expired {
			timeout = time.Second
		}
		t.Run("a right number comes too late for what was "+end, func(t *testing.T) {
			s, v, number := p.atNumber(t, "192.0.2.60", timeout)
			if err := by(v.ID, func() error { return p.desk.Answer(limit(t), v.ID, number) }); err != nil {
				t.Fatal(err)
			}
			if v = decision(t, s); v.Decision != end {
				t.Fatalf("it ends %+v %v", v, v.Error)
			}
			late(t, p.desk, v.ID, number)
			p.desk.once(t, v.ID, end)
			p.lift(t)
		})
		t.Run("a right code comes too late for what was "+end+", and is not used up", func(t *testing.T) {
			s := p.sshd.begin(t, api.BeginRequest{User: "daemon", Service: "pam:code", TimeoutMS: timeout.Milliseconds(), Claimed: api.Claimed{Origin: "192.0.2.61"}})
			v := first(t, s)
			prompt := p.sshd.prompt(t, v.ID, api.PromptCode).ID
			typed := func(code string) api.Answer { return api.Answer{Prompt: prompt, Code: api.Secret(code)} }
			if err := by(v.ID, func() error { return p.sshd.Answer(limit(t), v.ID, typed(f.show(t))) }); err != nil {
				t.Fatal(err)
			}
			if v = decision(t, s); v.Decision != end {
				t.Fatalf("it ends %+v %v", v, v.Error)
			}
			code := f.show(t)
			late(t, p.sshd, v.ID, typed(code))
			late(t, p.desk, v.ID, typed(code))
			p.desk.once(t, v.ID, end)
			p.lift(t)
			if got := byCode(t, p.desk.Client, code); got != "" {
				t.Errorf("the code that came too late: %s", got)
			}
		})
	}
	t.Run("a denial, a report and the right number at once decide once", func(t *testing.T) {
		ends := map[string]int{}
		for round := range 100 {
			s, v, number := p.atNumber(t, fmt.Sprint("203.0.113.", round), time.Minute)
			var errs [3]error
			var all sync.WaitGroup
			for n, act := range []func() error{
				func() error { return p.desk.Deny(limit(t), v.ID) },
				func() error { return p.desk.Report(limit(t), v.ID) },
				func() error { return p.desk.Answer(limit(t), v.ID, number) },
			} {
				wait := time.Duration(rand.IntN(1000)) * time.Microsecond
				if n < 2 {
					wait *= 2 // an approval takes longer
				}
				all.Go(func() { time.Sleep(wait); errs[n] = act() })
			}
			all.Wait()
			v = decision(t, s)
			ends[v.Decision]++
			for n, end := range []string{api.Denied, api.Reported, api.Approved} {
				if errs[n] != nil {
					if code := codeOf(t, errs[n]); code != api.CodeNotFound && code != api.CodeNotPending {
						t.Errorf("round %d: %v", round, errs[n])
					}
				}
				overtaken := n == 2 && v.Decision != end // the number may have been taken a moment before the end
				if (v.Decision == end) != (errs[n] == nil) && !overtaken {
					t.Errorf("round %d: it is %s, and who wanted it %s is told %v", round, v.Decision, end, errs[n])
				}
			}
			p.desk.once(t, v.ID, v.Decision)
			p.lift(t)
		}
		t.Logf("of 100 rounds: %v", ends)
		if len(ends) != 3 {
			t.Errorf("of 100 rounds: %v: the test proves little", ends)
		}
	})
	t.Run("to another user a request is what never was, with the right number too", func(t *testing.T) {
		s, v, number := p.atNumber(t, "192.0.2.62", time.Minute)
		const never = "zzzzzzzzzz"
		body := fmt.Sprintf(`{"prompt":%q,"number":%q}`, number.Prompt, number.Number)
		for route, body := range map[string]string{
			"POST /requests/{id}/answer": body, "POST /requests/{id}/remember": `{"remember":true}`, "GET /requests/{id}": "", "GET /receipts/{id}": "",
			"POST /requests/{id}/pick": "", "POST /requests/{id}/deny": "", "POST /requests/{id}/report": "", "POST /requests/{id}/cancel": "",
		} {
			for _, a := range []*actor{p.bin, p.sys} {
				var said [2]string
				for n, id := range []string{v.ID, never} {
					method, path, _ := strings.Cut(strings.ReplaceAll(route, "{id}", id), " ")
					status, b := a.http(t, method, path, body)
					said[n] = fmt.Sprint(status, string(b))
				}
				if said[0] != said[1] || !strings.HasPrefix(said[0], "404") {
					t.Errorf("%s as uid %d: %s, and of what never was %s", route, a.uid, said[0], said[1])
				}
			}
		}
		if err := p.desk.Answer(limit(t), v.ID, number); err != nil {
			t.Fatal(err)
		}
		if v = decision(t, s); v.Decision != api.Approved {
			t.Errorf("it ends %+v %v", v, v.Error)
		}
		p.desk.once(t, v.ID, api.Approved)
	})
}
