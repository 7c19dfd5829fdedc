package signin

import (
	"fmt"
	"time"
)

// CheckReceipt is what VerifyLog asks of each receipt.
var CheckReceipt = checkReceipt

// Left says what the engine still holds of requests; empty if nothing.
func (e *Engine) Left() (held []string) {
	e.mu.Lock()
	if n := len(e.requests); n > 0 {
		held = append(held, fmt.Sprintf("%d requests", n))
	}
	for uid, l := range e.loads {
		if len(l.asked) > 0 || l.foreign != 0 {
			held = append(held, fmt.Sprintf("a load of uid %d: %d asked, %d foreign", uid, len(l.asked), l.foreign))
		}
	}
	e.mu.Unlock()
	e.board.mu.Lock()
	if n := len(e.board.views); n > 0 {
		held = append(held, fmt.Sprintf("%d views", n))
	}
	e.board.mu.Unlock()
	e.turns.mu.Lock()
	for key, t := range e.turns.keys {
		held = append(held, fmt.Sprintf("the turn of %s: %d hold it, dark until %v", key, t.refs, time.Until(t.dark)))
	}
	e.turns.mu.Unlock()
	return held
}

// Loads is how many users the engine remembers for what they begin.
func (e *Engine) Loads() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.loads)
}

// Subscriptions is how many readers of changes there are.
func (e *Engine) Subscriptions() int {
	e.board.mu.Lock()
	defer e.board.mu.Unlock()
	return len(e.board.subs)
}
