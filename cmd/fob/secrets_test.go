package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const changedVault = `{"id":"r1","kind":"change-vault","user":"alice","pending":false,"decision":"approved"}` + "\n"

// hides fails if one of the texts is on the screen.
func hides(t *testing.T, shown string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(shown, text) {
			t.Errorf("%q was shown: %q", text, shown)
		}
	}
}

func TestTypedSecrets(t *testing.T) {
	t.Run("asks for a new passphrase twice, and for one that is long enough", func(t *testing.T) {
		x := onTerminal(t, begin+changedVault, "vault", "slots", "add", "passphrase")
		x.sees("New passphrase for the vault: ")
		x.types("1234567\r")
		shown := x.sees("at least 8 characters")
		x.sees("New passphrase for the vault: ")
		x.types("correct horse\r")
		shown += x.sees("The passphrase again: ")
		x.types("correct house\r")
		shown += x.sees("The two are not the same")
		x.sees("New passphrase for the vault: ")
		x.types("correct horse\r")
		shown += x.sees("again: ")
		x.types("correct horse\r")
		shown += x.sees("The vault can be opened by the new passphrase now")
		x.ends(0)
		hides(t, shown, "1234567", "horse", "house")
		x.called(`"vault":{"action":"add","type":"passphrase","passphrase":"correct horse"}}$`)
	})
	t.Run("leaves the terminal as it was at Ctrl-C and Ctrl-D", func(t *testing.T) {
		for _, key := range []string{"\x03", "\x04"} {
			x := onTerminal(t, begin+changedVault, "vault", "slots", "add", "passphrase")
			x.sees("New passphrase")
			x.types(key)
			x.sees("fob: stopped")
			x.ends(1)
			if strings.Contains(x.daemon.allCalls(), "POST") {
				t.Error("something was begun")
			}
		}
	})
	t.Run("shows a new recovery key", func(t *testing.T) {
		x := onTerminal(t, begin+strings.Replace(changedVault, `"approved"`, `"approved","recovery_key":"ABCD-EFGH"`, 1), "vault", "slots", "add", "recovery")
		x.sees(`\r\n    ABCD-EFGH\r\n`)
		x.sees(`keep it away from this computer`)
		x.ends(0)
	})
	t.Run("unlocks by what is typed, once nothing else does", func(t *testing.T) {
		tape := "> POST /v1/vault/unlock 423\n" + `{"error":{"code":"sealed","message":"the vault is sealed: open it with “fob vault unlock”: the passphrase opens it"}}` + "\n" +
			"> GET /v1/vault 200\n" + `{"state":"sealed","slots":[{"id":"s1","type":"passphrase","name":"Mine"},{"id":"s2","type":"security-key","name":"Gone","damaged":true}]}` + "\n"
		x := onTerminal(t, tape, "vault", "unlock")
		x.sees("The vault is sealed: the passphrase opens it\\.\r\n")
		shown := x.sees("Passphrase or recovery key: ")
		x.types("\r")
		shown += x.sees("Nothing was typed")
		shown += x.sees("Passphrase or recovery key: ")
		x.types("correct horse\r")
		shown += x.sees("The vault is sealed")
		x.sees("Passphrase or recovery key: ")
		x.types("correct horse\r")
		x.sees("Passphrase or recovery key: ")
		x.types("correct horse\r")
		shown += x.sees("fob: the vault is sealed")
		x.ends(4)
		hides(t, shown, "horse")
		x.called(`POST /v1/vault/unlock {}\nGET /v1/vault\nPOST /v1/vault/unlock {"by":"correct horse"}\n`)
	})
	const keySlot = "> POST /v1/vault/unlock 423\n" + `{"error":{"code":"sealed","message":"the vault is sealed: open it with “fob vault unlock”: the security key or the passphrase opens it"}}` + "\n" +
		"> GET /v1/vault 200\n" + `{"state":"sealed","slots":[{"id":"s1","type":"passphrase","name":"Mine"},{"id":"s2","type":"security-key","name":"Blue","lock_after_s":900}]}` + "\n"
	for name, tape := range map[string]string{
		"no key is plugged in":       "> POST /v1/requests 409\n" + `{"error":{"code":"no_key","message":"no security key is plugged in: plug one in and try again"}}` + "\n",
		"the key opens it no more":   begin + `{"id":"r1","kind":"unlock","user":"alice","pending":false,"decision":"cancelled","error":{"code":"wrong_secret","message":"no security key opens it"}}` + "\n",
		"nothing but typing is left": "",
	} {
		t.Run("unlocks by what is typed where "+name, func(t *testing.T) {
			command := []string{"vault", "unlock"}
			if tape == "" {
				command = append(command, "--typed")
			}
			x := onTerminal(t, keySlot+tape, command...)
			if tape != "" {
				x.sees("No security key ")
			}
			shown := x.sees("Passphrase or recovery key: ")
			x.types("correct horse\r")
			shown += x.sees("The vault is sealed")
			shown += x.sees("Passphrase or recovery key: ")
			x.types("\x03")
			x.ends(1)
			hides(t, shown, "horse")
			x.called(`POST /v1/vault/unlock {"by":"correct horse"}`)
		})
	}
	t.Run("unlocks by a tap, or not at all where the tap was denied", func(t *testing.T) {
		denied := begin + `{"id":"r1","kind":"unlock","user":"alice","pending":false,"decision":"denied"}` + "\n"
		x := onTerminal(t, keySlot+denied, "vault", "unlock")
		x.sees("Denied: opening of the vault for alice")
		x.ends(1)
		if strings.Contains(x.daemon.allCalls(), `"by"`) {
			t.Error("something was typed")
		}
	})
	t.Run("unlocks by what is typed, while no tap may be asked for", func(t *testing.T) {
		tape := "> POST /v1/vault/unlock 423\n" + `{"error":{"code":"sealed","message":"the vault is sealed"}}` + "\n" +
			"> GET /v1/vault 200\n" + `{"state":"sealed","slots":[{"id":"s1","type":"passphrase","name":"Mine"},{"id":"s2","type":"security-key","name":"Blue"}]}` + "\n" +
			"> POST /v1/requests 429\n" + `{"error":{"code":"throttled","message":"such a request was denied a moment ago: wait 19 seconds"}}` + "\n"
		x := onTerminal(t, tape, "vault", "unlock")
		x.sees("Such a request was denied a moment ago: wait 19 seconds\\.\r\n")
		x.sees("Passphrase or recovery key: ")
		x.types("\x03")
		x.ends(1)
	})
	t.Run("wants a removal confirmed, and says what remains", func(t *testing.T) {
		tape := "> GET /v1/vault 200\n" + `{"state":"open","slots":[{"id":"s1","type":"key-file","name":"File"},{"id":"s2","type":"recovery","name":"Safe"}]}` + "\n" + begin + changedVault
		x := onTerminal(t, tape, "vault", "slots", "remove", "File")
		x.sees("This removes the key file “File”. What remains: the recovery key “Safe”.")
		x.sees("Type yes to go on: ")
		x.types("y\r")
		x.sees("That was not it")
		x.types("yes\r")
		x.sees("Removed: “File”")
		x.ends(0)
	})
	t.Run("asks for the passphrase of a file of seeds", func(t *testing.T) {
		tape := "> POST /v1/tokens 200\n" + `{"imported":1,"assigned":0}` + "\n"
		x := onTerminal(t, tape, "tokens", "import", "../../internal/provision/testdata/rfc6030-figure7.xml")
		x.sees(`Passphrase of .*figure7.xml.*: `)
		x.types("qwertz\r")
		shown := x.sees("is wrong, or the file was changed or damaged: nothing was imported")
		x.sees(`Passphrase of .*figure7.xml.*: `)
		x.types("qwerty\r")
		shown += x.sees("Imported 1 token")
		hides(t, shown, "qwert", "is PSKC")
		x.ends(0)
		x.called(`"serial":"987654321"`)
	})
	t.Run("asks for one seed, and how it is written", func(t *testing.T) {
		tape := "> POST /v1/tokens 200\n" + `{"imported":1,"assigned":0}` + "\n"
		x := onTerminal(t, tape, "tokens", "import", "--typed", "--serial", "T-1")
		x.sees(`by time or by presses of a button\? Type totp or hotp: `)
		x.types("hotp\r")
		x.sees(`hexadecimal or Base32\? Type hex or base32: `)
		x.types("what\r")
		x.sees(`Type hex or base32: `)
		x.types("hex\r")
		x.sees(`Seed of the token T-1: `)
		x.types("gezd gnbv gy3t qojq gezd gnbv gy3t qojq\r")
		shown := x.sees("looks like Base32, and you said hexadecimal")
		x.sees(`Seed of the token T-1: `)
		x.types("3132333435363738393031323334353637383930\r")
		shown += x.sees("Imported 1 token")
		x.sees(`HOTP, 6 digits, one a press, SHA1\.`)
		x.sees("If that is wrong, remove it and import it again: fob tokens remove T-1")
		x.sees(`fob tokens assign T-1 \[USER\]`)
		x.ends(0)
		hides(t, shown, "gezd", "313233")
		x.called(`{"token":{"serial":"T-1","kind":"hotp","algorithm":"SHA1","digits":6,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}$`)
	})
	t.Run("imports nothing when it is stopped at a question", func(t *testing.T) {
		x := onTerminal(t, "", "tokens", "import", "--typed", "--serial", "T-1", "--secret", "hex", "--type", "totp")
		x.sees(`Seed of the token T-1: `)
		x.types("31\x03")
		x.sees("stopped")
		x.ends(1)
		if calls := x.daemon.allCalls(); strings.Contains(calls, "POST") {
			t.Errorf("calls: %s", calls)
		}
	})
	t.Run("counts the tokens that it reads", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "many.csv")
		rows := "SN,Seed\n"
		for range 60 {
			rows += strings.Repeat("x", 60) + ",00\n" // each has something wrong, so that none is sent
		}
		if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
		x := onTerminal(t, "", "tokens", "import", file, "--columns", "serial=SN,secret=Seed", "--secret", "hex")
		x.sees(`\r\d+ tokens? read…`)
		x.sees(`many.csv:2: `)
		x.sees(`and 10 more`)
		x.ends(2)
	})
}

func TestExportAccountsTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.age")
	tape := begin + `{"id":"r1","kind":"export-accounts","user":"alice","pending":false,"decision":"approved"}
{"account":{"issuer":"Site","name":"a:b","kind":"totp","algorithm":"SHA256","digits":8,"period":60,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}
{"account":{"name":"ü","kind":"hotp","algorithm":"SHA1","digits":6,"counter":7,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}
{"end":true}
> GET /v1/accounts 200
{"accounts":[{"id":"a","where":"vault","issuer":"Site","name":"a:b","kind":"totp","period":60},{"id":"b","where":"vault","name":"ü","kind":"hotp"}]}
> GET /v1/cards 200
[]
> POST /v1/accounts 200
{"ids":["x"]}
`
	x := onTerminal(t, tape, "accounts", "export", "--out", file)
	x.choosesPassphrase("the export")
	hides(t, x.sees("Wrote 2 accounts"), "horse")
	x.ends(0)

	t.Run("is opened by age itself", func(t *testing.T) {
		x := openedByAge(t, file)
		x.sees(`otpauth://totp/Site:a%3Ab\?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Site&algorithm=SHA256&digits=8&period=60\r\n` +
			`otpauth://hotp/%C3%BC\?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&counter=7\r\n`)
		x.ends(0)
	})
	t.Run("asks for its passphrase when it is imported", func(t *testing.T) {
		x := onTerminal(t, tape, "accounts", "import", file, "--on", "vault")
		x.sees("Passphrase of .*accounts.age: ")
		x.types("incorrect horse\r")
		x.sees("The passphrase is wrong")
		x.sees("Passphrase of .*accounts.age: ")
		x.types("correct horse\r")
		hides(t, x.sees("Added: 2 accounts"), "horse")
		x.ends(0)
	})
}

