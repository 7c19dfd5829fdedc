package daemon_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/virtual"
)

// add registers the key that is named, which touches itself, after a step-up by any other.
func (i *instance) add(t *testing.T, keyID, name string) api.Method {
	t.Helper()
	v := decision(t, i.begin(t, api.BeginRequest{Kind: api.KindAddMethod, Key: keyID, Method: api.MethodSpec{Type: "key", Name: name}}))
	if v.Decision != api.Approved || len(v.Methods) != 1 {
		t.Fatalf("%s was not registered: %+v %v", name, v, v.Error)
	}
	return v.Methods[0]
}

// keyID is the id of the key with that name.
func (i *instance) keyID(t *testing.T, name string) string {
	t.Helper()
	keys, err := i.Keys(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Name == name {
			return k.ID
		}
	}
	t.Fatalf("%s is not among %+v", name, keys)
	return ""
}

func TestFaultyKeys(t *testing.T) {
	cases := []struct {
		fault    virtual.Fault
		decision string
		code     api.Code // of the request's error; none if empty
	}{
		{virtual.FaultMute, api.Cancelled, api.CodeKeyFailed},
		{virtual.FaultMuteAfterInit, api.Cancelled, api.CodeKeyFailed},
		{virtual.FaultGarbageInfo, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultGarbageCBOR, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultGarbageHID, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultWrongRP, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultBadSignature, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultStaleCounter, api.Cancelled, api.CodePossibleClone},
		{virtual.FaultNoUP, api.Cancelled, api.CodeKeyBadAnswer},
		{virtual.FaultGone, api.Cancelled, api.CodeKeyFailed},
		{virtual.FaultWrongCredential, api.Cancelled, api.CodeKeyBadAnswer},
	}
	tested := map[virtual.Fault]bool{virtual.FaultNoUV: true} // with a PIN, below
	for _, c := range cases {
		tested[c.fault] = true
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			key := newKey(t, virtual.Options{})
			key.SetTouch(virtual.TouchAuto, 10*time.Millisecond)
			i := start(t, "", key)
			i.add(t, "", "Blue")
			key.SetFault(c.fault)
			v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer", TimeoutMS: 8000}))
			if v.Decision != c.decision {
				t.Fatalf("the request ended %s (%v), want %s", v.Decision, v.Error, c.decision)
			}
			switch {
			case c.code == "" && v.Error != nil, c.code != "" && (v.Error == nil || v.Error.Code != c.code):
				t.Errorf("the error is %+v, want %q", v.Error, c.code)
			case c.code != "" && c.code != api.CodePossibleClone && !strings.Contains(v.Error.Message, "key1"):
				t.Errorf("the error does not name the key: %s", v.Error.Message)
			}
			if e := i.decided(t, v.ID); e.Decision == api.Approved {
				t.Errorf("the log has %+v", e)
			}
			key.SetFault(virtual.NoFault) // and it works again, but for a key that was pulled
			if c.fault == virtual.FaultGone {
				if err := key.Replug(); err != nil {
					t.Fatal(err)
				}
			}
			v = decision(t, i.begin(t, api.BeginRequest{Service: "mailer", TimeoutMS: 10_000}))
			if c.fault == virtual.FaultGarbageHID && v.Decision != api.Approved { // a pty keeps, as no hidraw does, what nobody has read
				v = decision(t, i.begin(t, api.BeginRequest{Service: "mailer", TimeoutMS: 10_000}))
			}
			if v.Decision != api.Approved {
				t.Errorf("afterwards: %s (%v)", v.Decision, v.Error)
			}
		})
	}
	for _, f := range virtual.Faults {
		if !tested[f] {
			t.Errorf("the fault %s is not tested", f)
		}
	}
	t.Run("no-uv", func(t *testing.T) {
		t.Parallel()
		key := newKey(t, virtual.Options{})
		key.SetTouch(virtual.TouchAuto, 10*time.Millisecond)
		i := start(t, "", key)
		i.add(t, "", "Blue")
		i.setPIN(t, "1234")
		key.SetFault(virtual.FaultNoUV)
		v := i.verified(t, "1234")
		if v.Decision != api.Cancelled || v.Error == nil || v.Error.Code != api.CodeKeyBadAnswer {
			t.Errorf("the request ended %s (%v)", v.Decision, v.Error)
		}
		key.SetFault(virtual.NoFault)
		if v := i.verified(t, "1234"); v.Decision != api.Approved || v.Strength != "verified" {
			t.Errorf("afterwards: %s %s (%v)", v.Decision, v.Strength, v.Error)
		}
	})
}

