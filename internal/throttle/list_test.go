package throttle_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

func TestBounds(t *testing.T) {
	many := func(n int, do func(throttle.Who)) {
		for i := range n {
			do(throttle.Who{UID: 1000, Service: "pam:sshd", Origin: fmt.Sprintf("host%03d", i)})
		}
	}
	t.Run("the wait that ends first makes room", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		d.denied(who()) // waits longer than all others
		hers := who()
		hers.UID = 1001
		d.denied(hers)
		many(throttle.MaxPerKind+5, func(w throttle.Who) {
			d.denied(w)
			d.Pass(time.Millisecond)
		})
		all := d.list(1000)
		if len(all) != throttle.MaxPerKind || all[0].Origin != "192.0.2.7" || all[1].Origin != "host132" || all[127].Origin != "host006" {
			t.Errorf("%d wait: %+v", len(all), all)
		}
		if len(d.list(1001)) != 1 {
			t.Error("another user's wait made room")
		}
	})
	t.Run("no number of denials ends a block", func(t *testing.T) {
		d := open(t)
		d.report(who())
		d.Pass(24*time.Hour - time.Second)
		many(300, func(w throttle.Who) { d.denied(w) })
		if d.left(who()) != time.Second {
			t.Error("it has ended")
		}
	})
	t.Run("no number of reports ends a wait", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		many(300, d.report)
		if d.left(who()) != 30*time.Second {
			t.Error("it has ended")
		}
		if all := d.list(1000); len(all) != throttle.MaxPerKind+1 {
			t.Errorf("%d are kept", len(all))
		}
	})
	t.Run("who waits already needs no room", func(t *testing.T) {
		d := open(t)
		many(throttle.MaxPerKind, func(w throttle.Who) { d.denied(w) })
		d.denied(throttle.Who{UID: 1000, Service: "pam:sshd", Origin: "host005"})
		if all := d.list(1000); len(all) != throttle.MaxPerKind {
			t.Errorf("%d wait", len(all))
		}
	})
}

func TestList(t *testing.T) {
	d := open(t)
	d.denied(from(3))
	d.Pass(30 * time.Second)
	d.denied(from(1))
	d.Pass(time.Second)
	d.denied(from(2))
	d.report(who())
	local := throttle.Who{UID: 1000, Service: "app:1000:mailer", Origin: "uid:1000"}
	d.denied(local)
	d.denied(local)
	hers := who()
	hers.UID = 1001
	d.report(hers)
	want := []throttle.Entry{
		{Origin: "192.0.2.7", Kind: throttle.KindBlock, Left: 24 * time.Hour},
		{Service: "app:1000:mailer", Origin: "uid:1000", Kind: throttle.KindWait, Left: time.Minute},
		{Service: "pam:sshd", Origin: "198.51.100.2", Kind: throttle.KindWait, Left: 30 * time.Second},
		{Service: "pam:sshd", Origin: "198.51.100.1", Kind: throttle.KindWait, Left: 29 * time.Second},
	}
	if got := d.list(1000); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestLift(t *testing.T) {
	v6 := throttle.Who{UID: 1000, Service: "pam:sshd", Origin: throttle.Origin("2001:db8:0:7::17")}
	local := throttle.Who{UID: 1000, Service: "app:1000:mailer", Origin: "uid:1000"}
	unknown := throttle.Who{UID: 1000, Service: "pam:sshd"}
	hers := who()
	hers.UID = 1001
	for _, tt := range []struct {
		origin string
		n      int
		lifted []throttle.Who
	}{
		{"192.0.2.7", 2, []throttle.Who{who()}},
		{"::ffff:192.0.2.7", 2, []throttle.Who{who()}},
		{"2001:db8:0:7::99", 1, []throttle.Who{v6}},
		{"2001:db8:0:7::/64", 1, []throttle.Who{v6}},
		{"uid:1000", 1, []throttle.Who{local}},
		{"203.0.113.1", 0, nil},
		{"uid:1001", 0, nil},
		{" ", 0, nil},
		{"", 5, []throttle.Who{who(), v6, local, unknown}},
	} {
		t.Run(fmt.Sprintf("lifts what holds for %q, and no more", tt.origin), func(t *testing.T) {
			d := open(t)
			for _, w := range []throttle.Who{who(), local, unknown, hers} {
				d.denied(w)
			}
			d.report(who())
			d.report(v6)
			if n := d.lift(1000, tt.origin); n != tt.n {
				t.Errorf("it lifts %d, want %d", n, tt.n)
			}
			for _, w := range []throttle.Who{who(), v6, local, unknown, hers} {
				holds := true
				for _, l := range tt.lifted {
					holds = holds && w != l
				}
				if holds != (d.check(w, true) != nil) {
					t.Errorf("%+v: %v", w, d.check(w, true))
				}
			}
		})
	}
	t.Run("forgets the denials before it", func(t *testing.T) {
		d := open(t)
		d.denied(who())
		d.lift(1000, "192.0.2.7")
		if got := d.denied(who()); got != 30*time.Second {
			t.Errorf("the next wait is %v", got)
		}
	})
}

func TestPrune(t *testing.T) {
	d := open(t)
	hers := who()
	hers.UID = 1001
	d.denied(who())
	d.denied(hers)
	d.report(who())
	d.Pass(time.Hour - time.Second)
	if n := d.prune(); n != 0 {
		t.Errorf("%d are gone that are still counted on", n)
	}
	d.Pass(time.Second)
	if n := d.prune(); n != 2 || d.left(who()) != 23*time.Hour {
		t.Errorf("%d are gone after an hour, and %v are left", n, d.left(who()))
	}
	d.Pass(23 * time.Hour)
	if n := d.prune(); n != 1 {
		t.Errorf("%d are gone after a day", n)
	}
}

func TestDamage(t *testing.T) {
	d := open(t)
	at := append([]byte{0, 0, 3, 0xe8, 'w', 0, 8}, "pam:sshd192.0.2.7"...) // where who() waits
	d.Write(func(tx *store.Tx) error { return store.NewBucket[any]("throttles").Put(tx, at, "nonsense") })
	if err := d.check(who(), true); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("a wait that cannot be read: %v", err)
	}
	if d.prune() != 0 || d.lift(1000, "192.0.2.8") != 0 || d.check(who(), true) == nil {
		t.Error("it goes without being lifted")
	}
	d.denied(from(1)) // others are counted all the same
	if d.lift(1000, "") != 2 || d.check(who(), true) != nil {
		t.Error("it stays after all was lifted")
	}
}
