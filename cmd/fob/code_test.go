package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
)

const (
	raceOffer = `,"progress":"Touch the key “Blue” to approve: sign-in for alice by app:1000:mailer, or type a code","offers":[{"type":"key","key":"k1","key_name":"Blue","state":"touch"},{"type":"code","method_name":"Fob","state":"code"}]`
	codeOffer = `,"progress":"Type the code that “Fob” shows to approve: sign-in for alice by app:1000:mailer","offers":[{"type":"code","method_name":"Fob","state":"code"}]`
	// A key that waits to be picked is not in the daemon's words while a code may be typed.
	pickOrCode   = `,"progress":"Type the code that “Fob” shows to approve: sign-in for alice by app:1000:mailer","offers":[{"type":"key","key":"k1","key_name":"Blue","state":"pick"},{"type":"code","method_name":"Fob","state":"code"}]`
	approvedCode = `{"id":"r1","kind":"sign-in","user":"alice","service":"app:1000:mailer","pending":false,"decision":"approved","strength":"code"}` + "\n"
	answered     = "wait POST /v1/requests/r1/answer 1\n"
	twice        = "wait POST /v1/requests/r1/answer 2\n"
)

func codePrompt(id, hint string) string {
	return `,"prompts":[{"id":"` + id + `","type":"code","text":"` + hint + `Type the code that “Fob” shows to approve: sign-in for alice by app:1000:mailer"}]`
}

