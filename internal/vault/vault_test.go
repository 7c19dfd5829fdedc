package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

func TestOpen(t *testing.T) {
	t.Run("makes a vault whose key is with the first keeper, and opens it again after a restart", func(t *testing.T) {
		r := newRig(t)
		if s := r.status(r.Vault); s.State != vault.StateNone || len(s.Slots) != 0 {
			t.Errorf("before, there is %+v", s)
		}
		if err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(r.service.holds()) != 32 || r.file.holds() != nil {
			t.Error("the key is not in the secret service alone")
		}
		s := r.status(r.Vault)
		if s.State != vault.StateOpen || s.Where != r.service.where || s.HasRecovery || len(s.Slots) != 1 || s.Slots[0].Type != vault.TypeSecretService || s.Slots[0].Where != s.Where || s.Slots[0].Damaged {
			t.Errorf("there is %+v", s)
		}
		v := r.again(r.service, r.file)
		if s := r.status(v); s.State != vault.StateSealed || s.Problem != "" {
			t.Errorf("after a restart, there is %+v", s)
		}
		if err := v.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dataKey(t, v), dataKey(t, r.Vault)) || bytes.Equal(dataKey(t, v), r.service.holds()) {
			t.Error("the data key is another, or not sealed")
		}
	})
	t.Run("takes the next keeper where the first is away", func(t *testing.T) {
		r := newRig(t)
		r.service.away = fmt.Errorf("%w: the keyring is locked", vault.ErrKeeperAway)
		if err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.status(r.Vault); s.Where != r.file.where {
			t.Errorf("there is %+v", s)
		}
	})
	t.Run("makes nothing where no keeper takes the key", func(t *testing.T) {
		r := newRig(t)
		r.service.away, r.file.away = vault.ErrKeeperAway, errors.New("others can read it")
		err := r.Open(t.Context())
		if !errors.Is(err, vault.ErrKeeperAway) || !strings.Contains(err.Error(), "the key-file: others can read it") {
			t.Error(err)
		}
		s := r.status(r.Vault)
		if s.State != vault.StateNone || s.Problem != err.Error() {
			t.Errorf("there is %+v", s)
		}
	})
	t.Run("uses a key that is there, and never replaces it", func(t *testing.T) {
		r := newRig(t)
		r.service.key = bytes.Repeat([]byte{7}, 32)
		if err := r.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.service.holds()[0] != 7 {
			t.Error("the key was replaced")
		}
	})
	t.Run("makes one vault for many who open at once, and asks once", func(t *testing.T) {
		r := newRig(t)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if err := r.Open(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s := r.status(r.Vault); len(s.Slots) != 1 || r.service.asks != 1 {
			t.Errorf("there are %d slots after %d asks", len(s.Slots), r.service.asks)
		}
	})
	t.Run("waits for a keeper that hangs once, however many wait", func(t *testing.T) {
		r := opened(t)
		v := r.again(r.service)
		r.service.asks = 0
		waiting, release := make(chan struct{}), make(chan struct{})
		r.service.set(func(k *keeper) {
			k.away = vault.ErrKeeperAway
			k.hook = func(string) { close(waiting); <-release }
		})
		errs := make(chan error, 8)
		go func() { errs <- v.Open(t.Context()) }()
		<-waiting
		for range 7 {
			go func() { errs <- v.Open(t.Context()) }()
		}
		time.Sleep(50 * time.Millisecond) // most of them are waiting by now; those who are not ask themselves
		r.service.set(func(k *keeper) { k.hook = nil })
		close(release)
		for range 8 {
			if err := <-errs; !errors.Is(err, vault.ErrSealed) || !errors.Is(err, vault.ErrKeeperAway) {
				t.Error(err)
			}
		}
		if r.service.asks > 2 {
			t.Errorf("the keeper was asked %d times", r.service.asks)
		}
	})
	t.Run("stops when its context ends, and who waited for it tries itself", func(t *testing.T) {
		r := opened(t)
		v := r.again(r.service)
		leaving, cancel := context.WithCancel(t.Context())
		waiting, release := make(chan struct{}), make(chan struct{})
		r.service.hook = func(string) { close(waiting); <-release }
		left, stays := make(chan error, 1), make(chan error, 1)
		go func() { left <- v.Open(leaving) }()
		<-waiting
		r.service.set(func(k *keeper) { k.hook = nil })
		go func() { stays <- v.Open(t.Context()) }()
		gone, end := context.WithTimeout(t.Context(), 50*time.Millisecond) // by then the other waits
		defer end()
		if err := v.Open(gone); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		close(release)
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-stays; err != nil {
			t.Error(err)
		}
	})
	t.Run("leaves a key that nothing uses where it dies before the commit, and uses it the next time", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		s := openStore(t, path)
		k := newKeeper(vault.TypeKeyFile)
		k.hook = func(op string) {
			if op == "put" {
				s.Close()
			}
		}
		dying, err := vault.New(vault.Options{Store: s, Keepers: []vault.Keeper{k}})
		if err != nil {
			t.Fatal(err)
		}
		if err := dying.Open(t.Context()); !errors.Is(err, store.ErrClosed) {
			t.Fatal(err)
		}
		if _, err := dying.DataKey(); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("it is open: %v", err)
		}
		left := k.holds()
		k.hook = nil
		next, err := vault.New(vault.Options{Store: openStore(t, path), Keepers: []vault.Keeper{k}})
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Open(t.Context()); err != nil || len(left) != 32 || !bytes.Equal(left, k.holds()) {
			t.Errorf("%v; the key was %d bytes and is another: %t", err, len(left), !bytes.Equal(left, k.holds()))
		}
	})
	t.Run("stays locked where Lock comes in between", func(t *testing.T) {
		r := opened(t)
		v := r.again(r.service)
		r.service.hook = func(string) { v.Lock() }
		if err := v.Open(t.Context()); !errors.Is(err, vault.ErrSealed) {
			t.Error(err)
		}
		if _, err := v.DataKey(); !errors.Is(err, vault.ErrSealed) {
			t.Error(err)
		}
	})
	t.Run("opens once a keeper is back", func(t *testing.T) {
		r := opened(t)
		v := r.again(r.service)
		r.service.away = vault.ErrKeeperAway
		if err := v.Open(t.Context()); !errors.Is(err, vault.ErrSealed) {
			t.Error(err)
		}
		r.service.away = nil
		if err := v.Open(t.Context()); err != nil || r.status(v).Problem != "" {
			t.Errorf("%v, %+v", err, r.status(v))
		}
	})
}

func TestNew(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "fob.db"))
	for name, o := range map[string]vault.Options{
		"no store":                {},
		"a keeper of passphrases": {Store: s, Keepers: []vault.Keeper{newKeeper(vault.TypePassphrase)}},
		"a keeper of nothing":     {Store: s, Keepers: []vault.Keeper{newKeeper("")}},
		"two key files":           {Store: s, Keepers: []vault.Keeper{newKeeper(vault.TypeKeyFile), newKeeper(vault.TypeKeyFile)}},
	} {
		if _, err := vault.New(o); err == nil {
			t.Errorf("accepts %s", name)
		}
	}
}
