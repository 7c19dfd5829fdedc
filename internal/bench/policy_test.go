package main

import (
	"testing"

	"github.com/fobproject/fob/internal/policy"
)

func TestSomeRules(t *testing.T) {
	p, err := policy.Parse([]policy.File{{Name: "bench.toml", Text: []byte(someRules(1000))}})
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Subject{Name: "u991", Groups: []string{"g992"}}
	if r := p.For("pam:s990", s); r.Require != policy.Verified || len(r.Place) != 1 || r.Timeout != 30e9 {
		t.Errorf("the rules of a service, a user, a group and a place do not all count: %+v", r)
	}
}
