package grant_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/store"
)

func TestDrop(t *testing.T) {
	several := []grant.Grant{
		sample(),
		with(func(g *grant.Grant) { g.ID, g.Origin, g.Method = "g2", "192.0.2.8", "m2" }),
		with(func(g *grant.Grant) { g.ID, g.Service, g.Until = "g3", "pam:cockpit", noon.Add(time.Hour) }),
		with(func(g *grant.Grant) { g.ID, g.UID = "x1", 1001 }),
	}
	for _, tt := range []struct {
		name       string
		drop       func(*store.Tx) (int, error)
		n          int
		mine, hers string
	}{
		{"all of a user's", func(tx *store.Tx) (int, error) { return grant.DropAll(tx, 1000) }, 3, "", "x1"},
		{"all of a user without any", func(tx *store.Tx) (int, error) { return grant.DropAll(tx, 7) }, 0, "g1 g2 g3", "x1"},
		{"those of a method", func(tx *store.Tx) (int, error) { return grant.DropMethod(tx, 1000, "m1") }, 2, "g2", "x1"},
		{"those of an origin", func(tx *store.Tx) (int, error) { return grant.DropFrom(tx, 1000, "192.0.2.8", "") }, 1, "g1 g3", "x1"},
		{"those of an SSH key", func(tx *store.Tx) (int, error) { return grant.DropFrom(tx, 1000, "", "SHA256:abc") }, 3, "", "x1"},
		{"those of an origin and of an SSH key", func(tx *store.Tx) (int, error) { return grant.DropFrom(tx, 1000, "192.0.2.8", "SHA256:xyz") }, 1, "g1 g3", "x1"},
		{"none of nowhere", func(tx *store.Tx) (int, error) { return grant.DropFrom(tx, 1000, "", "") }, 0, "g1 g2 g3", "x1"},
		{"those that have expired, of everybody", func(tx *store.Tx) (int, error) { return grant.Prune(tx, noon.Add(time.Hour)) }, 1, "g1 g2", "x1"},
		{"everybody's", grant.Clear, 4, "", ""},
	} {
		t.Run("drops "+tt.name, func(t *testing.T) {
			d := open(t)
			d.add(several...)
			d.Write(func(tx *store.Tx) error {
				n, err := tt.drop(tx)
				if n != tt.n {
					t.Errorf("%d are dropped, want %d", n, tt.n)
				}
				return err
			})
			if d.ids(1000) != tt.mine || d.ids(1001) != tt.hers {
				t.Errorf("there are %q and %q", d.ids(1000), d.ids(1001))
			}
		})
	}
	t.Run("lists none that has expired", func(t *testing.T) {
		d := open(t)
		d.add(several...)
		if d.Now.Wall = noon.Add(time.Hour); d.ids(1000) != "g1 g2" {
			t.Errorf("there are %q", d.ids(1000))
		}
	})
	t.Run("revokes one, once, and nobody else's", func(t *testing.T) {
		d := open(t)
		d.add(several...)
		d.Write(func(tx *store.Tx) error {
			for _, id := range []string{"x1", "", "g"} {
				if _, err := grant.Revoke(tx, 1000, id); !errors.Is(err, grant.ErrNotFound) {
					t.Errorf("revoking %q: %v", id, err)
				}
			}
			if g, err := grant.Revoke(tx, 1000, "g2"); err != nil || g != several[1] {
				t.Errorf("got %+v, %v", g, err)
			}
			if _, err := grant.Revoke(tx, 1000, "g2"); !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("once more: %v", err)
			}
			return nil
		})
		if d.ids(1000) != "g1 g3" || d.ids(1001) != "x1" {
			t.Errorf("there are %q and %q", d.ids(1000), d.ids(1001))
		}
	})
}

func TestDamage(t *testing.T) {
	at := []byte{0, 0, 3, 0xe8, 'g', '1'} // where the sample stands
	put := func(d *desk, v any) {
		d.Write(func(tx *store.Tx) error { return store.NewBucket[any]("grants").Put(tx, at, v) })
	}
	for name, v := range map[string]any{
		"that cannot be read":     map[string]any{"uid": "a thousand"},
		"that is another user's":  with(func(g *grant.Grant) { g.UID = 1001 }),
		"that has another id":     with(func(g *grant.Grant) { g.ID = "g2" }),
		"of an unknown strength":  map[string]any{"uid": 1000, "id": "g1", "strength": "divine"},
		"that is too long a time": with(func(g *grant.Grant) { g.Until = noon.AddDate(10, 0, 0) }),
		"that is too weak":        with(func(g *grant.Grant) { g.Strength = policy.Click }),
	} {
		t.Run("honours no grant "+name, func(t *testing.T) {
			d := open(t)
			put(d, v)
			if got, err := d.find(sample()); err == nil {
				t.Errorf("got %+v", got)
			}
			if got, err := d.use(sample()); err == nil {
				t.Errorf("used %+v", got)
			}
		})
	}
	for name, drop := range map[string]func(*store.Tx) error{
		"revoking it":           func(tx *store.Tx) error { _, err := grant.Revoke(tx, 1000, "g1"); return err },
		"dropping all":          func(tx *store.Tx) error { _, err := grant.DropAll(tx, 1000); return err },
		"dropping any method's": func(tx *store.Tx) error { _, err := grant.DropMethod(tx, 1000, "m9"); return err },
		"dropping any origin's": func(tx *store.Tx) error { _, err := grant.DropFrom(tx, 1000, "x", ""); return err },
		"pruning":               func(tx *store.Tx) error { _, err := grant.Prune(tx, noon); return err },
	} {
		t.Run(name+" takes away a grant that cannot be read", func(t *testing.T) {
			d := open(t)
			put(d, 5)
			d.Write(drop)
			if _, err := d.find(sample()); !errors.Is(err, grant.ErrNone) {
				t.Errorf("got %v", err)
			}
		})
	}
}
