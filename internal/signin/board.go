package signin

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/fobproject/fob/internal/method"
)

// eventBacklog is how many changes a subscriber may be behind before it is dropped.
const eventBacklog = 256

// board holds what is pending, as its user may see it, and tells subscribers of each change.
//
// The zero value is ready. All methods are safe for concurrent use.
type board struct {
	mu     sync.Mutex
	views  map[string]View // pending requests by id
	subs   map[*Subscription]struct{}
	closed bool
}

// Subscription is one reader of changes.
type Subscription struct {
	// Requests and Methods are the state at the moment of subscription.
	Requests []View
	Methods  []method.Method

	b      *board
	uid    uint32
	events chan Event
	lagged bool // guarded by b.mu
}

// Events gives the changes after the snapshot, in order. It is closed by Close, when the reader was
// too slow (then Lagged reports true), and when the engine shuts down.
func (s *Subscription) Events() <-chan Event { return s.events }

// Lagged reports whether the subscription was dropped because its reader was too slow.
func (s *Subscription) Lagged() bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.lagged
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.drop(s)
}

// subscribe adds a reader of the user's changes. methods reads the user's methods; it is called
// with the board held, so that no change falls between the snapshot and the first event.
func (b *board) subscribe(uid uint32, methods func() ([]method.Method, error)) (*Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrShuttingDown
	}
	ms, err := methods()
	if err != nil {
		return nil, err
	}
	s := &Subscription{Requests: b.list(uid), Methods: ms, b: b, uid: uid, events: make(chan Event, eventBacklog)}
	if b.subs == nil {
		b.subs = make(map[*Subscription]struct{})
	}
	b.subs[s] = struct{}{}
	return s, nil
}

// show tells of a request's new state; a decided request leaves the board.
func (b *board) show(v View) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.Pending() {
		if b.views == nil {
			b.views = make(map[string]View)
		}
		b.views[v.ID] = v
	} else {
		delete(b.views, v.ID)
	}
	b.tell(v.UID, Event{Request: &v})
}

// methodsChanged tells of the user's methods after a change.
func (b *board) methodsChanged(uid uint32, ms []method.Method) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell(uid, Event{Methods: ms, MethodsChanged: true})
}

// logged tells that the log has grown, those whose it is.
func (b *board) logged(seq uint64, uids ...uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, uid := range uids {
		b.tell(uid, Event{LogSeq: seq})
	}
}

// pending gives the user's pending requests, those begun by root first, then the oldest.
func (b *board) pending(uid uint32) []View {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list(uid)
}

// close ends all subscriptions, and refuses new ones.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		b.drop(s)
	}
}

// tell hands an event to the user's subscribers. The caller holds b.mu.
func (b *board) tell(uid uint32, e Event) {
	for s := range b.subs {
		if s.uid != uid {
			continue
		}
		select {
		case s.events <- e:
		default:
			s.lagged = true
			b.drop(s)
		}
	}
}

// drop closes a subscription. The caller holds b.mu.
func (b *board) drop(s *Subscription) {
	if _, ok := b.subs[s]; ok {
		delete(b.subs, s)
		close(s.events)
	}
}

// list is pending with b.mu held.
func (b *board) list(uid uint32) []View {
	all := slices.DeleteFunc(slices.Collect(maps.Values(b.views)), func(v View) bool { return v.UID != uid })
	slices.SortFunc(all, func(a, b View) int {
		if root := a.CallerUID == 0; root != (b.CallerUID == 0) {
			if root {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Begun.Compare(b.Begun), strings.Compare(a.ID, b.ID))
	})
	return all
}
