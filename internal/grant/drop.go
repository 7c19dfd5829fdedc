package grant

import (
	"errors"
	"time"

	"github.com/fobproject/fob/internal/store"
)

// Revoke takes a grant of the user away and returns what it was, or ErrNotFound. Of one that cannot be
// read, ID and UID alone are known.
func Revoke(tx *store.Tx, uid uint32, id string) (Grant, error) {
	g, err := bucket.Get(tx, key(uid, id))
	switch {
	case id == "" || errors.Is(err, store.ErrNotFound):
		return Grant{}, ErrNotFound
	case errors.Is(err, store.ErrDamaged):
		g = Grant{ID: id, UID: uid}
	case err != nil:
		return Grant{}, err
	}
	return g, bucket.Delete(tx, key(uid, id))
}

// DropAll takes all grants of the user away.
func DropAll(tx *store.Tx, uid uint32) (n int, err error) {
	return drop(tx, key(uid, ""), func(Grant) bool { return true })
}

// DropMethod takes the user's grants away that the method approved.
func DropMethod(tx *store.Tx, uid uint32, method string) (n int, err error) {
	return drop(tx, key(uid, ""), func(g Grant) bool { return g.Method == method })
}

// DropFrom takes the user's grants away that hold for the origin, whatever the SSH key, and those that hold
// for the SSH key, wherever it came from. An empty one stands for none.
func DropFrom(tx *store.Tx, uid uint32, origin, sshKey string) (n int, err error) {
	return drop(tx, key(uid, ""), func(g Grant) bool {
		return origin != "" && g.Origin == origin || sshKey != "" && g.SSHKey == sshKey
	})
}

// Clear takes everybody's grants away, as a backup that was put in place demands.
func Clear(tx *store.Tx) (n int, err error) {
	return drop(tx, nil, func(Grant) bool { return true })
}

// Prune takes everybody's expired grants away.
func Prune(tx *store.Tx, now time.Time) (n int, err error) {
	return drop(tx, nil, func(g Grant) bool { return g.expired(now) })
}

// drop takes away what is chosen, and with it what cannot be read: in doubt a grant has ended.
func drop(tx *store.Tx, prefix []byte, chosen func(Grant) bool) (n int, err error) {
	return bucket.Drop(tx, prefix, func(item store.Item[Grant]) bool { return inPlace(item) && !chosen(item.Value) })
}
