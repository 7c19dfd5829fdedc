package lockout_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/store"
)

// door is a database with a clock that the test sets.
type door struct {
	*store.Store
	t    *testing.T
	path string
	now  clock.Moment
}

func open(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, path: filepath.Join(t.TempDir(), "fob.db")}
	d.now = clock.Moment{Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Boot: time.Hour, BootID: "one"}
	d.reopen()
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (d *door) reopen() {
	d.t.Helper()
	if d.Store != nil {
		if err := d.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	var err error
	if d.Store, err = store.Open(d.path, store.Options{}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) pass(by time.Duration) {
	d.now.Wall, d.now.Boot = d.now.Wall.Add(by), d.now.Boot+by
}

func (d *door) update(fn func(*store.Tx) error) {
	d.t.Helper()
	if err := d.Update(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

// wrong types so many wrong codes and returns the lock that the last one brought.
func (d *door) wrong(n int, from lockout.From) (locked *lockout.Locked) {
	d.t.Helper()
	for range n {
		d.update(func(tx *store.Tx) (err error) {
			locked, err = lockout.Wrong(tx, 1000, from, d.now)
			return err
		})
	}
	return locked
}

func (d *door) check(from lockout.From) (err error) {
	d.t.Helper()
	if e := d.View(func(tx *store.Tx) error {
		err = lockout.Check(tx, 1000, from, d.now)
		return nil
	}); e != nil {
		d.t.Fatal(e)
	}
	return err
}

func (d *door) left(from lockout.From) time.Duration {
	d.t.Helper()
	var locked *lockout.Locked
	if err := d.check(from); errors.As(err, &locked) {
		return locked.Left
	} else if err != nil {
		d.t.Fatal(err)
	}
	return 0
}

func TestLockout(t *testing.T) {
	t.Run("the tenth wrong code locks, for 15 minutes", func(t *testing.T) {
		d := open(t)
		if d.wrong(9, lockout.Local) != nil || d.check(lockout.Local) != nil {
			t.Fatal("nine wrong codes lock already")
		}
		if l := d.wrong(1, lockout.Local); l == nil || l.Left != 15*time.Minute {
			t.Fatalf("the tenth: %+v", l)
		}
		if err := d.check(lockout.Local); !errors.Is(err, lockout.ErrLocked) {
			t.Fatalf("got %v", err)
		}
		d.pass(15*time.Minute - time.Second)
		if d.left(lockout.Local) != time.Second {
			t.Errorf("a second before the end %v are left", d.left(lockout.Local))
		}
		d.pass(time.Second)
		if err := d.check(lockout.Local); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	t.Run("each lock is twice as long, up to an hour", func(t *testing.T) {
		d := open(t)
		for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, time.Hour, time.Hour} {
			if l := d.wrong(10, lockout.Local); l == nil || l.Left != want {
				t.Fatalf("got %+v, want %v", l, want)
			}
			d.pass(want)
		}
	})
	t.Run("a right code begins anew", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.pass(15 * time.Minute)
		d.wrong(9, lockout.Local)
		d.update(func(tx *store.Tx) error { return lockout.Right(tx, 1000, lockout.Local) })
		if d.wrong(9, lockout.Local) != nil {
			t.Fatal("wrong codes before a right one count")
		}
		if l := d.wrong(1, lockout.Local); l == nil || l.Left != 15*time.Minute {
			t.Errorf("the first lock after a right one: %+v", l)
		}
	})
	t.Run("who types elsewhere locks nobody out here", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Remote)
		if d.check(lockout.Local) != nil || d.left(lockout.Remote) == 0 {
			t.Error("the two counts are one")
		}
	})
	t.Run("one user's codes are not another's", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.update(func(tx *store.Tx) error { return lockout.Check(tx, 1001, lockout.Local, d.now) })
	})
	t.Run("an administrator lifts both", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.wrong(10, lockout.Remote)
		d.update(func(tx *store.Tx) error { return lockout.Lift(tx, 1000) })
		if err := errors.Join(d.check(lockout.Local), d.check(lockout.Remote)); err != nil {
			t.Error(err)
		}
	})
	t.Run("survives a restart of the daemon", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.reopen()
		if d.left(lockout.Local) != 15*time.Minute {
			t.Errorf("%v are left", d.left(lockout.Local))
		}
	})
}

func TestClocks(t *testing.T) {
	for _, c := range []struct {
		name string
		move func(*door)
		want time.Duration
	}{
		{"within a boot a clock set forward opens nothing", func(d *door) { d.now.Wall = d.now.Wall.Add(365 * 24 * time.Hour) }, 15 * time.Minute},
		{"within a boot a clock set back locks no longer", func(d *door) { d.now.Wall = d.now.Wall.Add(-time.Hour) }, 15 * time.Minute},
		{"sleep counts", func(d *door) { d.now.Boot += 10 * time.Minute }, 5 * time.Minute},
		{"after a reboot the wall clock counts", func(d *door) {
			d.now = clock.Moment{Wall: d.now.Wall.Add(10 * time.Minute), Boot: time.Second, BootID: "two"}
		}, 5 * time.Minute},
		{"after a reboot with the clock set back a year it holds an hour and not a year", func(d *door) {
			d.now = clock.Moment{Wall: d.now.Wall.AddDate(-1, 0, 0), Boot: time.Second, BootID: "two"}
		}, time.Hour - time.Second},
		{"a lock that was made while the clock was wrong holds an hour of a later boot", func(d *door) {
			d.now = clock.Moment{Wall: d.now.Wall.AddDate(-10, 0, 0), Boot: time.Hour, BootID: "two"}
		}, 0},
		{"where boots cannot be told apart the wall clock counts", func(d *door) { d.now.BootID, d.now.Boot = "", time.Second }, 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			d.wrong(10, lockout.Local)
			c.move(d)
			if got := d.left(lockout.Local); got != c.want {
				t.Errorf("%v are left, want %v", got, c.want)
			}
		})
	}
}
