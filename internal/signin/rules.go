package signin

import (
	"github.com/fobproject/fob/internal/caller"
)

// StepUp says what approval a kind of request needs.
type StepUp string

// The step-ups.
const (
	// StepNone needs none: it approves nothing, and changes nothing that is the daemon's.
	StepNone StepUp = "none"
	// StepPolicy needs what policy says of the service.
	StepPolicy StepUp = "policy"
	// StepStrongest needs a fresh approval at the strongest strength that the user has registered. Root in
	// the system instance, and a user's first method, go without.
	StepStrongest StepUp = "strongest"
)

// Rules are the declared access of a kind of request: who may begin it, from where, and by what it is
// approved.
type Rules struct {
	// Access says who may begin it, for themselves; root may for anybody.
	Access caller.Access
	// Foreign says that any user of the system instance may begin it for another.
	Foreign bool
	// UserOnly says that the system instance does not do it.
	UserOnly bool
	// Desk says that it is done at the desk alone, never from elsewhere.
	Desk   bool
	StepUp StepUp
	// Recovers says that a recovery code may stand in for the step-up, unless policy forbids it: the way
	// back for who has lost a key.
	Recovers bool
}

// KindRules gives the rules of every kind of request.
func KindRules() map[Kind]Rules {
	all := make(map[Kind]Rules, len(kinds))
	for k, steps := range kinds {
		all[k] = steps.Rules
	}
	return all
}
