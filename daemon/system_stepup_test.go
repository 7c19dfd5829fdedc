package daemon_test

import (
	"slices"
	"testing"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/signin"
)

// work is a request that needs a step-up.
type work struct {
	ask api.BeginRequest
	// done reports whether it was done, beside what its stream yields; nil where only its decision tells.
	done func() bool
}

// works are one request of each kind that needs a step-up, in an order in which all of them can be done:
// by a user with a key and three fobs.
func (i *instance) works(t *testing.T, fobs []api.Method) []work {
	t.Helper()
	has := func(is func(api.Method) bool) bool {
		ms, err := i.Methods(limit(t), "")
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(ms, is)
	}
	gone := func(id string) func() bool {
		return func() bool { return !has(func(m api.Method) bool { return m.ID == id }) }
	}
	return []work{
		{api.BeginRequest{Kind: api.KindUnblock}, func() bool {
			st, err := i.Status(limit(t))
			if err != nil {
				t.Fatal(err)
			}
			return len(st.Waits) == 0
		}},
		{ask: api.BeginRequest{Kind: api.KindExportTokens}},
		{ask: api.BeginRequest{Kind: api.KindBackup}},
		{ask: api.BeginRequest{Kind: api.KindExportAccounts}},
		{api.BeginRequest{Kind: api.KindChangeVault, Vault: api.SlotChange{Action: "add", Type: "recovery"}}, func() bool {
			v, err := i.Vault(limit(t))
			if err != nil {
				t.Fatal(err)
			}
			return v.Recovery
		}},
		{ask: api.BeginRequest{Kind: api.KindResync, Method: api.MethodSpec{ID: fobs[0].ID}}},
		{api.BeginRequest{Kind: api.KindChangeToken, Token: api.TokenChange{Serial: fobs[1].Serial, Action: "disable"}}, func() bool {
			token, err := i.Token(limit(t), fobs[1].Serial)
			if err != nil {
				t.Fatal(err)
			}
			return token.State == api.TokenDisabled
		}},
		{api.BeginRequest{Kind: api.KindRemoveMethod, Method: api.MethodSpec{ID: fobs[0].ID}}, gone(fobs[0].ID)},
		{api.BeginRequest{Kind: api.KindLost, Method: api.MethodSpec{ID: fobs[2].ID}}, gone(fobs[2].ID)},
		{api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "recovery"}}, func() bool {
			return has(func(m api.Method) bool { return m.Type == "recovery" })
		}},
	}
}

// stepsUp begins a request and waits until the key blinks for it, and gives the state of then.
func (i *instance) stepsUp(t *testing.T, ask api.BeginRequest) (*client.Stream, api.RequestState) {
	t.Helper()
	s := i.begin(t, ask)
	for {
		v, err := s.Next()
		if err != nil || !v.Pending {
			t.Fatalf("it does not ask for a step-up: %+v %v %v", v, v.Error, err)
		}
		for _, p := range v.Prompts {
			switch p.Type {
			case api.PromptConfirm:
				if err := i.Answer(limit(t), v.ID, api.Answer{Prompt: p.ID, Confirm: p.Expect}); err != nil {
					t.Fatal(err)
				}
			case api.PromptTouch:
				i.waiting(t)
				return s, v
			}
		}
	}
}

// yields counts what a stream gives after its decision.
func yields(s *client.Stream) (n int) {
	for _, err := range s.Yield() {
		if err != nil {
			break
		}
		n++
	}
	return n
}

