package fido_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/virtual"
)

const (
	rpID   = "fob:test"
	plenty = 20 * time.Second
)

// helperDir holds the true fob-helper.
var helperDir string

func TestMain(m *testing.M) {
	var err error
	if helperDir, err = os.MkdirTemp("", "fob-helper"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(helperDir)
	os.Exit(code)
}

// helperPath builds the true fob-helper, once.
var helperPath = sync.OnceValues(func() (string, error) {
	path := filepath.Join(helperDir, "fob-helper")
	out, err := exec.Command("go", "build", "-o", path, "github.com/fobproject/fob/cmd/fob-helper").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// newDevices gives devices on the true helper.
func newDevices(t testing.TB) (*fido.Devices, *helper.Pool) {
	t.Helper()
	path, err := helperPath()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot build fob-helper: %v", err)
		}
		t.Skipf("cannot build fob-helper: %v", err)
	}
	p := helper.NewPool(helper.Options{Path: path})
	t.Cleanup(func() { p.Close() })
	return fido.NewDevices(p), p
}

func newKey(t testing.TB, o virtual.Options) (*virtual.Key, fido.Key) {
	t.Helper()
	k, err := virtual.NewKey(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k, fido.Key{ID: "1", Name: "Software Key", Path: k.Path()}
}

func hash(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

func makeArgs(t testing.TB) fido.MakeArgs {
	return fido.MakeArgs{RPID: rpID, RPName: "Fob", UserID: []byte{1, 2, 3}, UserName: "alice", ClientDataHash: hash(t), Algorithm: fido.AlgES256}
}

// enrol makes a credential and gives its id.
func enrol(t testing.TB, d *fido.Devices, k fido.Key, a fido.MakeArgs) []byte {
	t.Helper()
	at, err := d.Make(t.Context(), k, a, plenty)
	if err != nil {
		t.Fatal(err)
	}
	return credentialID(t, at)
}

func credentialID(t testing.TB, at fido.Attestation) []byte {
	t.Helper()
	if len(at.AuthData) < 55 {
		t.Fatalf("authenticator data of %d bytes", len(at.AuthData))
	}
	n := int(at.AuthData[53])<<8 | int(at.AuthData[54])
	return at.AuthData[55 : 55+n]
}

// wants fails unless err is a DeviceError of the kind that names the key.
func wants(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	if e, ok := errors.AsType[*fido.DeviceError](err); !ok || e.Kind != kind || !strings.Contains(err.Error(), "Software Key") {
		t.Fatalf("error %#v", err)
	}
}

func TestDevicesSignIn(t *testing.T) {
	d, _ := newDevices(t)
	for _, alg := range []int{fido.AlgES256, fido.AlgEdDSA} {
		_, k := newKey(t, virtual.Options{})
		a := makeArgs(t)
		a.Algorithm = alg
		at, err := d.Make(t.Context(), k, a, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if at.Format != "packed" || len(at.Statement) == 0 || at.Statement[0]>>5 != 5 {
			t.Errorf("format %q, statement %x", at.Format, at.Statement)
		}
		id := credentialID(t, at)
		other := bytes.Repeat([]byte{7}, 32)
		got, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{other, id}}, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || !bytes.Equal(got[0].CredentialID, id) || got[0].AuthData[32]&1 == 0 || len(got[0].AuthData) != 37 {
			t.Errorf("assertions %+v", got)
		}
	}
}

func TestDevicesInfo(t *testing.T) {
	d, _ := newDevices(t)
	t.Run("of a key without PIN has no retries, and does not ask for them", func(t *testing.T) {
		v, k := newKey(t, virtual.Options{Quirks: virtual.Quirks{CrashOnRetries: true}})
		info, err := d.Info(t.Context(), k, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if !info.FIDO2 || info.HasPIN() || !info.SupportsPIN() || info.PINRetries != nil || info.MinPIN != 4 ||
			!bytes.Equal(info.AAGUID, virtual.DefaultAAGUID[:]) || !slices.Contains(info.Versions, "FIDO_2_1") ||
			!info.Supports(fido.AlgES256) || !info.Supports(fido.AlgEdDSA) || !info.SupportsHMACSecret() || info.MaxCredCount != 8 {
			t.Errorf("info %+v", info)
		}
		for _, op := range v.Ops() {
			if op.Command != "getInfo" {
				t.Errorf("asked for %s", op.Command)
			}
		}
	})
	t.Run("of a key with a PIN has the retries left", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{PIN: "123456", MinPINLength: 6, AlwaysUV: true})
		info, err := d.Info(t.Context(), k, plenty)
		if err != nil {
			t.Fatal(err)
		}
		if !info.HasPIN() || info.PINRetries == nil || *info.PINRetries != 8 || info.MinPIN != 6 || !info.AlwaysUV() {
			t.Errorf("info %+v", info)
		}
	})
	t.Run("of what is no device, or is missing", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{file, filepath.Join(t.TempDir(), "missing")} {
			start := time.Now()
			_, err := d.Info(t.Context(), fido.Key{Name: "Software Key", Path: path}, plenty)
			wants(t, err, fido.ErrGone)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		}
	})
	t.Run("without a time limit is refused", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{})
		_, err := d.Info(t.Context(), k, 0)
		wants(t, err, fido.ErrHelper)
	})
}

