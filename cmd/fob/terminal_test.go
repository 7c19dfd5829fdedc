package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// patience is how long something may take that must happen: a person's answer costs a key derivation, and
// the machine may be busy. It bounds a test that hangs, and measures nothing.
const patience = time.Minute

// terminal is a run of the command on a terminal of its own, with a person's hands and eyes.
type terminal struct {
	t      *testing.T
	daemon *standIn
	tty    *os.File // the person's side
	slave  *os.File
	cmd    *exec.Cmd

	mu   sync.Mutex
	seen string
	more chan struct{}
}

// onTerminal starts the command against a daemon that says what tape holds.
func onTerminal(t *testing.T, tape string, args ...string) *terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, err := newStandIn(tape)
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "s")
	stop, err := d.listen(sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return startOnTerminal(t, d, append([]string{"--socket", sock}, args...)...)
}

func startOnTerminal(t *testing.T, d *standIn, args ...string) *terminal {
	t.Helper()
	return runOnTerminal(t, d, exec.Command("fob", args...))
}

// runOnTerminal starts any program.
func runOnTerminal(t *testing.T, d *standIn, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, daemon: d, tty: master, slave: slave, more: make(chan struct{}, 1)}
	x.cmd = cmd
	x.cmd.Env = append(os.Environ(), "TERM=xterm", "TEST_TERMINAL=1", "GORACE=atexit_sleep_ms=0")
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go x.read()
	t.Cleanup(func() {
		x.cmd.Process.Kill()
		slave.Close()
		master.Close()
	})
	return x
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.tty.Read(buf)
		x.mu.Lock()
		x.seen += string(buf[:n])
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// sees waits until the screen has shown a match since the last one that was waited for, and gives
// what was shown up to there.
func (x *terminal) sees(pattern string) string {
	x.t.Helper()
	want := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		x.mu.Lock()
		if at := want.FindStringIndex(x.seen); at != nil {
			shown := x.seen[:at[1]]
			x.seen = x.seen[at[1]:]
			x.mu.Unlock()
			return shown
		}
		seen := x.seen
		x.mu.Unlock()
		select {
		case <-x.more:
		case <-late:
			x.t.Fatalf("waited in vain for %q; the screen says:\n%q\ncalls:\n%s", pattern, seen, x.daemon.allCalls())
		}
	}
}

