package signin_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
)

func TestWhoseTokenItIs(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		other := d.carry("other", oath.HOTP, func(r *signin.Request) { d.types(r, f.press()) })

		{ // a disabled one proves nothing
			r := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "FOB", Action: signin.TokenDisable}})
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
				t.Errorf("got %v", err)
			}
			r = d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenEnable}})
			d.types(r, f.press())
			if p := d.codePrompt(r); !strings.Contains(p.Text, "wrong") {
				t.Errorf("the disabled one approves that it is enabled: %q", p.Text)
			}
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); err != nil {
				t.Errorf("enabled again: %v", err)
			}
		}
		{ // one that was removed proves nothing, and its codes stay spent
			spent := f.press()
			if _, err := d.verify(spent); err != nil {
				t.Fatal(err)
			}
			r := d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
			d.types(r, other.press())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
				t.Errorf("got %v", err)
			}
			r = d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			d.types(r, other.press())
			d.types(r, spent)
			d.types(r, f.press())
			d.codePrompt(r) // not these two
			d.types(r, f.press())
			d.types(r, f.press())
			d.wants(r, signin.Approved)
		}
		{ // the last one goes only by force
			r := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "other", Action: signin.TokenUnassign}})
			d.types(r, f.press())
			d.wants(r, signin.Approved)
			if tok, err := d.Token(t.Context(), d.me, "other"); err != nil || tok.Owner != nil || tok.Method != "" {
				t.Errorf("%+v, %v", tok, err)
			}
			ask := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenUnassign}}
			if _, err := d.Begin(t.Context(), d.me, ask); err == nil {
				t.Error("the last method goes")
			}
			ask.Token.Force = true
			r = d.ask(ask)
			d.types(r, f.press())
			d.wants(r, signin.Approved)
			if ms, _ := d.Methods(t.Context(), d.me, ""); len(ms) != 0 {
				t.Errorf("methods left: %+v", ms)
			}
		}
		{ // another user's does not exist
			if _, err := d.AssignToken(t.Context(), d.me, "other", "bob"); err != nil {
				t.Fatal(err)
			}
			_, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "other"}})
			if !errors.Is(err, token.ErrNotFound) {
				t.Errorf("got %v", err)
			}
			if _, err := d.AssignToken(t.Context(), d.me, "other", ""); !errors.Is(err, token.ErrAssigned) {
				t.Errorf("taken from another: %v", err)
			}
			if _, err := d.AssignToken(t.Context(), d.me, "fob", "mallory"); !errors.Is(err, signin.ErrUnknownUser) {
				t.Errorf("given to nobody: %v", err)
			}
		}
	})
}

func TestActivation(t *testing.T) {
	t.Run("a fob whose clock is off is asked for two in a row, and followed", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			d.jump = 30 * 365 * 24 * time.Hour
			f := d.buy("fob", oath.TOTP)
			f.ahead = 20 * time.Minute
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Timeout: 5 * time.Minute, Method: signin.MethodAsk{Type: "token", Serial: "fob", Name: "Belt"}})
			d.types(r, f.show())
			if p := d.codePrompt(r); !strings.Contains(p.Text, "Type the next code") {
				t.Errorf("it asks %q", p.Text)
			}
			d.types(r, f.next())
			if v := d.wants(r, signin.Approved); v.Methods[0].Name != "Belt" || !v.Methods[0].Default {
				t.Errorf("registered is %+v", v.Methods[0])
			}
			if _, err := d.verify(f.next()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a slip costs nothing: the right code after it counts alone", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			f := d.buy("fob", oath.TOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			d.types(r, "123456")
			d.types(r, f.show())
			d.wants(r, signin.Approved)
			if _, err := d.verify(f.show()); !errors.Is(err, oath.ErrUsed) {
				t.Errorf("the same code once more: %v", err)
			}
		})
	})
	t.Run("wrong codes are counted", func(t *testing.T) {
		sit(t, func(t *testing.T, d *desk) {
			d.buy("fob", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			for range 20 {
				if !r.View().Pending() {
					break
				}
				d.types(r, "000000")
			}
			if v := d.wants(r, signin.Cancelled); !errors.Is(v.Err, lockout.ErrLocked) {
				t.Errorf("it ended with %v", v.Err)
			}
		})
	})
	t.Run("a second method needs the first", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			d.enrol(k, nil)
			d.buy("fob", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "fob"}})
			<-k.blinks
			synctest.Wait()
			for _, p := range r.View().Prompts {
				if p.Type == signin.PromptCode {
					t.Errorf("a code is asked for before the tap: %+v", p)
				}
			}
			d.Cancel(d.me, r.ID())
			d.wants(r, signin.Cancelled)
		}, k)
	})
	t.Run("a weaker method cannot add a stronger one's equal", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			d.enrol(k, nil)
			f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
			d.buy("second", oath.HOTP)
			r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "second"}})
			<-k.blinks
			if v := r.View(); v.Require != policy.Key || len(v.Offers) != 1 {
				t.Errorf("a code may approve it: %+v", v)
			}
			d.Cancel(d.me, r.ID())
			d.end(r)
			d.unplug(k)
			_ = f
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "second"}}); err == nil {
				t.Error("without the key it begins")
			}
		}, k)
	})
}