// typed follows a request and answers its PIN prompts in order.
func (i *instance) typed(t *testing.T, r api.BeginRequest, pins ...string) api.RequestState {
	t.Helper()
	s := i.begin(t, r)
	answered := map[string]bool{}
	for {
		v, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !v.Pending {
			return v
		}
		for _, p := range v.Prompts {
			if p.Type != api.PromptPIN || answered[p.ID] {
				continue
			}
			if len(pins) == 0 {
				t.Fatalf("another PIN is asked for: %s", p.Text)
			}
			answered[p.ID] = true
			if err := i.Answer(limit(t), v.ID, api.Answer{Prompt: p.ID, PIN: api.Secret(pins[0])}); err != nil {
				t.Fatal(err)
			}
			pins = pins[1:]
		}
	}
}

func (i *instance) setPIN(t *testing.T, pin string) {
	t.Helper()
	if v := i.typed(t, api.BeginRequest{Kind: api.KindSetPIN}, pin); v.Decision != api.Approved {
		t.Fatalf("the PIN was not set: %+v", v)
	}
}

func (i *instance) verified(t *testing.T, pins ...string) api.RequestState {
	t.Helper()
	return i.typed(t, api.BeginRequest{Service: "mailer", Require: "verified"}, pins...)
}

func TestKeyThatHidesItsPIN(t *testing.T) {
	key := newKey(t, virtual.Options{PIN: "1234"})
	key.SetTouch(virtual.TouchAuto, 10*time.Millisecond)
	key.SetFault(virtual.FaultNoUV)
	i := start(t, "", key)
	v := i.typed(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key", Name: "Blue"}}, "1234")
	if v.Decision != api.Cancelled || v.Error == nil || v.Error.Code != api.CodeKeyBadAnswer {
		t.Errorf("a key that took the PIN and does not say so was registered: %+v %v", v, v.Error)
	}
}

// TestLeftBeforeItBlinks lets callers leave while the key is only being opened.
func TestLeftBeforeItBlinks(t *testing.T) {
	i := start(t, "")
	i.enrol(t)
	for n := range 12 {
		ctx, leave := context.WithTimeout(t.Context(), time.Duration(n)*300*time.Microsecond)
		if s, err := i.Begin(ctx, api.BeginRequest{Service: "hasty"}); err == nil {
			s.Close()
		}
		leave()
	}
	for ctx := limit(t); ; time.Sleep(5 * time.Millisecond) {
		if pending, err := i.Requests(ctx); err != nil {
			t.Fatal("a request outlives its caller")
		} else if len(pending) == 0 {
			break
		}
	}
	if err := i.key.WaitIdle(limit(t)); err != nil {
		t.Fatal("the key blinks for nobody")
	}
	s := i.begin(t, api.BeginRequest{Service: "mailer"})
	i.tap(t)
	if v := decision(t, s); v.Decision != api.Approved {
		t.Errorf("afterwards: %s (%v)", v.Decision, v.Error)
	}
}

func TestTwoKeys(t *testing.T) {
	k1, k2 := newKey(t, virtual.Options{}), newKey(t, virtual.Options{Algorithms: []int{virtual.ES256}, Attestation: virtual.AttestX5C})
	i := start(t, "", k1, k2)
	auto := func(k *virtual.Key) { k.SetTouch(virtual.TouchAuto, 10*time.Millisecond) }
	auto(k1)
	auto(k2)
	i.add(t, i.keyID(t, "key1"), "Blue")
	red := i.add(t, i.keyID(t, "key2"), "Red")
	if red.Algorithm != "ES256" || red.Attested != "packed" || red.Default {
		t.Errorf("the second method is %+v", red)
	}
	k1.SetTouch(virtual.TouchManual, 0)

	t.Run("the first tap wins, and the other key is let go at once", func(t *testing.T) {
		for range 5 {
			before := len(k1.Ops())
			v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer"}))
			if v.Decision != api.Approved {
				t.Fatalf("the request ended %s (%v)", v.Decision, v.Error)
			}
			if e := i.decided(t, v.ID); e.MethodName != "Red" {
				t.Errorf("approved by %q", e.MethodName)
			}
			if err := k1.WaitIdle(limit(t)); err != nil {
				t.Fatal("the other key blinks on")
			}
			silent := false
			for _, op := range k1.Ops()[before:] {
				silent = silent || op.Command == "getAssertion" && !op.UP
			}
			if !silent {
				t.Error("of two keys, the first was not asked silently")
			}
		}
	})
	t.Run("the other key's failure stands in nobody's way", func(t *testing.T) {
		k1.SetFault(virtual.FaultGarbageCBOR)
		defer k1.SetFault(virtual.NoFault)
		if v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer"})); v.Decision != api.Approved {
			t.Errorf("the request ended %s (%v)", v.Decision, v.Error)
		}
	})
	t.Run("a mute key only costs its time limit", func(t *testing.T) {
		if err := k1.WaitIdle(limit(t)); err != nil { // a mute key would not hear that it is let go
			t.Fatal(err)
		}
		k1.SetFault(virtual.FaultMute)
		defer k1.SetFault(virtual.NoFault)
		if v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer", TimeoutMS: 15_000})); v.Decision != api.Approved {
			t.Errorf("the request ended %s (%v)", v.Decision, v.Error)
		}
	})
	t.Run("two requests, one tap", func(t *testing.T) {
		k2.Unplug()
		defer k2.Replug()
		first := i.begin(t, api.BeginRequest{Service: "first"})
		i.blinking(t, first)
		second := i.begin(t, api.BeginRequest{Service: "second"})
		v, err := second.Next()
		for err == nil && v.Pending && (len(v.Offers) == 0 || v.Offers[0].State != "pick") {
			v, err = second.Next()
		}
		if err != nil || !strings.Contains(v.Progress, "first") {
			t.Fatalf("the second request does not ask to be picked, naming the first: %+v, %v", v, err)
		}
		if err := k1.WaitIdle(limit(t)); err != nil {
			t.Fatal("the key blinks for one of two requests")
		}
		if err := i.Pick(limit(t), v.ID); err != nil {
			t.Fatal(err)
		}
		if err := k1.WaitTouch(limit(t)); err != nil {
			t.Fatal(err)
		}
		k1.Touch()
		if v := decision(t, second); v.Decision != api.Approved {
			t.Fatalf("the picked request ended %s (%v)", v.Decision, v.Error)
		}
		pending, err := i.Requests(limit(t))
		if err != nil || len(pending) != 1 || pending[0].Service != fmt.Sprintf("app:%d:first", os.Geteuid()) {
			t.Errorf("pending are %+v, %v", pending, err)
		}
	})
}