func TestDevicesPIN(t *testing.T) {
	d, _ := newDevices(t)
	pin := func(s string) *secret.Secret { return secret.New([]byte(s)) }
	v, k := newKey(t, virtual.Options{})
	set := func(old, new string) error { return d.SetPIN(t.Context(), k, pin(old), pin(new), plenty) }
	assert := func(id []byte, p string) ([]fido.Assertion, error) {
		return d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{id}, PIN: fido.RevealPIN(pin(p))}, plenty)
	}

	id := enrol(t, d, k, makeArgs(t))
	if _, err := assert(id, "1234"); !errors.Is(err, fido.ErrPINNotSet) {
		t.Errorf("a PIN where none is set: %v", err)
	}
	wants(t, set("", "123"), fido.ErrPINPolicy)
	wants(t, set("", strings.Repeat("x", 64)), fido.ErrPINPolicy)
	if err := set("", "1234"); err != nil {
		t.Fatal(err)
	}
	wants(t, set("4321", "5678"), fido.ErrPINInvalid)
	if err := set("1234", "pässword"); err != nil {
		t.Fatal(err)
	}
	got, err := assert(id, "pässword")
	if err != nil || got[0].AuthData[32]&4 == 0 {
		t.Fatalf("%+v, %v: the user was not verified", got, err)
	}
	a := makeArgs(t)
	a.UserID = []byte{9}
	_, err = d.Make(t.Context(), k, a, plenty)
	wants(t, err, fido.ErrPINRequired)
	a.PIN = fido.RevealPIN(pin("pässword"))
	enrol(t, d, k, a)

	for range 2 {
		_, err = assert(id, "wrong")
		wants(t, err, fido.ErrPINInvalid)
	}
	_, err = assert(id, "wrong")
	wants(t, err, fido.ErrPINAuthBlocked)
	for info := (fido.Info{}); ; {
		v.Unplug()
		if err := v.Replug(); err != nil {
			t.Fatal(err)
		}
		k.Path = v.Path()
		if info, err = d.Info(t.Context(), k, plenty); err != nil {
			t.Fatal(err)
		}
		if *info.PINRetries == 0 {
			break
		}
		for range min(3, *info.PINRetries) {
			if _, err = assert(id, "wrong"); err == nil {
				t.Fatal("a wrong PIN was taken")
			}
		}
	}
	_, err = assert(id, "pässword")
	wants(t, err, fido.ErrPINBlocked)
	if err := d.Reset(t.Context(), k, plenty); err != nil {
		t.Fatal(err)
	}
	_, err = assert(id, "")
	wants(t, err, fido.ErrNoCredential)
}

