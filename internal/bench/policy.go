package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/policy"
)

// policyRows measure what it takes to find the rule for a service and a user, at the slowest of some kinds of
// question, among many rules and among few. It is done once a request: 10 µs are a fiftieth of a commit.
func policyRows(context.Context, options, string) ([]Row, error) {
	const many, few = 1000, 10
	large, err := slowestFor(many)
	if err != nil {
		return nil, err
	}
	small, err := slowestFor(few)
	if err != nil {
		return nil, err
	}
	return []Row{newRow("policy: the rule for a service, 1,000 rules", "µs", large, budget(10),
		&Bound{What: "10 rules", Value: small})}, nil
}

// slowestFor is how long the slowest question takes among so many rules, in microseconds.
func slowestFor(rules int) (slowest float64, err error) {
	p, err := policy.Parse([]policy.File{{Name: "bench.toml", Text: []byte(someRules(rules))}})
	if err != nil {
		return 0, err
	}
	last := rules - 10 // a service that has a rule of its own
	groups := make([]string, 30)
	for n := range groups {
		groups[n] = fmt.Sprintf("g%d", n*20+2)
	}
	for _, s := range []policy.Subject{
		{Name: "nobody"},
		{Name: fmt.Sprintf("u%d", last+1), Groups: groups},
		{Name: fmt.Sprintf("u%d", last+1), GroupsUnknown: true},
	} {
		for _, asked := range []string{fmt.Sprintf("pam:s%d", last), fmt.Sprintf("app:1000:a%d", last+4), "pam:other"} {
			slowest = max(slowest, timeFor(p, asked, s))
		}
	}
	return slowest, nil
}

// timeFor is how long one question takes, in microseconds.
func timeFor(p *policy.Policy, asked string, s policy.Subject) float64 {
	const batches, each = 500, 20 // short ones: most of them nobody interrupts
	var times []time.Duration
	var last policy.Rule
	for range batches {
		took, _ := timed(func() error {
			for range each {
				last = p.For(asked, s)
			}
			return nil
		})
		times = append(times, took)
	}
	if last.Require == policy.None { // it never is: so that nothing is left out
		return 0
	}
	return median(times) * 1000 / each
}

// someRules are so many rules of all kinds.
func someRules(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "[service.\"pam:s%d\"]\nrequire = \"key\"\n", i)
		case 1:
			fmt.Fprintf(&b, "[[restrict]]\nusers = [\"u%d\"]\nrequire = \"verified\"\n", i)
		case 2:
			fmt.Fprintf(&b, "[[restrict]]\ngroups = [\"g%d\"]\ntimeout = \"30s\"\n", i)
		case 3:
			fmt.Fprintf(&b, "[[restrict]]\nservices = [\"pam:s%d\"]\nplace = [\"local\"]\n", i-3)
		case 4:
			fmt.Fprintf(&b, "[[restrict]]\nservices = [\"app:*:a%d\"]\nrequire = \"key\"\n", i)
		}
	}
	return b.String()
}
