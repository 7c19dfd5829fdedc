package journal

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// HeadInterval is how often a changed head is sent, at most.
const HeadInterval = 15 * time.Minute

// Heads sends the log's head to the journal, so that an edit of the log before it is found. All
// fields but Log must be set.
type Heads struct {
	Send     func(Message) error // Journal.Send
	Instance func() string       // the instance's id, which changes when a backup is restored
	Log      *slog.Logger        // of what goes wrong; nothing is logged if nil

	sent head
	mute bool // the last one could not be sent, and that was said
}

// head is what was sent last.
type head struct {
	instance string
	seq      uint64
	hash     [32]byte
}

// Run sends the head at once, then, each HeadInterval, if it has changed, and once more when ctx has ended;
// then it returns. The log must be readable until it does. It is called once. What cannot be read or sent
// is tried again at the next interval; it is logged when it begins, and not each time.
func (h *Heads) Run(ctx context.Context, read func() (seq uint64, hash [32]byte, err error)) {
	tick := time.NewTicker(HeadInterval)
	defer tick.Stop()
	h.send(read, true)
	for {
		select {
		case <-ctx.Done():
			h.send(read, true)
			return
		case <-tick.C:
			h.send(read, false)
		}
	}
}

func (h *Heads) send(read func() (seq uint64, hash [32]byte, err error), always bool) {
	now := head{instance: h.Instance()}
	var err error
	now.seq, now.hash, err = read()
	if err == nil && (always || now != h.sent) {
		if err = h.Send(HeadMessage(now.instance, now.seq, now.hash)); err == nil {
			h.sent = now
		}
	}
	if err != nil && !h.mute && h.Log != nil {
		level := slog.LevelWarn
		if errors.Is(err, ErrNone) {
			level = slog.LevelInfo // containers, and systems without systemd
		}
		h.Log.Log(context.Background(), level, "cannot note the log's head in the journal", slog.Any("error", err))
	}
	h.mute = err != nil
}
