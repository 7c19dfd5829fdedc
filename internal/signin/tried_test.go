package signin_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/signin"
)

// What was tried is in the record, in order, and then what was offered and not used: always the same for the
// same, whatever ended first.
func TestWhatWasTriedIsInTheRecord(t *testing.T) {
	const wrong, untouched, unused = "code: that code is wrong", "key “Key aa”: was not touched", "code “fob”: was not used"
	wrongCode := func(d *desk, _ *fakeKey, _ *fob, r *signin.Request) { d.types(r, "000000") }
	touch := func(_ *desk, k *fakeKey, _ *fob, _ *signin.Request) { k.touches <- struct{}{} }
	code := func(d *desk, _ *fakeKey, f *fob, r *signin.Request) { d.types(r, f.press()) }
	deny := func(d *desk, _ *fakeKey, _ *fob, r *signin.Request) {
		if err := d.Deny(d.me, r.ID()); err != nil {
			d.t.Fatal(err)
		}
	}
	expire := func(*desk, *fakeKey, *fob, *signin.Request) { time.Sleep(11 * time.Second) }
	keyBreaks := func(_ *desk, k *fakeKey, _ *fob, _ *signin.Request) {
		k.fail = func(op string) error {
			if op == fido.OpAssert {
				return opError(-2, "FIDO_ERR_RX")
			}
			return nil
		}
	}
	type step = func(*desk, *fakeKey, *fob, *signin.Request)
	const broken = "key “Key aa”: Key aa: the key's answer makes no sense (FIDO_ERR_RX)"
	for _, c := range []struct {
		name   string
		before step // the request begins
		steps  []step
		want   signin.Decision
		tried  []string
	}{
		{"a tap alone", nil, []step{touch}, signin.Approved, []string{unused}},
		{"a code alone", nil, []step{code}, signin.Approved, []string{untouched}},
		{"a wrong code, then a tap", nil, []step{wrongCode, touch}, signin.Approved, []string{wrong}},
		{"a wrong code, then a right one", nil, []step{wrongCode, code}, signin.Approved, []string{wrong, untouched}},
		{"two wrong codes, then a right one", nil, []step{wrongCode, wrongCode, code}, signin.Approved, []string{wrong, wrong, untouched}},
		{"a wrong code, then denied", nil, []step{wrongCode, deny}, signin.Denied, []string{wrong, untouched}},
		{"a wrong code, then nothing", nil, []step{wrongCode, expire}, signin.Expired, []string{wrong, untouched}},
		{"denied", nil, []step{deny}, signin.Denied, []string{untouched, unused}},
		{"nothing", nil, []step{expire}, signin.Expired, []string{untouched, unused}},
		{"a key that breaks, a wrong code, then a right one", keyBreaks, []step{wrongCode, code}, signin.Approved, []string{broken, wrong}},
		{"a key that breaks, a wrong code, then denied", keyBreaks, []step{wrongCode, deny}, signin.Denied, []string{broken, wrong}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newFakeKey("aa")
			sit(t, func(t *testing.T, d *desk) {
				d.enrol(k, nil)
				f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
				if c.before != nil {
					c.before(d, k, f, nil)
				}
				r := d.ask(signin.Ask{Timeout: 10 * time.Second})
				synctest.Wait()
				for _, do := range c.steps {
					do(d, k, f, r)
				}
				d.wants(r, c.want)
				log := d.log()
				if last := log[len(log)-1]; last.Request != r.ID() || last.Decision != string(c.want) || !slices.Equal(last.Tried, c.tried) {
					t.Errorf("the log says %s, tried were %q, want %q", last.Decision, last.Tried, c.tried)
				}
			}, k)
		})
	}
}

// A plain yes at the desk was used.
func TestAClickThatDecidedWasUsed(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		a := from("192.0.2.7", "")
		a.Service = "pam:web"
		r := d.by(sshd, a)
		if err := d.number(r, otherThan(r.Number(), 0)); err != nil {
			t.Fatal(err)
		}
		p := d.promptOf(r, signin.PromptApprove)
		if err := d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: p.ID, Approve: true}); err != nil {
			t.Fatal(err)
		}
		d.wants(r, signin.Approved)
		if decision, tried := d.last(); decision != "approved" || !slices.Equal(tried, []string{"number: wrong"}) {
			t.Errorf("the log says %s, tried were %q", decision, tried)
		}
	}, k)
}
