package signin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
)

// maxShort bounds how many users a status names.
const maxShort = 100

// shortTime is how long a status looks for users who have too few methods: groups are asked for one by one.
const shortTime = 2 * time.Second

// countSignIn counts the methods that sign in. Recovery codes are the way back where those are lost.
func countSignIn(ms []method.Method) int {
	return len(ms) - len(method.Of(ms, method.TypeRecovery))
}

// short names the users who have fewer methods than policy wants, those first who have the fewest, and says how
// many more there are. An error says that not all could be looked at; what was found holds.
func (e *Engine) short(ctx context.Context) (names []string, more int, err error) {
	p := e.policy.Load()
	if !p.WantsMethods() {
		return nil, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, shortTime)
	defer cancel()
	counts := map[Person]int{}
	if e.cfg.People != nil {
		everybody, peopleErr := e.cfg.People(ctx)
		if peopleErr != nil {
			err = fmt.Errorf("who has no sign-in method at all cannot be told: %w", peopleErr)
		}
		for _, who := range everybody {
			counts[who] = 0
		}
	}
	if err := e.cfg.Store.View(func(tx *store.Tx) error {
		return method.Each(tx, func(m method.Method) error {
			counts[Person{UID: m.UID, Name: m.User}] += countSignIn([]method.Method{m})
			return nil
		})
	}); err != nil {
		return nil, 0, err
	}
	type user struct {
		Person
		methods int
	}
	var all []user
	for who, n := range counts {
		if ctx.Err() != nil {
			err = fmt.Errorf("not all users could be looked at for too few sign-in methods: %w", ctx.Err())
			break
		}
		if n < p.For(ownService, e.subject(ctx, p, who)).MinMethods {
			all = append(all, user{who, n})
		}
	}
	slices.SortFunc(all, func(a, b user) int { return cmp.Or(a.methods-b.methods, cmp.Compare(a.Name, b.Name)) })
	for _, u := range all[:min(len(all), maxShort)] {
		names = append(names, fmt.Sprintf("%s (%d)", u.Name, u.methods))
	}
	return names, len(all) - len(names), err
}
