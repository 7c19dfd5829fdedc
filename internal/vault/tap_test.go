package vault_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// tapSpec is a slot for a security key that gave 32 times fill.
func tapSpec(fill byte) vault.SlotSpec {
	return vault.SlotSpec{
		Type: vault.TypeSecurityKey, Name: "Blue",
		Tap:   vault.Tap{RPID: "fob-vault:test", Credential: []byte{1, 2, 3}, Salt: bytes.Repeat([]byte{7}, vault.TapSaltSize), LockAfter: 10 * time.Minute},
		Given: tapped(fill),
	}
}

func tapped(fill byte) *secret.Secret {
	return secret.New(bytes.Repeat([]byte{fill}, vault.TapSecretSize))
}

// openByTap opens the vault by a slot.
func openByTap(t *testing.T, v *vault.Vault, id string, given *secret.Secret) error {
	t.Helper()
	o, err := v.PrepareOpen(t.Context(), id, given)
	if err != nil {
		return err
	}
	defer o.Drop()
	return o.Open()
}

func TestTap(t *testing.T) {
	t.Run("opens the vault by the secret that the key gave, and by no other", func(t *testing.T) {
		r := opened(t)
		want := dataKey(t, r.Vault)
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		id, _ := r.add(tapSpec(1))
		v := r.again()
		if err := v.Open(t.Context()); !errors.Is(err, vault.ErrSealed) || !strings.Contains(err.Error(), "the security key or the printed recovery key opens it") {
			t.Errorf("by itself: %v", err)
		}
		slots, err := v.TapSlots()
		if err != nil || len(slots) != 1 || slots[0].ID != id || slots[0].RPID != "fob-vault:test" || slots[0].LockAfter != 10*time.Minute {
			t.Fatalf("its slots are %+v, %v", slots, err)
		}
		for name, given := range map[string]*secret.Secret{"another": tapped(2), "a short one": word("short"), "none": nil} {
			if err := openByTap(t, v, id, given); err == nil {
				t.Errorf("%s opens it", name)
			}
		}
		if err := openByTap(t, v, id, tapped(2)); !errors.Is(err, vault.ErrWrongTap) {
			t.Errorf("another key's secret: %v", err)
		}
		if err := openByTap(t, v, r.idOf(vault.TypeRecovery), tapped(1)); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("a slot of another type: %v", err)
		}
		if _, err := v.DataKey(); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("it is open after wrong secrets: %v", err)
		}
		if err := openByTap(t, v, id, tapped(1)); err != nil || !bytes.Equal(dataKey(t, v), want) {
			t.Errorf("its own: %v", err)
		}
	})
	t.Run("is no way in without a recovery key, and loses nothing with one", func(t *testing.T) {
		r := opened(t)
		if _, err := r.PrepareAdd(t.Context(), tapSpec(1)); !errors.Is(err, vault.ErrNoRecovery) {
			t.Errorf("without: %v", err)
		}
		if err := r.MayAddTap("Blue"); !errors.Is(err, vault.ErrNoRecovery) {
			t.Errorf("without: %v", err)
		}
		recovery, opens := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		want := dataKey(t, r.Vault)
		if err := r.MayAddTap("Blue"); err != nil {
			t.Error(err)
		}
		id, _ := r.add(tapSpec(1))
		c, err := r.PrepareRemove(t.Context(), r.idOf(vault.TypeSecretService))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.commit(c); err != nil {
			t.Fatal(err)
		}
		if _, err := r.PrepareRemove(t.Context(), recovery); !errors.Is(err, vault.ErrLastSlot) {
			t.Errorf("the recovery key can be removed beside a security key alone: %v", err)
		}
		if _, err := r.PrepareChange(t.Context(), id, word(passphrase)); !errors.Is(err, vault.ErrAutomatic) {
			t.Errorf("it can be changed: %v", err)
		}
		v := r.again()
		if err := v.Unlock(t.Context(), opens); err != nil || !bytes.Equal(dataKey(t, v), want) {
			t.Errorf("the key is lost, and the recovery key gives %v", err)
		}
	})
	t.Run("refuses what no key could be asked", func(t *testing.T) {
		r := opened(t)
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		for name, spoil := range map[string]func(*vault.SlotSpec){
			"no salt":                  func(s *vault.SlotSpec) { s.Tap.Salt = nil },
			"no credential":            func(s *vault.SlotSpec) { s.Tap.Credential = nil },
			"a credential without end": func(s *vault.SlotSpec) { s.Tap.Credential = make([]byte, 2000) },
			"no relying party":         func(s *vault.SlotSpec) { s.Tap.RPID = "" },
			"a relying party of NULs":  func(s *vault.SlotSpec) { s.Tap.RPID = "a\x00b" },
			"no time":                  func(s *vault.SlotSpec) { s.Tap.LockAfter = 0 },
			"all the time":             func(s *vault.SlotSpec) { s.Tap.LockAfter = 25 * time.Hour },
			"no secret":                func(s *vault.SlotSpec) { s.Given = nil },
			"half a secret":            func(s *vault.SlotSpec) { s.Given = word("0123456789abcdef") },
		} {
			spec := tapSpec(1)
			spoil(&spec)
			if _, err := r.PrepareAdd(t.Context(), spec); err == nil {
				t.Errorf("%s is taken", name)
			}
		}
	})
	t.Run("notices every change of its record", func(t *testing.T) {
		for _, edit := range [][2]string{
			{`"rp_id":"fob-vault:test"`, `"rp_id":"fob-vault:evil"`},
			{`"credential":"AQID"`, `"credential":"AQIE"`},
			{`"salt":"BwcH`, `"salt":"BwcI`},
			{`"lock_after":600`, `"lock_after":86400`},
			{`"lock_after":600`, `"lock_after":0`},
			{`"lock_after":600`, `"verify":true,"lock_after":600`},
			{`"tap":{`, `"x":{`},
			{`"type":"security-key"`, `"type":"key-file"`},
			{`"type":"security-key"`, `"type":"recovery"`},
		} {
			r := opened(t)
			r.add(vault.SlotSpec{Type: vault.TypeRecovery})
			id, _ := r.add(tapSpec(1))
			raw := string(r.raw(id))
			spoilt := strings.Replace(raw, edit[0], edit[1], 1)
			if spoilt == raw {
				t.Fatalf("%s is not in %s", edit[0], raw)
			}
			r.spoil(id, []byte(spoilt))
			v := r.again()
			if err := openByTap(t, v, id, tapped(1)); err == nil {
				t.Errorf("%s for %s goes unnoticed", edit[1], edit[0])
			}
			if err := v.Open(t.Context()); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("%s: Open gives %v", edit[1], err)
			}
		}
	})
	t.Run("that comes after the vault was locked opens nothing", func(t *testing.T) {
		r := opened(t)
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		id, _ := r.add(tapSpec(1))
		v := r.again()
		o, err := v.PrepareOpen(t.Context(), id, tapped(1))
		if err != nil {
			t.Fatal(err)
		}
		v.Lock()
		if err := o.Open(); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("it gives %v", err)
		}
	})
}