func TestAddOneOfSeveralAccounts(t *testing.T) {
	x := onTerminal(t, `> POST /v1/accounts 200
{"ids":["x"]}
> POST /v1/codes/x stream
{"account":{"id":"x","where":"vault","issuer":"Site","name":"bob","kind":"hotp","code":"MTIzNDU2"}}
`, "accounts", "add", "-", "--on", "vault")
	for _, name := range []string{"alice", "bob", "bobby"} {
		x.types("otpauth://totp/Site:" + name + "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Site\r")
	}
	x.types("\x04")
	x.sees(`1  Site: alice\r\n +2  Site: bob\r\n +3  Site: bobby\r\n`)
	x.sees("Which one.*: ")
	x.types("bob\r")
	x.sees("can be more than one of them")
	x.sees("Which one.*: ")
	x.types("4\r")
	x.sees("None of them")
	x.sees("Which one.*: ")
	x.types("2\r")
	x.sees("Added: Site: bob, on the vault")
	x.sees("Press Enter")
	x.types("\x03")
	x.ends(0)
}

func TestBackupTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fob.age")
	tape := begin + `{"id":"r1","kind":"backup","user":"alice","pending":false,"decision":"approved"}
{"backup":{"format":1,"made":"2026-01-02T03:04:05Z","schema":2,"instance":"i1","data_key":"AQID","records":1}}
{"record":{"bucket":"a","key":"aw==","value":"dg=="}}
{"end":true}
> POST /v1/vault/restore 200
{"made":"2026-01-02T03:04:05Z","methods":1,"tokens":0}
`
	x := onTerminal(t, tape, "vault", "backup", "--out", file)
	x.choosesPassphrase("the backup")
	hides(t, x.sees("Wrote a backup"), "horse")
	x.ends(0)

	t.Run("is opened by age itself", func(t *testing.T) {
		x := openedByAge(t, file)
		x.sees(`{"backup":{"format":1,"made":"2026-01-02T03:04:05Z","schema":2,"instance":"i1","data_key":"AQID","records":1}}\r\n` +
			`{"record":{"bucket":"a","key":"aw==","value":"dg=="}}\r\n{"end":true}\r\n`)
		x.ends(0)
	})
	t.Run("asks for its passphrase when it is restored", func(t *testing.T) {
		// Twice opened: what a backup's passphrase costs is paid where age opens one, and in the vault's script.
		file := filepath.Join(t.TempDir(), "fob.age")
		var sealed bytes.Buffer
		if _, err := writeBackup(&sealed, cheap(t, "correct horse"), yields(headOf(1), recordOf("k"))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, sealed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		x := onTerminal(t, tape, "vault", "restore", file)
		x.sees("Passphrase of .*fob.age: ")
		x.types("correct house\r")
		x.sees("The passphrase is wrong.")
		x.sees("Passphrase of .*fob.age: ")
		x.types("correct horse\r")
		hides(t, x.sees(`Restored the backup of .*: 1 sign-in method, 0 tokens\.`), "horse")
		x.ends(0)
		x.called(`{"commit":true}$`)
	})
}

