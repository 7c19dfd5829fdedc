package signin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// status is what root reads.
func (d *desk) status(c caller.Caller) signin.Status {
	d.t.Helper()
	s, err := d.Status(d.t.Context(), c)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// says reports whether one of the lines says text.
func says(lines []string, text string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, text) })
}

func TestWhoHasTooFewMethods(t *testing.T) {
	const two = "[default]\nrequire = \"code\"\nmin_methods = 2\n"
	here := []signin.Person{{UID: uid, Name: "alice"}, {UID: uid + 1, Name: "bob"}}
	k, k2 := newFakeKey("aa"), newFakeKey("bb")
	host(t, func(t *testing.T, d *desk) {
		d.config.People = func(context.Context) ([]signin.Person, error) { return here, nil }
		d.rename("")
		d.register(k)
		if s := d.status(root); len(s.Short) != 0 {
			t.Errorf("policy wants nothing, and %v have too few", s.Short)
		}
		d.obey(two)
		if s := d.status(root); !slices.Equal(s.Short, []string{"bob (0)", "alice (1)"}) {
			t.Errorf("too few have %v", s.Short)
		}
		if s := d.status(d.me); len(s.Short) != 0 || s.Methods != 1 || s.MinMethods != 2 || !says(s.Problems, "policy wants you to have 2 sign-in methods, and you have 1: add one with “fob methods add key”") {
			t.Errorf("alice reads %+v", s)
		}
		d.writesDown(k)
		if s := d.status(d.me); s.Methods != 1 {
			t.Errorf("recovery codes count: %d methods", s.Methods)
		}
		d.plug(k2)
		d.register2(k2)
		if s := d.status(root); !slices.Equal(s.Short, []string{"bob (0)"}) {
			t.Errorf("alice has two, and too few have %v", s.Short)
		}
		if s := d.status(d.me); s.Methods != 2 || says(s.Problems, "policy wants you") {
			t.Errorf("alice, who has two, reads %+v", s)
		}
		d.obey("[[restrict]]\nusers = [\"alice\"]\nmin_methods = 3\n")
		if s := d.status(root); !slices.Equal(s.Short, []string{"alice (2)"}) {
			t.Errorf("of alice three are wanted, and too few have %v", s.Short)
		}

		here = nil
		for n := range uint32(150) {
			here = append(here, signin.Person{UID: 5000 + n, Name: fmt.Sprintf("user%03d", n)})
		}
		d.obey(two)
		if s := d.status(root); len(s.Short) != 100 || s.ShortMore != 50 || s.Short[99] != "user099 (0)" {
			t.Errorf("of 150: %d, %d more, %v", len(s.Short), s.ShortMore, s.Short)
		}
		d.config.People = func(context.Context) ([]signin.Person, error) { return nil, errors.New("no name service") }
		d.rename("")
		d.obey("[default]\nrequire = \"code\"\nmin_methods = 3\n")
		if s := d.status(root); !slices.Equal(s.Short, []string{"alice (2)"}) || !says(s.Problems, "who has no sign-in method at all cannot be told: no name service") {
			t.Errorf("without a name service: %v, %v", s.Short, s.Problems)
		}
	}, k)
}
