package signin_test

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
)

// fob is a hardware token in the hand.
type fob struct {
	d       *desk
	serial  string
	kind    oath.Kind
	seed    []byte
	counter uint64        // presses so far
	ahead   time.Duration // by which its clock is off
}

// press gives the code of the next press.
func (f *fob) press() string {
	f.counter++
	return f.code(f.counter - 1)
}

// show gives the code of this moment.
func (f *fob) show() string {
	return f.code(uint64(f.d.config.Clock.Now().Add(f.ahead).Unix() / 30))
}

// next is what comes next: of a fob that counts time, after it was waited for.
func (f *fob) next() string {
	if f.kind == oath.HOTP {
		return f.press()
	}
	time.Sleep(30 * time.Second)
	return f.show()
}

func (f *fob) code(counter uint64) string {
	code, err := hotp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(f.seed), counter, hotp.ValidateOpts{Digits: otp.DigitsSix})
	if err != nil {
		f.d.t.Fatal(err)
	}
	return code
}

func (f *fob) row() signin.ImportRow {
	t := token.Token{Serial: f.serial, Params: oath.Params{Kind: f.kind, Algorithm: oath.SHA1, Digits: 6}}
	if f.kind == oath.TOTP {
		t.Period = 30
	}
	return signin.ImportRow{Line: 1, Token: t, Counter: f.counter, Seed: typed(string(f.seed))}
}

func typed(text string) *secret.Secret { return secret.New([]byte(text)) }

// buy gives a fob that is in the registry, and belongs to alice.
func (d *desk) buy(serial string, kind oath.Kind) *fob {
	d.t.Helper()
	f := &fob{d: d, serial: serial, kind: kind, seed: make([]byte, 20)}
	rand.Read(f.seed)
	row := f.row()
	row.User = "alice"
	if report := d.imports(signin.ImportOptions{}, row); report.Imported != 1 || report.Assigned != 1 {
		d.t.Fatalf("the import: %+v", report)
	}
	return f
}

// imports imports rows, all of which must be good.
func (d *desk) imports(o signin.ImportOptions, rows ...signin.ImportRow) signin.ImportReport {
	d.t.Helper()
	report, err := d.tryImport(o, rows...)
	if err != nil {
		d.t.Fatalf("cannot import: %v, %+v", err, report)
	}
	return report
}

func (d *desk) tryImport(o signin.ImportOptions, rows ...signin.ImportRow) (signin.ImportReport, error) {
	d.t.Helper()
	imp, err := d.BeginImport(d.me, o)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, row := range rows {
		if err := imp.Add(row); err != nil {
			d.t.Fatal(err)
		}
	}
	return imp.Commit(d.t.Context())
}

// activate makes a fob a method; approve gives the step-up where one is needed.
func (d *desk) activate(f *fob, approve func(*signin.Request)) method.Method {
	d.t.Helper()
	r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "token", Serial: f.serial}})
	if approve != nil {
		approve(r)
	}
	d.types(r, f.next())
	if f.kind == oath.HOTP {
		d.types(r, f.press())
	}
	return d.wants(r, signin.Approved).Methods[0]
}

// carry gives a fob that is a method, the only one where approve is nil.
func (d *desk) carry(serial string, kind oath.Kind, approve func(*signin.Request)) *fob {
	d.t.Helper()
	f := d.buy(serial, kind)
	d.activate(f, approve)
	return f
}

// codePrompt waits until a code is asked for.
func (d *desk) codePrompt(r *signin.Request) signin.Prompt {
	d.t.Helper()
	synctest.Wait()
	for _, p := range r.View().Prompts {
		if p.Type == signin.PromptCode {
			return p
		}
	}
	d.t.Fatalf("no code is asked for: %+v", r.View())
	return signin.Prompt{}
}

// types types a code where one is asked for.
func (d *desk) types(r *signin.Request, code string) {
	d.t.Helper()
	if err := d.Answer(context.Background(), d.me, r.ID(), signin.Answer{Prompt: d.codePrompt(r).ID, Code: typed(code)}); err != nil {
		d.t.Fatalf("the code is not taken: %v", err)
	}
	synctest.Wait()
}

// verify hands a code in that was typed already.
func (d *desk) verify(code string) (signin.View, error) { return d.verifyAs(d.me, code) }

func (d *desk) verifyAs(c caller.Caller, code string) (signin.View, error) {
	return d.VerifyCode(d.t.Context(), c, signin.Ask{Service: "mailer", Code: typed(code)})
}

// lockOut types wrong codes until that is refused.
func (d *desk) lockOut() {
	d.t.Helper()
	for n := range 10 {
		if _, err := d.verify(fmt.Sprintf("%06d", n)); err == nil {
			d.t.Fatal("a wrong code was right")
		}
	}
}

// methodOf finds the method that a fob is.
func (d *desk) methodOf(serial string) method.Method {
	d.t.Helper()
	ms, err := d.Methods(d.t.Context(), d.me, "")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range ms {
		if m.Token != nil && m.Token.Serial == serial {
			return m
		}
	}
	d.t.Fatalf("the fob %s is no method: %+v", serial, ms)
	return method.Method{}
}
