package signin

import (
	"time"

	"github.com/fobproject/fob/internal/caller"
)

// load is what one uid keeps the engine busy with.
type load struct {
	asked   []*Request // pending, of which this uid is the user
	foreign int        // pending, begun by this uid for other users
	// A bucket of tokens: each beginning takes one, and they come back with time.
	left float64
	seen time.Duration // on the boot clock, when left was right
}

// How often an ordinary user of the system instance may begin requests: a burst, and then a second.
const (
	burst = 40
	rate  = 20
	// manyLoads is from how many loads on those that say nothing are looked for.
	manyLoads = 256
)

// loadOf finds or makes a uid's load. The caller holds e.mu.
func (e *Engine) loadOf(uid uint32) *load {
	l := e.loads[uid]
	if l == nil {
		if len(e.loads) >= manyLoads {
			for uid := range e.loads {
				e.trim(uid)
			}
		}
		l = &load{left: burst, seen: e.cfg.Clock.Boot()}
		e.loads[uid] = l
	}
	return l
}

// trim forgets a load that says nothing. The caller holds e.mu.
func (e *Engine) trim(uid uint32) {
	if l := e.loads[uid]; l != nil && len(l.asked) == 0 && l.foreign == 0 && l.refill(e.cfg.Clock.Boot()) >= burst {
		delete(e.loads, uid)
	}
}

// refill gives the tokens that are there now.
func (l *load) refill(now time.Duration) float64 {
	l.left = min(l.left+max(now-l.seen, 0).Seconds()*rate, burst)
	l.seen = now
	return l.left
}

// mayBegin keeps one user's flood from the others: root, and the owner of a user instance, harm only
// those whom they could harm anyway.
func (e *Engine) mayBegin(c caller.Caller) error {
	if !e.cfg.System || c.UID == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Clock.Boot()
	if l := e.loadOf(c.UID); l.refill(now) >= 1 {
		l.left--
		return nil
	}
	return ErrTooFast
}