// tryStepUps does each of the works without its approval, which must come to nothing, and then with it.
func (i *instance) tryStepUps(t *testing.T, works []work, f *fob) {
	t.Helper()
	for _, w := range works {
		t.Run("without its approval there is no "+w.ask.Kind, func(t *testing.T) {
			by := w.ask
			by.Code = api.Secret(f.show(t)) // right, and weaker than a key
			if s, err := i.Begin(limit(t), by); err == nil {
				t.Errorf("with a fob's code it ends %+v", decision(t, s))
			}
			s, v := i.stepsUp(t, w.ask)
			for _, p := range v.Prompts {
				for _, a := range []api.Answer{{Approve: true}, {Code: api.Secret(f.show(t))}, {Number: "00"}, {Confirm: "yes"}} {
					if a.Prompt = p.ID; i.Answer(limit(t), v.ID, a) == nil {
						t.Errorf("the prompt %s takes %+v", p.Type, a)
					}
				}
			}
			if err := i.Cancel(limit(t), v.ID); err != nil {
				t.Fatal(err)
			}
			if v = decision(t, s); v.Decision != api.Cancelled || len(v.Methods)+len(v.RecoveryCodes)+len(v.RecoveryKey) > 0 {
				t.Errorf("it ends %+v", v)
			}
			if n := yields(s); n > 0 {
				t.Errorf("it yields %d lines", n)
			}
			if w.done != nil && w.done() {
				t.Error("it is done")
			}
			page, err := i.Log(limit(t), client.LogQuery{Request: v.ID})
			if err != nil || len(page.Entries) != 1 || page.Entries[0].Decision != api.Cancelled {
				t.Errorf("the log has %+v %v", page.Entries, err)
			}
		})
	}
	for _, w := range works {
		t.Run("with its approval there is a "+w.ask.Kind, func(t *testing.T) {
			s, _ := i.stepsUp(t, w.ask)
			i.key.Touch()
			if v := typing(t, i.Client, s, func() string { return f.show(t) }); v.Decision != api.Approved {
				t.Fatalf("it ends %+v %v", v, v.Error)
			}
			if w.done != nil && !w.done() {
				t.Error("it is not done")
			}
			gives := []string{api.KindExportTokens, api.KindExportAccounts, api.KindBackup}
			if slices.Contains(gives, w.ask.Kind) != (yields(s) > 0) {
				t.Error("it does not yield what it should")
			}
		})
	}
}

// waits makes the user's next sign-in of a kind wait, which an unblock request lifts.
func (i *instance) waits(t *testing.T) {
	t.Helper()
	s := i.begin(t, api.BeginRequest{Service: "unwanted"})
	if err := i.Deny(limit(t), i.blinking(t, s).ID); err != nil {
		t.Fatal(err)
	}
	decision(t, s)
}

func TestAccessStepUps(t *testing.T) {
	rules := signin.KindRules()
	t.Run("at a private instance", func(t *testing.T) {
		i := start(t, "")
		i.enrol(t)
		var fobs []*fob
		var methods []api.Method
		for _, serial := range []string{"FOB-1", "FOB-2", "FOB-3"} {
			f := newFob(serial, "hotp")
			fobs, methods = append(fobs, f), append(methods, carry(t, i.Client, f, func() { i.tap(t) }))
		}
		if _, err := i.AddAccount(limit(t), newAccount("me")); err != nil {
			t.Fatal(err)
		}
		i.waits(t)
		works := i.works(t, methods)
		for k, r := range rules {
			if r.StepUp == signin.StepStrongest && !slices.ContainsFunc(works, func(w work) bool { return w.ask.Kind == string(k) }) {
				t.Errorf("this test does not know how to begin %s", k)
			}
		}
		i.tryStepUps(t, works, fobs[0])
	})
	t.Run("at the machine's instance", func(t *testing.T) {
		m := newMachine(t, sshPolicy)
		p := m.people(t)
		p.sudo.register(t, api.BeginRequest{User: "daemon"})
		var fobs []*fob
		var methods []api.Method
		for _, serial := range []string{"FOB-1", "FOB-2", "FOB-3"} {
			f := newFob(serial, "hotp")
			imports(t, p.sshd.Client, f.row("daemon"))
			fobs, methods = append(fobs, f), append(methods, activate(t, p.desk.Client, f, func() { p.desk.tap(t) }))
		}
		p.desk.waits(t)
		works := slices.DeleteFunc(p.desk.works(t, methods), func(w work) bool { return kindRow{Rules: rules[signin.Kind(w.ask.Kind)]}.self() != yes })
		away := m.login.away(m.newActor(t, uidDaemon), uidDaemon)
		for _, w := range works {
			t.Run("from elsewhere, no key blinks before the number for "+w.ask.Kind, func(t *testing.T) {
				s := away.begin(t, w.ask)
				if v := first(t, s); v.Place != "remote" || len(v.Number) != 2 {
					t.Errorf("it is %+v", v)
				}
				m.silent(t)
				if w.done != nil && w.done() {
					t.Error("it is done")
				}
				s.Close()
				p.desk.settled(t)
			})
		}
		p.desk.tryStepUps(t, works, fobs[0])
	})
}