func TestDevicesLists(t *testing.T) {
	d, _ := newDevices(t)
	v, k := newKey(t, virtual.Options{MaxListed: 3})
	id := enrol(t, d, k, makeArgs(t))
	strangers := func(n int) [][]byte {
		var out [][]byte
		for i := range n {
			out = append(out, bytes.Repeat([]byte{byte(i + 1)}, len(id)))
		}
		return out
	}
	silent := func(allow [][]byte) ([]fido.Assertion, error) {
		return d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: allow, Silent: true}, plenty)
	}
	t.Run("a key that holds a listed credential does not make another", func(t *testing.T) {
		for _, n := range []int{0, 2, 7} {
			a := makeArgs(t)
			a.Exclude = append(strangers(n), id)
			_, err := d.Make(t.Context(), k, a, plenty)
			wants(t, err, fido.ErrExcluded)
		}
	})
	t.Run("a silent question finds the credential without a touch", func(t *testing.T) {
		v.SetTouch(virtual.TouchNever, 0)
		defer v.SetTouch(virtual.TouchAuto, 0)
		for _, n := range []int{0, 2, 7} {
			got, err := silent(append(strangers(n), id))
			if err != nil || !bytes.Equal(got[0].CredentialID, id) {
				t.Errorf("among %d: %+v, %v", n+1, got, err)
			}
			_, err = silent(strangers(n + 1))
			wants(t, err, fido.ErrNoCredential)
		}
	})
	t.Run("a long list of credentials is asked for in parts", func(t *testing.T) {
		got, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: append(strangers(20), id)}, plenty)
		if err != nil || !bytes.Equal(got[0].CredentialID, id) || got[0].AuthData[32]&1 == 0 {
			t.Errorf("%+v, %v", got, err)
		}
		for _, op := range v.Ops() {
			if op.Listed > 3 {
				t.Errorf("%s lists %d", op.Command, op.Listed)
			}
		}
	})
	t.Run("a list of others' credentials alone never means any credential", func(t *testing.T) {
		_, err := d.Assert(t.Context(), k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{make([]byte, 1000), make([]byte, 1001)}}, plenty)
		wants(t, err, fido.ErrNoCredential)
	})
}

// waiting are the operations that wait for a touch.
func waiting(t testing.TB, d *fido.Devices, id []byte) map[string]func(context.Context, fido.Key, time.Duration) error {
	return map[string]func(context.Context, fido.Key, time.Duration) error{
		"make": func(ctx context.Context, k fido.Key, limit time.Duration) error {
			_, err := d.Make(ctx, k, makeArgs(t), limit)
			return err
		},
		"assert": func(ctx context.Context, k fido.Key, limit time.Duration) error {
			_, err := d.Assert(ctx, k, fido.AssertArgs{RPID: rpID, ClientDataHash: hash(t), Allow: [][]byte{id}}, limit)
			return err
		},
		"select": d.Select,
		"reset":  d.Reset,
	}
}

func TestDevicesTouch(t *testing.T) {
	d, _ := newDevices(t)
	v, k := newKey(t, virtual.Options{ResetAnyTime: true})
	id := enrol(t, d, k, makeArgs(t))
	ready := func(t *testing.T) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := v.WaitTouch(ctx); err != nil {
			t.Error(err)
		}
	}
	fine := func(t *testing.T) {
		t.Helper()
		v.SetTouch(virtual.TouchAuto, 0)
		if err := d.Select(t.Context(), k, plenty); err != nil {
			t.Errorf("the next operation: %v", err)
		}
		v.SetTouch(virtual.TouchManual, 0)
	}
	v.SetTouch(virtual.TouchManual, 0)
	for name, run := range waiting(t, d, id) {
		t.Run(name+" that is cancelled tells the key, and the next operation works", func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			go func() { ready(t); cancel() }()
			wants(t, run(ctx, k, plenty), fido.ErrCancelled)
			if v.IsWaiting() {
				t.Error("the key still waits for a touch")
			}
			// It writes its journal after it has answered.
			waited, stop := context.WithTimeout(t.Context(), 5*time.Second)
			defer stop()
			if _, err := v.WaitOp(waited, func(op virtual.Op) bool {
				return op.Status == virtual.StatusKeepaliveCancel && op.Ended.After(start)
			}); err != nil {
				t.Errorf("the key has seen no cancel: %v", err)
			}
			fine(t)
		})
		t.Run(name+" that runs out of time tells the key", func(t *testing.T) {
			start := time.Now()
			wants(t, run(t.Context(), k, 800*time.Millisecond), fido.ErrTouchTimeout)
			if took := time.Since(start); took > 1800*time.Millisecond || v.IsWaiting() {
				t.Errorf("took %v, waiting %v", took, v.IsWaiting())
			}
			fine(t)
		})
	}
	t.Run("select ends with the touch", func(t *testing.T) {
		go func() { ready(t); v.Touch() }()
		if err := d.Select(t.Context(), k, plenty); err != nil {
			t.Error(err)
		}
	})
	t.Run("select works on a key with a PIN", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{PIN: "1234", AlwaysUV: true})
		if err := d.Select(t.Context(), k, plenty); err != nil {
			t.Error(err)
		}
	})
	t.Run("a helper that is killed meanwhile fails its operation alone", func(t *testing.T) {
		go func() {
			ready(t)
			if n := killBusyHelpers(t, v.Path()); n != 1 {
				t.Errorf("killed %d helpers", n)
			}
		}()
		err := d.Select(t.Context(), k, plenty)
		wants(t, err, fido.ErrHelper)
		if !errors.Is(err, helper.ErrCrashed) || !strings.Contains(err.Error(), "killed") {
			t.Errorf("error %v", err)
		}
		fine(t)
	})
	for _, q := range []virtual.Quirks{{DenyOnTimeout: true}, {}, {SilentWait: true}} {
		_, k := newKey(t, virtual.Options{Touch: virtual.TouchNever, TouchTimeout: 100 * time.Millisecond, Quirks: q})
		wants(t, d.Select(t.Context(), k, plenty), fido.ErrTouchTimeout)
	}
}

