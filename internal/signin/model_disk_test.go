package signin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// What is not on disk was not approved, and nothing of it was spent.
func TestNothingIsApprovedThatIsNotOnDisk(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		f := d.supply("77")
		codes := d.writesDown(k)
		failing := func(do func()) {
			t.Helper()
			mend, err := breakDisk(d.config.Store.Path())
			if err != nil {
				t.Fatal(err)
			}
			do()
			synctest.Wait()
			mend()
		}
		elsewhere := from("192.0.2.7", fingerprint).Claimed
		code := f.press()
		for name, by := range map[string]struct {
			c  caller.Caller
			a  signin.Ask
			do func(*signin.Request)
		}{
			"a tap":           {sudo, signin.Ask{Service: "pam:sudo"}, func(*signin.Request) { d.touch(k) }},
			"a code":          {d.me, signin.Ask{Service: "mailer"}, func(r *signin.Request) { d.types(r, code) }},
			"a recovery code": {sshd, signin.Ask{Service: "pam:sshd", Claimed: elsewhere}, func(r *signin.Request) { d.types(r, codes[0]) }},
			"a number":        {sshd, signin.Ask{Service: "pam:vpn", Claimed: elsewhere}, func(r *signin.Request) { _ = d.number(r, r.Number()) }},
			"a yes": {sshd, signin.Ask{Service: "pam:web", Claimed: elsewhere}, func(r *signin.Request) {
				_ = d.Answer(t.Context(), d.me, r.ID(), signin.Answer{Prompt: d.promptOf(r, signin.PromptApprove).ID, Approve: true})
			}},
		} {
			r := d.by(by.c, by.a)
			failing(func() { by.do(r) })
			if v := d.end(r); v.Decision == signin.Approved {
				t.Errorf("%s: ended as %+v", name, v)
			}
			for _, e := range d.everything() {
				if e.Request == r.ID() && e.Decision == "approved" {
					t.Errorf("%s: the log has %+v", name, e)
				}
			}
			time.Sleep(2 * time.Hour)
		}
		failing(func() {
			if v, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(code)}); err == nil {
				t.Errorf("a code that was handed in: %+v", v)
			}
		})
		for _, unspent := range []string{code, codes[0]} {
			if _, err := d.VerifyCode(t.Context(), sshd, signin.Ask{User: "alice", Service: "pam:sshd", Code: typed(unspent)}); err != nil {
				t.Errorf("what approved nothing was spent: %v", err)
			}
		}
	}, k)
}

// breakDisk makes every writing to the database fail until it is mended.
func breakDisk(path string) (mend func(), err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var swapped []int
	swap := func(fd, flags int) error {
		other, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(other)
		return syscall.Dup3(other, fd, syscall.O_CLOEXEC)
	}
	for _, e := range all {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || to != path {
			continue
		}
		if err := swap(fd, syscall.O_RDONLY); err != nil {
			return nil, err
		}
		swapped = append(swapped, fd)
	}
	if len(swapped) == 0 {
		return nil, fmt.Errorf("cannot find the open file of %s", path)
	}
	return func() {
		for _, fd := range swapped {
			_ = swap(fd, syscall.O_RDWR)
		}
	}, nil
}
