package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/internal/testbus"
	"github.com/fobproject/fob/internal/vault"
)

// all runs all three methods, Get last.
func all(ctx context.Context, s keyring.SecretService) map[string]error {
	put, del := s.Put(ctx, aKey(2)), s.Delete(ctx)
	_, get := s.Get(ctx)
	return map[string]error{"Put": put, "Delete": del, "Get": get}
}

func TestSecretService(t *testing.T) {
	good, other := textOf(aKey(1)), textOf(aKey(9))
	t.Run("works with a service that cannot encrypt, and with one that is unlocked without a person", func(t *testing.T) {
		for _, f := range []*fake{{}, {locked: true}, {aliases: map[string]dbus.ObjectPath{"default": fakeCollection, "session": "/x"}}} {
			s := keyring.SecretService{Address: testbus.New(t).Address, InstanceID: "x"}
			f.serve(t, s.Address)
			if err := s.Put(t.Context(), aKey(1)); err != nil {
				t.Fatal(err)
			}
			if key, err := s.Get(t.Context()); err != nil || !bytes.Equal(key.Reveal(), aKey(1).Reveal()) {
				t.Error(err)
			}
			if err := s.Put(t.Context(), aKey(2)); !errors.Is(err, vault.ErrKept) {
				t.Error(err)
			}
			if err := s.Delete(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.Get(t.Context()); !errors.Is(err, vault.ErrNoKey) {
				t.Error(err)
			}
		}
	})
	for _, tt := range []struct {
		name  string
		f     *fake
		holds []string
		op    string
		want  error
		says  string
	}{
		{"takes two items with one key for one", &fake{}, []string{good, good}, "Get", nil, ""},
		{"does not choose among two keys", &fake{}, []string{good, other}, "Get", keyring.ErrAmbiguous, "several keys"},
		{"does not read a hundred items", &fake{}, strings.Split(strings.Repeat("x", 100), ""), "Get", keyring.ErrAmbiguous, "several keys"},
		{"removes all keys of two", &fake{}, []string{good, other}, "Delete", nil, ""},
		{"refuses another text", &fake{}, []string{"hunter2"}, "Get", keyring.ErrBadKey, "no key of Fob"},
		{"refuses a text without end", &fake{}, []string{good + strings.Repeat("x", 1<<20)}, "Get", keyring.ErrBadKey, "no key of Fob"},
		{"puts nothing beside another text", &fake{}, []string{"hunter2"}, "Put", vault.ErrKept, "not replaced"},
		{"lets nobody be asked to unlock", &fake{locked: true, prompts: map[string]bool{"Unlock": true}}, []string{good}, "Get", vault.ErrKeeperAway, "the keyring is locked"},
		{"lets nobody be asked to put", &fake{prompts: map[string]bool{"CreateItem": true}}, nil, "Put", vault.ErrKeeperAway, "wants to ask"},
		{"lets nobody be asked to delete", &fake{prompts: map[string]bool{"Delete": true}}, []string{good}, "Delete", vault.ErrKeeperAway, "wants to ask"},
		{"notices that nothing was unlocked", &fake{locked: true, prompts: map[string]bool{"nothing": true}}, []string{good}, "Get", vault.ErrKeeperAway, "the keyring is locked"},
		{"puts nothing where there is no keyring", &fake{aliases: map[string]dbus.ObjectPath{}}, nil, "Put", vault.ErrKeeperAway, "no default keyring"},
		{"puts nothing into a keyring that ends with the session", &fake{aliases: map[string]dbus.ObjectPath{"default": "/x", "session": "/x"}}, nil, "Put", vault.ErrKeeperAway, "no default keyring"},
		{"survives a keyring that is not there", &fake{aliases: map[string]dbus.ObjectPath{"default": "/nowhere"}}, nil, "Get", vault.ErrKeeperAway, ""},
		{"refuses half a key exchange", agreeing(dbus.MakeVariant([]byte{1})), []string{good}, "Get", vault.ErrKeeperAway, "public key"},
		{"refuses a key exchange of another type", agreeing(dbus.MakeVariant(7)), []string{good}, "Get", vault.ErrKeeperAway, "public key"},
		{"refuses a key exchange without end", agreeing(dbus.MakeVariant(make([]byte, 1<<20))), []string{good}, "Get", vault.ErrKeeperAway, "public key"},
		{"refuses what was not encrypted although that was agreed on", agreeing(dbus.MakeVariant([]byte{5})), []string{good}, "Get", vault.ErrKeeperAway, "cannot be decrypted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := keyring.SecretService{Address: testbus.New(t).Address, InstanceID: "x", Timeout: time.Minute} // none of these is about time
			tt.f.serve(t, s.Address, tt.holds...)
			var err error
			switch tt.op {
			case "Get":
				_, err = s.Get(t.Context())
			case "Put":
				err = s.Put(t.Context(), aKey(2))
			case "Delete":
				err = s.Delete(t.Context())
			}
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it gives %v", err)
			}
			if n := tt.f.dismissed.Load(); (n == 1) != (tt.f.prompts != nil && !tt.f.prompts["nothing"]) {
				t.Errorf("%d prompts were dismissed", n)
			}
			if left := tt.f.left(); tt.op == "Delete" && (left == 0) != (err == nil) || tt.op != "Delete" && left != len(tt.holds) {
				t.Errorf("%d items are left", left)
			}
		})
	}
	t.Run("is away at once where there is no bus, no service, or one that cannot be started", func(t *testing.T) {
		dir := shortDir(t)
		service := "[D-BUS Service]\nName=" + serviceName + "\nExec=/bin/false\n"
		if err := os.WriteFile(filepath.Join(dir, "x.service"), []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, address := range map[string]string{
			"no address":                       "",
			"an address of another kind":       "tcp:host=localhost,port=1",
			"a program for an address":         "unixexec:path=/bin/sh",
			"no bus":                           "unix:path=" + filepath.Join(dir, "nowhere"),
			"no service":                       testbus.New(t).Address,
			"a service that cannot be started": busWith(t, dir),
		} {
			start := time.Now()
			for method, err := range all(t.Context(), keyring.SecretService{Address: address, InstanceID: "x"}) {
				if !errors.Is(err, vault.ErrKeeperAway) {
					t.Errorf("%s: %s gives %v", name, method, err)
				}
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%s: that took %v", name, took)
			}
		}
	})
	t.Run("starts a service that can be started", func(t *testing.T) {
		g := &gnome{t: t, home: shortDir(t)}
		dir := shortDir(t)
		service := "[D-BUS Service]\nName=" + serviceName + "\nExec=/usr/bin/env " + strings.Join(g.env(), " ") + " gnome-keyring-daemon --foreground --components=secrets\n"
		if err := os.WriteFile(filepath.Join(dir, "x.service"), []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
		needGNOME(t)
		_, err := keyring.SecretService{Address: busWith(t, dir), InstanceID: "x"}.Get(t.Context())
		if !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "no default keyring") {
			t.Error(err)
		}
	})
	const timeout = 100 * time.Millisecond
	inTime := func(t *testing.T, s keyring.SecretService) {
		t.Helper()
		start := time.Now()
		for method, err := range all(t.Context(), s) {
			if !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "did not answer within 100ms") {
				t.Errorf("%s gives %v", method, err)
			}
		}
		if took := time.Since(start); took > 3*timeout+2*time.Second {
			t.Errorf("that took %v", took)
		}
	}
	for _, method := range []string{"OpenSession", "SearchItems", "ReadAlias", "Unlock"} {
		t.Run("gives up a service that hangs in "+method, func(t *testing.T) {
			s := keyring.SecretService{Address: testbus.New(t).Address, InstanceID: "x", Timeout: timeout}
			(&fake{hangAt: method, locked: true}).serve(t, s.Address)
			inTime(t, s)
		})
	}
	t.Run("gives up a service that hangs while it is started", func(t *testing.T) {
		dir := shortDir(t)
		service := "[D-BUS Service]\nName=" + serviceName + "\nExec=/usr/bin/sleep 3\n"
		if err := os.WriteFile(filepath.Join(dir, "x.service"), []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
		inTime(t, keyring.SecretService{Address: busWith(t, dir), InstanceID: "x", Timeout: timeout})
	})
	t.Run("gives up a bus that hangs", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "bus")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		inTime(t, keyring.SecretService{Address: "unix:path=" + path, InstanceID: "x", Timeout: timeout})
	})
	t.Run("stops when its context ends", func(t *testing.T) {
		s := keyring.SecretService{Address: testbus.New(t).Address, InstanceID: "x"}
		(&fake{hangAt: "SearchItems"}).serve(t, s.Address)
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if _, err := s.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, vault.ErrKeeperAway) {
			t.Error(err)
		}
	})
}

func agreeing(v dbus.Variant) *fake { return &fake{agree: &v} }

// busWith is the address of a bus that can start the services in a folder.
func busWith(t *testing.T, services string) string {
	t.Helper()
	b, err := testbus.Start(shortDir(t), services)
	if errors.Is(err, testbus.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Address
}

// shortDir is a folder for sockets: t.TempDir's names are too long for their paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob-keyring")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
