package recovery

import (
	"errors"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

// IssuedTo gives the one-time code that the user has, and false if there is none or it has expired.
func IssuedTo(tx *store.Tx, uid uint32, now clock.Moment) (Issued, bool, error) {
	kept, err := issues.Get(tx, issueKey(uid))
	if errors.Is(err, store.ErrNotFound) {
		return Issued{}, false, nil
	}
	if err != nil {
		return Issued{}, false, err
	}
	holds, err := kept.holds(tx, now)
	if err != nil || !holds {
		return Issued{}, false, err
	}
	return kept.Issued, true, nil
}