func TestCodes(t *testing.T) {
	t.Run("takes a code while a key blinks, and tells of both", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+answered+line("")+approvedCode, "verify")
		x.sees(`Touch the key “Blue” to approve: sign-in for alice by app:1000:mailer \(\d+ s left\)`)
		x.sees(`\nOr type the code that “Fob” shows: $`)
		x.types("123 456\r")
		if !strings.Contains(x.sees("Approved: sign-in for alice"), "123 456") {
			t.Error("the code is not shown as it is typed")
		}
		x.ends(0)
		x.called(`answer {"prompt":"c1","code":"123 456"}$`)
	})
	t.Run("asks for the code first where that is the default", func(t *testing.T) {
		codeFirst := `,"progress":"Type the code that “Fob” shows to approve: sign-in for alice by app:1000:mailer, or touch the key “Blue”","offers":[{"type":"code","method_name":"Fob","state":"code"},{"type":"key","key":"k1","key_name":"Blue","state":"touch"}]`
		x := onTerminal(t, fine+begin+line(codeFirst+codePrompt("c1", ""))+answered+line("")+approvedCode, "verify")
		x.sees(`Type the code that “Fob” shows to approve: sign-in for alice by app:1000:mailer, or touch the key “Blue” \(\d+ s left\)`)
		x.sees(`\nCode: $`)
		x.types("123456\r")
		x.sees("Approved: sign-in for alice")
		x.ends(0)
	})
	t.Run("goes on counting above the question", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+"wait POST /tap\n"+approvedLine, "verify")
		x.sees(`shows: `)
		x.types("12") // half a code stays where it is
		x.sees(`\x1b7\x1b\[1A\rTouch the key “Blue”.*\(\d+ s left\)\x1b\[K\x1b8`)
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
		if strings.Contains(x.daemon.allCalls(), "answer") {
			t.Error("half a code was sent")
		}
	})
	t.Run("asks again after a wrong code", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(codeOffer+codePrompt("c1", ""))+answered+
			line(strings.ReplaceAll(codeOffer, "Type the", "That code is wrong. Type the")+codePrompt("c2", "That code is wrong. "))+twice+approvedCode, "verify")
		x.sees(`To approve: sign-in for alice by app:1000:mailer \(\d+ s left\)\x1b\[K\r\nType the code that “Fob” shows: `)
		x.types("000000\r")
		x.sees(`\nThat code is wrong\.\r\n\rTo approve: sign-in for alice .* left\)\x1b\[K\r\nType the code that “Fob” shows: `)
		x.types("123456\r")
		x.sees(`Approved`)
		x.ends(0)
		x.called(`answer {"prompt":"c1","code":"000000"}\nPOST /v1/requests/r1/answer {"prompt":"c2","code":"123456"}$`)
	})
	t.Run("says that a wrong code was wrong although a key blinks too", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+answered+line(raceOffer+codePrompt("c2", "That code is wrong. "))+"wait POST /tap\n"+approvedLine, "verify")
		x.sees(`shows: `)
		x.types("000000\r")
		x.sees(`\nThat code is wrong\.\r\n\rTouch the key “Blue” .* left\)\x1b\[K\r\nOr type the code that “Fob” shows: `)
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("says what the daemon cannot read, and asks the same again", func(t *testing.T) {
		tape := strings.Replace(fine, "answer 200\n{}", `answer 400`+"\n"+`{"error":{"code":"bad_request","message":"a code is 6 to 8 digits: there is something else in this"}}`, 1)
		x := onTerminal(t, tape+begin+line(codeOffer+codePrompt("c1", ""))+twice+approvedCode, "verify")
		x.sees(`shows: `)
		x.types("abcdef\r")
		x.sees(`fob: a code is 6 to 8 digits: there is something else in this`)
		x.sees(`shows: `)
		x.types("123456\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`answer {"prompt":"c1","code":"123456"}$`)
	})
	t.Run("picks the key when Enter is pressed in place of a code", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(pickOrCode+codePrompt("c1", ""))+"wait POST /v1/requests/r1/pick\n"+line(raceOffer+codePrompt("c1", ""))+"wait POST /tap\n"+approvedLine, "verify")
		x.sees(`Press Enter to use the key “Blue” to approve: sign-in for alice`)
		x.sees(`Or type the code that “Fob” shows: `)
		x.types("\r")
		x.sees(`Touch the key “Blue” to approve`)
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("says why it asks again until the next entry, and what a key would do that blinks only then", func(t *testing.T) {
		const used = "That code was used already: wait for the next one. "
		x := onTerminal(t, fine+begin+line(codeOffer+codePrompt("c1", used))+"wait POST /blink\n"+line(raceOffer+codePrompt("c1", used))+
			"wait POST /gone\n"+line(codeOffer+codePrompt("c1", used))+"wait POST /tap\n"+approvedLine, "verify")
		x.sees(`That code was used already: wait for the next one\.\r\n\rTo approve: .* left\)\x1b\[K\r\nType the code that “Fob” shows: `)
		x.types("12") // moves along
		x.elsewhere("POST", "/blink")
		x.sees(`\x1b7\x1b\[1A\rTouch the key “Blue” .*\x1b8\x1b7\r\x1b\[3@Or t\x1b8\x1b\[3C`)
		x.elsewhere("POST", "/gone")
		x.sees(`\x1b7\x1b\[1A\rTo approve: .*\x1b8\x1b7\r\x1b\[3PT\x1b8\x1b\[3D`)
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("shows on 80 columns what is approved, and by what", func(t *testing.T) {
		sees := func(state, want string) {
			x := onTerminal(t, fine+begin+"wait POST /begin\n"+line(state)+"wait POST /tap\n"+approvedLine, "verify")
			if err := pty.Setsize(x.tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
				t.Fatal(err)
			}
			x.elsewhere("POST", "/begin")
			x.sees(want)
			x.elsewhere("POST", "/tap")
			x.sees("Approved")
			x.ends(0)
		}
		sees(raceOffer+codePrompt("c1", ""), `approve: sign-in…r alice by app:1000:mailer \(\d+ s left\)\x1b\[K\r\nOr type the code that “Fob” shows: `)
		sees(codeOffer+codePrompt("c1", "That code is wrong. "), `by app:1000:mailer \(\d+ s left\)\x1b\[K\r\nType the code that “Fob” shows: `)
	})
	t.Run("takes Enter for no code", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+answered+approvedCode, "verify")
		x.sees(`shows: `)
		x.types("\r")
		x.sees("Nothing was typed")
		x.sees(`shows: `)
		x.types("123456\r")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("changes between the PIN and the code at Enter, and never in the middle", func(t *testing.T) {
		both := `,"offers":[{"type":"code","state":"code"}],"prompts":[` +
			`{"id":"p1","type":"pin","text":"Type the PIN of the key “Blue”","key":"k1","key_name":"Blue","retries":8},` +
			`{"id":"c1","type":"code","text":"Type the code that “Fob” shows to approve: it"}]`
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+"wait POST /pin\n"+line(both)+answered+line("")+approvedLine, "verify")
		x.sees(`shows: `)
		x.types("12")
		x.elsewhere("POST", "/pin")
		x.sees(`Press Enter to type the PIN of the key “Blue”`)
		x.types("\x15\r") // not half a code for a PIN
		x.sees(`Type the PIN of the key “Blue” \(8 tries left\), or press Enter to type a code: `)
		x.types("\r")
		x.sees(`Press Enter to type the PIN`)
		x.types("\r")
		x.sees(`PIN of the key “Blue” \(8 tries left\)`)
		x.types("73915\r")
		if strings.Contains(x.sees("Approved"), "73915") {
			t.Error("the PIN was shown")
		}
		x.ends(0)
		x.called(`answer {"prompt":"p1","pin":"73915"}$`)
	})
	t.Run("takes the request back at Ctrl-C while it asks for a code", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(raceOffer+codePrompt("c1", ""))+"wait POST /v1/requests/r1/cancel\n"+strings.ReplaceAll(approvedLine, "approved", "cancelled"), "verify")
		x.sees(`shows: `)
		x.types("12\x03")
		x.sees("Cancelled")
		x.ends(1)
	})
	t.Run("answers another program's request", func(t *testing.T) {
		tape := fine + "> GET /v1/requests 200\n[]\n> GET /v1/events stream\n" +
			`{"seq":1,"snapshot":{"requests":[` + strings.TrimSpace(line(codeOffer+codePrompt("c1", ""))) + `],"methods":[]}}` + "\n" +
			answered + `{"seq":2,"request":` + strings.TrimSpace(approvedCode) + "}\n"
		x := onTerminal(t, tape, "requests", "tap", "r1")
		x.sees(`shows: `)
		x.types("123456\r")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("keeps the question within the terminal", func(t *testing.T) {
		long := strings.ReplaceAll(raceOffer+codePrompt("c1", ""), "Fob", strings.Repeat("name ", 40))
		x := onTerminal(t, fine+begin+line(long)+"wait POST /tap\n"+approvedLine, "verify")
		shown := x.sees(`\nOr type the code that [^\n]*…[^\n]*” shows: `)
		for _, l := range regexp.MustCompile(`[\r\n]+`).Split(shown, -1) {
			if n := len([]rune(l)); n > 120 {
				t.Errorf("%d columns: %q", n, l)
			}
		}
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("registers a token by two codes", func(t *testing.T) {
		tape := fine + "> GET /v1/tokens/F-1 200\n" + `{"serial":"F-1","state":"assigned"}` + "\n" + begin +
			line(`,"prompts":[{"id":"c1","type":"code","text":"Type the code that the token “F-1” shows"}]`) + answered +
			line(`,"prompts":[{"id":"c2","type":"code","text":"Now type the next code that the token “F-1” shows"}]`) + twice +
			`{"id":"r1","kind":"add-method","user":"alice","pending":false,"decision":"approved","methods":[{"id":"m3","type":"token","name":"F-1","serial":"F-1"}]}` + "\n"
		x := onTerminal(t, tape, "methods", "add", "token", "F-1")
		x.sees(`Type the code that the token “F-1” shows`)
		x.sees(`Code: `)
		x.types("111111\r")
		x.sees(`Now type the next code that the token “F-1” shows`)
		x.sees(`Code: `)
		x.types("222222\r")
		x.sees(`Registered: “F-1”, id m3 \(token F-1\)`)
		x.ends(0)
	})
}
