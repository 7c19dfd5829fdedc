package signin_test

import (
	"bytes"
	"context"
	"sync"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// memory keeps the key of a vault's slot for as long as a test runs.
type memory struct {
	mu  sync.Mutex
	key []byte
}

func (*memory) Type() vault.SlotType { return vault.TypeKeyFile }
func (*memory) Where() string        { return "memory" }

func (m *memory) Get(context.Context) (*secret.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key == nil {
		return nil, vault.ErrNoKey
	}
	return secret.New(bytes.Clone(m.key)), nil
}

func (m *memory) Put(_ context.Context, key *secret.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key != nil {
		return vault.ErrKept
	}
	m.key = bytes.Clone(key.Reveal())
	return nil
}

func (m *memory) Delete(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.key = nil
	return nil
}
