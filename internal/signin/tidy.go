package signin

import (
	"context"
	"fmt"

	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

// Tidy removes what has ended and counts for nothing any more: grants that have expired, waits and blocks that
// are over. It says how many there were.
func (e *Engine) Tidy(ctx context.Context) (n int, err error) {
	now := e.cfg.Clock.Moment()
	err = e.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		grants, err := grant.Prune(tx, now.Wall)
		if err != nil {
			return err
		}
		waits, err := throttle.Prune(tx, now)
		n = grants + waits
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("cannot remove what has ended: %w", err)
	}
	return n, nil
}
