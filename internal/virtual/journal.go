package virtual

import (
	"context"
	"sync"
	"time"
)

// Op is one command that the key has ended.
type Op struct {
	// Command is the standard's name: "getInfo", "makeCredential", "getAssertion", "getNextAssertion",
	// "clientPIN", "reset", "selection", "wink"; or the number of one that it does not know.
	Command string
	// Sub names the subcommand of clientPIN, such as "getPINRetries".
	Sub string
	// RPID is the relying party asked for.
	RPID string
	// UP is what the host asked for: false in a silent preflight. UV is whether the PIN was checked.
	UP, UV bool
	// Listed is the length of the allow or exclude list.
	Listed int
	// Touched is whether a touch was given for it.
	Touched bool
	// Status is what it answered. StatusKeepaliveCancel is a command that the host cancelled.
	Status Status
	// Abandoned says that no answer was sent: the host began anew, the key was unplugged or is mute.
	Abandoned bool
	// Began and Ended are its times.
	Began, Ended time.Time
}

// journal keeps the commands that have ended. It is safe for concurrent use.
type journal struct {
	mu    sync.Mutex
	ops   []Op
	added chan struct{} // closed, and replaced, when an Op is added
}

func newJournal() *journal { return &journal{added: make(chan struct{})} }

func (j *journal) add(op Op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops = append(j.ops, op)
	close(j.added)
	j.added = make(chan struct{})
}

func (j *journal) list() []Op {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Op(nil), j.ops...)
}

func (j *journal) wait(ctx context.Context, match func(Op) bool) (Op, error) {
	for seen := 0; ; {
		j.mu.Lock()
		ops, added := j.ops, j.added
		j.mu.Unlock()
		for ; seen < len(ops); seen++ {
			if match(ops[seen]) {
				return ops[seen], nil
			}
		}
		select {
		case <-added:
		case <-ctx.Done():
			return Op{}, ctx.Err()
		}
	}
}
