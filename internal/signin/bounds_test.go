package signin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

// crowd gives the machine so many users more, named u0, u1, …, each with a key if keys says so.
func (d *desk) crowd(n int, keys bool) {
	d.t.Helper()
	const firstUID = 20_000
	people, names := map[string]signin.Person{}, map[uint32]string{}
	for i := range n {
		p := signin.Person{UID: firstUID + uint32(i), Name: fmt.Sprint("u", i)}
		people[p.Name], names[p.UID] = p, p.Name
	}
	users, person := d.config.Users, d.config.Person
	d.config.Users = func(ctx context.Context, asked []string) (map[string]signin.Person, error) {
		found, err := users(ctx, asked)
		for _, name := range asked {
			if p, ok := people[name]; ok && err == nil {
				found[name] = p
			}
		}
		return found, err
	}
	d.config.Person = func(ctx context.Context, id uint32) (signin.Person, error) {
		if name, ok := names[id]; ok {
			return people[name], nil
		}
		return person(ctx, id)
	}
	d.anew()
	if !keys {
		return
	}
	err := d.config.Store.Update(d.t.Context(), func(tx *store.Tx) error {
		for _, p := range people {
			m := method.Method{ID: "m" + p.Name, UID: p.UID, User: p.Name, Type: method.TypeKey, Name: "Key", Key: &method.Key{CredentialID: []byte(p.Name)}}
			if _, err := method.Add(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// nextdoor is a stranger beside web and bob.
var nextdoor = caller.Caller{UID: 20_000, PID: 50, Door: caller.DoorSocket}

// Nobody asks more than eight others at a time.
func TestOneCallerAsksFewOthers(t *testing.T) {
	host(t, func(t *testing.T, d *desk) {
		d.crowd(10, true)
		var begun []*signin.Request
		for n := range 8 {
			begun = append(begun, d.by(web, signin.Ask{User: fmt.Sprint("u", n), Service: "site"}))
		}
		ninth := signin.Ask{User: "u8", Service: "site"}
		if _, err := d.tryBy(web, ninth); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a ninth user is asked: %v", err)
		}
		d.by(bob, ninth) // another caller's are counted apart
		if err := d.Cancel(web, begun[3].ID()); err != nil {
			t.Fatal(err)
		}
		d.end(begun[3])
		d.by(web, signin.Ask{User: "u9", Service: "site"}) // in its place
		if _, err := d.tryBy(nextdoor, signin.Ask{User: "u9", Service: "site"}); !errors.Is(err, signin.ErrTooMany) {
			t.Errorf("a user whom one stranger asks is asked by a second: %v", err)
		}
		for n := range 9 { // root is not bound by it
			d.by(sshd, signin.Ask{User: fmt.Sprint("u", n), Service: "pam:sshd"})
		}
	})
}

// What is pending in all is bounded, also where root asks.
func TestAllThatIsPendingIsBounded(t *testing.T) {
	const most = 4096
	host(t, func(t *testing.T, d *desk) {
		d.crowd(most+1, false)
		ctx, gone := context.WithCancel(t.Context())
		defer gone()
		begin := func(n int) (*signin.Request, error) {
			a := from("192.0.2.7", "")
			a.User, a.Service = fmt.Sprint("u", n), "pam:web"
			return d.Begin(ctx, sshd, a)
		}
		var last *signin.Request
		for n := range most {
			r, err := begin(n)
			if err != nil {
				t.Fatalf("the request number %d: %v", n+1, err)
			}
			last = r
		}
		if _, err := begin(most); !errors.Is(err, signin.ErrTooMany) {
			t.Fatalf("one more: %v", err)
		}
		if err := d.Cancel(sshd, last.ID()); err != nil {
			t.Fatal(err)
		}
		d.end(last)
		if _, err := begin(most); err != nil {
			t.Errorf("in the place of one that ended: %v", err)
		}
	})
}

// An ordinary user begins forty requests at once, and then twenty a second, whatever becomes of them.
func TestOneCallerBeginsSoOften(t *testing.T) {
	host(t, func(t *testing.T, d *desk) {
		tries := func(who caller.Caller) (heard int) {
			t.Helper()
			for range 200 {
				switch _, err := d.Begin(t.Context(), who, signin.Ask{User: "carol", Service: "site"}); {
				case errors.Is(err, signin.ErrUnknownUser):
					heard++
				case !errors.Is(err, signin.ErrTooFast):
					t.Fatal(err)
				}
			}
			return heard
		}
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{0, 40}, {0, 0}, {50 * time.Millisecond, 1}, {time.Second, 20}, {1500 * time.Millisecond, 30}, {time.Hour, 40}} {
			time.Sleep(c.after)
			if got := tries(web); got != c.want {
				t.Errorf("after %v %d of two hundred are heard, want %d", c.after, got, c.want)
			}
		}
		if got := tries(bob); got != 40 {
			t.Errorf("of another user's %d are heard", got)
		}
		if got := tries(sshd); got != 200 {
			t.Errorf("of root's %d are heard", got)
		}
		synctest.Wait()
	})
}
