package socketapi

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenAll(t *testing.T) {
	t.Run("lets everybody through to the socket, whatever the umask", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "run", "s")
		old := unix.Umask(0o077)
		s, err := ListenAll(path)
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = s.Close()
			_ = s.Remove()
		}()
		for path, mode := range map[string]os.FileMode{filepath.Dir(path): 0o755, path: 0o666} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s has the mode %v %v", path, info.Mode(), err)
			}
		}
	})
}
