package signin_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// What root begins comes first, however late: it is what the person is at, and what others begin must not
// stand before it.
func TestRootComesFirst(t *testing.T) {
	k := newFakeKey("aa")
	host(t, func(t *testing.T, d *desk) {
		d.register(k)
		var begun []*signin.Request
		for _, b := range []struct {
			who     caller.Caller
			service string
		}{{d.me, "one"}, {d.me, "two"}, {sudo, "pam:sudo"}, {sudo, "pam:su"}} {
			if b.service == "pam:su" {
				if err := d.Cancel(d.me, begun[0].ID()); err != nil { // so that there is a place
					t.Fatal(err)
				}
				d.end(begun[0])
			}
			begun = append(begun, d.by(b.who, signin.Ask{Service: b.service}))
			synctest.Wait()
			time.Sleep(time.Second)
		}
		want := []string{"pam:sudo", "pam:su", "app:1000:two"}
		var listed []string
		for _, v := range d.List(d.me) {
			listed = append(listed, v.Service)
		}
		if !slices.Equal(listed, want) {
			t.Errorf("listed are %q, want %q", listed, want)
		}
		sub, err := d.Subscribe(t.Context(), d.me)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		var told []string
		for _, v := range sub.Requests {
			told = append(told, v.Service)
		}
		if !slices.Equal(told, want) {
			t.Errorf("told of are %q, want %q", told, want)
		}
		// The last to come stands behind two others in the key's queue, the program's before sudo's.
		said := begun[3].View().Progress
		sudos, twos := strings.Index(said, "pam:sudo"), strings.Index(said, "app:1000:two")
		if !strings.Contains(said, "is also wanted for: ") || sudos < 0 || twos < sudos {
			t.Errorf("pam:su says %q", said)
		}
	}, k)
}
