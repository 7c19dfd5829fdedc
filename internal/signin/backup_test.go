package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

func TestBackupRestored(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.jump = 30 * 365 * 24 * time.Hour
		d.enrol(k, nil)
		f := d.carry("time", oath.TOTP, func(*signin.Request) { d.touch(k) })
		h := d.carry("presses", oath.HOTP, func(*signin.Request) { d.touch(k) })
		spare := d.buy("spare", oath.HOTP)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup
		if b == nil {
			t.Fatal("no backup")
		}
		later := []string{f.next(), h.press(), f.next(), h.press()} // accepted after the backup was made
		for _, code := range later {
			if _, err := d.verify(code); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Restore(t.Context(), d.me, copyOf(b)); !errors.Is(err, signin.ErrNotEmpty) {
			t.Errorf("over something: %v", err)
		}

		other := d.another(t)
		restored, err := other.Restore(t.Context(), other.me, copyOf(b))
		if err != nil || restored.Methods != 3 || restored.Tokens != 3 {
			t.Fatalf("restored: %+v, %v", restored, err)
		}
		for _, code := range append(later, f.show(), h.press()) {
			if _, err := other.verify(code); err == nil {
				t.Error("a code that was accepted, or could have been, is accepted again")
			}
		}
		remove := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: spare.serial, Action: signin.TokenRemove}}
		if _, err := other.Begin(t.Context(), other.me, remove); !errors.Is(err, token.ErrUsed) {
			t.Errorf("a token is removed of which nobody knows whether it was used: %v", err)
		}
		f.d, h.d = other, other
		time.Sleep(30 * time.Second)
		if _, err := other.verify(f.next()); err != nil {
			t.Errorf("the fob's next code: %v", err)
		}
		r = other.ask(signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: other.methodOf("presses").ID}})
		other.touch(k)
		other.types(r, h.press())
		other.types(r, h.press())
		other.wants(r, signin.Approved)
		if _, err := other.verify(h.press()); err != nil {
			t.Errorf("presses, in step again: %v", err)
		}
		if _, err := audit.Verify(t.Context(), other.config.Store, audit.Check{}); err != nil {
			t.Errorf("the log's chain: %v", err)
		}
		other.rename("alice")
		if _, err := other.verify(h.press()); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	}, k)
}

// TestImportAcrossRestore: seeds that were sealed before a backup was restored cannot be opened after it.
func TestImportAcrossRestore(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		other := d.another(t)
		imp, err := other.BeginImport(other.me, signin.ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f := &fob{d: other, serial: "fob", kind: oath.HOTP, seed: []byte(strings.Repeat("s", 20))}
		if err := imp.Add(f.row()); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Restore(t.Context(), other.me, r.Yield().Backup); err != nil {
			t.Fatal(err)
		}
		if _, err := imp.Commit(t.Context()); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
	}, k)
}

func TestDamagedBackup(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup
		other := d.another(t)
		for name, change := range map[string]func(*signin.Backup){
			"a key that opens nothing":     func(b *signin.Backup) { b.DataKey = typed(strings.Repeat("x", 32)) },
			"no key":                       func(b *signin.Backup) { b.DataKey = typed("") },
			"a value that is none":         func(b *signin.Backup) { b.Records[0].Value = []byte("{") },
			"a bucket without a name":      func(b *signin.Backup) { b.Records[0].Bucket = "" },
			"the database's own bucket":    func(b *signin.Backup) { b.Records[0].Bucket = "\x00meta" },
			"a newer schema":               func(b *signin.Backup) { b.Schema = 99 },
			"no instance":                  func(b *signin.Backup) { b.Instance = "x" },
			"a token without its seed":     func(b *signin.Backup) { b.Records = without(b.Records, "token-seeds") },
			"a method that cannot be read": func(b *signin.Backup) { spoil(b.Records, "methods") },
		} {
			bad := copyOf(b)
			change(bad)
			if _, err := other.Restore(t.Context(), other.me, bad); err == nil {
				t.Errorf("%s is restored", name)
			}
		}
		if s, err := other.Status(t.Context(), other.me); err != nil || s.Tokens+s.Methods != 0 || s.LogSeq != 0 || s.Vault.State != vault.StateOpen {
			t.Errorf("something was left: %+v, %v", s, err)
		}
		if _, err := other.Restore(t.Context(), other.me, copyOf(b)); err != nil {
			t.Errorf("the whole one: %v", err)
		}
	}, k)
}

// copyOf copies a backup, which Restore takes and wipes.
func copyOf(b *signin.Backup) *signin.Backup {
	c := *b
	c.DataKey = typed(string(b.DataKey.Reveal()))
	c.Records = slices.Clone(b.Records)
	return &c
}

