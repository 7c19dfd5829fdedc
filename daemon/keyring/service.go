package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

// defaultTimeout bounds a call where SecretService says nothing.
const defaultTimeout = 5 * time.Second

// SecretService keeps the key in the desktop's keyring, by way of the Secret Service API 0.2: GNOME's
// keyring, KWallet and others speak it. It never lets the service ask a person: what needs one, as an
// unlocking does, fails with vault.ErrKeeperAway. It implements vault.Keeper.
//
// The session bus is the user's own: whoever owns the service's name there is a program of the user's,
// and could as well read the user's files. Which program it is, is not checked.
type SecretService struct {
	// Address of the session bus, which begins with "unix:".
	Address string
	// InstanceID tells the vault's key from other vaults'.
	InstanceID string
	// Timeout bounds each of Get, Put and Delete; 0 is 5 seconds.
	Timeout time.Duration
}

// Type implements vault.Keeper.
func (SecretService) Type() vault.SlotType { return vault.TypeSecretService }

// Where names the place.
func (SecretService) Where() string { return "the secret service" }

// Get gives the key. Beside vault.ErrNoKey and vault.ErrKeeperAway it fails with ErrBadKey and
// ErrAmbiguous.
func (s SecretService) Get(ctx context.Context) (key *secret.Secret, err error) {
	err = s.use(ctx, func(c *client) error {
		key, err = c.get()
		return err
	})
	return key, err
}

// Put keeps the key in the default keyring, and reads it back.
func (s SecretService) Put(ctx context.Context, key *secret.Secret) error {
	return s.use(ctx, func(c *client) error {
		_, collection, err := c.look()
		switch {
		case err == nil:
			return vault.ErrKept
		case !errors.Is(err, vault.ErrNoKey):
			return err
		}
		if err := c.create(collection, key); err != nil {
			return err
		}
		again, err := c.get()
		defer again.Wipe()
		if err == nil && !bytes.Equal(again.Reveal(), key.Reveal()) {
			err = errors.New("the keyring did not keep the key as it was given")
		}
		return err
	})
}

// Delete removes the key, all of them if there are several.
func (s SecretService) Delete(ctx context.Context) error {
	return s.use(ctx, func(c *client) error {
		items, _, err := c.look()
		if errors.Is(err, vault.ErrNoKey) {
			return nil
		}
		for _, item := range items {
			err = errors.Join(err, c.delete(item))
		}
		return err
	})
}

// use connects, and makes of whatever goes wrong with the service an ErrKeeperAway.
func (s SecretService) use(ctx context.Context, f func(*client) error) error {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := connect(bounded, s)
	if err == nil {
		defer c.close()
		err = f(c)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		return fmt.Errorf("%w: it did not answer within %v", vault.ErrKeeperAway, timeout)
	}
	for _, known := range []error{vault.ErrKeeperAway, vault.ErrNoKey, vault.ErrKept, ErrBadKey, ErrAmbiguous} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", vault.ErrKeeperAway, err)
}
