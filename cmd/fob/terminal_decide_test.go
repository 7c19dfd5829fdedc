package main

import (
	"strings"
	"testing"
)

// pending is a tape on which r1 waits, and goes on through states of line's form.
func pending(states ...string) string {
	var b strings.Builder
	b.WriteString(fine + "> POST /v1/requests/r1/remember 200\n{}\n> GET /v1/requests 200\n[" + line("") + "]\n> GET /v1/events stream\n")
	for i, s := range states {
		switch {
		case strings.HasPrefix(s, "wait "):
			b.WriteString(s + "\n")
		case i == 0:
			b.WriteString(`{"seq":1,"snapshot":{"requests":[` + strings.TrimSpace(s) + `],"methods":[]}}` + "\n")
		default:
			b.WriteString(`{"seq":2,"request":` + strings.TrimSpace(s) + "}\n")
		}
	}
	return b.String()
}

const (
	afterAnswer    = "wait POST /v1/requests/r1/answer"
	numberPrompt   = `{"id":"n1","type":"number","text":"Type the number that the screen of whoever asks shows, if it is you who asks: sign-in for alice"}`
	numberAgain    = `{"id":"n2","type":"number","text":"That is not the number. Type the number that the screen of whoever asks shows"}`
	yesPrompt      = `{"id":"y1","type":"approve","text":"Approve this only if it is you: sign-in for alice"}`
	codeOrRecovery = `{"id":"c1","type":"code","text":"Type the code that “Fob” shows, or a recovery code to approve: sign-in for alice"}`
)

func prompts(all ...string) string { return `,"prompts":[` + strings.Join(all, ",") + `]` }

