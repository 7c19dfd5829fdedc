package logind

import (
	"context"
	"slices"
	"sync"
)

// Bounds of the questions that are asked at a time. The bus lets a connection wait for 128 replies if
// nothing else is configured, and a question waits for up to maxReplies.
const (
	maxAsked       = 24
	maxAskedOfUser = 6 // of a user other than root
	askedForRoot   = 4 // of maxAsked, that others do not get
)

// turns gives questions their turn: in the order in which they came, but for those of a user who has
// too many under way already. The zero value is ready; the methods are safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	taken   int
	ofUser  map[uint32]int
	waiting []*turn // oldest first
}

type turn struct {
	uid  uint32
	come chan struct{} // closed when it has
}

// take waits for a turn of a user's, which must be given back, or until ctx ends.
func (t *turns) take(ctx context.Context, uid uint32) error {
	w := &turn{uid: uid, come: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.next()
	t.mu.Unlock()
	select {
	case <-w.come:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.waiting, w)
	if at < 0 {
		return nil // it came just then
	}
	t.waiting = slices.Delete(t.waiting, at, at+1)
	return ctx.Err()
}

// give gives a turn back.
func (t *turns) give(uid uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.ofUser[uid]--; t.ofUser[uid] == 0 {
		delete(t.ofUser, uid)
	}
	t.next()
}

// next lets those go on for whom there is room.
func (t *turns) next() {
	t.waiting = slices.DeleteFunc(t.waiting, func(w *turn) bool {
		if !t.room(w.uid) {
			return false
		}
		if t.ofUser == nil {
			t.ofUser = make(map[uint32]int)
		}
		t.taken++
		t.ofUser[w.uid]++
		close(w.come)
		return true
	})
}

func (t *turns) room(uid uint32) bool {
	if uid == 0 {
		return t.taken < maxAsked
	}
	return t.taken < maxAsked-askedForRoot && t.ofUser[uid] < maxAskedOfUser
}
