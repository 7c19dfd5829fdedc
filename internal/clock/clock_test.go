package clock_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

func TestSystem(t *testing.T) {
	c := clock.System()
	before := c.Moment()
	time.Sleep(2 * time.Millisecond)
	after := c.Moment()
	if !after.Wall.After(before.Wall) || after.Boot <= before.Boot || before.Boot <= 0 {
		t.Errorf("the clock stands: %+v, %+v", before, after)
	}
	if before.BootID == "" || before.BootID != after.BootID {
		t.Errorf("the boot is %q, then %q", before.BootID, after.BootID)
	}
}

func TestBack(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	do := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	check := func(now time.Time, want error) {
		t.Helper()
		err := s.View(func(tx *store.Tx) error { return clock.Check(tx, now) })
		if !errors.Is(err, want) {
			t.Errorf("at %v: %v, want %v", now, err, want)
		}
	}

	check(noon, nil) // nothing was noted yet
	do(func(tx *store.Tx) error { return clock.Note(tx, noon) })
	check(noon.Add(-5*time.Minute), nil)
	check(noon.Add(-5*time.Minute-time.Second), clock.ErrBack)
	check(noon.AddDate(-1, 0, 0), clock.ErrBack)
	check(noon.AddDate(1, 0, 0), nil)

	do(func(tx *store.Tx) error { return clock.Note(tx, noon.AddDate(-1, 0, 0)) })
	check(noon.Add(-time.Hour), clock.ErrBack) // what was noted does not go back

	do(func(tx *store.Tx) error { return clock.Note(tx, noon.AddDate(1, 0, 0)) }) // a clock that was wrong
	check(noon, clock.ErrBack)
	err = s.View(func(tx *store.Tx) error { return clock.Check(tx, noon) })
	if !strings.Contains(err.Error(), "--clock-was-wrong") {
		t.Errorf("the error says not what mends it: %v", err)
	}
	do(func(tx *store.Tx) error {
		before, err := clock.Forget(tx, noon)
		if !before.Equal(noon.AddDate(1, 0, 0)) {
			t.Errorf("it had shown %v", before)
		}
		return err
	})
	check(noon, nil)
	check(noon.Add(-time.Hour), clock.ErrBack)
	do(func(tx *store.Tx) error {
		before, err := clock.Forget(tx, noon.Add(time.Hour))
		if !before.IsZero() {
			t.Errorf("it says that the clock had shown %v", before)
		}
		return err
	})
}