func (x *terminal) types(text string) {
	x.t.Helper()
	if _, err := x.tty.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// ends waits for the command's end, and wants an exit code and the terminal as it was.
func (x *terminal) ends(code int) {
	x.t.Helper()
	done := make(chan error, 1)
	go func() { done <- x.cmd.Wait() }()
	select {
	case err := <-done:
		if got := exitStatus(err); got != fmt.Sprint(code) {
			x.t.Errorf("exit code %s, want %d; the screen says %q", got, code, x.seen)
		}
	case <-time.After(patience):
		x.t.Fatalf("the command does not end; the screen says %q", x.seen)
	}
	mode, err := unix.IoctlGetTermios(int(x.slave.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	if mode.Lflag&unix.ECHO == 0 || mode.Lflag&unix.ICANON == 0 {
		x.t.Error("the terminal was left without echo")
	}
}

// elsewhere makes a call as another program would.
func (x *terminal) elsewhere(method, path string) {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), method, path, strings.NewReader(""))
	if err != nil {
		x.t.Fatal(err)
	}
	x.daemon.ServeHTTP(nullWriter{}, r)
}

type nullWriter struct{}

func (nullWriter) Header() http.Header         { return http.Header{} }
func (nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (nullWriter) WriteHeader(int)             {}

func (x *terminal) called(pattern string) {
	x.t.Helper()
	if calls := x.daemon.allCalls(); !regexp.MustCompile("(?m)" + pattern).MatchString(calls) {
		x.t.Errorf("no call %q in:\n%s", pattern, calls)
	}
}

// line is a state of the request r1, with more fields.
func line(more string) string {
	return `{"id":"r1","kind":"sign-in","user":"alice","service":"app:1000:mailer","place":"local","require":"key","deadline":"@+50s@","pending":true` + more + "}\n"
}

const (
	approvedLine = `{"id":"r1","kind":"sign-in","user":"alice","service":"app:1000:mailer","pending":false,"decision":"approved","strength":"verified"}` + "\n"
	touchOffer   = `,"progress":"Touch the key “Blue” to approve: sign-in for alice by app:1000:mailer","offers":[{"type":"key","key":"k1","key_name":"Blue","state":"touch"}]`
	pickOffer    = `,"progress":"The key “Blue” is also wanted for: sign-in by app:1000:other. Press Enter to use it for this request","offers":[{"type":"key","key":"k1","key_name":"Blue","state":"pick"}]`
	fine         = "> POST /v1/requests/r1/pick 200\n{}\n> POST /v1/requests/r1/answer 200\n{}\n> POST /v1/requests/r1/cancel 200\n{}\n"
	begin        = "> POST /v1/requests stream\n"
)

func pinPrompt(id string, retries int, more string) string {
	return fmt.Sprintf(`,"prompts":[{"id":%q,"type":"pin","text":"Type the PIN of the key “Blue”","retries":%d%s}]`, id, retries, more)
}

func TestTerminal(t *testing.T) {
	t.Run("asks for a PIN without showing it", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(pinPrompt("p1", 8, ""))+"wait POST /v1/requests/r1/answer\n"+line(touchOffer)+approvedLine, "verify")
		x.sees(`Type the PIN of the key “Blue” \(8 tries left\): `)
		x.types("73915\r")
		shown := x.sees("Approved: sign-in for alice")
		x.ends(0)
		x.called(`answer {"prompt":"p1","pin":"73915"}$`)
		if strings.Contains(shown, "73915") {
			t.Errorf("the PIN was shown: %q", shown)
		}
	})
	t.Run("asks again after a wrong PIN, with the tries that are left", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(pinPrompt("p1", 8, ""))+"wait POST /v1/requests/r1/answer\n"+line("")+
			line(pinPrompt("p2", 7, ""))+"wait POST /again\n"+approvedLine, "verify")
		x.sees(`8 tries left\): `)
		x.types("1111\r")
		x.sees(`7 tries left\): `)
		x.types("2222\r")
		x.elsewhere("POST", "/again")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("asks for a new PIN twice, and for one that is long enough", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(`,"prompts":[{"id":"p1","type":"pin","text":"Type a new PIN","new":true,"min_length":6}]`)+
			"wait POST /v1/requests/r1/answer\n"+approvedLine, "verify")
		x.sees("Type a new PIN: ")
		x.types("123\r")
		x.sees("no PIN shorter than 6 characters")
		x.types("123456\r")
		x.sees("The new PIN again: ")
		x.types("123457\r")
		x.sees("The two are not the same")
		x.sees("Type a new PIN: ")
		x.types("654321\r")
		x.sees("again: ")
		x.types("654321\r")
		x.sees("Approved")
		x.ends(0)
		x.called(`"pin":"654321"`)
	})
	t.Run("picks the request when Enter is pressed, and says who else waits", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(pickOffer)+"wait POST /v1/requests/r1/pick\n"+line(touchOffer)+approvedLine, "verify")
		x.sees("also wanted for: sign-in by app:1000:other. Press Enter")
		x.types("\r")
		x.sees("Touch the key “Blue” to approve: sign-in for alice by app:1000:mailer")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("does not take Enter for anything while a key blinks", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(touchOffer)+"wait POST /tap\n"+approvedLine, "verify")
		x.sees("Touch the key “Blue”")
		x.types("\r\r")
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
		if strings.Contains(x.daemon.allCalls(), "pick") {
			t.Error("Enter picked")
		}
	})
	t.Run("ends when the request is decided while it asks for a PIN", func(t *testing.T) {
		x := onTerminal(t, fine+begin+line(pinPrompt("p1", 8, ""))+"wait POST /tap\n"+approvedLine, "verify")
		x.sees("Type the PIN")
		x.types("73")
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
	t.Run("takes the request back at Ctrl-C, also while it asks", func(t *testing.T) {
		cancelled := strings.ReplaceAll(approvedLine, "approved", "cancelled")
		for name, state := range map[string]string{"Touch the key": touchOffer, "Type the PIN": pinPrompt("p1", 8, "")} {
			x := onTerminal(t, fine+begin+line(state)+"wait POST /v1/requests/r1/cancel\n"+cancelled, "verify")
			x.sees(name)
			x.types("\x03")
			x.sees("Cancelled: sign-in for alice by app:1000:mailer")
			x.ends(1)
		}
	})
	t.Run("gives up at Ctrl-C even if the daemon says nothing more", func(t *testing.T) {
		x := onTerminal(t, begin+line(touchOffer)+"hold\n", "verify")
		x.sees("Touch the key")
		x.types("\x03")
		x.sees("nothing at /v1/requests/r1/cancel")
		x.types("\x03")
		x.ends(1)
	})
	t.Run("leaves another program's request alone at Ctrl-C", func(t *testing.T) {
		events := "> GET /v1/requests 200\n[]\n> GET /v1/events stream\n" + `{"seq":1,"snapshot":{"requests":[` +
			strings.TrimSpace(line(touchOffer)) + `],"methods":[]}}` + "\nhold\n"
		x := onTerminal(t, fine+events, "requests", "tap", "r1")
		x.sees("Touch the key")
		x.types("\x03")
		x.sees("the request goes on without this terminal")
		x.ends(1)
		if strings.Contains(x.daemon.allCalls(), "cancel") {
			t.Error("it was cancelled")
		}
	})
	t.Run("wants the word typed before a key is erased", func(t *testing.T) {
		tape := fine + "> GET /v1/keys 200\n" + `[{"id":"k1","name":"Blue"}]` + "\n" + begin +
			line(`,"prompts":[{"id":"p1","type":"confirm","text":"Type RESET to go on","expect":"RESET"}]`) +
			"wait POST /v1/requests/r1/answer\n" + approvedLine
		x := onTerminal(t, tape, "keys", "reset", "Blue")
		x.sees("This erases the key “Blue” for good:")
		x.sees("Type RESET to go on: ")
		x.types("yes\r")
		x.sees("yes") // what is no secret is shown
		x.sees("That was not it")
		x.types("RESET\r")
		x.sees("The key “Blue” is erased")
		x.ends(0)
		x.called(`answer {"prompt":"p1","confirm":"RESET"}$`)
	})
	t.Run("cuts the reasons in the log so that each entry has one line", func(t *testing.T) {
		entry := `{"seq":1,"request":"r1","kind":"sign-in","decision":"cancelled","user":"alice","service":"app:1000:mailer","reason":"` +
			strings.Repeat("why ", 40) + `"}`
		x := onTerminal(t, "> GET /v1/log?limit=20&newest=true 200\n"+`{"entries":[`+entry+"]}\n", "log")
		shown := x.sees("(?m)^1 .*\n")
		lines := strings.Split(strings.TrimRight(shown, "\r\n"), "\n")
		if last := strings.TrimRight(lines[len(lines)-1], "\r"); len([]rune(last)) > 120 || !strings.HasSuffix(last, "…") {
			t.Errorf("%d columns: %q", len([]rune(last)), last)
		}
		x.ends(0)
	})
	t.Run("updates one line and keeps it within the terminal", func(t *testing.T) {
		long := strings.ReplaceAll(touchOffer, "Blue", strings.Repeat("name ", 40))
		x := onTerminal(t, fine+begin+line(long)+"wait POST /tap\n"+approvedLine, "verify")
		shown := x.sees(`s left\)`)
		if i := strings.LastIndex(shown, "\r"); len([]rune(shown[i+1:])) > 119 || !strings.Contains(shown, "…") {
			t.Errorf("the line is too long: %q", shown)
		}
		x.elsewhere("POST", "/tap")
		x.sees("Approved")
		x.ends(0)
	})
}