func TestAlwaysUV(t *testing.T) {
	key := newKey(t, virtual.Options{PIN: "1234", AlwaysUV: true})
	key.SetTouch(virtual.TouchAuto, 10*time.Millisecond)
	i := start(t, "", key)
	add := api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key", Name: "Blue"}}
	if v := i.typed(t, add, "1234", "1234"); v.Decision != api.Approved {
		t.Fatalf("the key was not registered: %+v", v)
	}
	if v := i.typed(t, api.BeginRequest{Service: "mailer"}, "9999", "1234"); v.Decision != api.Approved || v.Strength != "verified" {
		t.Errorf("a key that always asks for its PIN: %s %s (%v)", v.Decision, v.Strength, v.Error)
	}
}

func TestPINRunsOut(t *testing.T) {
	key := newKey(t, virtual.Options{PIN: "1234"})
	key.SetTouch(virtual.TouchAuto, 10*time.Millisecond)
	i := start(t, "", key)
	if v := i.typed(t, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "key", Name: "Blue"}}, "1234"); v.Decision != api.Approved {
		t.Fatalf("the key was not registered: %+v", v)
	}
	v := i.verified(t, "0000", "1111", "2222")
	if v.Error == nil || v.Error.Code != api.CodePINReplug {
		t.Fatalf("after three wrong PINs in a row: %+v %v", v, v.Error)
	}
	if err := key.Replug(); err != nil {
		t.Fatal(err)
	}
	if v := i.verified(t, "0000", "1111"); v.Error == nil || v.Error.Code != api.CodePINFewRetries {
		t.Fatalf("with three tries left: %+v %v", v, v.Error)
	}
	info, err := i.KeyInfo(limit(t), i.keyID(t, "key1"))
	if err != nil || info.PINRetries == nil || *info.PINRetries != 3 {
		t.Errorf("the key says %+v, %v", info, err)
	}
	change := api.BeginRequest{Kind: api.KindSetPIN}
	if v := i.typed(t, change, "0000", "5678"); v.Error == nil || v.Error.Code != api.CodePINReplug {
		t.Fatalf("fob keys does not risk the last tries: %+v %v", v, v.Error)
	}
	if err := key.Replug(); err != nil {
		t.Fatal(err)
	}
	if v := i.typed(t, change, "0000", "5678", "1111", "5678"); v.Error == nil || v.Error.Code != api.CodePINBlocked {
		t.Errorf("a blocked PIN: %+v %v", v, v.Error)
	}
}

