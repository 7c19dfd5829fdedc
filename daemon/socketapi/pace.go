package socketapi

import (
	"maps"
	"sync"
	"time"
)

// A user of a door that is everybody's brings so many bytes a second, whatever connections they come by,
// after a first burst. Each read counts as something, so that many small ones are not free. What is within
// that never waits; a flood does, where it is read, before it costs more.
const (
	paceRate  = 64 << 10
	paceBurst = 256 << 10
	paceRead  = 256
	// manyPaces is from how many users on those that owe nothing are forgotten.
	manyPaces = 256
)

// paces counts what each user brings. The zero value is ready, and safe for concurrent use.
type paces struct {
	mu    sync.Mutex
	users map[uint32]*pace
}

type pace struct {
	left float64   // bytes that may come without waiting; less than nothing is owed
	seen time.Time // when left was right
}

// refill gives what may come now.
func (p *pace) refill(now time.Time) float64 {
	p.left = min(p.left+now.Sub(p.seen).Seconds()*paceRate, paceBurst)
	p.seen = now
	return p.left
}

// brought counts n bytes of a user's, and says for how long the next ones wait.
func (p *paces) brought(uid uint32, n int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[uid]
	if u == nil {
		if len(p.users) >= manyPaces {
			maps.DeleteFunc(p.users, func(_ uint32, u *pace) bool { return u.refill(now) >= paceBurst })
		}
		if p.users == nil {
			p.users = make(map[uint32]*pace)
		}
		u = &pace{left: paceBurst, seen: now}
		p.users[uid] = u
	}
	u.refill(now)
	u.left -= float64(max(n, paceRead))
	if u.left >= 0 {
		return 0
	}
	return time.Duration(-u.left / paceRate * float64(time.Second))
}
