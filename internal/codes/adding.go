package codes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/store"
)

// begun is an account that is being put on cards, by the id that it has there. It is on disk before the first card is
// written, and until all is: what is found at the start was broken off.
type begun struct {
	Title string   `json:"title"`
	On    []string `json:"on"`
}

var addings = store.NewBucket[begun]("account-adding")

// broken is an account whose adding was broken off, and may be on some of its cards.
type broken struct {
	begun
	told bool // the log has it
}

func (b broken) Error() string {
	return fmt.Sprintf("adding “%s” (%s) was broken off, and it may be on a card alone: look with “fob accounts”, delete it there, and add it again",
		b.Title, strings.Join(b.On, ", "))
}

func (broken) Is(target error) bool { return target == ErrHalf }

// findBroken finds what an earlier run has begun and not ended.
func (b *Book) findBroken() {
	err := b.Store.View(func(tx *store.Tx) error {
		for item, err := range addings.All(tx, nil) {
			if err != nil {
				return err
			}
			b.broken[string(item.Key)] = broken{begun: item.Value}
		}
		return nil
	})
	if err != nil {
		b.Log.Warn("cannot see whether adding an account was broken off", "error", err)
	}
}

// brokenOff gives what was broken off, which the log is told once, but where the cards that were found have none of it.
func (b *Book) brokenOff(ctx context.Context, found []card.Found) (all []error) {
	b.breaking.Lock()
	defer b.breaking.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.broken)) {
		was := b.broken[id]
		clean := was.nowhere(id, found)
		if !clean {
			all = append(all, was)
		}
		if was.told {
			if clean {
				delete(b.broken, id)
			}
			continue
		}
		err := b.note(context.WithoutCancel(ctx), kindAddAccount, "adding "+was.Title+" ("+strings.Join(was.On, ", ")+") was broken off", func(tx *store.Tx) error {
			return addings.Delete(tx, []byte(id))
		})
		if err != nil {
			b.Log.Warn("cannot note that adding an account was broken off", "error", err)
		}
		was.told = err == nil
		b.broken[id] = was
	}
	return all
}

// nowhere reports whether every card that it was meant for was asked, and has no account of the id.
func (b broken) nowhere(id string, found []card.Found) bool {
	for _, place := range b.On {
		i := slices.IndexFunc(found, func(f card.Found) bool { return string(f.ID) == place && f.Why() == nil })
		if isCard(place) && (i < 0 || slices.ContainsFunc(found[i].Accounts, func(a card.Account) bool { return string(a.ID) == id })) {
			return false
		}
	}
	return true
}

// begin writes down that an account is being put on cards. The function that it gives ends that where nothing was
// written, or has it told where err is ErrHalf.
func (b *Book) begin(ctx context.Context, id string, n begun) (end func(err error), _ error) {
	err := b.Store.Update(ctx, func(tx *store.Tx) error { return addings.Put(tx, []byte(id), n) })
	return func(err error) {
		if !errors.Is(err, ErrHalf) {
			err = b.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { return addings.Delete(tx, []byte(id)) })
		}
		if err != nil {
			b.breaking.Lock()
			defer b.breaking.Unlock()
			b.broken[id] = broken{begun: n}
		}
	}, err
}

// mended forgets that adding an account was broken off: it was added now, or taken off.
func (b *Book) mended(id string) {
	b.breaking.Lock()
	defer b.breaking.Unlock()
	delete(b.broken, id)
}
