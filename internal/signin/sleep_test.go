package signin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/signin"
)

// A machine that wakes behind a request's deadline lets its key go dark.
func TestNoKeyBlinksOnAfterASleep(t *testing.T) {
	k := newFakeKey("aa")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		r := d.ask(signin.Ask{Service: "mailer"})
		<-k.blinks
		d.mu.Lock()
		d.sleep += 2 * time.Minute
		d.mu.Unlock()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if v := r.View(); v.Decision != signin.Expired {
			t.Errorf("six seconds after the machine woke it is %+v", v)
		}
	}, k)
}