func TestTerminalDecides(t *testing.T) {
	t.Run("asks for the number, again after a wrong one, and then for a touch", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(numberPrompt)), afterAnswer, line(prompts(numberAgain)), afterAnswer+" 2", line(touchOffer), "wait POST /tap", approvedLine),
			"requests", "approve", "r1")
		x.sees("sign-in for alice by app:1000:mailer")
		x.sees("Type the number that the screen of whoever asks shows, .*sign-in for alice.\r\nNumber: ")
		x.types("12\r")
		if shown := x.sees("That is not the number. .*\r\nNumber: "); !strings.Contains(shown, "12") {
			t.Errorf("the number was not shown as it was typed: %q", shown)
		}
		x.types(" 47 \r")
		x.sees("Touch the key “Blue” to approve")
		x.elsewhere("POST", "/tap")
		x.sees("Approved: sign-in for alice")
		x.ends(0)
		x.called(`answer {"prompt":"n1","number":"12"}$`)
		x.called(`answer {"prompt":"n2","number":"47"}$`)
	})
	t.Run("asks for the number before a code, which Enter asks for instead", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(codeOrRecovery, numberPrompt)), afterAnswer, approvedLine), "requests", "tap", "r1")
		x.sees("sign-in for alice, or press Enter to type a code.\r\nNumber: ")
		x.types("\r")
		x.sees("To approve: sign-in for alice.*\r\n(Or t|T)ype the code that “Fob” shows, or a recovery code: ")
		x.types("abcd-efgh-jkmn-pqrs\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`answer {"prompt":"c1","code":"abcd-efgh-jkmn-pqrs"}$`)
	})
	t.Run("takes yes for a plain approval, and nothing else", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(yesPrompt)), afterAnswer, approvedLine), "requests", "approve", "r1")
		x.sees("Approve this only if it is you: sign-in for alice.\r\nType yes to approve: ")
		x.types("y\r")
		x.sees("That was not yes, and nothing is approved. Ctrl-C stops; to refuse it: fob requests deny r1\r\n")
		x.sees("Type yes to approve: ")
		x.types("\r")
		x.sees("Type yes to approve: ")
		x.types("yes\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`answer {"prompt":"y1","approve":true}$`)
		if strings.Count(x.daemon.allCalls(), "/answer") != 1 {
			t.Errorf("something else was taken for yes:\n%s", x.daemon.allCalls())
		}
	})
	t.Run("asks for yes before a code, and again at Enter", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(codeOrRecovery, yesPrompt)), afterAnswer, approvedLine), "requests", "approve", "r1")
		x.sees("sign-in for alice, or press Enter to type a code.\r\nType yes to approve: ")
		x.types("\r")
		x.sees("Press Enter to approve without a code.*\r\nOr type the code that “Fob” shows, or a recovery code: ")
		x.types("\r")
		x.sees("Type yes to approve: ")
		x.types("yes\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`answer {"prompt":"y1","approve":true}$`)
	})
	t.Run("does not ask for a plain yes where only a tap was asked for", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(yesPrompt)), "wait POST /tap", approvedLine), "requests", "tap", "r1")
		x.sees("Waiting: sign-in for alice")
		x.types("yes\r")
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
		if strings.Contains(x.daemon.allCalls(), "/answer") {
			t.Error("a yes was given that nobody asked for")
		}
	})
	t.Run("asks to remember before anything is approved", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(numberPrompt)+`,"rememberable_s":7776000`), afterAnswer, approvedLine), "requests", "approve", "--remember", "r1")
		if shown := x.sees("remembering +for 90 days once it is approved.*\n") + x.sees("Number: "); strings.Contains(shown, "possible for") {
			t.Errorf("it is said twice: %q", shown)
		}
		x.types("47\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`(?s)r1/remember {"remember":true}.*r1/answer`)
	})
	t.Run("stops where the answer is refused for where it comes from", func(t *testing.T) {
		tape := strings.Replace(pending(line(prompts(numberPrompt)), "wait POST /never"), "> POST /v1/requests/r1/answer 200\n{}",
			"> POST /v1/requests/r1/answer 403\n"+`{"error":{"code":"wrong_place","message":"this is afterAnswer at the desk, not from elsewhere"}}`, 1)
		x := onTerminal(t, tape, "requests", "approve", "r1")
		x.sees("Number: ")
		x.types("47\r")
		x.sees("fob: this is afterAnswer at the desk, not from elsewhere")
		x.ends(8)
	})
	t.Run("leaves the request alone at Ctrl-C", func(t *testing.T) {
		x := onTerminal(t, pending(line(prompts(numberPrompt)), "wait POST /never"), "requests", "approve", "r1")
		x.sees("Number: ")
		x.types("\x03")
		x.sees("the request goes on without this terminal")
		x.ends(1)
		if calls := x.daemon.allCalls(); strings.Contains(calls, "/cancel") || strings.Contains(calls, "/deny") {
			t.Errorf("it was ended:\n%s", calls)
		}
	})
}

func TestTerminalHelps(t *testing.T) {
	t.Run("asks for an administrator's code without showing it", func(t *testing.T) {
		x := onTerminal(t, fine+begin+approvedLine, "methods", "add", "key", "--helpdesk")
		x.sees("One-time code from your administrator: ")
		x.types("abcd-efgh\r")
		if shown := x.sees("Approved"); strings.Contains(shown, "abcd") {
			t.Errorf("the code was shown: %q", shown)
		}
		x.ends(0)
		x.called(`"helpdesk_code":"abcd-efgh"}$`)
	})
	t.Run("shows what a loss takes away, and wants LOST", func(t *testing.T) {
		x := onTerminal(t, fine+"> GET /v1/methods 200\n"+`[{"id":"m1","name":"Blue","type":"key"}]`+"\n"+begin+
			line(prompts(`{"id":"p1","type":"confirm","text":"The method “Blue” will be removed. What remains: “Red”. Type LOST to go on","expect":"LOST"}`))+
			afterAnswer+"\n"+line(touchOffer)+approvedLine, "methods", "lost", "Blue")
		x.sees("What remains: “Red”. Type LOST to go on: ")
		x.types("lost\r")
		x.sees("That was not it.*")
		x.sees("Type LOST to go on: ")
		x.types("LOST\r")
		x.sees("Removed: “Blue”, which was lost. Register another in its place: fob methods add key --name NAME")
		x.ends(0)
		x.called(`{"kind":"lost-method","method":{"id":"m1"}}$`)
	})
}