// TestInterrupt stops an import in the middle, and an export.
func TestInterrupt(t *testing.T) {
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen := func(t *testing.T, name string, h http.HandlerFunc) string {
		t.Helper()
		path := filepath.Join(dir, name)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: h}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		return path
	}
	t.Run("an import that is stopped imports nothing", func(t *testing.T) {
		first, whole := make(chan string, 1), make(chan string, 1)
		sock := listen(t, "import", func(_ http.ResponseWriter, r *http.Request) {
			body := bufio.NewReader(r.Body)
			line, _ := body.ReadString('\n')
			first <- line
			rest, _ := io.ReadAll(body)
			whole <- string(rest)
		})
		cmd := exec.Command("fob", "--socket", sock, "tokens", "import", "-", "--columns", "serial=SN,secret=Seed", "--secret", "hex")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		rows := "SN,Seed\n"
		for n := range 1000 {
			rows += fmt.Sprintf("F-%d,3132333435363738393031323334353637383930\n", n)
		}
		if _, err := io.WriteString(in, rows); err != nil { // and then it waits for more
			t.Fatal(err)
		}
		if line := await(t, first); !strings.Contains(line, "options") {
			t.Errorf("the first line is %s", line)
		}
		if err := cmd.Process.Signal(unix.SIGINT); err != nil {
			t.Fatal(err)
		}
		if rest := await(t, whole); strings.Contains(rest, "commit") {
			t.Errorf("it was committed: %s", rest)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("it ended well")
		}
	})
	for kind, e := range map[string]struct {
		list, line, phrase string
		args               []string
	}{
		"export-tokens": {`{"tokens":[],"more":false}`,
			`{"token":{"serial":"E-1","kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}`, "",
			[]string{"tokens", "export", "--format", "entra", "--plain"}},
		"export-accounts": {`{"accounts":[{"id":"a","where":"vault","name":"me","kind":"totp","period":30},{"id":"b","where":"vault","name":"you","kind":"totp","period":30}]}`,
			`{"account":{"name":"me","kind":"totp","algorithm":"SHA1","digits":6,"period":30,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}`, "correct horse\n",
			[]string{"accounts", "export", "--passphrase", "-"}},
	} {
		t.Run("an "+kind+" that is stopped leaves no file", func(t *testing.T) {
			begun := make(chan string, 1)
			sock := listen(t, kind, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, e.list)
					return
				}
				w.Header().Set("Content-Type", "application/x-ndjson")
				io.WriteString(w, `{"id":"r1","kind":"`+kind+`","user":"alice","pending":false,"decision":"approved"}`+"\n"+e.line+"\n")
				w.(http.Flusher).Flush()
				begun <- ""
				<-r.Context().Done()
			})
			out := t.TempDir()
			cmd := exec.Command("fob", append([]string{"--socket", sock}, append(e.args, "--out", filepath.Join(out, "file"))...)...)
			cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
			cmd.Stdin = strings.NewReader(e.phrase)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, begun)
			time.Sleep(200 * time.Millisecond) // until the approval was read
			if err := cmd.Process.Signal(unix.SIGINT); err != nil {
				t.Fatal(err)
			}
			if got := exitStatus(cmd.Wait()); got != "1" {
				t.Errorf("exit code %s", got)
			}
			if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func await(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case text := <-c:
		return text
	case <-time.After(patience):
		t.Fatal("waited in vain")
		return ""
	}
}

// choosesPassphrase types a new passphrase, as often as it is asked for.
func (x *terminal) choosesPassphrase(of string) {
	x.t.Helper()
	x.sees("New passphrase for " + of + ": ")
	x.types("correct horse\r")
	x.sees("The passphrase again: ")
	x.types("correct horse\r")
}

// openedByAge is Debian's age, which nobody here wrote, at a terminal where that passphrase was typed.
func openedByAge(t *testing.T, file string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("age"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	x := runOnTerminal(t, &standIn{}, exec.Command("age", "-d", file))
	x.sees("(?i)passphrase")
	x.types("correct horse\r")
	return x
}
