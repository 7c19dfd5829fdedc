package recovery_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// issue gives alice, uid 1000, a one-time code.
func (d *desk) issue(valid time.Duration) (code *secret.Secret) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) (err error) {
		code, _, err = recovery.Issue(tx, 1000, "alice", 0, valid, rand.Reader, d.Now)
		return err
	})
	return code
}

func (d *desk) check(user string, code *secret.Secret) (err error) {
	d.T.Helper()
	if e := d.View(func(tx *store.Tx) error {
		_, err = recovery.CheckIssued(tx, 1000, user, code, d.Now)
		return nil
	}); e != nil {
		d.T.Fatal(e)
	}
	return err
}

func (d *desk) spendIssued(code *secret.Secret) error {
	return d.Update(d.T.Context(), func(tx *store.Tx) error { return recovery.SpendIssued(tx, 1000, "alice", code, d.Now) })
}

func (d *desk) issued() (issued recovery.Issued, there bool) {
	d.T.Helper()
	if err := d.View(func(tx *store.Tx) (err error) {
		issued, there, err = recovery.IssuedTo(tx, 1000, d.Now)
		return err
	}); err != nil {
		d.T.Fatal(err)
	}
	return issued, there
}

func TestIssued(t *testing.T) {
	t.Run("is good for its user, once", func(t *testing.T) {
		d := open(t)
		code := d.issue(time.Hour)
		if !form.Match(code.Reveal()) {
			t.Error("it has another form than recovery codes")
		}
		for range 2 { // looking uses nothing up
			if err := d.check("alice", code); err != nil {
				t.Error(err)
			}
		}
		if err := d.spendIssued(code); err != nil {
			t.Fatal(err)
		}
		if err := d.spendIssued(code); !errors.Is(err, recovery.ErrWrong) {
			t.Errorf("once more: %v", err)
		}
		if _, there := d.issued(); there {
			t.Error("it is still there")
		}
	})
	t.Run("a hundred at once who have one code are one", func(t *testing.T) {
		d := open(t)
		code := d.issue(time.Hour)
		var wait sync.WaitGroup
		var accepted atomic.Int32
		for range 100 {
			wait.Go(func() {
				switch err := d.spendIssued(code); {
				case err == nil:
					accepted.Add(1)
				case !errors.Is(err, recovery.ErrWrong):
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if accepted.Load() != 1 {
			t.Errorf("%d are accepted", accepted.Load())
		}
	})
	t.Run("says who issued it, and until when", func(t *testing.T) {
		d := open(t)
		if _, there := d.issued(); there {
			t.Error("there is one that nobody issued")
		}
		d.Write(func(tx *store.Tx) error {
			_, issued, err := recovery.Issue(tx, 1000, "alice", 42, 2*time.Hour, rand.Reader, d.Now)
			want := recovery.Issued{UID: 1000, User: "alice", IssuedBy: 42, Made: d.Now.Wall, Until: d.Now.Wall.Add(2 * time.Hour), BootUntil: 3 * time.Hour, BootID: "one"}
			if issued != want {
				t.Errorf("got %+v", issued)
			}
			return err
		})
		if issued, there := d.issued(); !there || issued.IssuedBy != 42 || !issued.Until.Equal(d.Now.Wall.Add(2*time.Hour)) {
			t.Errorf("got %+v, %t", issued, there)
		}
		d.Pass(2 * time.Hour)
		if _, there := d.issued(); there {
			t.Error("it is there after its end")
		}
	})
	t.Run("takes the place of the one before", func(t *testing.T) {
		d := open(t)
		former := d.issue(time.Hour)
		code := d.issue(time.Hour)
		if !errors.Is(d.check("alice", former), recovery.ErrWrong) || d.check("alice", code) != nil {
			t.Errorf("%v, %v", d.check("alice", former), d.check("alice", code))
		}
	})
	t.Run("is none once it was withdrawn", func(t *testing.T) {
		d := open(t)
		code := d.issue(time.Hour)
		for range 2 {
			d.Write(func(tx *store.Tx) error { return recovery.Withdraw(tx, 1000) })
		}
		if err := d.check("alice", code); !errors.Is(err, recovery.ErrWrong) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is nobody else's, nor good for anything else", func(t *testing.T) {
		d := open(t)
		code := d.issue(time.Hour)
		printed := d.make(1000, rand.Reader)[0]
		other := func(uid uint32, user string) error {
			return d.View(func(tx *store.Tx) error { _, err := recovery.CheckIssued(tx, uid, user, code, d.Now); return err })
		}
		_, asRecovery := d.spend(1000, code)
		for name, err := range map[string]error{
			"of another user":                 other(1001, "bob"),
			"of another uid of the same name": other(1001, "alice"),
			"of the uid under another name":   other(1000, "bob"),
			"as a recovery code":              asRecovery,
			"that is a recovery code":         d.check("alice", printed),
			"that was made up":                d.check("alice", word("0000-0000-0000-0000")),
		} {
			if !errors.Is(err, recovery.ErrWrong) {
				t.Errorf("a code %s: %v", name, err)
			}
		}
		if err := d.check("alice", word("letters")); !errors.Is(err, recovery.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("who does not know it is not told that it has expired", func(t *testing.T) {
		d := open(t)
		code := d.issue(time.Hour)
		d.Pass(time.Hour)
		if err := d.check("alice", word("0000-0000-0000-0000")); !errors.Is(err, recovery.ErrWrong) {
			t.Errorf("got %v", err)
		}
		if err := d.spendIssued(code); !errors.Is(err, recovery.ErrExpired) {
			t.Errorf("got %v", err)
		}
	})
	for _, valid := range []time.Duration{-time.Hour, 0, time.Minute - 1, 24*time.Hour + 1} {
		t.Run("is not issued for "+valid.String(), func(t *testing.T) {
			d := open(t)
			err := d.Update(t.Context(), func(tx *store.Tx) error {
				_, _, err := recovery.Issue(tx, 1000, "alice", 0, valid, rand.Reader, d.Now)
				return err
			})
			if !errors.Is(err, recovery.ErrValid) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("is issued to nobody without a name, or with one without end, or without randomness", func(t *testing.T) {
		d := open(t)
		d.Write(func(tx *store.Tx) error {
			for _, user := range []string{"", strings.Repeat("a", 1<<20)} {
				if _, _, err := recovery.Issue(tx, 1000, user, 0, time.Hour, rand.Reader, d.Now); err == nil {
					t.Errorf("it is, to %.10q", user)
				}
			}
			if code, _, err := recovery.Issue(tx, 1000, "alice", 0, time.Hour, failing{}, d.Now); err == nil || code != nil {
				t.Errorf("it is, without randomness: %v", err)
			}
			return nil
		})
		if _, there := d.issued(); there {
			t.Error("one is kept")
		}
	})
}

func TestIssuedByTheClock(t *testing.T) {
	reboot := func(d *desk, wall time.Duration) {
		d.Now = clock.Moment{Wall: d.Now.Wall.Add(wall), Boot: time.Second, BootID: "two"}
	}
	for _, tt := range []struct {
		name string
		move func(*desk)
		want error
	}{
		{"holds until a second before its end", func(d *desk) { d.Pass(time.Hour - time.Second) }, nil},
		{"ends at its end", func(d *desk) { d.Pass(time.Hour) }, recovery.ErrExpired},
		{"within a boot a clock set back lengthens nothing", func(d *desk) {
			d.Pass(time.Hour)
			d.Now.Wall = d.Now.Wall.Add(-time.Hour)
		}, recovery.ErrExpired},
		{"within a boot a clock set forward ends nothing", func(d *desk) { d.Now.Wall = d.Now.Wall.AddDate(1, 0, 0) }, nil},
		{"sleep counts", func(d *desk) { d.Now.Boot += time.Hour }, recovery.ErrExpired},
		{"a boot clock that went back ends it", func(d *desk) { d.Now.Boot -= time.Second }, recovery.ErrExpired},
		{"after a reboot the wall clock counts", func(d *desk) { reboot(d, time.Hour-time.Second) }, nil},
		{"after a reboot it ends at its end", func(d *desk) { reboot(d, time.Hour) }, recovery.ErrExpired},
		{"after a reboot with the clock set back it has ended", func(d *desk) { reboot(d, -time.Second) }, recovery.ErrExpired},
		{"after a reboot with the clock below what it has shown it has ended", func(d *desk) {
			d.Write(func(tx *store.Tx) error { return clock.Note(tx, d.Now.Wall.Add(2*time.Hour)) })
			reboot(d, time.Minute)
		}, recovery.ErrExpired},
		{"where boots cannot be told apart the wall clock counts", func(d *desk) { d.Now.BootID, d.Now.Boot = "", time.Second }, nil},
		{"where boots cannot be told apart it ends at its end", func(d *desk) {
			d.Now.BootID, d.Now.Wall = "", d.Now.Wall.Add(time.Hour)
		}, recovery.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			code := d.issue(time.Hour)
			tt.move(d)
			if err := d.check("alice", code); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if _, there := d.issued(); there != (tt.want == nil) {
				t.Errorf("it is listed: %t", there)
			}
			if err := d.spendIssued(code); !errors.Is(err, tt.want) {
				t.Errorf("spending it: %v, want %v", err, tt.want)
			}
		})
	}
}

func TestIssuedWithoutABootID(t *testing.T) {
	d := open(t)
	d.Now.BootID = ""
	code := d.issue(time.Hour)
	d.Now = clock.Moment{Wall: d.Now.Wall.Add(2 * time.Hour), Boot: d.Now.Boot + time.Minute} // of a later boot, perhaps
	if err := d.check("alice", code); !errors.Is(err, recovery.ErrExpired) {
		t.Errorf("two readings without a boot count as of one: %v", err)
	}
}

// A hash of one use of codes is worth nothing in the place of another's.
func TestHashesOfOneUseAreNotAnothers(t *testing.T) {
	d := open(t)
	d.issue(time.Hour)
	printed := d.make(1000, rand.Reader)[0]
	type record = map[string]any
	d.Write(func(tx *store.Tx) error {
		issues := store.NewBucket[record]("one-time-codes")
		at := []byte{0, 0, 3, 0xe8}
		issued, err := issues.Get(tx, at)
		if err != nil {
			return err
		}
		for item, err := range store.NewBucket[record]("recovery-codes").All(tx, at) {
			if err != nil {
				return err
			}
			issued["hash"] = item.Value["hash"]
			if err := issues.Put(tx, at, issued); err != nil {
				return err
			}
			if _, err := recovery.CheckIssued(tx, 1000, "alice", printed, d.Now); !errors.Is(err, recovery.ErrWrong) {
				t.Errorf("got %v", err)
			}
		}
		return nil
	})
}
