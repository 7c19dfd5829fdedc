package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

// numbers tells a page: its entries' numbers and where to go on.
func numbers(p audit.Page) string {
	var b strings.Builder
	for _, e := range p.Entries {
		fmt.Fprint(&b, e.Seq, " ")
	}
	if p.More {
		fmt.Fprint(&b, "next ", p.Next)
	}
	return strings.TrimSpace(b.String())
}

func TestListFilters(t *testing.T) {
	s := fresh(t)
	update(t, s, func(tx *store.Tx) error {
		// The clock went back between entries 4 and 5.
		for i, hour := range []int{0, 1, 2, 3, 1, 2, 3, 4} {
			e := full(fmt.Sprint("r", i%2), uint32(1000+i%3))
			e.Time = noon.Add(time.Duration(hour) * time.Hour)
			e.Service = []string{"pam:sudo", "pam:su"}[i%2]
			e.Decision = []string{"approved", "denied", "reported", "expired"}[i%4]
			e.Kind = []string{"sign-in", "test"}[i/4]
			e.Method = fmt.Sprint("m", i/2)
			if err := appendAll(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	hour := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	uid := uint32(1000)
	for _, c := range []struct {
		name string
		q    audit.Query
		want string
	}{
		{"since a time, that time included", audit.Query{Since: hour(2)}, "3 4 6 7 8"},
		{"until a time, that time left out", audit.Query{Until: hour(2)}, "1 2 5"},
		{"between two times", audit.Query{Since: hour(1), Until: hour(3)}, "2 3 5 6"},
		{"of a service", audit.Query{Service: "pam:su"}, "2 4 6 8"},
		{"of a service's name alone, whoever's it is", audit.Query{Service: "su"}, "2 4 6 8"},
		{"of a service's whole name, and no end of it", audit.Query{Service: "udo"}, ""},
		{"of a decision", audit.Query{Decision: "reported"}, "3 7"},
		{"of a kind", audit.Query{Kind: "test"}, "5 6 7 8"},
		{"of a method", audit.Query{Method: "m1"}, "3 4"},
		{"that pass all filters", audit.Query{Service: "pam:su", Kind: "test", Since: hour(3)}, "8"},
		{"that pass filters and have an index", audit.Query{UID: &uid, Kind: "test", Limit: 1}, "7"},
		{"of which there are none", audit.Query{Service: "pam:s"}, ""},
		{"by pages", audit.Query{Service: "pam:su", Limit: 2}, "2 4 next 5"},
		{"by pages, the second", audit.Query{Service: "pam:su", Limit: 2, After: 5}, "6 8"},
		{"backwards by pages", audit.Query{Service: "pam:su", Limit: 2, Newest: true}, "6 8 next 5"},
		{"backwards by pages, the second", audit.Query{Service: "pam:su", Limit: 2, Newest: true, Before: 5}, "2 4"},
		{"before a number", audit.Query{Before: 4, Newest: true, Limit: 2}, "2 3 next 2"},
		{"between two numbers", audit.Query{After: 2, Before: 6}, "3 4 5"},
		{"of a request before a number", audit.Query{Request: "r1", Before: 6}, "2 4"},
		{"of a request before a number, the newest", audit.Query{Request: "r1", Before: 6, Newest: true, Limit: 1}, "4 next 4"},
		{"of a user between numbers, the newest", audit.Query{UID: &uid, After: 1, Before: 7, Newest: true}, "4"},
	} {
		t.Run("lists those "+c.name, func(t *testing.T) {
			view(t, s, func(tx *store.Tx) error {
				p, err := audit.List(tx, c.q)
				if got := numbers(p); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				return err
			})
		})
	}
}

func TestListScansALimitedPart(t *testing.T) {
	s := fresh(t)
	fill(t, s, 2*audit.MaxScan)
	update(t, s, func(tx *store.Tx) error {
		e := full("r", 1000)
		e.Kind = "test"
		return appendAll(tx, e)
	})
	view(t, s, func(tx *store.Tx) error {
		for _, q := range []audit.Query{{Kind: "test"}, {Kind: "other"}, {Kind: "other", Newest: true}} {
			calls, found := 0, ""
			for more := true; more; calls++ {
				p, err := audit.List(tx, q)
				if err != nil {
					return err
				}
				for _, e := range p.Entries {
					found += fmt.Sprint(e.Seq)
				}
				if more = p.More; more && q.Newest {
					q.Before = p.Next
				} else if more {
					q.After = p.Next
				}
			}
			want := ""
			if q.Kind == "test" {
				want = fmt.Sprint(2*audit.MaxScan + 1)
			}
			if calls != 3 || found != want {
				t.Errorf("%+v found %q in %d calls", q, found, calls)
			}
		}
		return nil
	})
}
