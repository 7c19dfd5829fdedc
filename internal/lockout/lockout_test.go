package lockout_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/store/storetest"
)

// door is a database at a time that the test sets.
type door struct{ *storetest.Desk }

func open(t *testing.T) *door { t.Helper(); return &door{storetest.Open(t)} }

// wrong types so many wrong codes and returns the lock that the last one brought.
func (d *door) wrong(n int, from lockout.From) (locked *lockout.Locked) {
	d.T.Helper()
	for range n {
		d.Write(func(tx *store.Tx) (err error) {
			locked, err = lockout.Wrong(tx, 1000, from, d.Now)
			return err
		})
	}
	return locked
}

func (d *door) check(from lockout.From) (err error) {
	d.T.Helper()
	if e := d.View(func(tx *store.Tx) error {
		err = lockout.Check(tx, 1000, from, d.Now)
		return nil
	}); e != nil {
		d.T.Fatal(e)
	}
	return err
}

func (d *door) left(from lockout.From) time.Duration {
	d.T.Helper()
	var locked *lockout.Locked
	if err := d.check(from); errors.As(err, &locked) {
		return locked.Left
	} else if err != nil {
		d.T.Fatal(err)
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
		d.Pass(15*time.Minute - time.Second)
		if d.left(lockout.Local) != time.Second {
			t.Errorf("a second before the end %v are left", d.left(lockout.Local))
		}
		d.Pass(time.Second)
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
			d.Pass(want)
		}
	})
	t.Run("a right code begins anew", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.Pass(15 * time.Minute)
		d.wrong(9, lockout.Local)
		d.Write(func(tx *store.Tx) error { return lockout.Right(tx, 1000, lockout.Local) })
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
		d.Write(func(tx *store.Tx) error { return lockout.Check(tx, 1001, lockout.Local, d.Now) })
	})
	t.Run("an administrator lifts both", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.wrong(10, lockout.Remote)
		d.Write(func(tx *store.Tx) error { return lockout.Lift(tx, 1000) })
		if err := errors.Join(d.check(lockout.Local), d.check(lockout.Remote)); err != nil {
			t.Error(err)
		}
	})
	t.Run("survives a restart of the daemon", func(t *testing.T) {
		d := open(t)
		d.wrong(10, lockout.Local)
		d.Reopen()
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
		{"within a boot a clock set forward opens nothing", func(d *door) { d.Now.Wall = d.Now.Wall.Add(365 * 24 * time.Hour) }, 15 * time.Minute},
		{"within a boot a clock set back locks no longer", func(d *door) { d.Now.Wall = d.Now.Wall.Add(-time.Hour) }, 15 * time.Minute},
		{"sleep counts", func(d *door) { d.Now.Boot += 10 * time.Minute }, 5 * time.Minute},
		{"after a reboot the wall clock counts", func(d *door) {
			d.Now = clock.Moment{Wall: d.Now.Wall.Add(10 * time.Minute), Boot: time.Second, BootID: "two"}
		}, 5 * time.Minute},
		{"after a reboot with the clock set back a year it holds an hour and not a year", func(d *door) {
			d.Now = clock.Moment{Wall: d.Now.Wall.AddDate(-1, 0, 0), Boot: time.Second, BootID: "two"}
		}, time.Hour - time.Second},
		{"a lock that was made while the clock was wrong holds an hour of a later boot", func(d *door) {
			d.Now = clock.Moment{Wall: d.Now.Wall.AddDate(-10, 0, 0), Boot: time.Hour, BootID: "two"}
		}, 0},
		{"where boots cannot be told apart the wall clock counts", func(d *door) { d.Now.BootID, d.Now.Boot = "", time.Second }, 15 * time.Minute},
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

// A count that cannot be read locks, until it is lifted.
func TestDamagedCount(t *testing.T) {
	d := open(t)
	d.wrong(1, lockout.Local)
	d.Write(func(tx *store.Tx) error {
		counts := store.NewBucket[any]("lockouts")
		for item, err := range counts.All(tx, nil) {
			if err != nil {
				return err
			}
			if err := counts.Put(tx, item.Key, "many"); err != nil {
				return err
			}
		}
		return nil
	})
	if err := d.check(lockout.Local); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	d.Write(func(tx *store.Tx) error { return lockout.Lift(tx, 1000) })
	if err := d.check(lockout.Local); err != nil {
		t.Errorf("lifted: %v", err)
	}
}