// killBusyHelpers kills this process's helpers that have the key open.
func killBusyHelpers(t testing.TB, key string) int {
	path, err := helperPath()
	if err != nil {
		t.Error(err)
		return 0
	}
	pids, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Error(err)
	}
	var busy []int // all are found before one is killed: the next operation begins at once
	for _, exe := range pids {
		if target, err := os.Readlink(exe); err != nil || target != path {
			continue
		}
		fds, err := filepath.Glob(filepath.Join(filepath.Dir(exe), "fd", "*"))
		if err != nil {
			t.Error(err)
		}
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && target == key {
				var pid int
				for _, c := range filepath.Base(filepath.Dir(exe)) {
					pid = pid*10 + int(c-'0')
				}
				busy = append(busy, pid)
				break
			}
		}
	}
	killed := 0
	for _, pid := range busy {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

func TestDevicesFaults(t *testing.T) {
	d, _ := newDevices(t)
	v, k := newKey(t, virtual.Options{ResetAnyTime: true})
	id := enrol(t, d, k, makeArgs(t))
	assert := waiting(t, d, id)["assert"]
	for _, c := range []struct {
		fault virtual.Fault
		want  error
	}{
		{virtual.FaultMute, fido.ErrTimeout},
		{virtual.FaultMuteAfterInit, fido.ErrTimeout},
		{virtual.FaultGarbageInfo, fido.ErrBadAnswer},
		{virtual.FaultGarbageCBOR, fido.ErrBadAnswer},
		{virtual.FaultGarbageHID, fido.ErrBadAnswer},
		{virtual.FaultWrongCredential, fido.ErrBadAnswer},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			defer func() {
				v.SetFault(virtual.NoFault)
				if err := assert(t.Context(), k, plenty); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			}()
			v.SetFault(c.fault)
			start := time.Now()
			wants(t, assert(t.Context(), k, 500*time.Millisecond), c.want)
			if took := time.Since(start); took > 1500*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("mute, cancelled", func(t *testing.T) {
		v.SetFault(virtual.FaultMute)
		defer v.SetFault(virtual.NoFault)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		wants(t, assert(ctx, k, plenty), fido.ErrCancelled)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
	for name := range waiting(t, d, id) {
		t.Run("gone while waiting: "+name, func(t *testing.T) {
			v, k := newKey(t, virtual.Options{Touch: virtual.TouchManual, ResetAnyTime: true})
			v.SetTouch(virtual.TouchAuto, 0)
			id := enrol(t, d, k, makeArgs(t))
			v.SetTouch(virtual.TouchManual, 0)
			v.SetFault(virtual.FaultGone)
			wants(t, waiting(t, d, id)[name](t.Context(), k, time.Second), fido.ErrGone)
		})
	}
	t.Run("held by another program", func(t *testing.T) {
		f, err := os.OpenFile(v.Path(), os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		wants(t, assert(t.Context(), k, 600*time.Millisecond), fido.ErrBusy)
	})
	t.Run("held for a moment", func(t *testing.T) {
		f, err := os.OpenFile(v.Path(), os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() { f.Close() })
		if err := assert(t.Context(), k, plenty); err != nil {
			t.Error(err)
		}
	})
	t.Run("a reset that comes too late", func(t *testing.T) {
		_, k := newKey(t, virtual.Options{})
		if err := d.Reset(t.Context(), k, plenty); err != nil {
			t.Errorf("in time: %v", err)
		}
	})
}

// answers is a Runner that answers everything with the same.
type answers struct {
	info   fido.Info
	at     fido.Attestation
	assert fido.AssertResult
	err    error
}

func (a answers) Run(_ context.Context, c helper.Call, result any) error {
	switch r := result.(type) {
	case *fido.Info:
		*r = a.info
	case *fido.Attestation:
		*r = a.at
	case *fido.AssertResult:
		*r = a.assert
	}
	return a.err
}

func TestDevicesRefuseNonsense(t *testing.T) {
	good := fido.Info{FIDO2: true, MinPIN: 4}
	few := 300
	for name, change := range map[string]func(*fido.Info){
		"a short AAGUID":         func(i *fido.Info) { i.AAGUID = []byte{1} },
		"a word with a newline":  func(i *fido.Info) { i.Versions = []string{"FIDO\n2"} },
		"an endless word":        func(i *fido.Info) { i.Extensions = []string{strings.Repeat("x", 65)} },
		"an empty option":        func(i *fido.Info) { i.Options = map[string]bool{"": true} },
		"a minimum PIN of none":  func(i *fido.Info) { i.MinPIN = 0 },
		"a minimum PIN too long": func(i *fido.Info) { i.MinPIN = 64 },
		"absurd retries":         func(i *fido.Info) { i.PINRetries = &few },
		"endless algorithms":     func(i *fido.Info) { i.Algorithms = make([]int, 65) },
	} {
		t.Run("info with "+name, func(t *testing.T) {
			info := good
			change(&info)
			_, err := fido.NewDevices(answers{info: info}).Info(t.Context(), fido.Key{Name: "Software Key"}, time.Second)
			wants(t, err, fido.ErrBadAnswer)
		})
	}
	one := fido.Assertion{CredentialID: []byte{1}, AuthData: make([]byte, 37), Signature: []byte{1}}
	for name, all := range map[string][]fido.Assertion{
		"none":                          {},
		"one without a credential":      {{AuthData: one.AuthData, Signature: one.Signature}},
		"one without a signature":       {{CredentialID: one.CredentialID, AuthData: one.AuthData}},
		"one with a stub of data":       {{CredentialID: one.CredentialID, AuthData: make([]byte, 36), Signature: one.Signature}},
		"one of another credential":     {{CredentialID: []byte{2}, AuthData: one.AuthData, Signature: one.Signature}},
		"one too many that is not ours": {one, {CredentialID: []byte{2}, AuthData: one.AuthData, Signature: one.Signature}},
		"a huge signature":              {{CredentialID: one.CredentialID, AuthData: one.AuthData, Signature: make([]byte, 1<<20)}},
	} {
		t.Run("assertions: "+name, func(t *testing.T) {
			d := fido.NewDevices(answers{assert: fido.AssertResult{Assertions: all}})
			_, err := d.Assert(t.Context(), fido.Key{Name: "Software Key"}, fido.AssertArgs{Allow: [][]byte{{1}}}, time.Second)
			wants(t, err, fido.ErrBadAnswer)
		})
	}
	salt := make([]byte, fido.SaltLen)
	for _, c := range []struct {
		name   string
		salt   []byte
		secret int
		want   error
	}{
		{"none asked for, none given", nil, 0, nil},
		{"none asked for, one given", nil, fido.HMACSecretLen, fido.ErrBadAnswer},
		{"asked for and given", salt, fido.HMACSecretLen, nil},
		{"asked for, none given", salt, 0, fido.ErrNoHMACSecret},
		{"too short", salt, fido.HMACSecretLen - 1, fido.ErrBadAnswer},
		{"two of them", salt, 2 * fido.HMACSecretLen, fido.ErrBadAnswer},
	} {
		t.Run("secret: "+c.name, func(t *testing.T) {
			with := one
			with.Secret = bytes.Repeat([]byte{9}, c.secret)
			d := fido.NewDevices(answers{assert: fido.AssertResult{Assertions: []fido.Assertion{with}}})
			got, err := d.Assert(t.Context(), fido.Key{Name: "Software Key"}, fido.AssertArgs{Allow: [][]byte{{1}}, Salt: c.salt}, time.Second)
			if c.want == nil {
				if err != nil || len(got[0].Secret) != c.secret {
					t.Fatalf("%+v, %v", got, err)
				}
				return
			}
			wants(t, err, c.want)
			if !bytes.Equal(with.Secret, make([]byte, c.secret)) {
				t.Error("what is refused is not wiped")
			}
		})
	}
	for name, at := range map[string]fido.Attestation{
		"no format":      {AuthData: make([]byte, 200)},
		"no data":        {Format: "none"},
		"a strange name": {Format: "a b", AuthData: make([]byte, 200)},
	} {
		t.Run("attestation with "+name, func(t *testing.T) {
			_, err := fido.NewDevices(answers{at: at}).Make(t.Context(), fido.Key{Name: "Software Key"}, fido.MakeArgs{}, time.Second)
			wants(t, err, fido.ErrBadAnswer)
		})
	}
}

func TestDevicesErrors(t *testing.T) {
	op := func(code int, cause string) error {
		return &helper.OpError{Code: code, Name: "FIDO_ERR_X", Cause: cause}
	}
	k := fido.Key{Name: "Software Key"}
	for _, c := range []struct {
		err    error
		touch  error // of an operation that waits for a touch
		silent error // of one that does not
	}{
		{op(0x05, ""), fido.ErrTouchTimeout, fido.ErrTimeout},
		{op(0x27, ""), fido.ErrTouchTimeout, fido.ErrNotAllowed},
		{op(0x2f, ""), fido.ErrTouchTimeout, fido.ErrTimeout},
		{op(0x3a, ""), fido.ErrTouchTimeout, fido.ErrTimeout},
		{op(0x31, ""), fido.ErrPINInvalid, fido.ErrPINInvalid},
		{op(0x32, ""), fido.ErrPINBlocked, fido.ErrPINBlocked},
		{op(0x3c, ""), fido.ErrUVBlocked, fido.ErrUVBlocked},
		{op(0x28, ""), fido.ErrFull, fido.ErrFull},
		{op(0x16, ""), fido.ErrNoHMACSecret, fido.ErrNoHMACSecret},
		{op(-2, ""), fido.ErrBadAnswer, fido.ErrBadAnswer},
		{op(-2, fido.CauseGone), fido.ErrGone, fido.ErrGone},
		{op(-2, fido.CauseBusy), fido.ErrBusy, fido.ErrBusy},
		{op(0x2d, fido.CauseNoTouch), fido.ErrTouchTimeout, fido.ErrTouchTimeout},
		{op(0, fido.CauseForbidden), fido.ErrForbidden, fido.ErrForbidden},
		{op(0, ""), fido.ErrHelper, fido.ErrHelper},
		{op(0xfe, ""), fido.ErrBadAnswer, fido.ErrBadAnswer},
		{helper.ErrCrashed, fido.ErrHelper, fido.ErrHelper},
		{helper.ErrGarbage, fido.ErrHelper, fido.ErrHelper},
		{errors.Join(context.DeadlineExceeded, helper.ErrHung), fido.ErrHelper, fido.ErrHelper},
		{errors.Join(context.DeadlineExceeded, op(0x2d, "")), fido.ErrCancelled, fido.ErrCancelled},
		{helper.ErrStart, fido.ErrHelper, fido.ErrHelper},
	} {
		d := fido.NewDevices(answers{err: c.err})
		wants(t, d.Select(t.Context(), k, time.Second), c.touch)
		_, err := d.Assert(t.Context(), k, fido.AssertArgs{Silent: true}, time.Second)
		wants(t, err, c.silent)
		if !errors.Is(err, c.err) {
			t.Errorf("%v does not wrap %v", err, c.err)
		}
	}
	t.Run("a cancelled operation is cancelled, whatever it ended with", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wants(t, fido.NewDevices(answers{err: op(-2, fido.CauseGone)}).Select(ctx, k, time.Second), fido.ErrCancelled)
		wants(t, fido.NewDevices(answers{err: helper.ErrHung}).Select(ctx, k, time.Second), fido.ErrCancelled)
	})
	t.Run("but a wrong PIN has cost a retry and is told", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wants(t, fido.NewDevices(answers{err: op(0x31, "")}).Select(ctx, k, time.Second), fido.ErrPINInvalid)
	})
}
