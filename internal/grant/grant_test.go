package grant_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/store/storetest"
)

const day = 24 * time.Hour

var noon = storetest.Noon

// desk is a database at a time that the test sets.
type desk struct{ *storetest.Desk }

func open(t *testing.T) *desk { t.Helper(); return &desk{storetest.Open(t)} }

// sample is alice's grant for ssh, made at noon for 90 days.
func sample() grant.Grant {
	return grant.Grant{
		ID: "g1", UID: 1000, User: "alice", Service: "pam:sshd", Origin: "192.0.2.7", SSHKey: "SHA256:abc",
		Method: "m1", MethodName: "blue key", Strength: policy.Key, Made: noon, Until: noon.Add(90 * day),
	}
}

func (d *desk) add(all ...grant.Grant) {
	d.T.Helper()
	for _, g := range all {
		d.Write(func(tx *store.Tx) error { _, err := grant.Add(tx, g); return err })
	}
}

// find looks for the grant that spares what g is for.
func (d *desk) find(g grant.Grant) (found grant.Grant, err error) {
	d.T.Helper()
	if e := d.View(func(tx *store.Tx) error {
		found, err = grant.Find(tx, g.UID, g.User, g.Service, g.Origin, g.SSHKey, d.Now.Wall)
		return nil
	}); e != nil {
		d.T.Fatal(e)
	}
	return found, err
}

func (d *desk) use(g grant.Grant) (used grant.Grant, err error) {
	d.T.Helper()
	err = d.Update(d.T.Context(), func(tx *store.Tx) (err error) {
		used, err = grant.Use(tx, g, d.Now.Wall)
		return err
	})
	return used, err
}

// ids lists a user's grants.
func (d *desk) ids(uid uint32) string {
	d.T.Helper()
	var ids []string
	if err := d.View(func(tx *store.Tx) error {
		all, err := grant.List(tx, uid, d.Now.Wall)
		for _, g := range all {
			ids = append(ids, g.ID)
		}
		return err
	}); err != nil {
		d.T.Fatal(err)
	}
	return strings.Join(ids, " ")
}

// with changes a copy of the sample.
func with(change func(*grant.Grant)) grant.Grant {
	g := sample()
	change(&g)
	return g
}

