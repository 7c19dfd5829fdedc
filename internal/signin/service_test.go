package signin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// FuzzService names services as any program could, and looks for one that would reach beyond its uid.
func FuzzService(f *testing.F) {
	for _, s := range []string{
		"", "mailer", "fob", "pam:sudo", "pam:", "pam:pam:x", "pam:../x", "app:1000:mailer", "app:0:mailer", "app:01000:mailer", "app:+1000:x",
		"app:1000", "app:1000:", "app:1000:app:0:x", "APP:1000:x", "Pam:sudo", " pam:sudo", "pam:su\x00do", "pаm:sudo", "ümlaut", ".hidden", "a:b",
		strings.Repeat("a", 64), strings.Repeat("a", 65), "a\nb", "\xff",
	} {
		f.Add(s, uint32(1000))
		f.Add(s, uint32(0))
	}
	f.Add("app:4294967295:x", uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, asked string, uid uint32) {
		got, err := signin.ParseService(asked, caller.Caller{UID: uid})
		if err != nil {
			if got != "" || !errors.Is(err, signin.ErrBadRequest) && !errors.Is(err, caller.ErrForbidden) {
				t.Fatalf("%q for uid %d: got %q, %v", asked, uid, got, err)
			}
			return
		}
		own := fmt.Sprintf("app:%d:", uid)
		name, app := strings.CutPrefix(got, own)
		if !app {
			name = strings.TrimPrefix(got, "pam:")
			if uid != 0 || name == got || got != asked {
				t.Fatalf("%q for uid %d became %q", asked, uid, got)
			}
		}
		if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			t.Fatalf("%q for uid %d became %q", asked, uid, got)
		}
		if asked != "" && asked != name && asked != got {
			t.Fatalf("%q for uid %d became another's name, %q", asked, uid, got)
		}
		if again, err := signin.ParseService(got, caller.Caller{UID: uid}); err != nil || again != got {
			t.Fatalf("%q is no name of its own: %q, %v", got, again, err)
		}
	})
}