func TestResync(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		f := d.carry("fob", oath.HOTP, nil)
		for range 50 { // pressed in a pocket
			f.press()
		}
		if _, err := d.verify(f.press()); !errors.Is(err, oath.ErrWrong) {
			t.Fatalf("got %v", err)
		}
		r := d.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
		d.types(r, f.press())
		d.types(r, f.press())
		d.wants(r, signin.Approved)
		if _, err := d.verify(f.press()); err != nil {
			t.Error(err)
		}
	})
	t.Run("needs the key where there is one", func(t *testing.T) {
		k := newFakeKey("k1")
		sit(t, func(t *testing.T, d *desk) {
			key := d.enrol(k, nil)
			f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
			if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: key.ID}}); !errors.Is(err, signin.ErrBadRequest) {
				t.Errorf("of a key: %v", err)
			}
			r := d.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
			d.touch(k)
			d.types(r, f.press())
			d.types(r, f.press())
			d.wants(r, signin.Approved)
		}, k)
	})
}

func TestImport(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		row := func(line int, serial, user string, change func(*signin.ImportRow)) signin.ImportRow {
			r := signin.ImportRow{
				Line: line, User: user, Seed: typed(strings.Repeat("s", 20)),
				Token: token.Token{Serial: serial, Params: oath.Params{Kind: oath.TOTP, Algorithm: oath.SHA1, Digits: 6, Period: 30}},
			}
			if change != nil {
				change(&r)
			}
			return r
		}
		bad := func() []signin.ImportRow {
			return []signin.ImportRow{
				row(2, "A1", "alice", nil),
				row(3, "a1", "", nil),
				row(4, "A2", "alice@example.com", nil),
				row(5, "A3", "mallory", func(r *signin.ImportRow) { r.Exact = true }),
				row(6, "A4", "", func(r *signin.ImportRow) { r.Seed = typed("short") }),
				row(7, "A5", "", func(r *signin.ImportRow) { r.Seed = typed(strings.Repeat("s", 10_000)) }),
				row(8, "A6", "", func(r *signin.ImportRow) { r.Token.Digits = 99 }),
				row(9, "A7", "", func(r *signin.ImportRow) { r.Token.Period = 0 }),
				row(10, "A8", "bob", nil),
				row(11, "", "", nil),
				row(12, "A9", "", func(r *signin.ImportRow) { r.Counter = 5 }),
			}
		}
		count := func() int {
			t.Helper()
			s, err := d.Status(t.Context(), d.me)
			if err != nil {
				t.Fatal(err)
			}
			return s.Tokens
		}
		report, err := d.tryImport(signin.ImportOptions{}, bad()...)
		if !errors.Is(err, signin.ErrImport) || report.ProblemsTotal != 8 || report.Imported != 0 || count() != 0 {
			t.Errorf("all or nothing: %v, %+v, %d there", err, report, count())
		}
		var lines []int
		for _, p := range report.Problems {
			lines = append(lines, p.Line)
			if strings.Contains(p.Text, "ssss") || p.Text == "" {
				t.Errorf("line %d: %q", p.Line, p.Text)
			}
		}
		if len(lines) != 8 || lines[0] != 3 || lines[7] != 12 {
			t.Errorf("problems in lines %v", lines)
		}
		if report, err := d.tryImport(signin.ImportOptions{Partial: true, DryRun: true}, bad()...); err != nil || report.Imported != 3 || count() != 0 {
			t.Errorf("a dry run: %v, %+v, %d there", err, report, count())
		}
		report, err = d.tryImport(signin.ImportOptions{Partial: true}, bad()...)
		if err != nil || report.Imported != 3 || report.Assigned != 2 || report.UnassignedTotal != 1 || count() != 3 {
			t.Errorf("what can be: %v, %+v, %d there", err, report, count())
		}
		if report.Unassigned[0].Line != 4 || !strings.Contains(report.Unassigned[0].Text, "alice@example.com") {
			t.Errorf("unassigned: %+v", report.Unassigned)
		}
		report, err = d.tryImport(signin.ImportOptions{}, row(2, "a1", "", nil), row(3, "B1", "", nil))
		if !errors.Is(err, signin.ErrImport) || report.ProblemsTotal != 1 || count() != 3 {
			t.Errorf("one that is there: %v, %+v, %d there", err, report, count())
		}
		if tok, _ := d.Token(t.Context(), d.me, "A8"); tok.Owner == nil || tok.Owner.User != "bob" {
			t.Errorf("bob's: %+v", tok)
		}
		entries := d.log()
		if e := entries[len(entries)-1]; e.Kind != "import-tokens" || !strings.Contains(e.Reason, "imported 3 tokens") {
			t.Errorf("the log says %+v", e)
		}
	})
}

func TestExport(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		f := d.buy("fob", oath.HOTP)
		if _, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindExportTokens}); !errors.Is(err, signin.ErrNoMethod) {
			t.Errorf("without any method: %v", err)
		}
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Kind: signin.KindExportTokens})
		<-k.blinks
		if r.Yield().Tokens != nil {
			t.Error("seeds before the approval")
		}
		k.touches <- struct{}{}
		v := d.wants(r, signin.Approved)
		n := 0
		for e, err := range r.Yield().Tokens {
			if n++; err != nil || e.Serial != "fob" || string(e.Seed.Reveal()) != string(f.seed) {
				t.Errorf("exported: %+v, %v", e.Token, err)
			}
		}
		if e := d.log()[v.LogSeq-1]; n != 1 || e.Kind != "export-tokens" || e.Receipt == nil {
			t.Errorf("%d tokens, the log says %+v", n, e)
		}
		r = d.ask(signin.Ask{Kind: signin.KindExportTokens})
		<-k.blinks
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if r.Yield().Tokens != nil {
			t.Error("seeds after a denial")
		}
	}, k)
}
