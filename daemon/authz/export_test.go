package authz

// Verdict reads polkit's answer.
var Verdict = verdict

// The bounds that tests count against.
const (
	MaxOfUser = maxOfUser
	MaxAll    = maxAll
)

// LetOneUserTakeAll lifts the bound of a user's questions: all of a test's programs are one user's.
func (a *Authority) LetOneUserTakeAll() { a.maxOfUser = 1000 }
