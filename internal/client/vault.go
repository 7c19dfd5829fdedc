package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/fobproject/fob/internal/api"
)

// Vault says how the vault is, and by what it can be opened.
func (c *Client) Vault(ctx context.Context) (api.Vault, error) {
	return get[api.Vault](ctx, c, callTimeout, "vault")
}

// LockVault makes the daemon forget the vault's key.
func (c *Client) LockVault(ctx context.Context) error {
	_, err := call[json.RawMessage](ctx, c, callTimeout, http.MethodPost, nil, nil, "vault", "lock")
	return err
}

// UnlockVault opens the vault by a passphrase or the recovery key, which is the caller's to wipe; where
// by is empty what opens it by itself is tried again.
func (c *Client) UnlockVault(ctx context.Context, by api.Secret) error {
	_, err := call[json.RawMessage](ctx, c, unlockTimeout, http.MethodPost, nil, api.Unlock{By: by}, "vault", "unlock")
	return err
}

// Restore is a backup on its way into a daemon that has nothing yet. Nothing is restored before Commit.
// It is for one goroutine, and ends with Commit or Abort.
type Restore struct{ up *upload }

// Restore begins to restore a backup. The key in head is wiped. Ending ctx breaks it off.
func (c *Client) Restore(ctx context.Context, head api.BackupHead) (*Restore, error) {
	defer head.DataKey.Wipe()
	up, err := c.upload(ctx, "vault", "restore")
	if err != nil {
		return nil, err
	}
	r := &Restore{up}
	if err := up.first(api.RestoreLine{Backup: &head}); err != nil {
		return nil, r.refused(err)
	}
	return r, nil
}

// Add passes on a record. Where the daemon has refused the backup meanwhile it fails with the daemon's
// error, and it is over.
func (r *Restore) Add(record api.BackupRecord) error {
	return r.refused(r.up.line(api.RestoreLine{Record: &record}))
}

// refused is err, or, where the daemon answered before it was asked to, what it answered.
func (r *Restore) refused(err error) error {
	if early, ok := errors.AsType[*earlyReply](err); ok {
		return early.refusal()
	}
	return err
}

// Commit has the backup restored, and says what it brought. Where the answer does not come it is not
// known whether it was restored: then the error is ErrLost.
func (r *Restore) Commit() (api.Restored, error) {
	reply, err := r.up.commit(api.RestoreLine{Commit: true})
	if err != nil {
		return api.Restored{}, err
	}
	return decodeReply[api.Restored](reply)
}

// Abort ends it; nothing is restored unless Commit was called.
func (r *Restore) Abort() { r.up.abort() }
