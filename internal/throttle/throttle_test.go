package throttle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/store/storetest"
	"github.com/fobproject/fob/internal/throttle"
)

// door is a database at a time that the test sets.
type door struct{ *storetest.Desk }

func open(t *testing.T) *door { t.Helper(); return &door{storetest.Open(t)} }

func (d *door) denied(w throttle.Who) (wait time.Duration) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) (err error) {
		wait, err = throttle.Denied(tx, w, d.Now)
		return err
	})
	return wait
}

func (d *door) report(w throttle.Who) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) error { return throttle.Report(tx, w, d.Now) })
}

func (d *door) check(w throttle.Who, remote bool) (err error) {
	d.T.Helper()
	if e := d.View(func(tx *store.Tx) error {
		err = throttle.Check(tx, w, remote, d.Now)
		return nil
	}); e != nil {
		d.T.Fatal(e)
	}
	return err
}

// left is how long w, which is remote, has to wait or is blocked.
func (d *door) left(w throttle.Who) time.Duration {
	d.T.Helper()
	var waiting *throttle.Waiting
	var blocked *throttle.Blocked
	switch err := d.check(w, true); {
	case errors.As(err, &waiting):
		return waiting.Left
	case errors.As(err, &blocked):
		return blocked.Left
	case err != nil:
		d.T.Fatal(err)
	}
	return 0
}

func (d *door) list(uid uint32) (all []throttle.Entry) {
	d.T.Helper()
	if err := d.View(func(tx *store.Tx) (err error) {
		all, err = throttle.List(tx, uid, d.Now)
		return err
	}); err != nil {
		d.T.Fatal(err)
	}
	return all
}

func (d *door) lift(uid uint32, origin string) (n int) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) (err error) {
		n, err = throttle.Lift(tx, uid, origin)
		return err
	})
	return n
}

func (d *door) prune() (n int) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) (err error) {
		n, err = throttle.Prune(tx, d.Now)
		return err
	})
	return n
}

// who is alice, by ssh from an address.
func who() throttle.Who { return throttle.Who{UID: 1000, Service: "pam:sshd", Origin: "192.0.2.7"} }

func from(n int) throttle.Who {
	w := who()
	w.Origin = fmt.Sprintf("198.51.100.%d", n)
	return w
}

