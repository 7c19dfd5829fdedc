package throttle

import (
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

// Again begins a wait anew, as long as it was, because w asked once more while it lasted: who goes on
// trying goes on waiting, and the person hears of it once. It does nothing where there is no wait.
func Again(tx *store.Tx, w Who, now clock.Moment) error {
	last, there, err := find(tx, w.UID, waitOf(w))
	if err != nil || !there || last.left(now) == 0 {
		return err
	}
	return put(tx, w.UID, waitOf(w), last.Hold, now)
}