func TestFind(t *testing.T) {
	t.Run("gives what was added, unused", func(t *testing.T) {
		d := open(t)
		d.add(with(func(g *grant.Grant) { g.Used, g.Uses = noon, 7 }))
		if got, err := d.find(sample()); err != nil || got != sample() {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	for name, change := range map[string]func(*grant.Grant){
		"another user's":                        func(g *grant.Grant) { g.UID = 1001 },
		"a user's whose name has changed":       func(g *grant.Grant) { g.User = "bob" },
		"a user's without a name":               func(g *grant.Grant) { g.User = "" },
		"another service's":                     func(g *grant.Grant) { g.Service = "pam:sudo" },
		"another origin's":                      func(g *grant.Grant) { g.Origin = "192.0.2.8" },
		"an unknown origin's":                   func(g *grant.Grant) { g.Origin = "" },
		"another SSH key's":                     func(g *grant.Grant) { g.SSHKey = "SHA256:abd" },
		"a sign-in's without a key":             func(g *grant.Grant) { g.SSHKey = "" },
		"a service's that begins the same":      func(g *grant.Grant) { g.Service = "pam:ssh" },
		"an SSH key's in other letters' case":   func(g *grant.Grant) { g.SSHKey = "sha256:ABC" },
		"two texts' that are one when joined":   func(g *grant.Grant) { g.Service, g.Origin = "pam:sshd1", "92.0.2.7" },
		"a user's whose uid shares its numbers": func(g *grant.Grant) { g.UID = 1000 << 8 },
	} {
		t.Run("is not "+name, func(t *testing.T) {
			d := open(t)
			d.add(sample())
			if got, err := d.find(with(change)); !errors.Is(err, grant.ErrNone) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestClocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		noted time.Time // the latest time seen; none if zero
		now   time.Time
		want  error
	}{
		{"holds a second before its end", time.Time{}, noon.Add(90*day - time.Second), nil},
		{"ends at its end", time.Time{}, noon.Add(90 * day), grant.ErrNone},
		{"has ended where the clock was set forward", time.Time{}, noon.AddDate(1, 0, 0), grant.ErrNone},
		{"holds where it was made 5 minutes from now", time.Time{}, noon.Add(-5 * time.Minute), nil},
		{"does not hold where it was made later than that", time.Time{}, noon.Add(-5*time.Minute - time.Second), grant.ErrNone},
		{"does not come back to life with a clock that was set back", noon.Add(91 * day), noon.Add(day), clock.ErrBack},
		{"bears a clock that was set back a little", noon.Add(day), noon.Add(day - 5*time.Minute), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			d.add(sample())
			if !tt.noted.IsZero() {
				d.Write(func(tx *store.Tx) error { return clock.Note(tx, tt.noted) })
			}
			d.Now.Wall = tt.now
			_, err := d.find(sample())
			_, useErr := d.use(sample())
			for _, err := range []error{err, useErr} {
				if !errors.Is(err, tt.want) || tt.want != nil && !errors.Is(err, grant.ErrNone) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			}
		})
	}
	t.Run("does not hold long before it was last used", func(t *testing.T) {
		d := open(t)
		d.add(sample())
		d.Now.Wall = noon.Add(10 * day)
		if _, err := d.use(sample()); err != nil {
			t.Fatal(err)
		}
		d.Now.Wall = noon.Add(9 * day)
		if _, err := d.find(sample()); !errors.Is(err, grant.ErrNone) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAdd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*grant.Grant)
		want   error
	}{
		{"no id", func(g *grant.Grant) { g.ID = "" }, grant.ErrIncomplete},
		{"no user", func(g *grant.Grant) { g.User = "" }, grant.ErrIncomplete},
		{"no service", func(g *grant.Grant) { g.Service = "" }, grant.ErrIncomplete},
		{"no origin", func(g *grant.Grant) { g.Origin = "" }, grant.ErrIncomplete},
		{"no SSH key", func(g *grant.Grant) { g.SSHKey = "" }, grant.ErrIncomplete},
		{"no method", func(g *grant.Grant) { g.Method = "" }, grant.ErrIncomplete},
		{"a text without end", func(g *grant.Grant) { g.SSHKey = strings.Repeat("x", 1<<20) }, grant.ErrIncomplete},
		{"an id without end", func(g *grant.Grant) { g.ID = strings.Repeat("x", 65) }, grant.ErrIncomplete},
		{"a method's name without end", func(g *grant.Grant) { g.MethodName = strings.Repeat("x", 1<<20) }, grant.ErrIncomplete},
		{"no strength", func(g *grant.Grant) { g.Strength = policy.None }, grant.ErrWeak},
		{"a number match", func(g *grant.Grant) { g.Strength = policy.Match }, grant.ErrWeak},
		{"more than 90 days", func(g *grant.Grant) { g.Until = g.Until.Add(time.Second) }, grant.ErrSpan},
		{"an end before its beginning", func(g *grant.Grant) { g.Until = g.Made.Add(-time.Second) }, grant.ErrSpan},
		{"no time at all", func(g *grant.Grant) { g.Until = g.Made }, grant.ErrSpan},
		{"no beginning", func(g *grant.Grant) { g.Made = time.Time{} }, grant.ErrSpan},
	} {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			d := open(t)
			err := d.Update(t.Context(), func(tx *store.Tx) error { _, err := grant.Add(tx, with(tt.change)); return err })
			if !errors.Is(err, tt.want) || d.ids(1000) != "" {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("takes a code's approval", func(t *testing.T) {
		d := open(t)
		d.add(with(func(g *grant.Grant) { g.Strength = policy.Code }))
		if _, err := d.find(sample()); err != nil {
			t.Error(err)
		}
	})
	t.Run("takes the place of the one for the same, and of no other", func(t *testing.T) {
		d := open(t)
		d.add(sample(),
			with(func(g *grant.Grant) { g.ID, g.Origin = "g2", "192.0.2.8" }),
			with(func(g *grant.Grant) { g.ID, g.SSHKey = "g3", "SHA256:xyz" }),
			with(func(g *grant.Grant) { g.ID, g.Service = "g4", "pam:cockpit" }),
			with(func(g *grant.Grant) { g.ID, g.UID = "g5", 1001 }),
			with(func(g *grant.Grant) { g.ID, g.Made = "g6", noon.Add(time.Minute) }))
		if got := d.ids(1000); got != "g6 g2 g3 g4" || d.ids(1001) != "g5" {
			t.Errorf("there are %s, and %s", got, d.ids(1001))
		}
	})
	t.Run("makes room by the one whose last use lies furthest back", func(t *testing.T) {
		d := open(t)
		nth := func(n int) grant.Grant {
			return with(func(g *grant.Grant) {
				g.ID, g.Origin = fmt.Sprintf("n%02d", n), fmt.Sprintf("192.0.2.%d", n)
				g.Made = noon.Add(time.Duration(n) * time.Minute)
			})
		}
		other := with(func(g *grant.Grant) { g.UID = 1001 })
		d.add(other)
		for n := range grant.MaxPerUser {
			d.add(nth(n))
		}
		d.Now.Wall = noon.Add(day)
		if _, err := d.use(nth(0)); err != nil {
			t.Fatal(err)
		}
		d.add(nth(100))
		ids := strings.Fields(d.ids(1000))
		if len(ids) != grant.MaxPerUser || ids[0] != "n100" || ids[len(ids)-1] != "n00" || ids[len(ids)-2] != "n02" {
			t.Errorf("there are %d: %s", len(ids), ids)
		}
		if d.ids(1001) != "g1" {
			t.Error("another user's grant made room")
		}
	})
	t.Run("makes room by one that has expired first", func(t *testing.T) {
		d := open(t)
		for n := range grant.MaxPerUser {
			d.add(with(func(g *grant.Grant) {
				g.ID, g.Origin = fmt.Sprintf("n%02d", n), fmt.Sprintf("192.0.2.%d", n)
				if n == 40 {
					g.Until = noon.Add(time.Hour)
				}
			}))
		}
		d.Now.Wall = noon.Add(day)
		d.add(with(func(g *grant.Grant) { g.Made, g.Origin = d.Now.Wall, "198.51.100.7" }))
		if ids := d.ids(1000); len(strings.Fields(ids)) != grant.MaxPerUser || strings.Contains(ids, "n40") {
			t.Errorf("there are %s", ids)
		}
	})
}

func TestUse(t *testing.T) {
	t.Run("is counted, and survives a look", func(t *testing.T) {
		d := open(t)
		d.add(sample())
		for n := range uint64(3) {
			d.Now.Wall = noon.Add(time.Duration(n+1) * time.Hour)
			g, err := d.find(sample())
			if err != nil {
				t.Fatal(err)
			}
			if g, err = d.use(g); err != nil || g.Uses != n+1 || !g.Used.Equal(d.Now.Wall) {
				t.Errorf("got %+v, %v", g, err)
			}
		}
		if g, err := d.find(sample()); err != nil || g.Uses != 3 {
			t.Errorf("got %+v, %v", g, err)
		}
	})
	t.Run("never goes back in time", func(t *testing.T) {
		d := open(t)
		d.add(sample())
		d.Now.Wall = noon.Add(time.Hour)
		_, _ = d.use(sample())
		d.Now.Wall = noon.Add(58 * time.Minute)
		if g, err := d.use(sample()); err != nil || !g.Used.Equal(noon.Add(time.Hour)) || g.Uses != 2 {
			t.Errorf("got %+v, %v", g, err)
		}
	})
	for name, lose := range map[string]func(*desk){
		"was revoked meanwhile": func(d *desk) {
			d.Write(func(tx *store.Tx) error { _, err := grant.Revoke(tx, 1000, "g1"); return err })
		},
		"was replaced meanwhile": func(d *desk) { d.add(with(func(g *grant.Grant) { g.ID = "g2" })) },
		"has expired meanwhile":  func(d *desk) { d.Now.Wall = noon.Add(90 * day) },
		"is for something else meanwhile": func(d *desk) {
			d.add(with(func(g *grant.Grant) { g.Service = "pam:sudo" }))
		},
		"is under another name meanwhile": func(d *desk) { d.add(with(func(g *grant.Grant) { g.User = "bob" })) },
	} {
		t.Run("fails where the grant "+name, func(t *testing.T) {
			d := open(t)
			d.add(sample())
			g, err := d.find(sample())
			if err != nil {
				t.Fatal(err)
			}
			lose(d)
			if got, err := d.use(g); !errors.Is(err, grant.ErrNone) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