func TestWaits(t *testing.T) {
	t.Run("a denial makes wait 30 seconds", func(t *testing.T) {
		d := open(t)
		if d.check(who(), true) != nil || d.denied(who()) != 30*time.Second {
			t.Fatal("the first wait is not 30 seconds")
		}
		for _, remote := range []bool{true, false} {
			err := d.check(who(), remote)
			if want := "such a request was denied, or not answered, a moment ago: wait 30 seconds before asking again; a tap lifts it: fob unblock"; !errors.Is(err, throttle.ErrWaiting) || err.Error() != want {
				t.Errorf("it says %v", err)
			}
		}
		d.Pass(30*time.Second - 1)
		if err := d.check(who(), true); err == nil || !strings.Contains(err.Error(), "wait 1 second ") {
			t.Errorf("before the end: %v", err)
		}
		d.Pass(1)
		if err := d.check(who(), true); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	t.Run("each denial makes wait twice as long, up to 10 minutes", func(t *testing.T) {
		d := open(t)
		for _, seconds := range []time.Duration{30, 60, 120, 240, 480, 600, 600} {
			if got := d.denied(who()); got != seconds*time.Second {
				t.Errorf("%v, want %v seconds", got, int(seconds))
			}
			d.Pass(seconds * time.Second)
		}
		d.denied(who())
		if err := d.check(who(), true); err == nil || !strings.Contains(err.Error(), "wait 10 minutes before") {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("denials are remembered for an hour after the last", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		d.Pass(time.Hour - time.Second)
		if got := d.denied(who()); got != time.Minute {
			t.Errorf("a second before the hour is over: %v", got)
		}
		d.Pass(time.Hour)
		if got := d.denied(who()); got != 30*time.Second {
			t.Errorf("after an hour: %v", got)
		}
	})
	t.Run("an approval forgets denials", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		d.denied(who())
		d.Write(func(tx *store.Tx) error { return throttle.Approved(tx, who()) })
		if d.left(who()) != 0 || d.denied(who()) != 30*time.Second {
			t.Error("they count")
		}
	})
	t.Run("an approval without denials is none's business", func(t *testing.T) {
		d := open(t)
		d.Write(func(tx *store.Tx) error { return throttle.Approved(tx, who()) })
	})
	for name, other := range map[string]throttle.Who{
		"another user":                    {UID: 1001, Service: "pam:sshd", Origin: "192.0.2.7"},
		"another service":                 {UID: 1000, Service: "pam:sudo", Origin: "192.0.2.7"},
		"another origin":                  {UID: 1000, Service: "pam:sshd", Origin: "192.0.2.8"},
		"an unknown origin":               {UID: 1000, Service: "pam:sshd"},
		"texts that are the same, joined": {UID: 1000, Service: "pam:sshd1", Origin: "92.0.2.7"},
	} {
		t.Run("a denial keeps nobody waiting but who was denied: "+name, func(t *testing.T) {
			d := open(t)
			d.denied(who())
			if err := d.check(other, true); err != nil {
				t.Error(err)
			}
			d.Write(func(tx *store.Tx) error { return throttle.Approved(tx, other) })
			if d.left(who()) == 0 {
				t.Error("its approval ends the wait")
			}
		})
	}
	t.Run("a program of this machine waits as well", func(t *testing.T) {
		d := open(t)
		w := throttle.Who{UID: 1000, Service: "app:1000:mailer", Origin: "uid:1000"}
		d.denied(w)
		if err := d.check(w, false); !errors.Is(err, throttle.ErrWaiting) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("survives a restart of the daemon", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		d.Reopen()
		if d.left(who()) != 30*time.Second || d.denied(who()) != time.Minute {
			t.Error("the denial is forgotten")
		}
	})
	t.Run("refuses texts without end", func(t *testing.T) {
		d := open(t)
		for _, w := range []throttle.Who{{Service: strings.Repeat("x", 1<<16)}, {Origin: strings.Repeat("x", 1<<16)}} {
			if err := d.check(w, true); err == nil {
				t.Error("it looks for them")
			}
			if err := d.Update(t.Context(), func(tx *store.Tx) error { _, err := throttle.Denied(tx, w, d.Now); return err }); err == nil {
				t.Error("it keeps them")
			}
		}
	})
}

func TestBlocks(t *testing.T) {
	t.Run("a report blocks the origin for 24 hours, for every service", func(t *testing.T) {
		d := open(t)
		d.report(who())
		other := who()
		other.Service = "pam:cockpit"
		for _, w := range []throttle.Who{who(), other} {
			want := "192.0.2.7 is blocked for 24 hours because a sign-in from there was reported; a tap lifts it: fob unblock 192.0.2.7"
			if err := d.check(w, true); !errors.Is(err, throttle.ErrBlocked) || err.Error() != want {
				t.Errorf("it says %v", err)
			}
		}
		d.Pass(24*time.Hour - time.Second)
		if got := d.left(who()); got != time.Second {
			t.Errorf("%v are left", got)
		}
		d.Pass(time.Second)
		if err := d.check(who(), true); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	t.Run("a second report begins the 24 hours anew", func(t *testing.T) {
		d := open(t)
		d.report(who())
		d.Pass(time.Hour)
		d.report(who())
		if got := d.left(who()); got != 24*time.Hour {
			t.Errorf("%v are left", got)
		}
	})
	t.Run("blocks nobody at the desk, another user or another origin", func(t *testing.T) {
		d := open(t)
		d.report(who())
		user, origin := who(), from(1)
		user.UID = 1001
		for _, err := range []error{d.check(who(), false), d.check(user, true), d.check(origin, true)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("an approval does not lift it", func(t *testing.T) {
		d := open(t)
		d.report(who())
		d.Write(func(tx *store.Tx) error { return throttle.Approved(tx, who()) })
		if d.left(who()) == 0 {
			t.Error("it does")
		}
	})
	t.Run("a wait behind a block is told after it", func(t *testing.T) {
		d := open(t)
		d.report(who())
		d.denied(who())
		if !errors.Is(d.check(who(), true), throttle.ErrBlocked) || !errors.Is(d.check(who(), false), throttle.ErrWaiting) {
			t.Errorf("%v, %v", d.check(who(), true), d.check(who(), false))
		}
	})
	for _, origin := range []string{"", "uid:1000"} {
		t.Run(fmt.Sprintf("refuses to block %q", origin), func(t *testing.T) {
			d := open(t)
			w := who()
			w.Origin = origin
			err := d.Update(t.Context(), func(tx *store.Tx) error { return throttle.Report(tx, w, d.Now) })
			if !errors.Is(err, throttle.ErrLocal) || d.check(w, true) != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestClocks(t *testing.T) {
	// The fourth denial in a row makes wait 4 minutes.
	for _, tt := range []struct {
		name        string
		move        func(*door)
		wait, block time.Duration
		next        time.Duration // what a further denial makes wait
	}{
		{"within a boot a clock set forward ends nothing", func(d *door) { d.Now.Wall = d.Now.Wall.AddDate(1, 0, 0) }, 4 * time.Minute, 24 * time.Hour, 8 * time.Minute},
		{"within a boot a clock set back lengthens nothing", func(d *door) { d.Now.Wall = d.Now.Wall.AddDate(-1, 0, 0) }, 4 * time.Minute, 24 * time.Hour, 8 * time.Minute},
		{"sleep counts", func(d *door) { d.Now.Boot += 3 * time.Minute }, time.Minute, 24*time.Hour - 3*time.Minute, 8 * time.Minute},
		{"within a boot denials are forgotten after an hour of it", func(d *door) { d.Now.Boot += time.Hour }, 0, 23 * time.Hour, 30 * time.Second},
		{"after a reboot the wall clock counts", func(d *door) { d.Reboot(3 * time.Minute) }, time.Minute, 24*time.Hour - 3*time.Minute, 8 * time.Minute},
		{"after a reboot with the clock set back each holds its time and no longer", func(d *door) { d.Reboot(-8766 * time.Hour) },
			4*time.Minute - time.Second, 24*time.Hour - time.Second, 8 * time.Minute},
		{"a clock that stays wrong ends after the same time of a later boot", func(d *door) {
			d.Reboot(-8766 * time.Hour)
			d.Pass(24*time.Hour - time.Second)
		}, 0, 0, 30 * time.Second},
		{"less than an hour of a later boot may be less than an hour without a denial", func(d *door) {
			d.Reboot(-10 * time.Minute)
			d.Pass(time.Hour - 2*time.Second)
		}, 0, 23*time.Hour + 10*time.Minute + 2*time.Second, 8 * time.Minute},
		{"an hour of a later boot is an hour without a denial", func(d *door) {
			d.Reboot(-10 * time.Minute)
			d.Pass(time.Hour - time.Second)
		}, 0, 23*time.Hour + 10*time.Minute + time.Second, 30 * time.Second},
		{"where boots cannot be told apart the wall clock counts", func(d *door) { d.Now.BootID, d.Now.Boot = "", time.Second }, 4 * time.Minute, 24 * time.Hour, 8 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			blocked := from(1)
			for range 4 {
				d.denied(who())
			}
			d.report(blocked)
			tt.move(d)
			if wait, block := d.left(who()), d.left(blocked); wait != tt.wait || block != tt.block {
				t.Errorf("%v and %v are left, want %v and %v", wait, block, tt.wait, tt.block)
			}
			if got := d.denied(who()); got != tt.next {
				t.Errorf("the next wait is %v, want %v", got, tt.next)
			}
		})
	}
}

func TestWithoutABootID(t *testing.T) {
	d := open(t)
	d.Now.BootID = ""
	for range 4 {
		d.denied(who())
	}
	d.Now = clock.Moment{Wall: d.Now.Wall.Add(time.Minute), Boot: d.Now.Boot + time.Hour} // of a later boot, perhaps
	if got := d.left(who()); got != 3*time.Minute {
		t.Errorf("two readings without a boot count as of one: %v are left", got)
	}
	if got := d.denied(who()); got != 8*time.Minute {
		t.Errorf("two readings without a boot count as of one: the next wait is %v", got)
	}
}
