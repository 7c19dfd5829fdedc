package policy

import "time"

// Rule is what a service needs of an approval.
type Rule struct {
	Require Strength
	// Timeout is how long a person has.
	Timeout time.Duration
}

// Bounds of a request's deadline.
const (
	MinTimeout = time.Second
	MaxTimeout = 10 * time.Minute
)

// Policy says which rule holds for which service. It is immutable and safe for concurrent use.
type Policy struct {
	standard Rule
}

// Builtin is the policy of an instance that nobody has configured: a tap on a key or a code of a token
// that the user has registered, within a minute.
func Builtin() Policy {
	return Policy{standard: Rule{Require: Code, Timeout: time.Minute}}
}

// For gives the rule of a service, named as in "pam:sudo" or "app:1000:mailer".
func (p Policy) For(string) Rule { return p.standard }