// helpers lists the processes that run fob-helper as children of this one.
func helpers(t *testing.T) (pids []int) {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range exes {
		b, err := os.ReadFile(stat)
		if err != nil || !strings.Contains(string(b), "(fob-helper)") {
			continue
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err == nil && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestHelperTroubles(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "hung": syscall.SIGSTOP} {
		t.Run("a helper that is "+name+" fails one operation", func(t *testing.T) {
			i := start(t, "")
			i.enrol(t)
			s := i.begin(t, api.BeginRequest{Service: "mailer", TimeoutMS: 3000})
			i.blinking(t, s)
			for _, pid := range helpers(t) {
				_ = syscall.Kill(pid, signal)
			}
			v := decision(t, s)
			if signal == syscall.SIGKILL && (v.Decision != api.Cancelled || v.Error == nil || v.Error.Code != api.CodeKeyFailed || !strings.Contains(v.Error.Message, "key1")) {
				t.Errorf("the request ended %s (%v)", v.Decision, v.Error)
			}
			if signal == syscall.SIGSTOP && v.Decision != api.Expired {
				t.Errorf("the request ended %s (%v)", v.Decision, v.Error)
			}
			if err := i.key.Replug(); err != nil { // it still waits for whom nobody hears
				t.Fatal(err)
			}
			s = i.begin(t, api.BeginRequest{Service: "mailer"})
			i.tap(t)
			if v := decision(t, s); v.Decision != api.Approved {
				t.Errorf("afterwards: %s (%v)", v.Decision, v.Error)
			}
		})
	}
}

// TestFullDisk signs in until the disk has no room left.
func TestFullDisk(t *testing.T) {
	dir := tempDir(t)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("cannot mount a small disk: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	key := newKey(t, virtual.Options{})
	key.SetTouch(virtual.TouchAuto, 0)
	i := startIn(t, dir, "", key)
	i.add(t, "", "Blue")
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is not small")
	}
	approved := map[string]bool{}
	for n := 0; ; n++ {
		v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer", Claimed: api.Claimed{Command: strings.Repeat("x ", 90)}}))
		if v.Decision != api.Approved {
			if v.Error == nil || v.Error.Code != api.CodeStorage || !strings.Contains(v.Error.Message, "full") {
				t.Fatalf("on a full disk the request ended %s (%v)", v.Decision, v.Error)
			}
			break
		}
		approved[v.ID] = true
		if n > 500 {
			t.Fatal("the disk does not become full")
		}
	}
	if _, err := i.Status(limit(t)); err != nil {
		t.Errorf("the daemon is not up: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	v := decision(t, i.begin(t, api.BeginRequest{Service: "mailer"}))
	if v.Decision != api.Approved {
		t.Fatalf("with room again the request ended %s (%v)", v.Decision, v.Error)
	}
	approved[v.ID] = true
	for after := uint64(0); ; {
		page, err := i.Log(context.Background(), client.LogQuery{After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Decision == api.Approved {
				delete(approved, e.Request)
			}
			after = e.Seq
		}
		if !page.More {
			break
		}
	}
	if len(approved) > 0 {
		t.Errorf("approved and not on disk: %v", approved)
	}
}
