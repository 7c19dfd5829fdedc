package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// keeper is one in memory.
type keeper struct {
	kind  vault.SlotType
	where string

	mu   sync.Mutex
	key  []byte
	away error           // what all calls fail with
	hook func(op string) // runs after a call has done its work, without the lock
	asks int             // Get calls
}

func newKeeper(t vault.SlotType) *keeper { return &keeper{kind: t, where: "the " + string(t)} }

func (k *keeper) Type() vault.SlotType { return k.kind }
func (k *keeper) Where() string        { return k.where }

func (k *keeper) Get(context.Context) (*secret.Secret, error) {
	defer k.ran("get")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asks++
	switch {
	case k.away != nil:
		return nil, k.away
	case k.key == nil:
		return nil, vault.ErrNoKey
	}
	return secret.New(bytes.Clone(k.key)), nil
}

func (k *keeper) Put(_ context.Context, key *secret.Secret) error {
	defer k.ran("put")
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.away != nil:
		return k.away
	case k.key != nil:
		return vault.ErrKept
	}
	k.key = bytes.Clone(key.Reveal())
	return nil
}

func (k *keeper) Delete(context.Context) error {
	defer k.ran("delete")
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away != nil {
		return k.away
	}
	k.key = nil
	return nil
}

func (k *keeper) ran(op string) {
	k.mu.Lock()
	hook := k.hook
	k.mu.Unlock()
	if hook != nil {
		hook(op)
	}
}

func (k *keeper) set(f func(*keeper)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

func (k *keeper) holds() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.key)
}

// rig is a vault in a fresh database, with a key file and a secret service in memory.
type rig struct {
	*vault.Vault
	t       *testing.T
	store   *store.Store
	service *keeper
	file    *keeper
	log     bytes.Buffer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, service: newKeeper(vault.TypeSecretService), file: newKeeper(vault.TypeKeyFile)}
	r.store = openStore(t, filepath.Join(t.TempDir(), "fob.db"))
	r.Vault = r.again(r.service, r.file)
	return r
}

// opened is newRig with the vault made and open.
func opened(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// again is a second vault on the same database, as after a restart.
func (r *rig) again(keepers ...vault.Keeper) *vault.Vault {
	r.t.Helper()
	return r.made(vault.Options{Keepers: keepers})
}

// timed is again without keepers, and with a clock of its own.
func (r *rig) timed(boot func() time.Duration) *vault.Vault {
	r.t.Helper()
	return r.made(vault.Options{Boot: boot})
}

func (r *rig) made(o vault.Options) *vault.Vault {
	r.t.Helper()
	o.Store = r.store
	o.Log = slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v, err := vault.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return vault.Cheap(v)
}

func (r *rig) status(v *vault.Vault) vault.Status {
	r.t.Helper()
	var s vault.Status
	err := r.store.View(func(tx *store.Tx) (err error) {
		s, err = v.Status(tx)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// commit applies a change and tells it how that went.
func (r *rig) commit(c *vault.Change) error {
	err := r.store.Update(r.t.Context(), c.Apply)
	c.Done(r.t.Context(), err == nil)
	return err
}

// add adds a slot, and gives its id and what opens it.
func (r *rig) add(spec vault.SlotSpec) (id string, opens *secret.Secret) {
	r.t.Helper()
	c, err := r.PrepareAdd(r.t.Context(), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.commit(c); err != nil {
		r.t.Fatal(err)
	}
	if opens = c.Recovery(); opens == nil {
		opens = spec.Passphrase
	}
	return c.Slot().ID, opens
}

// idOf is the id of the one slot of a type.
func (r *rig) idOf(t vault.SlotType) string {
	r.t.Helper()
	var ids []string
	for _, s := range r.status(r.Vault).Slots {
		if s.Type == t {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) != 1 {
		r.t.Fatalf("there are %d slots of type %s", len(ids), t)
	}
	return ids[0]
}

func dataKey(t *testing.T, v *vault.Vault) []byte {
	t.Helper()
	k, err := v.DataKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Reveal()
}

// word is a passphrase.
func word(s string) *secret.Secret { return secret.New([]byte(s)) }

const passphrase = "a horse, of course"

// raw is a slot's record as it is kept.
func (r *rig) raw(id string) (raw json.RawMessage) {
	r.t.Helper()
	err := r.store.View(func(tx *store.Tx) (err error) {
		raw, err = vault.Bucket.Get(tx, []byte(id))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

// spoil puts raw under id, or removes what is there if raw is nil.
func (r *rig) spoil(id string, raw []byte) {
	r.t.Helper()
	err := r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		if raw == nil {
			return vault.Bucket.Delete(tx, []byte(id))
		}
		return vault.Bucket.Put(tx, []byte(id), raw)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}