func TestVaultSlots(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		slots := func() []vault.Slot {
			t.Helper()
			s, err := d.Vault(t.Context(), d.me)
			if err != nil {
				t.Fatal(err)
			}
			return s.Slots
		}
		first := slots()[0]
		ask := func(a signin.VaultAsk) signin.Ask { return signin.Ask{Kind: signin.KindChangeVault, Vault: a} }

		// Before there is a method nobody can approve it; nobody else's is there to be read either.
		r := d.ask(ask(signin.VaultAsk{Action: signin.SlotAdd, Type: "recovery", Name: "Safe"}))
		v := d.wants(r, signin.Approved)
		key := r.Yield().RecoveryKey
		if key.Len() == 0 || len(slots()) != 2 {
			t.Fatalf("no recovery key, or no slot: %+v", slots())
		}
		if e := d.log()[v.LogSeq-1]; e.Kind != "change-vault" || strings.Contains(e.Reason, string(key.Reveal())) {
			t.Errorf("the log says %+v", e)
		}

		d.enrol(k, nil)
		sub, err := d.Subscribe(context.Background(), d.me)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotRemove, ID: first.ID}))
		d.touch(k)
		d.wants(r, signin.Approved)
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotRemove, ID: slots()[0].ID}))
		synctest.Wait()
		if v := d.end(r); v.Decision != signin.Cancelled || !errors.Is(v.Err, vault.ErrLastSlot) {
			t.Errorf("the last slot: %+v, %v", v.Decision, v.Err)
		}

		if err := d.LockVault(d.me); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []string{"", "hunter2hunter2", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"} {
			if err := d.UnlockVault(t.Context(), d.me, typed(wrong)); err == nil {
				t.Errorf("%q opens it", wrong)
			}
		}
		if _, err := d.Begin(t.Context(), d.me, ask(signin.VaultAsk{Action: signin.SlotAdd, Type: "recovery"})); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("a slot for a sealed vault: %v", err)
		}
		if err := d.UnlockVault(t.Context(), d.me, typed(string(key.Reveal()))); err != nil {
			t.Fatal(err)
		}

		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotChange, ID: slots()[0].ID}))
		<-k.blinks
		d.Deny(d.me, r.ID())
		d.wants(r, signin.Denied)
		if r.Yield().RecoveryKey != nil {
			t.Error("a recovery key that was denied")
		}
		time.Sleep(31 * time.Second) // who was denied waits
		r = d.ask(ask(signin.VaultAsk{Action: signin.SlotChange, ID: slots()[0].ID}))
		d.touch(k)
		d.wants(r, signin.Approved)
		d.LockVault(d.me)
		if err := d.UnlockVault(t.Context(), d.me, typed(string(key.Reveal()))); err == nil {
			t.Error("the recovery key of before opens it")
		}
		if err := d.UnlockVault(t.Context(), d.me, typed(string(r.Yield().RecoveryKey.Reveal()))); err != nil {
			t.Errorf("the new recovery key: %v", err)
		}
		for _, bad := range []signin.VaultAsk{{Action: "steal"}, {}, {Action: signin.SlotAdd, Type: "pigeon"}, {Action: signin.SlotRemove, ID: "none"}} {
			r, err := d.Begin(t.Context(), d.me, ask(bad))
			if err == nil {
				if v := d.end(r); v.Decision == signin.Approved {
					t.Errorf("%+v is approved", bad)
				}
			}
		}
	}, k)
}

func without(records []store.Record, bucket string) []store.Record {
	return slices.DeleteFunc(records, func(r store.Record) bool { return r.Bucket == bucket })
}

func spoil(records []store.Record, bucket string) {
	for i := range records {
		if records[i].Bucket == bucket {
			records[i].Value = []byte(`{"v":1,"d":7}`)
		}
	}
}

// Nobody knows which recovery codes were used since a backup was made: none of it counts.
func TestBackupBringsNoRecoveryCodes(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		codes := d.writesDown(k)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup

		other := d.another(t)
		restored, err := other.Restore(t.Context(), other.me, copyOf(b))
		if err != nil || restored.CodesEnded != recovery.Count {
			t.Fatalf("restored: %+v, %v", restored, err)
		}
		r = other.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key"}})
		synctest.Wait()
		if v := r.View(); slices.ContainsFunc(v.Prompts, func(p signin.Prompt) bool { return p.Type == signin.PromptCode }) {
			t.Errorf("a code is asked for: %+v", v.Prompts)
		}
		_ = other.Cancel(other.me, r.ID())
		other.end(r)
		if _, err := other.VerifyCode(t.Context(), other.me, signin.Ask{Code: typed(codes[0])}); err == nil {
			t.Error("a code of before the backup counts")
		}
		if s, err := other.Status(t.Context(), other.me); err != nil || s.CodesLeft != 0 {
			t.Errorf("%d codes are left, %v", s.CodesLeft, err)
		}
		r = other.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "recovery"}})
		other.touch(k)
		other.wants(r, signin.Approved)
		if ms, err := other.Methods(t.Context(), other.me, ""); err != nil || len(ms) != 2 {
			t.Errorf("with new codes: %+v, %v", ms, err)
		}
	}, k)
}