func TestLocksByItself(t *testing.T) {
	r := opened(t)
	_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
	id, _ := r.add(tapSpec(1))
	now := time.Hour
	v := r.timed(func() time.Duration { return now })
	tap := func() {
		t.Helper()
		if err := openByTap(t, v, id, tapped(1)); err != nil {
			t.Fatal(err)
		}
	}
	open := func() bool { _, err := v.DataKey(); return err == nil }

	tap()
	sealer, err := v.Sealer("x")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealer.Seal([]byte("name"), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if until := r.status(v).Until; until.Before(time.Now().Add(9*time.Minute)) || until.After(time.Now().Add(11*time.Minute)) {
		t.Errorf("it says that it locks at %v", until)
	}
	now += 9 * time.Minute
	if _, err := sealer.Open([]byte("name"), sealed); err != nil {
		t.Errorf("before its time it gives %v", err)
	}
	now += time.Minute // also where the machine slept, and no timer ran
	if _, err := sealer.Open([]byte("name"), sealed); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("after its time a sealer from before gives %v", err)
	}
	if _, err := v.Sealer("x"); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("after its time: %v", err)
	}
	if s := r.status(v); s.State != vault.StateSealed || !s.Until.IsZero() {
		t.Errorf("its status is %+v", s)
	}

	tap()
	now += 9 * time.Minute
	tap() // again: its time begins anew
	now += 9 * time.Minute
	if !open() {
		t.Error("a second tap does not give it more time")
	}
	now += time.Minute
	if open() {
		t.Error("it stays open after the second tap's time")
	}

	tap()
	if err := v.Unlock(t.Context(), recovery); err != nil {
		t.Fatal(err)
	}
	now += 24 * time.Hour
	if !open() {
		t.Error("opened by the recovery key, it locks by itself")
	}
	tap()
	now += 24 * time.Hour
	if !open() {
		t.Error("a tap on a vault that was open for good locks it")
	}
	v.Lock()
	if open() {
		t.Error("it cannot be locked")
	}
	tap()
	if v.Lock(); open() {
		t.Error("opened by a tap, it cannot be locked")
	}
}

func TestLocksWithoutBeingAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := opened(t)
		r.add(vault.SlotSpec{Type: vault.TypeRecovery})
		id, _ := r.add(tapSpec(1))
		start := time.Now()
		v := r.timed(func() time.Duration { return time.Since(start) })
		if err := openByTap(t, v, id, tapped(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute - time.Second)
		if synctest.Wait(); !vault.HoldsKey(v) {
			t.Error("it is locked before its time")
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); vault.HoldsKey(v) {
			t.Error("nothing locks it")
		}
	})
}
